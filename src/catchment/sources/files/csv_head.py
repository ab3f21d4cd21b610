"""How a CSV file begins: its encoding, delimiter and header, found once or held against what was found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

from catchment import naming
from catchment.errors import ConfigError, DataError, SchemaDrift
from catchment.sources.files.csv_cutter import Cutter, Dialect, Grammar
from catchment.sources.files.cuts import BOM, Head, first_bad_byte
from catchment.sources.files.refused import RefusedRows
from catchment.sources.files.shape import FileStream, Shape
from catchment.sources.files.utf16 import Order

_SAMPLE = 1 << 20
_DELIMITERS = ",;\t|"


class CsvHeads:
    """Reads heads of one stream's files; the first one with rows pins the stream's shape."""

    needs_line = True  # a part of a header line is no header

    def __init__(self, shape: Shape, settings: FileStream) -> None:
        self._shape = shape
        self._settings = settings
        for key, sign in (("delimiter", settings.delimiter), ("quote", settings.quote)):
            if sign is not None and (len(sign.encode()) > 1 or (key == "delimiter" and not sign) or sign in "\r\n\0"):
                message = f"{shape.feed}: `{key}: {sign!r}` is not one ASCII character"
                raise ConfigError(message, hint="for example `,`, `;`, `|` or `\\t`")
        if shape.is_pinned:
            self._held(shape.dialect)

    def read(self, origin: str, first: bytes, *, whole: bool, order: Order | None = None) -> Head | None:
        """The head of a file that begins with `first`; None where the file, `whole` in it, has no rows.

        With an `order` the file is UTF-16, and `first` its text in UTF-8.
        """
        dialect = self._pinned(origin, first) if self._shape.is_pinned else self._find(first, order)
        grammar = Grammar(dialect)
        place = grammar.blank(first, len(BOM) if first.startswith(BOM) and dialect.octets == "utf-8" else 0)
        header, end = self._header(origin, first, place, dialect, whole=whole)
        if end == len(first) and whole:
            return None
        if not self._shape.is_pinned:
            self._pin(origin, dialect, header)
        elif not self._shape.common(header):
            self._same_delimiter(origin, first[place:end], dialect)
        refused = self._shape.refusal(origin, header)
        if refused is not None:
            return Head(first[:end], RefusedRows(Cutter(dialect, naming.columns(header)), refused))
        return Head(first[:end], Cutter(dialect, self._shape.fit(origin, header)))

    def _held(self, pinned: Mapping[str, str]) -> None:
        """Settings may name what was pinned, not change it under rows that have landed."""
        asked = {
            "delimiter": self._settings.delimiter,
            "quote": self._settings.quote,
            "encoding": _plain(self._settings),
        }
        for key, value in asked.items():
            if value is not None and value != pinned.get(key, value):
                message = f"{self._shape.feed} landed with `{key}: {pinned[key]!r}`; the project now says {value!r}"
                raise SchemaDrift(
                    message, hint=f"write `{key}: {pinned[key]!r}` again, or land the files as a new stream"
                )

    def _pinned(self, origin: str, first: bytes) -> Dialect:
        pinned = self._shape.dialect
        dialect = Dialect(pinned["delimiter"], pinned["quote"], pinned["encoding"])
        if dialect.encoding == "latin-1" and self._settings.encoding is None:
            sample = _whole_characters(first[:_SAMPLE])
            if first.startswith(BOM) or (not sample.isascii() and first_bad_byte(sample) is None):
                message = f"{origin} is written in UTF-8; earlier files of {self._shape.feed} in Latin-1"
                raise SchemaDrift(message, hint="convert it, or land such files as a stream of their own")
        return dialect

    def _find(self, first: bytes, order: Order | None) -> Dialect:
        settings = self._settings
        sample = first[:_SAMPLE]
        found = _plain(settings) or (_encoding(sample) if order is None else "utf-16")
        dialect = Dialect(",", '"' if settings.quote is None else settings.quote, found)
        return replace(dialect, delimiter=settings.delimiter or _delimiter(sample.removeprefix(BOM), dialect))

    def _header(self, origin: str, first: bytes, place: int, dialect: Dialect, *, whole: bool) -> tuple[list[str], int]:
        """Names of the columns, and where the first row begins."""
        given = self._settings.header
        grammar = Grammar(dialect)
        found = grammar.any_record.match(first, place)
        if found is None or (not whole and not found["end"]) or b"\0" in found[0]:
            if given is not None:
                return list(given), place
            self._no_header(origin, "no line that can be one" if found is None else "NUL bytes, or no line end")
        assert found is not None
        try:
            names = [field.decode(dialect.octets) for field in grammar.split(found[0])]
        except UnicodeDecodeError as error:
            if given is None:
                self._no_header(origin, f"bytes that are not UTF-8 ({error.reason})")
            return list(given or ()), place
        if given is not None:
            return list(given), found.end() if [n.strip() for n in names] == [n.strip() for n in given] else place
        return names, found.end()

    def _no_header(self, origin: str, why: str) -> None:
        message = f"{origin} does not begin with a CSV header: {why}"
        hint = "is it another format (`format:`)? without a header line, name the columns: `header: […]`"
        if why.startswith("NUL"):
            hint = f"is it UTF-16 (`encoding: utf-16-le` or `utf-16-be`)? {hint}"
        raise DataError(message, hint=hint)

    def _pin(self, origin: str, dialect: Dialect, header: list[str]) -> None:
        found = {"delimiter": dialect.delimiter, "quote": dialect.quote, "encoding": dialect.encoding}
        self._shape.pin({"format": "csv", **found}, header)
        unusual = {key: value for key, value in found.items() if value != getattr(Dialect(), key)}
        if unusual:
            words = ", ".join(f"{key} {value!r}" for key, value in unusual.items())
            self._shape.tell("dialect", f"{self._shape.feed} is read with {words}, as found in {origin}", **found)

    def _same_delimiter(self, origin: str, line: bytes, dialect: Dialect) -> None:
        for other in _DELIMITERS:
            names = [name.decode(dialect.octets, "replace") for name in line.strip().split(other.encode())]
            if other != dialect.delimiter and len(names) > 1 and self._shape.common(names):
                message = (
                    f"{origin} is written with {other!r} between fields; {self._shape.feed} with {dialect.delimiter!r}"
                )
                raise SchemaDrift(
                    message, hint="convert it, or land such files as a stream of their own with `delimiter:`"
                )


def _plain(settings: object) -> str | None:
    encoding: str | None = getattr(settings, "encoding", None)
    return "utf-8" if encoding == "utf-8-sig" else encoding


def _whole_characters(sample: bytes) -> bytes:
    """Without a last character that the sample's end may have cut in two."""
    bad = first_bad_byte(sample)
    return sample if bad is None or len(sample) < _SAMPLE or bad < len(sample) - 3 else sample[:bad]


def _encoding(sample: bytes) -> str:
    """UTF-8 unless more lines with other than ASCII speak against it than for it."""
    text = _whole_characters(sample)
    if text.startswith(BOM) or first_bad_byte(text) is None:
        return "utf-8"
    telling = [line for line in text.splitlines() if not line.isascii()]
    good = sum(first_bad_byte(line) is None for line in telling)
    return "utf-8" if good > len(telling) - good else "latin-1"


def _delimiter(sample: bytes, dialect: Dialect) -> str:
    """The sign that cuts most of the first lines into as many fields as the header, and into the most fields."""

    def fitness(sign: str) -> tuple[float, int]:
        grammar = Grammar(replace(dialect, delimiter=sign))
        counts: list[int] = []
        place = grammar.blank(sample, 0)
        while place < len(sample) and len(counts) < 50:
            found = grammar.any_record.match(sample, place) or grammar.line(sample, place)
            if found["end"] or not counts:
                counts.append(grammar.count_fields(found[0])[0])
            place = found.end()
        if not counts or counts[0] < 2:
            return 0.0, 0
        return round(Counter(counts)[counts[0]] / len(counts), 1), counts[0]

    best = max(_DELIMITERS, key=fitness)
    return best if fitness(best)[1] else ","
