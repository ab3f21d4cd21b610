"""Logs of changes: rows that go. A delete names one key; a truncate takes all keys that were there before it.

A truncate is remembered in silver's state, so that a row from before it which is judged again later (it waited, or its
rule was mended) does not come back to life. It is taken apart into one delete for each key, which share its identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment.naming import HIDDEN, TRUNCATE, VALID_FROM, VALID_TO, literal, quoted
from catchment.silver.judge import parsed
from catchment.silver.modes import DELETED, mode_of
from catchment.silver.rules import Fault

if TYPE_CHECKING:
    from sqlglot import exp

    from catchment.interfaces import Engine, Table
    from catchment.records import Progress
    from catchment.silver.work import Work

_SCHEMA = pa.schema(
    [
        ("_stream", pa.string()),
        ("_shard", pa.int32()),
        ("_load", pa.int64()),
        ("_row", pa.int64()),
        ("_committed_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True)
class Truncate:
    """All rows of a stream went; named by the row of bronze that says so."""

    stream: str
    shard: int
    load: int
    row: int
    at: datetime


def of_rows_that_stay(fault: Fault, key: Sequence[str]) -> Fault:
    """A fault that only a row has which is there afterwards; a key is asked of one that goes, too."""
    if fault.rule == "required" and fault.column in key:
        return fault
    return replace(fault, wrong=f"NOT _deleted AND ({fault.wrong})")


def others() -> exp.Query:
    """Rows of `bronze` that are no truncates."""
    return parsed(f"SELECT * FROM bronze WHERE op IS DISTINCT FROM {literal(TRUNCATE)}")


def among(engine: Engine[Any], stream: str, bronze: Any) -> list[Truncate]:
    """The truncates in a frame of bronze rows, in their order."""
    wanted = parsed(
        f"SELECT _shard, _load, _row, committed_at FROM bronze WHERE op = {literal(TRUNCATE)} ORDER BY _load, _row"
    )
    found = engine.fetch(wanted, {"bronze": bronze}).to_pylist()
    return [Truncate(stream, row["_shard"], row["_load"], row["_row"], row["committed_at"]) for row in found]


def known(progress: Progress, stream: str) -> list[Truncate]:
    """Those of a stream that silver has taken."""
    told = progress.cursors.get("truncated", {}).get(stream, ())
    return [Truncate(stream, shard, load, row, datetime.fromisoformat(at)) for shard, load, row, at in told]


def remembered(cursors: Mapping[str, Any], taken: Sequence[Truncate]) -> dict[str, Any]:
    """What `known` reads, with those among the rows that are taken now."""
    found = dict(cursors.get("truncated", {}))
    for one in taken:
        place = [one.shard, one.load, one.row, one.at.isoformat()]
        found[one.stream] = [*found.get(one.stream, ()), place]
    return found


def deletes(
    work: Work, present: Table | None, good: Any, *, number: int, new: Sequence[Truncate], before: Sequence[Truncate]
) -> Any:
    """A frame of deletes, one for each key and truncate that took it: keys that silver holds, of the `new` ones among
    the rows that are taken; keys of the `good` rows among these, of every truncate that came after them."""
    engine, key = work.engine, [quoted(name) for name in work.table.contract.key]
    every = [*before, *new]
    frames = {"good": good, "every": engine.frame(_table(every)), "new": engine.frame(_table(new))}
    later = "(good._load < every._load OR (good._load = every._load AND good._row < every._row))"
    union = f"SELECT {_of('good', key)}, every.* FROM good JOIN every ON good._stream = every._stream AND {later}"
    known_too = ""
    if present is not None:
        frames["present"] = engine.frame(present.scan(hidden=True))
        there = f"SELECT * FROM present WHERE {HIDDEN} IS NULL"
        union += f" UNION SELECT {_of('there', key)}, new.* FROM ({there}) AS there JOIN new USING (_stream)"
        known_too = f" ANTI JOIN present USING ({', '.join(key)}, _stream, _shard, _load, _row)"
    judged = f"CAST({number:d} AS BIGINT) AS _judged"
    listed = ", ".join([*key, "_stream", "_shard", "_load", "_row", judged, *_own(work)])
    return engine.kept(engine.query(parsed(f"SELECT DISTINCT {listed} FROM ({union}) AS gone{known_too}"), frames))


def _own(work: Work) -> list[str]:
    """The mode's own columns of a row that went."""
    mode = mode_of(work.table)
    told = {
        HIDDEN: literal(DELETED),
        VALID_FROM: "_committed_at",
        VALID_TO: "CAST(NULL AS TIMESTAMPTZ)",
    }
    return [f"{told[name]} AS {name}" for name in (mode.own_columns().names if mode is not None else ())]


def _of(frame: str, names: Sequence[str]) -> str:
    return ", ".join(f"{frame}.{name}" for name in names)


def _table(found: Sequence[Truncate]) -> pa.Table:
    rows = [astuple(one) for one in found]
    columns = zip(*rows, strict=True) if rows else ([],) * len(_SCHEMA)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    return pa.Table.from_arrays(arrays, schema=_SCHEMA)
