"""The queries that part good rows from bad ones, with every reason."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from catchment.contract import Contract
from catchment.naming import BRONZE_COLUMNS, IDENTITY, literal, quoted
from catchment.silver.conform import DOCUMENT, Conformed, sql_type
from catchment.silver.rules import Fault

if TYPE_CHECKING:
    from sqlglot import exp

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

    def typed(self) -> exp.Query:
        """Bronze as the contract's types; `_reject` for rows that could not be read, or that break a rule."""
        values = [f"{item.value} AS {quoted(item.column.name)}" for item in self.conformed]
        texts = [f"{item.text} AS {_text(item)}" for item in self._fallible()]
        identity = [f"{literal(self.stream)} AS _stream", "_shard", "_load", "_row"]
        inner = ", ".join([*identity, *self._arrived(), *values, *texts])
        wrong = " OR ".join([f"{_DEFECT} IS NOT NULL", *map(_unread, self._fallible()), *map(_broken, self._rules())])
        columns = ", ".join([*IDENTITY, *(quoted(item.column.name) for item in self.conformed)])
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
        whole = _bronze(DOCUMENT) if names == [DOCUMENT] else whole
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

    def _fallible(self) -> list[Conformed]:
        return [item for item in self.conformed if item.wrong is not None]

    def readable(self) -> exp.Query:
        """What a refine function sees: typed columns and identity of rows that could be read."""
        columns = ", ".join([*IDENTITY, *(quoted(item.column.name) for item in self.conformed)])
        return parsed(f"SELECT {columns} FROM typed WHERE _reject IS NULL")

    def judged(self) -> exp.Query:
        """`refined` in the contract's types, with the reasons of rows that break a rule, as JSON.

        DuckDB 1.5 cannot keep lists of structs in which one field is NULL in every row (SerializationException).
        """
        columns = [f"CAST({quoted(c.name)} AS {sql_type(c)}) AS {quoted(c.name)}" for c in self.contract.columns]
        wrong = " OR ".join(map(_broken, self.faults)) or "FALSE"
        reasons = f"CAST(to_json({_listed([self._rule_reason(fault) for fault in self.faults])}) AS VARCHAR)"
        return parsed(
            f"SELECT *, CASE WHEN {wrong} THEN {reasons} END AS _reject"
            f" FROM (SELECT {', '.join([*IDENTITY, *columns])} FROM refined)"
        )

    def good(self, number: int) -> exp.Query:
        """Rows of `judged` that meet every rule, as silver has them."""
        columns = [quoted(column.name) for column in self.contract.columns]
        columns += [*IDENTITY, f"CAST({number} AS BIGINT) AS _judged"]
        return parsed(f"SELECT {', '.join(columns)} FROM judged WHERE _reject IS NULL")

    def unread(self, number: int) -> exp.Query:
        """Rows of `typed` that are rejected, as quarantine has them.

        Their reasons are told here, over rejected rows alone: thirty cases a row are dear where few rows need them.
        """
        defect = _reason(None, "readable", f"{_DEFECT} IS NOT NULL", _DEFECT, "NULL")
        reasons = [
            _reason(item.column.name, "type", _unread(item), literal(item.wrong or ""), _text(item))
            for item in self._fallible()
        ]
        reasons += [self._rule_reason(fault) for fault in self._rules()]
        read = f"from_json(_reject, {literal(self._place_types())}) AS place"
        place = f"SELECT *, {read} FROM typed WHERE _reject IS NOT NULL"
        told = [f"place.defect AS {_DEFECT}"]
        told += [f"place.{quoted(_text_name(item))} AS {_text(item)}" for item in self._fallible()]
        return parsed(
            f"SELECT {', '.join(IDENTITY)}, {_unpacked('place')}, CAST({number} AS BIGINT) AS _judged,"
            # What could not be read at all misses nothing besides.
            f" 'rejected' AS status, CASE WHEN {_DEFECT} IS NULL THEN {_listed(reasons)} ELSE {_listed([defect])} END"
            f" AS reasons, place.raw AS raw FROM (SELECT *, {', '.join(told)} FROM ({place}))"
        )

    def faulty(self, number: int) -> exp.Query:
        """Rows of `judged` that a function made and the rules reject, as quarantine has them."""
        arrived = f"SELECT {', '.join([*IDENTITY[1:], *self._arrived()])} FROM bronze"
        place = f"SELECT {', '.join(IDENTITY[1:])}, {self._place(())} AS place FROM ({arrived})"
        return parsed(
            f"SELECT {', '.join(IDENTITY)}, {_unpacked('place')}, CAST({number} AS BIGINT) AS _judged,"
            f" 'rejected' AS status, from_json(_reject, {literal(_REASON_TYPES)}) AS reasons, place.raw AS raw"
            f" FROM (SELECT * FROM judged WHERE _reject IS NOT NULL) JOIN ({place}) USING ({', '.join(IDENTITY[1:])})"
        )

    def _rule_reason(self, fault: Fault) -> str:
        condition = _broken(fault)
        texts = {item.column.name: item for item in self._fallible()}
        if fault.rule == "required" and fault.column in texts and not self.has_function:
            # What could not be read is no missing value as well.
            condition = f"{condition} AND NOT ({_unread(texts[fault.column])})"
        value = "NULL" if fault.column is None else quoted(fault.column)
        return _reason(fault.column, fault.rule, condition, literal(fault.message), value)


def _bronze(name: str) -> str:
    return quoted(f"_bronze_{name}")


_DEFECT = _bronze("_defect")


def _text_name(item: Conformed) -> str:
    return f"_text_{item.column.name}"


def _text(item: Conformed) -> str:
    return quoted(_text_name(item))


def _unread(item: Conformed) -> str:
    return f"({_text(item)} IS NOT NULL AND {quoted(item.column.name)} IS NULL)"


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


def count_reasons(limit: int) -> exp.Query:
    """The most frequent reasons in `rejects`."""
    return parsed(
        f"SELECT {REASON_WORDS} AS words, count(*) AS n FROM (SELECT unnest(reasons) AS reason FROM rejects)"
        f" GROUP BY words ORDER BY n DESC, words LIMIT {limit}"
    )


def parsed(sql: str) -> exp.Query:
    """SQL in DuckDB's dialect as a tree that any engine can render."""
    import sqlglot
    from sqlglot import exp

    tree = sqlglot.parse_one(sql, read="duckdb")
    assert isinstance(tree, exp.Query)
    return tree
