"""A column's type, from figures over all of its rows; each guess says what it rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from catchment.contract import Column, Contract
from catchment.draft import dates
from catchment.draft.landed import Field
from catchment.observe.words import share

# What people write where there is nothing; only believed in a column whose other values are of one type.
NULL_MARKERS = frozenset(
    {"n/a", "na", "#n/a", "null", "none", "nil", "nan", "-", "--", "---", "?", "\\n", "unknown", "missing", ".", "tbd"}
)

# So much dirt leaves a type standing: the rows wait in quarantine. More of it, and the column is text.
_MOST_DIRT = 0.01
_MOST_DIRTY_WORDS = 3

# 31/02/2026 is meant as a date all the same.
_MOST_IMPOSSIBLE = 0.1

# At least so much of a sample must look like a type before all rows are asked.
_ENOUGH = 0.5

_LONGEST_INTEGER = 18
_MOST_DIGITS = 38
_COMMA = "numbers with a comma, which a refine function can read"
_YES_NO = ({"true", "false"}, {"yes", "no"}, {"y", "n"})


@dataclass(frozen=True)
class ColumnGuess:
    """A column of the contract to be. `evidence` is for its comment, `remark` for the one line on the terminal."""

    slot: str
    name: str
    source: str
    type: str
    physical: str | None = None
    formats: tuple[str, ...] = ()
    null_markers: tuple[str, ...] = ()
    required: bool = False
    evidence: str = ""
    remark: str | None = None
    distinct: int = 0  # about so many different values
    lacking: int = 0  # rows without a value
    description: str = ""


@dataclass(frozen=True)
class Candidates:
    """What a column might be. `kind` is None where nothing but text is left, `why` says then what it looked like."""

    slot: str
    kind: str | None = None  # number, boolean, time, date, typed, fixed
    patterns: tuple[str, ...] = ()
    why: str | None = None

    def aggregates(self) -> dict[str, str]:
        """What to count over all rows, by name."""
        slot = self.slot
        if self.kind in ("typed", "fixed"):
            return {
                "present": f"count({slot})",
                "distinct": f"approx_count_distinct({slot})" if self.kind == "typed" else "0",
            }
        counted = {"present": f"count(*) FILTER (trim({slot}) <> '')", "distinct": f"approx_count_distinct({slot})"}
        if self.kind == "number":
            counted |= self._numbers()
        elif self.kind == "date":
            counted |= {pattern: f"count({value_sql(slot, 'timestamp', (pattern,))})" for pattern in self.patterns}
        elif self.kind is not None:
            counted["read"] = f"count({value_sql(slot, self.kind)})"
        return counted

    def _numbers(self) -> dict[str, str]:
        slot = self.slot
        number, text = value_sql(slot, "number"), f"trim({slot})"
        is_plain = f"({number}) IS NOT NULL AND NOT regexp_matches({slot}, '[eE]')"
        return {
            "integers": f"count({value_sql(slot, 'integer')})",
            "numbers": f"count({number})",
            "zeros": f"count(*) FILTER (regexp_matches({text}, '^[+-]?0[0-9]'))",
            "dotted": f"count(*) FILTER (contains({slot}, '.'))",
            "powers": f"count(*) FILTER (({number}) IS NOT NULL AND regexp_matches({slot}, '[eE]'))",
            "scale": f"max(length(split_part({text}, '.', 2))) FILTER ({is_plain})",
            "whole": f"max(length(ltrim(split_part({text}, '.', 1), '+-'))) FILTER ({is_plain})",
        }


@dataclass(frozen=True)
class Figures:
    """What was counted of one column."""

    rows: int
    of: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> int:
        return int(self.of[name] or 0)


Leftovers = tuple[Sequence[tuple[str, int]], int]


def value_sql(slot: str, kind: str, formats: tuple[str, ...] = ()) -> str:
    """The expression that will refine this column, so that a guess cannot differ from a run."""
    import pyarrow as pa

    from catchment.silver.conform import conform

    column = Column(name=slot, type=kind, source=slot, formats=formats)  # type: ignore[arg-type]
    contract = Contract(id="draft", version="0", table="draft", columns=(column,))
    return conform(contract, pa.schema([(slot, pa.string())]), derived=False)[0].value


def candidates(found: Field, shapes: Mapping[str, int]) -> Candidates:
    """What the shapes of a sample leave possible."""
    if found.fixed is not None:
        return Candidates(found.slot, "fixed")
    if not found.is_text:
        return Candidates(found.slot, "typed")
    telling = {shape: number for shape, number in shapes.items() if shape.lower() not in NULL_MARKERS}
    total = sum(telling.values())
    if not total:
        return Candidates(found.slot)
    words = {shape.lower() for shape in telling}
    if any(words <= pair for pair in _YES_NO):
        return Candidates(found.slot, "boolean")
    readers = (("number", _is_number), ("date", lambda shape: bool(dates.patterns_of(shape))), ("time", _is_time))
    for kind, fits in readers:
        fitting = [shape for shape in telling if fits(shape)]
        if sum(telling[shape] for shape in fitting) >= _ENOUGH * total:
            patterns = (
                tuple(dict.fromkeys(p for shape in fitting for p in dates.patterns_of(shape))) if kind == "date" else ()
            )
            return Candidates(found.slot, kind, patterns)
    with_comma = sum(telling[shape] for shape in telling if _has_comma(shape))
    numbers = with_comma + sum(telling[shape] for shape in telling if _is_number(shape))
    why = _COMMA if with_comma and numbers >= _ENOUGH * total else None
    return Candidates(found.slot, why=why)


def _is_number(shape: str) -> bool:
    import re

    return re.fullmatch(r"[+-]?(9+\.?9*|\.9+)([eE][+-]?9+)?", shape) is not None


def _has_comma(shape: str) -> bool:
    """`1.234,56` and `1,234`: which of the two a comma means, nobody but the file's owner knows."""
    import re

    return re.fullmatch(r"[+-]?(9[9.]*,9+|9{1,3}(,999)+(\.9+)?)", shape) is not None


def _is_time(shape: str) -> bool:
    return shape in ("99:99", "99:99:99")


def leftovers_wanted(tried: Candidates, figures: Figures) -> str | None:
    """The expression whose failures are worth a look; None where it reads every value, or only text is left."""
    if tried.kind is None or tried.kind in ("typed", "fixed"):
        return None
    if tried.kind == "date":
        chosen = _chosen(tried, figures)
        read = sum(figures[pattern] for pattern in chosen)
        sql = value_sql(tried.slot, "timestamp", chosen) if chosen else None
    elif tried.kind == "number":
        read, sql = figures["numbers"], value_sql(tried.slot, "number")
    else:
        read, sql = figures["read"], value_sql(tried.slot, tried.kind)
    return sql if read < figures["present"] else None


def _chosen(tried: Candidates, figures: Figures) -> tuple[str, ...]:
    """The date patterns that read something; of two that read the same digits the better one, none of equal ones."""
    chosen = []
    for pattern in tried.patterns:
        other = dates.twin(pattern)
        rival = figures[other] if other in tried.patterns else -1
        if figures[pattern] > max(rival, 0):
            chosen.append(pattern)
    return tuple(sorted(chosen, key=lambda pattern: -figures[pattern]))


def decide(found: Field, tried: Candidates, figures: Figures, left: Leftovers | None) -> ColumnGuess:
    """The guess and what it rests on."""
    base = ColumnGuess(
        slot=found.slot,
        name=found.name,
        source=found.source,
        type="string",
        required=figures.rows > 0 and figures["present"] == figures.rows,
        distinct=figures["distinct"],
        lacking=figures.rows - figures["present"],
    )
    if tried.kind == "fixed":
        return replace(
            base, type=found.fixed or "object", evidence=f"JSON {found.fixed}, kept as text; {_filled(base, figures)}"
        )
    if tried.kind == "typed":
        return _typed(base, found, figures)
    if tried.why is not None:
        return _text(base, figures, tried.why)
    if tried.kind is None:
        what = "text" if figures["present"] else "text: no row has a value"
        return replace(base, evidence=f"{what}; {_filled(base, figures)}" if figures["present"] else what)
    return {"number": _number, "date": _date}.get(tried.kind, _plain_kind)(base, tried, figures, left)


def _filled(guess: ColumnGuess, figures: Figures, markers: int = 0) -> str:
    if guess.required and not markers:
        return "no row lacks it"
    return lacks(figures.rows - figures["present"] + markers, figures.rows)


def lacks(lacking: int, rows: int) -> str:
    """How many rows have no value, in words."""
    return f"empty in {lacking:,} of {rows:,} rows ({share(lacking / rows)})" if rows else "no rows"


@dataclass(frozen=True)
class _Rest:
    """What a type does not read: words for nothing, and dirt."""

    markers: tuple[str, ...] = ()
    marked: int = 0
    dirt: tuple[tuple[str, int], ...] = ()
    dirty: int = 0
    many: bool = False


def _rest(present: int, read: int, left: Leftovers | None) -> _Rest:
    if left is None:
        return _Rest()
    top, different = left
    markers = [(value, number) for value, number in top if value.strip().lower() in NULL_MARKERS]
    dirt = [(value, number) for value, number in top if value.strip().lower() not in NULL_MARKERS]
    marked = sum(number for _, number in markers)
    # A marker with spaces around it would have to be declared with them: it is written as it stands.
    return _Rest(
        tuple(value for value, _ in markers),
        marked,
        tuple(dirt),
        present - read - marked,
        different - len(markers) > _MOST_DIRTY_WORDS,
    )


def _settle(
    typed: ColumnGuess, figures: Figures, read: int, left: Leftovers | None, *, what: str, dated: bool = False
) -> ColumnGuess | None:
    """The typed guess with its evidence; None where too many values are something else."""
    rest = _rest(figures["present"], read, left)
    telling = figures["present"] - rest.marked
    if not read or (rest.dirty and not _is_dirt(rest, telling, dated=dated)):
        return None
    told = [f"{what}: all {read:,} values" if not rest.dirty else f"{what}: {read:,} of {telling:,} values"]
    if rest.dirty:
        word, number = rest.dirt[0]
        told.append(f"{rest.dirty:,} will be rejected, such as {_shown(word)} ({number:,})")
    if rest.markers:
        told.append(f"{', '.join(map(_shown, rest.markers))} stands for none ({rest.marked:,})")
    required = typed.required and not rest.marked
    guess = replace(typed, required=required, null_markers=rest.markers)
    told.append(_filled(guess, figures, rest.marked))
    return replace(guess, evidence="; ".join(told))


def _is_dirt(rest: _Rest, telling: int, *, dated: bool) -> bool:
    """A few odd words, or dates that are none; many different values are a kind of their own, `C536379` an invoice."""
    if dated and all(dates.patterns_of(_shape(value)) for value, _ in rest.dirt):
        return rest.dirty <= _MOST_IMPOSSIBLE * telling
    if rest.dirty > _MOST_DIRT * telling:
        return False
    return not rest.many and not any(any(sign.isdigit() for sign in value) for value, _ in rest.dirt)


def _shape(value: str) -> str:
    return "".join("9" if sign.isdigit() else sign for sign in value.strip())


def _shown(value: str) -> str:
    text = " ".join(value.split())
    return f'"{text if len(text) <= 24 else text[:23] + "…"}"'


def _number(base: ColumnGuess, tried: Candidates, figures: Figures, left: Leftovers | None) -> ColumnGuess:
    if figures["zeros"]:
        why = f"{figures['zeros']:,} begin with 0"
        return _text(base, figures, why)
    kind, physical, what = _which_number(figures)
    if kind == "string":
        return _text(base, figures, what)
    settled = _settle(replace(base, type=kind, physical=physical), figures, figures["numbers"], left, what=what)
    return settled if settled is not None else _text(base, figures, _other(left, "no numbers"))


def _which_number(figures: Figures) -> tuple[str, str | None, str]:
    """Logical type, physical type and words, or `string` and the reason."""
    whole, scale = figures["whole"], figures["scale"]
    if whole > _LONGEST_INTEGER and not scale:
        return "string", None, f"up to {whole} digits"
    if figures["integers"] == figures["numbers"]:
        return "integer", None, "integer" + (f" ({figures['dotted']:,} written with .0)" if figures["dotted"] else "")
    if figures["powers"] or whole + scale > _MOST_DIGITS:
        return "number", None, "number"
    precision = _LONGEST_INTEGER if whole + scale <= _LONGEST_INTEGER else _MOST_DIGITS
    return (
        "number",
        f"decimal({precision},{scale})",
        f"decimal with up to {scale} {'place' if scale == 1 else 'places'}",
    )


def _text(base: ColumnGuess, figures: Figures, why: str) -> ColumnGuess:
    return replace(
        base,
        evidence=f"kept as text: {why}; {_filled(base, figures)}",
        remark=f"{base.name} kept as text ({why})",
    )


def _other(left: Leftovers | None, what: str) -> str:
    """`"C536379" and 14 other values are no numbers`."""
    if left is None or not left[0]:
        return f"some are {what}"
    others = left[1] - 1
    first = next((value for value, _ in left[0] if value.strip().lower() not in NULL_MARKERS), left[0][0][0])
    if not others:
        return f"{_shown(first)} is {what.replace('numbers', 'number').replace('dates', 'date')}"
    return f"{_shown(first)} and {others:,} other {'value is' if others == 1 else 'values are'} {what}"


def _date(base: ColumnGuess, tried: Candidates, figures: Figures, left: Leftovers | None) -> ColumnGuess:
    chosen = _chosen(tried, figures)
    torn = [p for p in tried.patterns if p not in chosen and figures[p] and figures[p] == figures[dates.twin(p) or p]]
    if torn:
        why = f"{torn[0]} or {dates.twin(torn[0])}? no day after the twelfth tells"
        return _text(base, figures, why)
    kind = "timestamp" if any(dates.has_clock(pattern) for pattern in chosen) else "date"
    iso = all(dates.is_iso(pattern) for pattern in chosen)
    typed = replace(base, type=kind, formats=() if iso else chosen)
    words = " and ".join(f"{p} ({figures[p]:,})" if len(chosen) > 1 else p for p in chosen)
    read = sum(figures[pattern] for pattern in chosen)
    settled = _settle(typed, figures, read, left, what=f"{kind} as {words}", dated=True)
    if settled is None:
        return _text(base, figures, _other(left, "no dates"))
    if iso:
        return settled
    rows = "all rows" if read == figures.rows else f"{read:,} rows"
    return replace(settled, remark=f"{base.name} as {' and '.join(chosen)} ({rows})")


def _plain_kind(base: ColumnGuess, tried: Candidates, figures: Figures, left: Leftovers | None) -> ColumnGuess:
    kind = tried.kind or "string"
    settled = _settle(replace(base, type=kind), figures, figures["read"], left, what=kind)
    return settled if settled is not None else replace(base, evidence=f"text; {_filled(base, figures)}")


def _typed(base: ColumnGuess, found: Field, figures: Figures) -> ColumnGuess:
    """A column that its file already types."""
    kind, physical = _logical(found)
    return replace(base, type=kind, physical=physical, evidence=f"{found.kind} in the file; {_filled(base, figures)}")


def _logical(found: Field) -> tuple[str, str | None]:
    import pyarrow as pa

    kind, types = found.kind, pa.types
    if types.is_decimal(kind):
        assert isinstance(kind, pa.Decimal128Type | pa.Decimal256Type)
        return (
            ("number", f"decimal({kind.precision},{kind.scale})")
            if 0 <= kind.scale <= kind.precision <= 38
            else ("string", None)
        )
    table = (
        (types.is_boolean, "boolean"),
        (types.is_integer, "integer"),
        (types.is_floating, "number"),
        (types.is_date, "date"),
        (types.is_timestamp, "timestamp"),
        (types.is_time, "time"),
        (types.is_struct, "object"),
        (types.is_map, "object"),
        (types.is_nested, "array"),
    )
    return next((logical for fits, logical in table if fits(kind)), "string"), None
