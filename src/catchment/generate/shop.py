"""The online shop of the demo: users, products, transactions and user events in daily files, and what lies elsewhere.

`generate_shop` writes the files; `make_shop` gives the same rows to those who put them elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.generate import documents, entities, events, orders
from catchment.generate.dirt import REJECTED, Dirt
from catchment.generate.draws import literal
from catchment.generate.traffic import Calendar, Traffic, make_days
from catchment.generate.writing import Output, write

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

    from catchment.generate.manifest import Manifest

# Fixed, so that the figures of a demo are the same on every day.
SHOP_START = date(2026, 10, 22)


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
    What the shop keeps elsewhere (`documents.TABLES`) is one file each, as it stands after the last day.
    Raises ConfigError where a file is in the way, and for figures that make no shop.
    """
    with make_shop(start, days, seed=seed, users=users, scale=scale, traffic=traffic, dirt=dirt) as shop:
        return write(shop.connection, _outputs(shop.calendar), folder, refused=REJECTED)


@dataclass(frozen=True)
class Shop:
    """A shop in memory; its rows are those that `generate_shop` writes for the same arguments."""

    connection: duckdb.DuckDBPyConnection
    calendar: Calendar

    def rows(self, table: str) -> pa.Table:
        """Rows of users, products or transactions that a database takes, as text, in the order in which they came.

        It refuses what a contract refuses: a missing key, a day that is none, a total that does not add up. Instants
        are all in ISO 8601; `_day` counts the days from the first.
        """
        rows, columns, source = _tables()[table]
        refused = ", ".join(map(literal, sorted(REJECTED)))
        taken = (
            f"(select * replace (case when kind = 'second_date_format' then null else kind end as kind) from {rows}"
            f" where kind is null or kind not in ({refused}))"
        )
        told = f"select {columns}, r.day as _day {source.format(rows=taken)} order by r.day, r.line"
        return self.connection.execute(f"select columns(*)::varchar from ({told})").to_arrow_table()

    def documents(self, table: str) -> list[str]:
        """JSON texts of one of `documents.TABLES`."""
        found = self.connection.execute(f"select document from {table}_rows order by line").fetchall()
        return [document for (document,) in found]


@contextmanager
def make_shop(
    start: date = SHOP_START,
    days: int = 30,
    *,
    seed: int = 1,
    users: int = 2000,
    scale: float = 1.0,
    traffic: Traffic = Traffic(),  # noqa: B008 - frozen
    dirt: Dirt = Dirt(),  # noqa: B008 - frozen
) -> Iterator[Shop]:
    """The shop that `generate_shop` writes for the same arguments. Raises ConfigError for figures that make no shop."""
    import duckdb

    if days < 1 or users < 1 or scale < 0:
        message = (
            f"a shop needs a day, a user and a scale of 0 or more, not days={days}, users={users}, scale={scale:g}"
        )
        raise ConfigError(message)
    calendar = Calendar(start, days)
    with duckdb.connect(":memory:") as connection:
        _make_tables(connection, calendar, traffic, dirt, seed=seed, users=users, scale=scale)
        yield Shop(connection, calendar)


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
    documents.make_documents(connection, calendar)


def _tables() -> dict[str, tuple[str, str, str]]:
    """The numbered rows of each table of a database, its columns and where they come from."""
    return {
        "users": ("user_rows", entities.user_columns(), entities.USER_FROM),
        "products": ("product_rows", entities.PRODUCT_COLUMNS, entities.PRODUCT_FROM),
        "transactions": ("transactions_rows", orders.transaction_columns(), orders.TRANSACTION_FROM),
    }


def _outputs(calendar: Calendar) -> Sequence[Output]:
    def output(table: str, rows: str, columns: str, source: str) -> Output:
        return Output(table, rows, columns, source, [_path(table, calendar, day) for day in range(calendar.days)])

    made = _tables().items()
    return (
        *(output(table, rows, columns, source.format(rows=rows)) for table, (rows, columns, source) in made),
        output("user_events", "user_events_rows", events.event_columns(), events.event_source()),
        *(
            Output(table, f"{table}_rows", "r.document", f"from {table}_rows r", [documents.document_path(table)])
            for table in documents.TABLES
        ),
    )


def _path(table: str, calendar: Calendar, day: int) -> str:
    if table != "user_events":
        return f"data/{table}/{table}-{calendar.day(day).isoformat()}.csv"
    # Each seventh file of events comes packed, as exports do at the end of a week.
    packed = ".gz" if day % 7 == 6 else ""
    return f"data/{table}/events-{calendar.day(day).isoformat()}.jsonl{packed}"
