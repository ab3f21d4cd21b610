"""What a stream's files look like: found on the first one with rows, pinned in the cursor, held against later ones."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import pyarrow as pa

from catchment import naming
from catchment.errors import SchemaDrift
from catchment.records import JSON, Notice

OURS = pa.schema([("_origin", pa.string()), ("_position", pa.int64()), ("_defect", pa.string()), ("_raw", pa.binary())])

# So much of what cannot be read is kept in bronze.
LONGEST_RAW = 64 << 10


@dataclass(frozen=True)
class Unreadable:
    """Bytes that are no row: where they lie, their beginning, how many there are, and why."""

    origin: str
    position: int
    raw: bytes
    length: int
    reason: str


Columns = Literal["evolve", "freeze", "quarantine"]


class FileStream(Protocol):
    """What a project says about a stream of files (`catchment.project` has the settings themselves)."""

    @property
    def path(self) -> str: ...
    @property
    def format(self) -> Literal["csv", "jsonl", "json", "parquet"] | None: ...
    @property
    def encoding(self) -> Literal["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"] | None: ...
    @property
    def delimiter(self) -> str | None: ...
    @property
    def quote(self) -> str | None: ...
    @property
    def header(self) -> Sequence[str] | None: ...
    @property
    def columns(self) -> Columns: ...
    @property
    def changed(self) -> Literal["fail", "ignore", "reload"]: ...
    @property
    def full(self) -> bool: ...
    @property
    def load_per_file(self) -> bool: ...
    @property
    def ordered(self) -> bool: ...


@dataclass(frozen=True)
class Pinned:
    """Dialect and columns of a stream as they were when rows were made: what the cursor after those rows holds."""

    dialect: Mapping[str, str] = field(default_factory=dict)
    header: Sequence[str] = ()
    columns: pa.Schema = field(default_factory=lambda: pa.schema([]))

    @classmethod
    def of(cls, value: Mapping[str, JSON]) -> Pinned:
        """From `Cursor.value`, which may be empty."""
        if not value.get("dialect"):
            return cls()
        columns = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(value["schema"])))
        return cls(dict(value["dialect"]), list(value["header"]), columns)

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the rows of a batch: ours first."""
        return pa.schema([*OURS, *self.columns])

    def value(self) -> dict[str, JSON]:
        """For the cursor; empty until a file with rows was seen."""
        if not self.dialect:
            return {}
        return {
            "dialect": dict(self.dialect),
            "header": list(self.header),
            "columns": [[column.name, str(column.type)] for column in self.columns],
            "schema": base64.b64encode(self.columns.serialize().to_pybytes()).decode(),
        }

    def arrange(self, ours: Mapping[str, pa.Array | pa.ChunkedArray], own: pa.Table | None, rows: int) -> pa.Table:
        """Rows in batch order: what is absent is null."""
        arrays = []
        for column in self.schema:
            if column.name in ours:
                arrays.append(ours[column.name])
            elif own is not None and column.name in own.column_names:
                arrays.append(own.column(column.name))
            else:
                arrays.append(pa.nulls(rows, column.type))
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def defect_rows(self, defects: Sequence[Unreadable]) -> pa.Table:
        """Rows of what cannot be read."""
        words = [
            defect.reason
            if defect.length <= LONGEST_RAW
            else f"{defect.reason}; the first {LONGEST_RAW:,} of {defect.length:,} bytes are kept"
            for defect in defects
        ]
        ours = {
            "_origin": pa.array([defect.origin for defect in defects], pa.string()),
            "_position": pa.array([defect.position for defect in defects], pa.int64()),
            "_defect": pa.array(words, pa.string()),
            "_raw": pa.array([defect.raw[:LONGEST_RAW] for defect in defects], pa.binary()),
        }
        return self.arrange(ours, None, len(words))


class Shape:
    """A stream's pinned dialect and columns while files are read, which may widen them."""

    def __init__(self, feed: str, columns: Columns, value: Mapping[str, JSON]) -> None:
        self.feed = feed
        self._columns = columns
        self.pinned = Pinned.of(value)
        self._notices: list[Notice] = []
        self._told: set[tuple[str, str]] = set()

    @property
    def dialect(self) -> Mapping[str, str]:
        return self.pinned.dialect

    @property
    def is_pinned(self) -> bool:
        return bool(self.pinned.dialect)

    def tell(self, kind: Any, message: str, **detail: JSON) -> None:
        """Once in a read, however many files it holds for."""
        if (kind, message) not in self._told:
            self._told.add((kind, message))
            self._notices.append(Notice(kind, message, {"stream": self.feed, **detail}))

    def take_notices(self) -> tuple[Notice, ...]:
        taken, self._notices = tuple(self._notices), []
        return taken

    def pin(
        self, dialect: Mapping[str, str], header: Sequence[str], types: Sequence[pa.DataType] | None = None
    ) -> None:
        """The first file with rows decides."""
        names = naming.columns(header)
        kinds = [pa.string()] * len(names) if types is None else types
        self.pinned = Pinned(dict(dialect), list(header), pa.schema(list(zip(names, kinds, strict=True))))
        self._tell_renamed(header, names)

    def common(self, header: Sequence[str]) -> int:
        """How many of the names are pinned ones."""
        return len(set(_keys(header)) & set(_keys(self.pinned.header)))

    def refusal(self, origin: str, header: Sequence[str]) -> str | None:
        """Why the rows of a file with these columns are not taken, where the stream holds such back; tells it."""
        if self._columns != "quarantine":
            return None
        self._not_foreign(origin, header)
        new, missing = self._difference(header)
        if not new and not missing:
            return None
        what = _words([header[place] for place in new], missing)
        if ("refused", what) not in self._told:
            self._told.add(("refused", what))
            message = f"{origin} does not have the columns of {self.feed}, its rows are held back; {what}"
            self.tell("columns_refused", message, origin=origin)
        return f"the file does not have the stream's columns; {what}"

    def fit(self, origin: str, header: Sequence[str], types: Sequence[pa.DataType] | None = None) -> list[str]:
        """The stream's column for each column of a file, new ones added; raises SchemaDrift."""
        self._not_foreign(origin, header)
        new, missing = self._difference(header)
        self._drift(origin, [header[place] for place in new], missing)
        if new:
            self._add([header[place] for place in new], None if types is None else [types[place] for place in new])
        known = dict(zip(_keys(self.pinned.header), self.pinned.columns.names, strict=True))
        return [known[key] for key in _keys(header)]

    def _not_foreign(self, origin: str, header: Sequence[str]) -> None:
        if not self.common(header):
            message = f"{origin} has none of the columns of {self.feed}: it begins with {_list(header)}"
            raise SchemaDrift(
                message,
                hint=f"expected {_list(self.pinned.header)}; without a header line, name the columns: `header: […]`",
            )

    def _difference(self, header: Sequence[str]) -> tuple[list[int], list[str]]:
        """Places of columns that the stream does not have, and names of its own that are missing."""
        keys = _keys(header)
        known = dict(zip(_keys(self.pinned.header), self.pinned.columns.names, strict=True))
        new = [place for place, key in enumerate(keys) if key not in known]
        return new, [name for key, name in known.items() if key not in keys]

    def _drift(self, origin: str, new: Sequence[str], missing: Sequence[str]) -> None:
        if not new and not missing:
            return
        if self._columns == "freeze":
            message = f"{origin} does not have the columns that {self.feed} is frozen to; {_words(new, missing)}"
            raise SchemaDrift(message, hint="correct the file, or let the table follow: `columns: evolve`")
        if missing:
            message = f"column{'s' * (len(missing) > 1)} {_list(missing)} missing, null from here: {origin}"
            if ("missing", _list(missing)) not in self._told:
                self._told.add(("missing", _list(missing)))
                self.tell("columns_missing", message, columns=list(missing), origin=origin)
        if new:
            message = f"new column{'s' * (len(new) > 1)} {_list(new)} from {origin}"
            self.tell("columns_added", message, columns=list(new), origin=origin)

    def _add(self, header: Sequence[str], types: Sequence[pa.DataType] | None) -> None:
        pinned = self.pinned
        names = naming.columns([*pinned.header, *header])[len(pinned.header) :]
        kinds = [pa.string()] * len(names) if types is None else types
        columns = pa.schema([*pinned.columns, *(pa.field(n, t) for n, t in zip(names, kinds, strict=True))])
        self.pinned = Pinned(pinned.dialect, [*pinned.header, *header], columns)
        self._tell_renamed(header, names)

    def _tell_renamed(self, header: Sequence[str], names: Sequence[str]) -> None:
        renamed = {old: new for old, new in zip(header, names, strict=True) if old.strip() != new}
        if renamed:
            words = ", ".join(f"`{old}` is `{new}`" for old, new in renamed.items())
            self.tell("renamed_columns", f"columns of {self.feed} renamed: {words}", columns=renamed)


def _keys(header: Sequence[str]) -> list[tuple[str, int]]:
    """What a column is known by: its name without regard to case, and the how manieth of that name it is."""
    counted: Counter[str] = Counter()
    keys = []
    for name in header:
        plain = name.strip().lower()
        counted[plain] += 1
        keys.append((plain, counted[plain]))
    return keys


def _words(new: Sequence[str], missing: Sequence[str]) -> str:
    parts = [f"new: {_list(new)}"] * bool(new) + [f"missing: {_list(missing)}"] * bool(missing)
    return "; ".join(parts)


def _list(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name[:60]}`" for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
