"""Rehearse: a silver table's whole refine on empty frames, so that `check` finds what only the engine can know."""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

from catchment import naming
from catchment.errors import CatchmentError, Problem
from catchment.interfaces import Engine
from catchment.records import bronze_schema, change_columns
from catchment.silver.conform import DOCUMENT, arrow_type
from catchment.silver.definition import Table
from catchment.silver.judge import parsed
from catchment.silver.modes import mode_of
from catchment.silver.refine import Lookup, RefineFunction, trace
from catchment.silver.rows import judge_of, lookup_schema, refuse_wrong_columns

_PLACE = re.compile(r"(?P<file>\S+?\.(?:py|ya?ml))(?::(?P<line>\d+))?:?\s+(?P<words>.*)", re.DOTALL)


def rehearse(
    table: Table, engine: Engine[Any], stream: str, *, documents: bool, bronze: pa.Schema | None
) -> list[Problem]:
    """What is wrong with a table's contract or refine function over one of its streams; `bronze` is its schema where
    it has landed.

    Without one, text columns named by the contract stand in, or one document where `documents` says so.
    """
    schema = bronze if bronze is not None else _expected(table, documents=documents)
    try:
        _bind(table, engine, stream, schema)
    except CatchmentError as error:
        return [_problem(error, table)]
    return []


def _expected(table: Table, *, documents: bool) -> pa.Schema:
    if table.changes:
        return bronze_schema(change_columns())
    paths = [column.source.startswith("$") for column in table.contract.columns]
    if documents or any(paths):
        return bronze_schema([DOCUMENT])
    read = [column.source for column in table.contract.columns if not column.derived]
    return bronze_schema(list(dict.fromkeys(map(naming.column, read))))


def _bind(table: Table, engine: Engine[Any], stream: str, schema: pa.Schema) -> None:
    function, mode = table.function, mode_of(table)
    judge = judge_of(table, stream, schema)
    bronze = engine.frame(schema.empty_table())
    typed = engine.query(judge.typed(), {"bronze": bronze})
    frames = {"bronze": bronze, "typed": typed, "judged": typed}
    if function is not None:
        refined = _traced(function, engine, engine.query(judge.readable(), frames), table)
        frames["judged"] = engine.query(judge.judged(), {"refined": refined})
    if table.contract.references:
        for place, reference in enumerate(table.contract.references):
            own = {column.name: arrow_type(column) for column in table.contract.columns}
            types = [(theirs, own[ours]) for ours, theirs in zip(reference.columns, reference.to, strict=True)]
            frames[f"to_{place}"] = engine.frame(pa.schema(types).empty_table())
        frames["judged"] = engine.query(judge.referred(), frames)
    good = engine.query(judge.good(0), frames)
    if table.full and mode is not None:
        good = engine.query(parsed("SELECT *, FALSE AS _vanished FROM good"), {"good": good})
    engine.schema(engine.query(judge.written(), {"good": good}))


def _traced(function: RefineFunction, engine: Engine[Any], rows: Any, table: Table) -> Any:
    lookups = {
        name: Lookup(
            frame=engine.frame(lookup_schema(found.contract, versions=found.as_of is not None).empty_table()),
            key=found.contract.key,
            as_of=found.as_of,
        )
        for name, found in (table.lookups or {}).items()
    }
    refined = trace(function, engine, rows, lookups, explodes=bool(table.contract.key))
    refuse_wrong_columns(table, engine.schema(refined))
    return refined


def _problem(error: CatchmentError, table: Table) -> Problem:
    found = _PLACE.fullmatch(error.message)
    if found is None:
        message = f"silver.{table.name}: {error.message}"
        return Problem(file=table.contract.file, message=message, key=table.name, cure=error.hint)
    line = None if found["line"] is None else int(found["line"])
    return Problem(file=found["file"], line=line, message=found["words"], key=table.name, cure=error.hint)
