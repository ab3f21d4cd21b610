"""Rehearse: a metric on rows of nobody, so that `check` finds an expression that does not fit its columns' types.

There are rows, and not only columns, because DuckDB casts a constant to the type of what it is compared with when it
has a row to compare. What fails on nulls and on ordinary values alike fails on all; what fails on one of them alone,
such as the logarithm of a zero, is the data's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment.errors import CatchmentError, DataError
from catchment.metric import Metric, figures, parsed

if TYPE_CHECKING:
    from catchment.interfaces import Engine
    from catchment.reading.declaration import Metric as Declared

# A value of each type but plain texts; silver keeps the last three as texts that are what they say.
_ORDINARY: Mapping[str, Any] = {
    "integer": 1,
    "number": 1.0,
    "decimal": Decimal(0),  # of any scale
    "boolean": True,
    "date": date(2026, 1, 1),
    "timestamp": datetime(2026, 1, 1, tzinfo=UTC),
    "time": "12:00:00",
    "object": "{}",
    "array": "[]",
}
_TEXT, _NO_NUMBER = "1", "no number"


@dataclass(frozen=True)
class Misfit:
    """What is wrong under `key` (`where`, `measures.n`) of a metric: whatever stands in silver, or (without `always`)
    where a text there cannot be cast."""

    metric: str
    key: str
    message: str
    cure: str
    always: bool = True

    def __str__(self) -> str:
        return f"live.{self.metric}.{self.key}: {self.message}"


def rehearse(
    metric: Metric, declared: Declared, schema: pa.Schema, types: Mapping[str, str], engine: Engine[Any]
) -> list[Misfit]:
    """What of a metric cannot be computed over silver rows of `schema`, whose columns are of these `types` in the
    contract."""
    found = _Rehearsal(metric.name, f"silver.{metric.feed}", schema, types, engine)
    told = [] if declared.where is None else list(found.condition("where", declared.where, declared.where))
    for measure in metric.measures:
        key, text = f"measures.{measure.name}", declared.measures[measure.name]
        over = parsed(text).over
        if measure.kind == "share":
            told += [wrong for sql in over for wrong in found.condition(key, sql, text)]
            continue
        columns = tuple(f"_{place}" for place in range(len(over)))
        computed = ", ".join(["1 AS _", *(f"{sql} AS {name}" for sql, name in zip(over, columns, strict=True))])
        alone = replace(metric, measures=(replace(measure, columns=columns),), by=(), where=None, time=None)
        figure = figures(replace(alone, every_s=None, keep_s=None), f"(SELECT {computed} FROM rows) AS computed")
        told += found.computed(key, figure, over, text)
    return told


@dataclass(frozen=True)
class _Rehearsal:
    """One metric, over rows of its silver table."""

    metric: str
    table: str
    schema: pa.Schema
    types: Mapping[str, str]
    engine: Engine[Any]

    def condition(self, key: str, sql: str, text: str) -> Iterator[Misfit]:
        wrong = list(self.computed(key, f"SELECT {sql} AS met FROM rows", [sql], text))
        yield from wrong
        if any(one.always for one in wrong):
            return
        kind = self.engine.schema(self._query(f"SELECT {sql} AS met FROM rows", self._ordinary)).field("met").type
        if kind != pa.bool_():
            message = f"`{sql}` is {self.types.get(sql) or kind} and no condition"
            yield Misfit(self.metric, key, message, f"compare it with something: {sql} = …")

    def computed(self, key: str, sql: str, over: Sequence[str], text: str) -> Iterator[Misfit]:
        """`sql` over the rows; `over` are the expressions that it is made of, `text` what was written."""
        from sqlglot import exp

        wrong, ordinary = self._wrong(sql, self._nulls), self._wrong(sql, self._ordinary)
        # A cast that there is none of is found with a value only.
        unknown = ordinary is not None and "Unimplemented" in ordinary.message
        always = ordinary is not None and (wrong is not None or unknown)
        if wrong is not None and not always:
            return
        wrong = wrong or (ordinary if always else self._wrong(sql, self._texts))
        if wrong is None:
            return
        trees = [_parsed(one) for one in over]
        used = {column.name.lower() for tree in trees for column in tree.find_all(exp.Column)}
        typed = ", ".join(f"{name} is {kind}" for name, kind in self.types.items() if name.lower() in used)
        # Where nobody wrote a cast it is a slip, and not trust in what the texts are.
        if always or (isinstance(wrong, DataError) and not any(tree.find(exp.Cast) for tree in trees)):
            cause = wrong.message.rpartition("Error: ")[2].rstrip(".")
            words = cause if always else "a text is cast, and not every text can be"
            message = f"`{text}` does not fit the columns of {self.table}: {words}"
            yield Misfit(self.metric, key, message, f"write it for these types: {typed}" if typed else "correct it")
            return
        message = f"one text that `{text}` cannot read stops every figure over {self.table}"
        cure = f"write try_cast(… as …), or try(…), which are null then; {typed}"
        yield Misfit(self.metric, key, message, cure, always=False)

    @cached_property
    def _nulls(self) -> Any:
        return self._frame({})

    @cached_property
    def _ordinary(self) -> Any:
        return self._frame({name: _ORDINARY.get(kind, _TEXT) for name, kind in self.types.items()})

    @cached_property
    def _texts(self) -> Any:
        return self._frame({name: _NO_NUMBER for name, kind in self.types.items() if kind not in _ORDINARY})

    def _frame(self, row: Mapping[str, Any]) -> Any:
        return self.engine.frame(
            pa.Table.from_pylist([{name: row.get(name) for name in self.schema.names}], self.schema)
        )

    def _wrong(self, sql: str, rows: Any) -> CatchmentError | None:
        try:
            self.engine.fetch(_parsed(sql), {"rows": rows})
        except CatchmentError as error:
            return error
        return None

    def _query(self, sql: str, rows: Any) -> Any:
        return self.engine.query(_parsed(sql), {"rows": rows})


def _parsed(sql: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(sql, read="duckdb")
