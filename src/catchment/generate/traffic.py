"""How much happens on which day, and how rows find their way into daily files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from catchment.errors import ConfigError

if TYPE_CHECKING:
    import duckdb

    from catchment.generate.dirt import Dirt

EVENTS_IN_A_SESSION = 11.5  # on average: 3 to 20, evenly
_SATURDAY = 5


@dataclass(frozen=True)
class Traffic:
    """Rates of a weekday; days of a weekend have `weekend` times as much.

    The busy shop that streams are tried with has 120 events a minute; the default fits a demo.
    """

    events_per_minute: float = 2.2
    transactions_per_minute: float = 0.22  # orders, each of which writes a row on every change of its status
    weekend: float = 1.3

    def __post_init__(self) -> None:
        if min(self.events_per_minute, self.transactions_per_minute, self.weekend) < 0:
            message = f"traffic cannot be negative: {self}"
            raise ConfigError(message)


@dataclass(frozen=True)
class Calendar:
    """The generated days, `start` first, all in UTC; a day's number counts from 0."""

    start: date
    days: int

    @property
    def first(self) -> int:
        """The first instant, in seconds since 1970."""
        return int(datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC).timestamp())

    def day(self, number: int) -> date:
        """The date of a day."""
        return self.start + timedelta(days=number)


def make_days(
    connection: duckdb.DuckDBPyConnection, calendar: Calendar, traffic: Traffic, *, users: int, scale: float
) -> None:
    """Table `days`: for each, how many sessions and orders it brings and how many users (`known`) there are before."""
    old = max(1, users * 4 // 5)
    new = max(1, users - old)
    minutes = 24 * 60 * scale
    rows = []
    for number in range(calendar.days):
        factor = traffic.weekend if calendar.day(number).weekday() >= _SATURDAY else 1.0
        sessions = round(traffic.events_per_minute * minutes * factor / EVENTS_IN_A_SESSION)
        orders = round(traffic.transactions_per_minute * minutes * factor)
        rows.append(f"({number}, {sessions}, {orders}, {min(users, old + new * number // calendar.days)})")
    connection.execute(f"create temp table days as from (values {', '.join(rows)}) d(day, sessions, orders, known)")


_ROWS = """
create temp table {table}_rows as
with judged as (select *, {kind} as found from {table}_facts),
newest as (select own_day, max(updated) filter (where found is null) as newest from judged group by own_day),
settled as (
    select j.* exclude (found),
        case when found = 'late' and own_day + 1 + pick(g, 2, 3) > {last} then null
             when found = 'out_of_order' and updated >= coalesce(newest, 0) then null
             else found end as dirt,
        case when dirt = 'late' then own_day + 1 + pick(g, 2, 3) else own_day end as day,
        case dirt when 'late' then {first} + day * 86400 + pick(g, 3, 65536)
                  when 'out_of_order' then {first} + (day + 1) * 86400
                  else updated end as arrives
    from judged j join newest using (own_day)
)
select * exclude (dirt, own_day),
    case when dirt = 'duplicates' and copy = 0 then null else dirt end as kind,
    row_number() over (partition by day order by arrives, {key}, copy) as line
from settled cross join (values (0), (1)) c(copy) where copy = 0 or dirt = 'duplicates'
"""


def make_rows(
    connection: duckdb.DuckDBPyConnection, calendar: Calendar, table: str, *, key: str, dirt: Dirt, known: str = ""
) -> None:
    """Table `<table>_rows` from `<table>_facts`: dirt dealt out, late rows moved to a later day, copies made, numbered.

    Facts carry `own_day`, `updated` (their instant), a draw `g`, and are told apart by `key`. `known` is an SQL
    condition under which a row already has a kind of its own, `orphans`.
    """
    kind = dirt.kind(table, "wide(g, 0, 1000000)")
    if known:
        kind = f"case when {known} then 'orphans' else {kind} end"
    connection.execute(_ROWS.format(table=table, kind=kind, last=calendar.days - 1, first=calendar.first, key=key))
