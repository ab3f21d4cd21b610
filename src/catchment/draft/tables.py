"""What a stream's rows say about its columns and key: figures over all of them, and what follows."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.draft.keys import KeyGuess, guess_key
from catchment.draft.landed import Landed, land, land_rows
from catchment.draft.streams import DraftStream
from catchment.draft.types import ColumnGuess, Figures, candidates, decide, leftovers_wanted
from catchment.naming import quoted

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# A sample of so many rows says what a column might be; all rows say whether it is.
_SAMPLE = 20_000
_MOST_SHAPES = 60
_MOST_LEFTOVERS = 20
_MEMORY = "2GB"

_ONLY_FIGURES = re.compile(r"[-+]?[0-9][0-9.,:/TZ -]*")


@dataclass(frozen=True)
class TableGuess:
    """A stream as a silver table. `key` is empty where no key was found; `latest_by` is set where the mode is merge."""

    stream: DraftStream
    rows: int
    defects: int
    columns: tuple[ColumnGuess, ...]
    key: KeyGuess
    dialect: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.stream.name

    @property
    def has_odd_header(self) -> bool:
        """Whether a column is called like a number or a date: a file without a header line looks like that."""
        return self.stream.format == "csv" and any(_ONLY_FIGURES.fullmatch(column.source) for column in self.columns)

    @property
    def mode(self) -> str:
        # Only a column that tells which row is newer makes it safe to drop the older ones of a key.
        return "merge" if self.key.latest_by is not None else "append"


def study(stream: DraftStream) -> TableGuess:
    """Read every row of a stream's files; raises what its source raises, and ConfigError where there are no columns."""
    landed, columns, key = _studied(stream.name, lambda connection: land(connection, stream))
    return TableGuess(stream, landed.rows, landed.defects, columns, key, landed.dialect)


def study_rows(name: str, rows: pa.Table, shown: str) -> tuple[tuple[ColumnGuess, ...], KeyGuess]:
    """The same for rows that a source gave; raises ConfigError where there are no columns."""
    _, columns, key = _studied(name, lambda connection: land_rows(connection, rows, shown))
    return columns, key


def _studied(
    name: str, landing: Callable[[duckdb.DuckDBPyConnection], Landed]
) -> tuple[Landed, tuple[ColumnGuess, ...], KeyGuess]:
    import duckdb

    with tempfile.TemporaryDirectory(prefix="catchment-draft-") as spill:
        connection = duckdb.connect(config={"memory_limit": _MEMORY, "temp_directory": spill})
        try:
            landed = landing(connection)
            columns = _columns(connection, landed)
            return landed, columns, guess_key(connection, landed, name, columns)
        finally:
            connection.close()


def _columns(connection: duckdb.DuckDBPyConnection, landed: Landed) -> tuple[ColumnGuess, ...]:
    shapes = _shapes(connection, landed)
    tried = {field.slot: candidates(field, shapes.get(field.slot, {})) for field in landed.fields}
    wanted = {f"{slot} {name}": sql for slot, found in tried.items() for name, sql in found.aggregates().items()}
    counted = _one_row(connection, wanted)
    figures = {
        slot: Figures(landed.rows, {name: counted[f"{slot} {name}"] for name in found.aggregates()})
        for slot, found in tried.items()
    }
    left = {
        slot: _leftovers(connection, slot, sql)
        for slot, found in tried.items()
        if (sql := leftovers_wanted(found, figures[slot])) is not None
    }
    return tuple(decide(field, tried[field.slot], figures[field.slot], left.get(field.slot)) for field in landed.fields)


def _one_row(connection: duckdb.DuckDBPyConnection, aggregates: Mapping[str, str]) -> dict[str, Any]:
    """One pass over all rows."""
    if not aggregates:
        return {}
    listed = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in aggregates.items())
    found = connection.execute(f"SELECT {listed} FROM landed").fetchone()
    assert found is not None
    return dict(zip(aggregates, found, strict=True))


def _shapes(connection: duckdb.DuckDBPyConnection, landed: Landed) -> dict[str, dict[str, int]]:
    """For each text column how often its values have which shape, in a sample."""
    from catchment.draft.dates import shape_sql

    texts = [field.slot for field in landed.fields if field.is_text]
    if not texts or not landed.rows:
        return {}
    every = max(1, landed.rows // _SAMPLE)
    found = connection.execute(
        f"""
        SELECT slot, {shape_sql("trim(value)")} AS shape, count(*) AS number
        FROM (
            UNPIVOT (SELECT {", ".join(texts)} FROM landed WHERE rowid % {every} = 0)
            ON COLUMNS(*) INTO NAME slot VALUE value
        )
        WHERE trim(value) <> ''
        GROUP BY 1, 2
        QUALIFY row_number() OVER (PARTITION BY slot ORDER BY number DESC, shape) <= {_MOST_SHAPES}
        ORDER BY slot, number DESC, shape
        """
    ).fetchall()
    shapes: dict[str, dict[str, int]] = {}
    for slot, shape, number in found:
        shapes.setdefault(slot, {})[shape] = number
    return shapes


def _leftovers(connection: duckdb.DuckDBPyConnection, slot: str, value: str) -> tuple[Sequence[tuple[str, int]], int]:
    """The values that the guessed type does not read, most frequent first, and how many different ones there are."""
    left = f"SELECT {slot} AS value FROM landed WHERE trim({slot}) <> '' AND ({value}) IS NULL"
    top = connection.execute(
        f"SELECT value, count(*) FROM ({left}) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {_MOST_LEFTOVERS}"
    ).fetchall()
    different = connection.execute(f"SELECT count(DISTINCT value) FROM ({left})").fetchone()
    assert different is not None
    return top, int(different[0])


def shown_path(path: str, folder: Path) -> str:
    """A stream's path as catchment.yaml has it: relative where it lies in the project, else absolute."""
    prefix = f"{folder.absolute()}/"
    return path.removeprefix(prefix)
