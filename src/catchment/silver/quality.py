"""What is kept of every load of a silver table: how good it was and what it looked like.

The figures ride in the silver commit that they tell of, as its `seen` rows: one row a figure, over all loads. So they
are there exactly where the rows are, and go back with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment.contract import Contract, column_measures
from catchment.naming import IDENTITY, literal, quoted
from catchment.records import DataFile, Progress, Scan
from catchment.silver.judge import QUARANTINE, WAITING, missing_message, parsed

if TYPE_CHECKING:
    from catchment.interfaces import Engine, Lake
    from catchment.naming import TableName
    from catchment.silver.rows import Figures

# `load` is the number of the silver commit, `column_name` null where a figure is the table's. (`at` and `column` are
# words of SQL, which a query would have to quote.)
FIGURES = pa.schema(
    [
        ("load", pa.int64()),
        ("judged_at", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("measure", pa.string()),
        ("column_name", pa.string()),
        ("value", pa.float64()),
    ]
)

# What a load was: new rows, all of them anew, or none but rows that had waited.
REFINE, REBUILD, AGAIN = "refine", "rebuild", "again"

# A figure's name: what was measured, of which column or of the table.
Figure = tuple[str, str | None]

# DuckDB adds decimals in 128 bits, and fails where two of 38 digits do not fit.
_ADDS_UP = 18

_DEFECT, _WAITS = "defect", "waits"


@dataclass(frozen=True)
class Load:
    """The figures of one load."""

    load: int
    at: datetime
    kind: str
    figures: Mapping[Figure, float]

    def table(self) -> pa.Table:
        """As they are kept."""
        names, values = list(self.figures), list(self.figures.values())
        count = len(names)
        columns = [
            pa.array([self.load] * count, pa.int64()),
            pa.array([self.at] * count, pa.timestamp("us", tz="UTC")),
            pa.array([self.kind] * count, pa.string()),
            pa.array([measure for measure, _ in names], pa.string()),
            pa.array([column for _, column in names], pa.string()),
            pa.array(values, pa.float64()),
        ]
        return pa.table(columns, schema=FIGURES)


def aggregates(contract: Contract) -> dict[Figure, str]:
    """SQL over the rows that a commit writes, for every figure that is made of their values.

    What the contract settles is left out: nulls of a required column, and the mean of what only names a row.
    """
    wanted: dict[Figure, str] = {}
    if contract.freshness is not None:
        wanted["newest", None] = f"epoch(max({quoted(contract.freshness.column)}))"
    for column in contract.columns:
        name = quoted(column.name)
        known = {
            "nulls": f"1.0 - count({name}) / count(*)",
            "mean": f"avg({name})" if (column.precision or 0) <= _ADDS_UP else f"avg(CAST({name} AS DOUBLE))",
            "true": f"avg(CAST({name} AS INTEGER))",
            "length": f"avg(length({name}))",
        }
        settled = {"nulls"} if column.required else set[str]()
        settled |= {"mean", "length"} if column.key_position is not None else set()
        wanted |= {(it, column.name): known[it] for it in column_measures(column.type) if it not in settled}
    return wanted


@dataclass(frozen=True)
class Wrong:
    """Among rejected rows, how many there are by what is wrong; all of them, and those that nobody has let pass."""

    rows: Mapping[str, int]
    judged: Mapping[str, int]


def count_wrong(
    engine: Engine[Any], contract: Contract, files: Sequence[DataFile], passed: str, *, made: bool
) -> Wrong:
    """Count the reasons in files of quarantine; a row counts once in a column, however much is wrong there.

    `passed` is a condition on rows that somebody has let pass. Where a function `made` the rows, several may come of
    one row of bronze, which counts once.
    """
    if not files:
        return Wrong({}, {})
    scan = Scan(files=tuple(file.path for file in files), schema=QUARANTINE)
    kinds = f"list_distinct(flatten(list_transform(reasons, lambda reason: {_kinds(contract)})))"
    waits = f"CASE WHEN status = {literal(WAITING)} THEN [{literal(_WAITS)}] ELSE {kinds} END"
    told = f"SELECT {', '.join(IDENTITY)}, ({passed}) AS passed, unnest({waits}) AS kind FROM rejects"
    rows = f"SELECT DISTINCT * FROM ({told})" if made else told
    counted = parsed(f"SELECT kind, passed, count(*) AS n FROM ({rows}) GROUP BY kind, passed")
    found = engine.fetch(counted, {"rejects": engine.frame(scan)}).to_pylist()
    return Wrong(_summed(found), _summed(row for row in found if not row["passed"]))


def _summed(found: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for row in found:
        counts[row["kind"]] = counts.get(row["kind"], 0) + row["n"]
    return counts


def _kinds(contract: Contract) -> str:
    """What one reason says is wrong: columns, a rule of the table, or all of it where the row could not be read."""
    several = [reference for reference in contract.references if len(reference.columns) > 1]
    cases = ['WHEN reason."column" IS NOT NULL THEN [\'column \' || reason."column"]']
    cases += [
        f"WHEN reason.rule = 'reference' AND reason.message = {literal(missing_message(reference))}"
        f" THEN [{', '.join(literal(f'column {name}') for name in reference.columns)}]"
        for reference in several
    ]
    cases.append(f"WHEN reason.rule = 'readable' THEN [{literal(_DEFECT)}]")
    return f"CASE {' '.join(cases)} ELSE ['rule ' || reason.rule] END"


def waiting(wrong: Mapping[str, int]) -> int:
    """How many rows of bronze wait, with all that was made of them."""
    return wrong.get(_WAITS, 0)


def score(contract: Contract, rows: int, wrong: Mapping[str, int]) -> float | None:
    """0-100: the share of rows with nothing wrong, over columns and the table's own rules by their weights.

    `rows` were read and do not wait; one that could not be read is wrong everywhere. None without a row or a weight.
    """
    weights = {f"column {column.name}": column.weight for column in contract.columns}
    weights |= {f"rule {rule.name}": rule.weight for rule in contract.row_rules if rule.column is None}
    every = math.fsum(weights.values())
    if rows <= 0 or every <= 0:
        return None
    defects = wrong.get(_DEFECT, 0)
    right = (weight * max(0.0, 1 - (wrong.get(kind, 0) + defects) / rows) for kind, weight in weights.items() if weight)
    # So that 99 is 99, and a rule that asks for it is met: the last digits of a double are not the load's.
    return round(100 * math.fsum(right) / every, 12)


def load_of(
    contract: Contract,
    *,
    number: int,
    kind: str,
    counts: Figures,
    wrong: Mapping[str, int],
    values: Mapping[Figure, Any],
) -> Load:
    """The figures of a load that is judged now.

    `counts` are of its rows, `values` of those that its commit writes; what is no number is left out.
    """
    at = datetime.now(UTC)
    rows = max(0, counts.read - waiting(wrong))
    figures: dict[Figure, Any] = {
        ("rows", None): rows,
        ("good", None): counts.good,
        ("rejected", None): counts.rejected,
    }
    if rows:
        figures["rejected_share", None] = min(1.0, counts.rejected / rows)
    figures["score", None] = score(contract, rows, wrong)
    for name, value in values.items():
        if name[0] == "newest":
            figures["freshness", None] = None if value is None else at.timestamp() - value
        else:
            figures[name] = value
    numbers = {name: float(value) for name, value in figures.items() if value is not None}
    return Load(number, at, kind, {name: value for name, value in numbers.items() if math.isfinite(value)})


def loads(lake: Lake, name: TableName, progress: Progress, *, least: int | None = None) -> list[Load]:
    """The loads of a silver table in this state, oldest first.

    With `least`, only as far back as it takes to have so many of new rows: the newest segments are read alone.
    """
    found: list[pa.Table] = []
    for segment in reversed(progress.segments):
        read = lake.seen(name, replace(progress, segments=(segment,)))
        if read is not None:
            found.insert(0, read.select(FIGURES.names))
        if least is not None and _refined(found) >= least:
            break
    return _grouped(pa.concat_tables(found)) if found else []


def _refined(found: Sequence[pa.Table]) -> int:
    import pyarrow.compute as pc

    kept = (table.filter(pc.equal(table["kind"], REFINE)) for table in found)
    return sum(len(table["load"].unique()) for table in kept)


def _grouped(table: pa.Table) -> list[Load]:
    found: dict[int, tuple[datetime, str, dict[Figure, float]]] = {}
    for row in table.to_pylist():
        _, _, figures = found.setdefault(row["load"], (row["judged_at"], row["kind"], {}))
        figures[row["measure"], row["column_name"]] = row["value"]
    return [Load(number, *found[number]) for number in sorted(found)]


def newest_score(lake: Lake, name: TableName, progress: Progress) -> float | None:
    """The score of the newest load that has one; None where no figures were kept so far."""
    for segment in reversed(progress.segments):
        read = loads(lake, name, replace(progress, segments=(segment,)))
        scored = (load.figures["score", None] for load in reversed(read) if ("score", None) in load.figures)
        found = next(scored, None)
        if found is not None:
            return found
    return None
