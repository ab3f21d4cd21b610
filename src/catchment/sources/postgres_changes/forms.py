"""Rows of tables as documents: many of one form at a time, column by column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring

import pyarrow as pa

from catchment.sources.changes import changes_table
from catchment.sources.postgres_changes.messages import UNCHANGED, Fields
from catchment.sources.postgres_changes.values import Render, text


class Form:
    """Columns and how each is said. `places` are theirs among a relation's, None for all of them."""

    def __init__(self, columns: Sequence[tuple[str, Render]], places: Sequence[int] | None = None) -> None:
        self.columns = columns
        self._places = places
        self._renders = [render for _, render in columns]
        self._names = [encode_basestring(name) for name, _ in columns]
        self._parts: dict[tuple[int, ...], Form] = {}
        self._template = "{" + ",".join(name.replace("%", "%%") + ":%s" for name in self._names) + "}"

    def only(self, places: tuple[int, ...]) -> Form:
        """The form of some of the columns, for the same rows."""
        found = self._parts.get(places)
        if found is None:
            found = self._parts[places] = Form([self.columns[place] for place in places], places)
        return found

    def _of(self, rows: list[Fields]) -> list[Fields]:
        places = self._places
        return rows if places is None else [[row[place] for place in places] for row in rows]

    def documents(self, rows: list[Fields]) -> tuple[list[str | None], Mapping[int, tuple[str, bytes]]]:
        """A document a row; by place the reason and the raw form of those that cannot be said."""
        own = self._of(rows)
        try:
            return self._said(own), {}
        except ValueError:
            pass
        found: list[str | None] = []
        faults: dict[int, tuple[str, bytes]] = {}
        for place, row in enumerate(own):
            try:
                found += self._said([row])
            except ValueError as error:
                faults[place] = (self._why(row, error), self._raw(row))
                found.append(None)
        return found, faults

    def _said(self, rows: list[Fields]) -> list[str | None]:
        if not self._renders:
            return ["{}"] * len(rows)
        columns = [
            _column(render, values) for render, values in zip(self._renders, zip(*rows, strict=True), strict=True)
        ]
        return list(map(self._template.__mod__, zip(*columns, strict=True)))

    def _why(self, row: Fields, error: ValueError) -> str:
        for (name, render), value in zip(self.columns, row, strict=True):
            try:
                _column(render, [value])
            except UnicodeDecodeError:
                return f"{name}: text that is no UTF-8"
            except ValueError:
                return f"{name}: JSON that no reader takes"
        return str(error)

    def _raw(self, row: Fields) -> bytes:
        """The document with the values' own bytes, null or quoted."""
        values = [b"null" if value is None else b'"' + value + b'"' for value in row]
        both = zip(self._names, values, strict=True)
        return b"{%s}" % b",".join(b"%s:%s" % (name.encode(), value) for name, value in both)


def _column(render: Render, values: Sequence[bytes | None]) -> list[str]:
    if None in values:
        return ["null" if value is None else render(value) for value in values]
    if render is text:  # without a frame of Python for each value
        return list(map(encode_basestring, map(bytes.decode, values)))  # type: ignore[arg-type]
    return list(map(render, values))  # type: ignore[arg-type]


class _Said:
    """Documents on their way into one column: (place, form, values), said form by form."""

    def __init__(self) -> None:
        self._by_form: dict[Form, tuple[list[int], list[Fields]]] = {}

    def add(self, place: int, form: Form, row: Fields) -> None:
        places, rows = self._by_form.get(form) or self._begun(form)
        places.append(place)
        rows.append(row)

    def add_all(self, among: range, form: Form, more: list[Fields]) -> None:
        places, rows = self._by_form.get(form) or self._begun(form)
        places += among
        rows += more

    def _begun(self, form: Form) -> tuple[list[int], list[Fields]]:
        found = self._by_form[form] = ([], [])
        return found

    def column(self, count: int, faults: dict[int, tuple[str, bytes]]) -> list[str | None]:
        found: list[str | None] = [None] * count
        for form, (places, rows) in self._by_form.items():
            documents, wrong = form.documents(rows)
            if len(places) == count:
                found = documents
            else:
                for place, document in zip(places, documents, strict=True):
                    found[place] = document
            faults |= {places[place]: why for place, why in wrong.items()}
        return found


class Gathered:
    """Changes on their way into one batch. `first` is the position of the first of them."""

    def __init__(self, first: int, origin: str) -> None:
        self.first = first
        self.bytes = 0
        self.unfilled: dict[Form, list[tuple[int, Fields]]] = {}
        self._origin = origin
        self._streams: list[str] = []
        self._ops: list[str] = []
        self._ats: list[int] = []
        self._documents = _Said()
        self._befores = _Said()

    def __len__(self) -> int:
        return len(self._ops)

    def add(self, stream: str, op: str, at_us: int, form: Form, row: Fields) -> None:
        self._documents.add(len(self._ops), form, row)
        self._streams.append(stream)
        self._ops.append(op)
        self._ats.append(at_us)

    def add_rows(self, stream: str, op: str, at_us: int, form: Form, rows: list[Fields]) -> None:
        """Many that happened alike."""
        count = len(rows)
        self._documents.add_all(range(len(self._ops), len(self._ops) + count), form, rows)
        self._streams += [stream] * count
        self._ops += [op] * count
        self._ats += [at_us] * count

    def add_changed(self, stream: str, op: str, at_us: int, form: Form, row: Fields, before: Fields) -> None:
        """A row of which the log tells what it was before."""
        self._befores.add(len(self._ops), form, before)
        self.add(stream, op, at_us, form, row)

    def add_unfilled(self, stream: str, op: str, at_us: int, form: Form, row: Fields) -> None:
        """A row with values that the log does not have; `fill` says them, or leaves them out."""
        self.unfilled.setdefault(form, []).append((len(self._ops), row))
        self._streams.append(stream)
        self._ops.append(op)
        self._ats.append(at_us)

    def add_empty(self, stream: str, op: str, at_us: int) -> None:
        """A change without a row."""
        self._streams.append(stream)
        self._ops.append(op)
        self._ats.append(at_us)

    def table(self) -> pa.Table:
        for form, waiting in self.unfilled.items():
            for place, row in waiting:
                there = tuple(one for one, value in enumerate(row) if value is not UNCHANGED)
                self._documents.add(place, form if len(there) == len(row) else form.only(there), row)
        faults: dict[int, tuple[str, bytes]] = {}
        befores = self._befores.column(len(self), faults)
        documents = self._documents.column(len(self), faults)
        return changes_table(
            self._origin,
            self.first,
            (self._streams, self._ops, pa.array(self._ats, pa.int64()).cast(pa.timestamp("us", tz="UTC"))),
            (documents, befores),
            faults,
        )
