"""How live figures stand, and what they are: asked of the store, without a row of silver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.connected import Connected
from catchment.errors import CatchmentError, ConfigError
from catchment.figures.applied import columns, live_of, refuse_none
from catchment.figures.feeder import taking_of
from catchment.live.serving import Newest, shown
from catchment.live.showing import document
from catchment.metric import LiveFeed

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.interfaces import LiveStore


@dataclass(frozen=True)
class MetricStatus:
    """A metric: how many silver commits its rows are behind, None where it has to be fed anew; and in which of its keys
    the project says something else by now. With `reset` it was fed before, and the figures of then are served.

    Where a topic brings its rows, `lag` are the messages that are not taken yet, with the marks of their transactions,
    and `trouble` is what the store has lately met with when it read them. One that is not `declared` is only in the
    store, as it was.
    """

    metric: str
    table: str
    behind: int | None
    differences: Sequence[str] = ()
    lag: int | None = None
    trouble: str | None = None
    reset: bool = False
    declared: bool = True


def status(connected: Connected, *, topics: bool = True) -> list[MetricStatus]:
    """How every metric stands, those that are only in the store last; with `topics` also what lies in them before the
    store. Reads no rows. Raises ConfigError where nothing is declared, and nothing of before is left."""
    store, live = connected.live_store, live_of(connected)
    try:
        said = store.apply(live, "show")
        if not said:
            refuse_none(connected)
        behind = {name: _behind(connected, feed) for name, feed in live.feeds.items()}
        lags = {name: _topic(connected, feed) if topics else (None, None) for name, feed in live.feeds.items()}
        reset = {name for name, metric in live.metrics.items() if behind[metric.feed] is None and is_there(store, name)}
    finally:
        store.close()
    left = [
        MetricStatus(one.name, str(naming.silver_table(one.table)), None, (one.words,), reset=True, declared=False)
        for one in said
        if one.kind == "remove"
    ]
    declared = [
        MetricStatus(
            name,
            str(naming.silver_table(metric.feed)),
            behind[metric.feed],
            tuple(one.words for one in said if one.name == name and one.kind == "change"),
            *lags[metric.feed],
            reset=name in reset,
        )
        for name, metric in live.metrics.items()
    ]
    return declared + left


def _topic(connected: Connected, feed: LiveFeed) -> tuple[int | None, str | None]:
    """How many messages are not taken yet, and what the store met with."""
    taking = taking_of(connected, feed)
    if taking is None:
        return None, None
    return taking.lag(), next(iter(taking.store.troubles(feed)), None)


def lacking(connected: Connected, table: str) -> int | None:
    """How many commits of a silver table, by its bare name, are not fed; None where none is. Reads no rows."""
    return _behind(connected, live_of(connected).feeds[table])


def _behind(connected: Connected, feed: LiveFeed) -> int | None:
    token = connected.live_store.progress(feed)
    glance = connected.reads.glance(naming.silver_table(feed.name))
    if token is None:
        return None
    return 0 if glance is None else max(0, glance.pin.generation - token.generation)


def was_fed(connected: Connected, table: str) -> bool:
    """Whether figures over a silver table, by its bare name, are served, be they of before."""
    named = (name for name, metric in connected.live.metrics.items() if metric.feed == table)
    return any(is_there(connected.live_store, name) for name in named)


def is_there(store: LiveStore, metric: str) -> bool:
    """Whether figures are served, be they of before."""
    try:
        store.query(f"SELECT 1 FROM live.{naming.quoted(metric)} LIMIT 0")
    except ConfigError:
        return False
    return True


def statements(connected: Connected) -> Sequence[str]:
    """The store's own SQL of all that it is made of, as it is once the project's metrics are applied and fed."""
    try:
        return connected.live_store.statements(live_of(connected), columns(connected))
    finally:
        connected.live_store.close()


def query(connected: Connected, sql: str) -> pa.RecordBatchReader:
    """A reading statement in the store's own SQL; metrics are in schema `live`. Raises ConfigError."""
    refuse_none(connected)
    try:
        return connected.live_store.query(sql)
    finally:
        connected.live_store.close()


@contextmanager
def page(connected: Connected, address: tuple[str, int]) -> Iterator[int]:
    """The live page at an address, until the end of the block; its port. Raises ConfigError where nothing is declared
    or nobody can listen there."""
    refuse_none(connected)
    # A store of its own: it is asked in other threads, one at a time.
    own = replace(connected)
    live = live_of(own)

    def look() -> Mapping[str, Any]:
        try:
            return document(live, own.live_store)
        except CatchmentError:
            own.live_store.close()
            raise

    try:
        with shown(address, Newest(look, f"{own.project.name} · {own.target_name}")) as port:
            yield port
    finally:
        own.live_store.close()
