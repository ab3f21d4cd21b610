"""How generated rows become files, and what the manifest tells of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.generate.draws import literal
from catchment.generate.manifest import Manifest, WrittenFile

if TYPE_CHECKING:
    import duckdb

_CSV = "format csv, header true, delimiter ',', quote '\"', nullstr ''"
# One column of finished text: no quoting, and a delimiter that no line holds.
_LINES = "format csv, header false, delimiter '\x1f', quote '', escape ''"


@dataclass(frozen=True)
class Output:
    """How the rows of a table become files.

    `rows` is the numbered table, aliased r in `source`: its `day` says which of `paths` a row stands in, `line` where,
    and `kind` what is wrong with it.
    """

    table: str
    rows: str
    columns: str
    source: str
    paths: Sequence[str]


def write(
    connection: duckdb.DuckDBPyConnection, outputs: Sequence[Output], folder: Path, *, refused: frozenset[str]
) -> Manifest:
    """Write every file that has a row. Raises ConfigError, before any is written, where one is in the way."""
    counts = {output.table: _rows_by_file(connection, output) for output in outputs}
    targets = [folder / output.paths[number] for output in outputs for number in counts[output.table]]
    _refuse_to_overwrite(folder, targets)
    files = [file for output in outputs for file in _write(connection, output, counts[output.table], folder)]
    found = " union all ".join(
        f"select '{output.table}' as \"table\", kind, {literal(list(output.paths))}[1 + day] as file, line as row "
        f"from {output.rows} where kind is not null"
        for output in outputs
    )
    return Manifest(tuple(files), connection.execute(f"{found} order by 1, 3, 4").to_arrow_table(), refused)


def _rows_by_file(connection: duckdb.DuckDBPyConnection, output: Output) -> dict[int, int]:
    counted = connection.execute(f"select day, count(*) from {output.rows} group by day order by day").fetchall()
    return {int(day): int(rows) for day, rows in counted}


def _refuse_to_overwrite(folder: Path, targets: Sequence[Path]) -> None:
    present = [target for target in targets if target.exists()]
    if present:
        message = f"{len(present)} files are in the way, the first is {present[0].relative_to(folder)} in {folder}"
        raise ConfigError(message, hint="generate into a new folder, or remove its data/ first")


def _write(
    connection: duckdb.DuckDBPyConnection, output: Output, counts: dict[int, int], folder: Path
) -> list[WrittenFile]:
    files = []
    for number, rows in counts.items():
        path = output.paths[number]
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        packed = ", compression gzip" if path.endswith(".gz") else ", compression none"
        options = (_LINES if ".jsonl" in path else _CSV) + packed
        select = f"select {output.columns} {output.source} where r.day = {number} order by r.line"
        connection.execute(f"copy ({select}) to {literal(str(folder / path))} ({options})")
        files.append(WrittenFile(output.table, path, rows))
    return files
