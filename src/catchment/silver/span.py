"""What a silver table has not taken of bronze, and which rows are refined together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from catchment import naming
from catchment.errors import ConfigError, Unfenced, fewer_shards
from catchment.interfaces import Engine, Lake, Table
from catchment.naming import TableName
from catchment.records import Progress, Scan
from catchment.silver import definition as definitions
from catchment.silver.judge import parsed


@dataclass(frozen=True)
class Span:
    """Loads of one bronze table, `(after, to]`; `to` is fixed before the first row is read."""

    scan: Scan
    after: int
    to: int


def span(bronze: Table, progress: Progress, upto: int | None = None) -> Span:
    """What a silver table with this progress has not taken of `bronze`, up to a load or up to now.

    Raises Unfenced where what it took is gone.
    """
    after = int(progress.cursors.get("refine", {}).get(str(bronze.name), 0))
    if not bronze.descends(after):
        message = f"{bronze.name} no longer holds load {after}, which was refined: it was made anew or put back"
        raise Unfenced(message, hint="make the silver table anew from it: catchment run --rebuild silver.<table>")
    newest = bronze.progress().generation
    to = newest if upto is None else max(after, min(upto, newest))
    return Span(scan=bronze.scan(loads=(after, to)), after=after, to=to)


def opened(lake: Lake, table: definitions.Table, stream: str, name: TableName) -> Table | None:
    """A bronze table that a silver table reads, None where it is not there. Raises ConfigError where the stream has
    others that the project does not tell of."""
    bronze = lake.open(name)
    said = table.shards.get(stream, 1)
    if bronze is not None and bronze.progress().shards > said:
        raise fewer_shards(stream, bronze.progress().shards, said)
    return bronze


def of_stream(table: definitions.Table, stream: str, engine: Engine[Any], rows: Any) -> Any:
    """Of a frame of bronze rows those of one stream, where several lie in a log."""
    if stream not in table.logs:
        return rows
    name = naming.literal(stream.partition(".")[2])
    return engine.query(parsed(f"SELECT * FROM rows WHERE stream = {name}"), {"rows": rows})


def refers_anew(table: definitions.Table, lake: Lake, progress: Progress, now: datetime | None = None) -> bool:
    """Whether rows wait for what may have come since they were last tried, or have waited long enough."""
    if not progress.waiting:
        return False
    if referred_generations(table, lake) != dict(progress.cursors.get("references", {})):
        return True
    since = datetime.fromisoformat(progress.cursors["waiting"]["since"])
    return since + timedelta(seconds=table.wait_s) <= (now or datetime.now(UTC))


def referred_generations(table: definitions.Table, lake: Lake) -> dict[str, int]:
    """The generations of the tables that rows refer to."""
    found = {}
    for reference in table.contract.references:
        name = naming.silver_table(reference.table)
        glance = lake.glance(name) if reference.table != table.name else None
        if glance is not None:
            found[str(name)] = glance.pin.generation
    return found


@dataclass(frozen=True)
class Part:
    """Rows of one bronze table that are refined together: those of its span, and some that are tried again."""

    bronze: Table
    stream: str
    shard: int
    span: Span
    again: Any | None = None  # identities (`_shard`, `_load`, `_row`) of rows that were taken before
    compared: int = 0  # of a stream whose arrivals are compared: the last load that was taken before
    passed: int = 0  # the last load that somebody has let pass, where all are taken again

    @property
    def ours(self) -> str:
        """A condition on rows of silver and quarantine: those of this bronze table."""
        return f"_stream = {naming.literal(self.stream)} AND _shard = {self.shard:d}"


def refuse_unknown_loads(bronze: Table, loads: tuple[int, int], taken: int) -> None:
    """Raise ConfigError for a span that a silver table has not taken."""
    if not 0 <= loads[0] < loads[1] <= taken:
        message = f"{bronze.name}: loads {loads[0] + 1}-{loads[1]} are not among those that were refined (1-{taken})"
        raise ConfigError(message, hint="catchment status shows how far a table has come")
