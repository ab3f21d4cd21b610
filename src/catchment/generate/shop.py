"""The online shop of the demo: users, products, transactions and user events in daily files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.generate import entities, events, orders
from catchment.generate.dirt import Dirt
from catchment.generate.manifest import Manifest, WrittenFile
from catchment.generate.traffic import Calendar, Traffic, make_days

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# Fixed, so that the figures of a demo are the same on every day.
SHOP_START = date(2026, 10, 22)

_CSV = "format csv, header true, delimiter ',', quote '\"', nullstr ''"
# One column of finished text: no quoting, and a delimiter that no line holds.
_LINES = "format csv, header false, delimiter '\x1f', quote '', escape ''"


@dataclass(frozen=True)
class _Output:
    """How the rows of a table become files: `rows` is the numbered table, aliased r in `source`."""

    table: str
    prefix: str
    rows: str
    columns: str
    source: str
    suffix: str = "csv"

    def path(self, calendar: Calendar, day: int) -> str:
        # Each seventh file of events comes packed, as exports do at the end of a week.
        packed = ".gz" if self.suffix == "jsonl" and day % 7 == 6 else ""
        return f"data/{self.table}/{self.prefix}-{calendar.day(day).isoformat()}.{self.suffix}{packed}"


def generate_shop(
    folder: Path,
    *,
    start: date = SHOP_START,
    days: int = 30,
    seed: int = 1,
    users: int = 2000,
    scale: float = 1.0,
    traffic: Traffic = Traffic(),  # noqa: B008 - frozen
    dirt: Dirt = Dirt(),  # noqa: B008 - frozen
) -> Manifest:
    """Write `data/<table>/*` under `folder` and tell exactly what was written.

    The same arguments give the same bytes. `scale` multiplies `traffic`; `users` is the number at the end, a fifth of
    whom register on the way. A day's file holds what changed on that day: users and products as snapshots of the new
    and changed ones (the first file has all that were there before), transactions as one row a change of status.
    Raises ConfigError where a file is in the way, and for figures that make no shop.
    """
    import duckdb

    if days < 1 or users < 1 or scale < 0:
        message = (
            f"a shop needs a day, a user and a scale of 0 or more, not days={days}, users={users}, scale={scale:g}"
        )
        raise ConfigError(message)
    calendar = Calendar(start, days)
    with duckdb.connect(":memory:") as connection:
        _make_tables(connection, calendar, traffic, dirt, seed=seed, users=users, scale=scale)
        outputs = _outputs()
        counts = {output.table: _rows_by_day(connection, output) for output in outputs}
        targets = [folder / o.path(calendar, day) for o in outputs for day in counts[o.table]]
        _refuse_to_overwrite(folder, targets)
        files = [file for o in outputs for file in _write(connection, calendar, o, counts[o.table], folder)]
        return Manifest(tuple(files), _pieces(connection, calendar, outputs))


def _make_tables(
    connection: duckdb.DuckDBPyConnection,
    calendar: Calendar,
    traffic: Traffic,
    dirt: Dirt,
    *,
    seed: int,
    users: int,
    scale: float,
) -> None:
    kinds = tuple(dirt.kind(table, "wide(g, 0, 1000000)", later_only="version > 0") for table in ("users", "products"))
    entities.make_entities(connection, calendar, seed=seed, users=users, kinds=(kinds[0], kinds[1]))
    make_days(connection, calendar, traffic, users=users, scale=scale)
    events.make_sessions(connection, calendar)
    orders.make_transactions(connection, calendar, dirt)
    events.make_events(connection, calendar, dirt)


def _outputs() -> Sequence[_Output]:
    return (
        _Output("users", "users", "user_rows", entities.user_columns(), entities.USER_FROM),
        _Output("products", "products", "product_rows", entities.PRODUCT_COLUMNS, entities.PRODUCT_FROM),
        _Output(
            "transactions", "transactions", "transactions_rows", orders.transaction_columns(), orders.TRANSACTION_FROM
        ),
        _Output("user_events", "events", "user_events_rows", events.event_columns(), events.event_source(), "jsonl"),
    )


def _rows_by_day(connection: duckdb.DuckDBPyConnection, output: _Output) -> dict[int, int]:
    counted = connection.execute(f"select day, count(*) from {output.rows} group by day order by day").fetchall()
    return {int(day): int(rows) for day, rows in counted}


def _refuse_to_overwrite(folder: Path, targets: Sequence[Path]) -> None:
    present = [target for target in targets if target.exists()]
    if present:
        message = f"{len(present)} files are in the way, the first is {present[0].relative_to(folder)} in {folder}"
        raise ConfigError(message, hint="generate into a new folder, or remove its data/ first")


def _write(
    connection: duckdb.DuckDBPyConnection, calendar: Calendar, output: _Output, counts: dict[int, int], folder: Path
) -> list[WrittenFile]:
    files = []
    for day, rows in counts.items():
        path = output.path(calendar, day)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        target = entities.literal(str(folder / path))
        packed = ", compression gzip" if path.endswith(".gz") else ", compression none"
        options = (_LINES if output.suffix == "jsonl" else _CSV) + packed
        select = f"select {output.columns} {output.source} where r.day = {day} order by r.line"
        connection.execute(f"copy ({select}) to {target} ({options})")
        files.append(WrittenFile(output.table, path, rows))
    return files


def _pieces(connection: duckdb.DuckDBPyConnection, calendar: Calendar, outputs: Sequence[_Output]) -> pa.Table:
    parts = []
    for output in outputs:
        paths = entities.literal([output.path(calendar, day) for day in range(calendar.days)])
        parts.append(
            f"select '{output.table}' as \"table\", kind, {paths}[1 + day] as file, line as row "
            f"from {output.rows} where kind is not null"
        )
    return connection.execute(f"{' union all '.join(parts)} order by 1, 3, 4").to_arrow_table()
