"""The queries that part good rows from bad ones, with every reason."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment.contract import Contract, Reference
from catchment.naming import BRONZE_COLUMNS, DELETE, IDENTITY, literal, quoted
from catchment.silver.conform import DOCUMENT, Conformed, sql_type
from catchment.silver.rules import Fault

if TYPE_CHECKING:
    from sqlglot import exp

    from catchment.interfaces import Engine

# What a good row of a log of changes also tells, and how bronze has it.
_CHANGED = {"_committed_at": "committed_at", "_deleted": f"op = {literal(DELETE)}"}

# As much of a value as a reader needs to recognise it.
_SHOWN = 200

REASON = pa.struct([("column", pa.string()), ("rule", pa.string()), ("message", pa.string()), ("value", pa.string())])

QUARANTINE = pa.schema(
    [
        ("_stream", pa.string()),
        ("_shard", pa.int32()),
        ("_load", pa.int64()),
        ("_row", pa.int64()),
        ("_origin", pa.string()),
        ("_position", pa.int64()),
        ("_loaded_at", pa.timestamp("us", tz="UTC")),
        ("_judged", pa.int64()),
        ("status", pa.string()),
        ("reasons", pa.list_(REASON)),
        ("raw", pa.string()),
    ]
)


@dataclass(frozen=True)
class Judge:
    """Queries over a span of one bronze table; its rows are judged, or what a refine function made of them.

    Frames: `bronze`; `typed`, the span as the contract's types; `refined`, what a function made of it; `judged`, either
    with its faults. Everything that a rejected row needs rides beside it in one struct, which is NULL in a good row, so
    that bronze is read and conformed once.
    """

    stream: str
    contract: Contract
    conformed: Sequence[Conformed]
    faults: Sequence[Fault]
    schema: pa.Schema
    has_function: bool
    made: Mapping[str, str] = field(default_factory=dict)  # the mode's own columns, SQL over a good row
    timed: bool = False  # good rows also tell when they landed
    changes: bool = False  # rows are changes, and good ones also tell when they were committed and whether they delete

    @property
    def _ours(self) -> tuple[str, ...]:
        return (*IDENTITY, *(["_loaded_at"] if self.timed else []), *(_CHANGED if self.changes else ()))

    def typed(self) -> exp.Query:
        """Bronze as the contract's types; `_reject` for rows that could not be read, or that break a rule."""
        values = [f"{item.value} AS {quoted(item.column.name)}" for item in self.conformed]
        texts = [f"{item.text} AS {_text(item)}" for item in self._fallible()]
        told = [f"{_CHANGED[name]} AS {name}" if name in _CHANGED else name for name in self._ours[1:]]
        identity = [f"{literal(self.stream)} AS _stream", *told]
        inner = ", ".join([*identity, *self._arrived(), *values, *texts])
        wrong = " OR ".join(
            [f"{_DEFECT} IS NOT NULL", *map(self._unread, self._fallible()), *map(_broken, self._rules())]
        )
        columns = ", ".join([*self._ours, *(quoted(item.column.name) for item in self.conformed)])
        # One text instead of a struct: every good row has a NULL of it, and one is cheaper to keep than ten.
        reject = f"CAST(to_json({self._place(self._fallible())}) AS VARCHAR)"
        return parsed(
            f"SELECT {columns}, CASE WHEN {wrong} THEN {reject} END AS _reject FROM (SELECT {inner} FROM bronze)"
        )

    def _rules(self) -> Sequence[Fault]:
        return () if self.has_function else self.faults

    def _arrived(self) -> list[str]:
        """The bronze row under names of its own, for its columns and the contract's may be called the same."""
        names = [name for name in self.schema.names if name not in IDENTITY]
        return [f"{quoted(name)} AS {_bronze(name)}" for name in names]

    def _place(self, texts: Sequence[Conformed]) -> str:
        """Where a row came from and what it was, as quarantine keeps it; `raw` is JSON of the bronze columns."""
        names = [name for name in self.schema.names if name not in BRONZE_COLUMNS]
        fields = ", ".join(f"{literal(name)}: {_bronze(name)}" for name in names)
        whole = f"CAST(to_json({{{fields}}}) AS VARCHAR)" if names else "'{}'"
        whole = _bronze(DOCUMENT) if self.changes or names == [DOCUMENT] else whole
        kept = f"COALESCE(TRY(decode({_bronze('_raw')})), CAST({_bronze('_raw')} AS VARCHAR))"
        broken = f"CAST(to_json({{'_raw': {kept}}}) AS VARCHAR)"
        raw = f"CASE WHEN {_DEFECT} IS NULL THEN {whole} ELSE {broken} END"
        told = "".join(f", {literal(_text_name(item))}: {_text(item)}" for item in texts)
        return (
            f"{{'defect': {_DEFECT}, 'origin': {_bronze('_origin')}, 'position': {_bronze('_position')},"
            f" 'loaded_at': {_bronze('_loaded_at')}, 'raw': {raw}{told}}}"
        )

    def _place_types(self) -> str:
        """The types of `_place`, for reading it from JSON again."""
        types = dict.fromkeys(("defect", "origin", "raw", *map(_text_name, self._fallible())), "VARCHAR")
        return json.dumps({**types, "position": "BIGINT", "loaded_at": "TIMESTAMPTZ"})

    @property
    def absent(self) -> list[str]:
        """The contract's columns that bronze does not have yet."""
        return [item.column.name for item in self.conformed if item.absent]

    def _fallible(self) -> list[Conformed]:
        return [item for item in self.conformed if item.wrong is not None]

    def _unread(self, item: Conformed) -> str:
        """Whether a value could not be read that has to be; of a row that went, its key alone."""
        unread = f"({_text(item)} IS NOT NULL AND {quoted(item.column.name)} IS NULL)"
        return f"(NOT _deleted AND {unread})" if self.changes and item.column.name not in self.contract.key else unread

    def readable(self) -> exp.Query:
        """What a refine function sees: typed columns and identity of rows that could be read, none that went."""
        columns = ", ".join([*self._ours, *(quoted(item.column.name) for item in self.conformed)])
        return parsed(f"SELECT {columns} FROM typed WHERE _reject IS NULL{' AND NOT _deleted' if self.changes else ''}")

    def deleted(self) -> exp.Query:
        """Rows of `typed` that went, as `judged` has them: no function is asked whether a row goes."""
        columns = ", ".join([*self._ours, *(quoted(item.column.name) for item in self.conformed)])
        return parsed(
            f"SELECT {columns}, CAST(NULL AS VARCHAR) AS _reject FROM typed WHERE _reject IS NULL AND _deleted"
        )

    def judged(self) -> exp.Query:
        """`refined` in the contract's types, with the reasons of rows that break a rule, as JSON.

        DuckDB 1.5 cannot keep lists of structs in which one field is NULL in every row (SerializationException).
        """
        columns = [f"CAST({quoted(c.name)} AS {sql_type(c)}) AS {quoted(c.name)}" for c in self.contract.columns]
        wrong = " OR ".join(map(_broken, self.faults)) or "FALSE"
        reasons = f"CAST(to_json({_listed([self._rule_reason(fault) for fault in self.faults])}) AS VARCHAR)"
        return parsed(
            f"SELECT *, CASE WHEN {wrong} THEN {reasons} END AS _reject"
            f" FROM (SELECT {', '.join([*self._ours, *columns])} FROM refined)"
        )

    def good(self, number: int) -> exp.Query:
        """Rows of `judged` that meet every rule, as silver has them."""
        columns = [quoted(column.name) for column in self.contract.columns]
        columns += [*self._ours, f"CAST({number} AS BIGINT) AS _judged"]
        return parsed(f"SELECT {', '.join(columns)} FROM judged WHERE _reject IS NULL{self._none_missing()}")

    def written(self) -> exp.Query:
        """Rows of `good` with the mode's own columns."""
        columns = [quoted(column.name) for column in self.contract.columns]
        own = [f"{sql} AS {name}" for name, sql in self.made.items()]
        return parsed(f"SELECT {', '.join([*columns, *IDENTITY, '_judged', *own])} FROM good")

    def referred(self) -> exp.Query:
        """`judged` with `_missing`: which of the rows that a good row refers to are not there.

        Frames `to_0`, `to_1`, … hold the distinct keys of the tables that are referred to.
        """
        joins, missing = [], []
        for place, reference in enumerate(self.contract.references):
            names = list(zip(reference.columns, reference.to, strict=True))
            on = " AND ".join(f"judged.{quoted(ours)} = to_{place}.{quoted(theirs)}" for ours, theirs in names)
            told = " AND ".join(f"judged.{quoted(ours)} IS NOT NULL" for ours, _ in names)
            joins.append(f" LEFT JOIN to_{place} ON {on}")
            missing.append(f"CASE WHEN {told} AND to_{place}.{quoted(reference.to[0])} IS NULL THEN '{place},' END")
        marks = f"NULLIF(concat({', '.join(missing)}), '')"
        staying = " AND NOT judged._deleted" if self.changes else ""
        missed = f"CASE WHEN judged._reject IS NULL{staying} THEN {marks} END AS _missing"
        return parsed(f"SELECT judged.*, {missed} FROM judged{''.join(joins)}")

    def _none_missing(self) -> str:
        return " AND _missing IS NULL" if self.contract.references else ""

    def waiting(self, number: int, since: datetime, held: bool) -> exp.Query:
        """Rows of `judged` that refer to rows that are not there, as quarantine has them.

        What landed before `since` has waited long enough and is rejected.
        """
        reasons = []
        for place, reference in enumerate(self.contract.references):
            message = missing_message(reference)
            shown = " || ', ' || ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in reference.columns)
            column = reference.columns[0] if len(reference.columns) == 1 else None
            reasons.append(
                _reason(column, "reference", f"contains(_missing, '{place},')", literal(message), f"({shown})")
            )
        waits = (
            f"CASE WHEN _place.loaded_at <= TIMESTAMPTZ {literal(since.isoformat())} THEN 'rejected' ELSE 'waiting' END"
        )
        status = literal(HELD) if held else waits
        return self._with_place(f"{_listed(reasons)}", "_missing IS NOT NULL", number, status)

    def unread(self, number: int, held: bool = False) -> exp.Query:
        """Rows of `typed` that are rejected, as quarantine has them.

        Their reasons are told here, over rejected rows alone: thirty cases a row are dear where few rows need them.
        """
        defect = _reason(None, "readable", f"{_DEFECT} IS NOT NULL", _DEFECT, "NULL")
        reasons = [
            _reason(item.column.name, "type", self._unread(item), literal(item.wrong or ""), _text(item))
            for item in self._fallible()
        ]
        reasons += [self._rule_reason(fault) for fault in self._rules()]
        read = f"from_json(_reject, {literal(self._place_types())}) AS _place"
        place = f"SELECT *, {read} FROM typed WHERE _reject IS NOT NULL"
        told = [f"_place.defect AS {_DEFECT}"]
        told += [f"_place.{quoted(_text_name(item))} AS {_text(item)}" for item in self._fallible()]
        return parsed(
            f"SELECT {', '.join(IDENTITY)}, {_unpacked('_place')}, CAST({number} AS BIGINT) AS _judged,"
            # What could not be read at all misses nothing besides.
            f" {_status(held)} AS status,"
            f" CASE WHEN {_DEFECT} IS NULL THEN {_listed(reasons)} ELSE {_listed([defect])} END AS reasons,"
            f" _place.raw AS raw FROM (SELECT *, {', '.join(told)} FROM ({place}))"
        )

    def faulty(self, number: int, held: bool = False) -> exp.Query:
        """Rows of `judged` that a function made and the rules reject, as quarantine has them."""
        told = f"from_json(_reject, {literal(_REASON_TYPES)})"
        return self._with_place(told, "_reject IS NOT NULL", number, _status(held))

    def _with_place(self, reasons: str, which: str, number: int, status: str) -> exp.Query:
        """Rows of `judged` beside what they were in bronze."""
        arrived = f"SELECT {', '.join([*IDENTITY[1:], *self._arrived()])} FROM bronze"
        place = f"SELECT {', '.join(IDENTITY[1:])}, {self._place(())} AS _place FROM ({arrived})"
        return parsed(
            f"SELECT {', '.join(IDENTITY)}, {_unpacked('_place')}, CAST({number} AS BIGINT) AS _judged,"
            f" {status} AS status, {reasons} AS reasons, _place.raw AS raw"
            f" FROM (SELECT * FROM judged WHERE {which}) JOIN ({place}) USING ({', '.join(IDENTITY[1:])})"
        )

    def _rule_reason(self, fault: Fault) -> str:
        condition = _broken(fault)
        texts = {item.column.name: item for item in self._fallible()}
        if fault.rule == "required" and fault.column in texts and not self.has_function:
            # What could not be read is no missing value as well.
            condition = f"{condition} AND NOT ({self._unread(texts[fault.column])})"
        value = "NULL" if fault.column is None else quoted(fault.column)
        return _reason(fault.column, fault.rule, condition, literal(fault.message), value)


# What a row in quarantine is: rejected, waiting for a row that it refers to, or held with all of its span.
REJECTED, WAITING, HELD = "rejected", "waiting", "held"


def missing_message(reference: Reference) -> str:
    """Why a row waits or is rejected whose reference names no row."""
    message = f"is not in silver.{reference.table}"
    if len(reference.columns) == 1:
        return message
    return f"{', '.join(reference.columns)}: {message} ({', '.join(reference.to)})"


def _status(held: bool) -> str:
    return literal(HELD if held else REJECTED)


def _bronze(name: str) -> str:
    return quoted(f"_bronze_{name}")


_DEFECT = _bronze("_defect")


def _text_name(item: Conformed) -> str:
    return f"_text_{item.column.name}"


def _text(item: Conformed) -> str:
    return quoted(_text_name(item))


def _broken(fault: Fault) -> str:
    return f"COALESCE({fault.wrong}, FALSE)"


def _reason(column: str | None, rule: str, condition: str, message: str, value: str) -> str:
    named = "CAST(NULL AS VARCHAR)" if column is None else literal(column)
    shown = f"left(CAST({value} AS VARCHAR), {_SHOWN})"
    fields = f"'column': {named}, 'rule': {literal(rule)}, 'message': {message}, 'value': {shown}"
    return f"CASE WHEN {condition} THEN {{{fields}}} END"


def _listed(reasons: Sequence[str]) -> str:
    if not reasons:
        return 'CAST([] AS STRUCT("column" VARCHAR, rule VARCHAR, message VARCHAR, "value" VARCHAR)[])'
    return f"list_filter([{', '.join(reasons)}], lambda reason: reason IS NOT NULL)"


_REASON_TYPES = json.dumps([{field.name: "VARCHAR" for field in REASON}])


def _unpacked(place: str) -> str:
    return ", ".join(f"{place}.{name} AS _{name}" for name in ("origin", "position", "loaded_at"))


# One reason as people read it in a list; the value is left out so that equal reasons can be counted.
REASON_WORDS = "COALESCE(reason.\"column\" || ': ', '') || reason.message"


def stacked(engine: Engine[Any], frames: Sequence[Any]) -> Any:
    """The rows of several frames as one, columns matched by name; there is at least one."""
    if len(frames) == 1:
        return frames[0]
    named = {f"part_{place}": frame for place, frame in enumerate(frames)}
    return engine.query(parsed(" UNION ALL BY NAME ".join(f"SELECT * FROM {name}" for name in named)), named)


def count_reasons(limit: int) -> exp.Query:
    """The most frequent reasons in `rejects`."""
    return parsed(
        f"SELECT {REASON_WORDS} AS words, count(*) AS n FROM (SELECT unnest(reasons) AS reason FROM rejects)"
        f" GROUP BY words ORDER BY n DESC, words LIMIT {limit}"
    )


@functools.lru_cache(maxsize=1024)
def parsed(sql: str) -> exp.Query:
    """SQL in DuckDB's dialect as a tree that any engine can render; nobody changes it."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb")
    assert isinstance(tree, exp.Query)
    return tree
