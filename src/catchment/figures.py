"""Live figures of a project: applied, fed from silver, asked how they stand, and held against a recount."""

from __future__ import annotations

import fcntl
import functools
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment import naming
from catchment.connected import Connected
from catchment.errors import CatchmentError, ConfigError, Conflict, RetryableError
from catchment.events import RowsFed
from catchment.live.feeding import Fed, Feeding
from catchment.live.recount import Recounted, Recounting
from catchment.live.serving import Newest, shown
from catchment.live.showing import document
from catchment.live.taking import Taking
from catchment.metric import Live, LiveFeed, Through
from catchment.reading import through
from catchment.reading.declaration import ClickHouseStore
from catchment.records import LiveDifference, Token
from catchment.settings import resolve

if TYPE_CHECKING:
    from catchment.interfaces import Engine, LiveStore
    from catchment.live.rehearsal import Misfit

APPLY = "catchment live apply --yes"

_FOLLOWED_EVERY_S = 0.25
_TRIED_AGAIN_S = 2.0
_AWAITED_S = 60.0
_BROUGHT_S = 5.0
_FED_BY_ONE_ENGINE = 100


@dataclass(frozen=True)
class MetricStatus:
    """A metric: how many silver commits its rows are behind, None where it has to be fed anew; and in which of its keys
    the project says something else by now. With `reset` it was fed before, and the figures of then are served.

    Where a topic brings its rows, `lag` are the messages that are not taken yet, with the marks of their transactions,
    and `trouble` is what the store has lately met with when it read them.
    """

    metric: str
    table: str
    behind: int | None
    differences: Sequence[str] = ()
    lag: int | None = None
    trouble: str | None = None
    reset: bool = False


def live_of(connected: Connected) -> Live:
    """The live figures of the project as the target's store has them: with `through: topic` each feed names its topic.

    Raises ConfigError for a table that is not published so that a store could read it.
    """
    declared = connected.target.live
    # What an environment has in silver is not published.
    is_inserted = not isinstance(declared, ClickHouseStore) or declared.through != "topic"
    if is_inserted or connected.environment is not None:
        return connected.live
    assert isinstance(declared, ClickHouseStore)
    place = f"targets.{connected.target_name}.live"
    own, broker = declared.broker, connected.target.broker
    if isinstance(broker, str):
        message = f"{place}: through: topic needs a broker that ClickHouse can read from, and this target's is {broker}"
        raise ConfigError(message, hint="write broker: {type: kafka, servers: …} at the target, or through: insert")
    folder = connected.project.folder
    servers = resolve(broker.servers if own is None else own, folder, place=f"{place}.broker")
    settings = {key: resolve(value, folder, place=f"{place}.broker") for key, value in broker.settings.items()}
    feeds = {}
    for name, feed in connected.live.feeds.items():
        published, table = connected.project.silver[name].published, connected.silver(name)
        told = {} if published is None else {"form": published.format, "deletes": published.deletes}
        unfit = through.unfit(table.mode, published=published is not None, **told)
        if unfit is not None or published is None:
            message = f"live figures over silver.{name} cannot come through a topic: {unfit}"
            raise ConfigError(message, hint=through.CURE)
        topic = resolve(published.topic, folder, place=f"silver.{name}.publish")
        columns = through.plain_columns(table.contract)
        feeds[name] = replace(feed, through=Through(topic, servers, columns, settings))
    return replace(connected.live, feeds=feeds)


def apply(connected: Connected, *, do: bool) -> Sequence[LiveDifference]:
    """What of the live store is not as the project says; with `do` it is made so, and rows are taken where they are
    needed anew. Raises ConfigError where nothing is declared under `live`."""
    _refuse_none(connected)
    store, live = connected.live_store, live_of(connected)
    try:
        if not do:
            return store.apply(live, "show")
        with _alone(connected):
            found = store.apply(live, "show")
            if found:
                _applied(connected, live, found)
    finally:
        store.close()
    feed_once(connected)
    return found


def feed_once(connected: Connected) -> list[Fed]:
    """Take over what silver has committed since; metrics that are new are applied first.

    Raises ConfigError where a metric was changed or removed in the project and nobody has applied that.
    """
    _refuse_none(connected)
    found = [feed_table(connected, name) for name in connected.live.feeds]
    return [fed for fed in found if fed is not None]


def feed_table(connected: Connected, table: str) -> Fed | None:
    """The same of one silver table, by its bare name; None where nothing is new. Who calls it often takes a Feeder.

    Where a topic brings what is new, it is waited for a little.
    """
    feeder, until = Feeder(connected, table, looked_every_s=0.0), time.monotonic() + _BROUGHT_S
    try:
        while True:
            fed = feeder.once()
            if fed is not None or not feeder.is_waiting or time.monotonic() > until:
                return fed
            time.sleep(_FOLLOWED_EVERY_S)
    finally:
        feeder.close()


def misfits(connected: Connected, metrics: Collection[str] | None = None) -> list[Misfit]:
    """What of these metrics, of all without names, does not fit the types of its silver table; reads no row."""
    from catchment.live.rehearsal import rehearse
    from catchment.silver.conform import arrow_type

    found: list[Misfit] = []
    engine = connected.engine()
    try:
        for name, metric in connected.live.metrics.items() if metrics is None or metrics else ():
            if metrics is None or name in metrics:
                columns = connected.silver(metric.feed).contract.columns
                schema = pa.schema([(column.name, arrow_type(column)) for column in columns])
                types = {column.name: column.type for column in columns}
                found += rehearse(metric, connected.project.live[name], schema, types, engine)
    finally:
        engine.close()
    return found


def _applied(connected: Connected, live: Live, found: Sequence[LiveDifference]) -> None:
    """Make the store as the project says. Raises ConfigError where one of the metrics that it does not have yet cannot
    be computed: nothing is changed then, and the others are served as they are."""
    wrong = [one for one in misfits(connected, {one.name for one in found}) if one.always]
    if wrong:
        raise ConfigError("\n  ".join(map(str, wrong)), hint=wrong[0].cure)
    connected.live_store.apply(live, "do")


def rows_fed(step: str, fed: Fed) -> RowsFed:
    """What a step tells of a feeding."""
    generation = fed.token.generation
    return RowsFed(step=step, table=f"silver.{fed.feed}", rows=fed.rows, generation=generation, anew=fed.anew)


class Feeder:
    """Feeds the live store from one silver table again and again, by one thread: what is open stays open between two
    calls, and a table that stands still costs a look at its folder. The engine may take one of `share` equal parts of
    the target's memory. Where a topic brings what is new, it is looked for every `looked_every_s`.

    Raises ConfigError for a table that no metric reads.
    """

    def __init__(self, connected: Connected, table: str, share: int = 1, *, looked_every_s: float = 1.0) -> None:
        _refuse_none(connected)
        if table not in connected.live.feeds:
            message = f"no live figure reads silver.{table}"
            raise ConfigError(message, hint=f"they read {', '.join(connected.live.feeds)}")
        # A store and a broker of its own: one is for one thread.
        self._connected = replace(connected)
        self._table = naming.silver_table(table)
        self._share = share
        self._looked_every_s = looked_every_s
        self._looked = -looked_every_s
        self.is_waiting = False  # for what the topic has not brought yet
        self._engine: Engine[Any] | None = None
        self._fed = 0
        self._is_applied = False
        self._mark: str | None = None
        self._before: Token | None = None

    @functools.cached_property
    def _live(self) -> Live:
        return live_of(self._connected)

    @functools.cached_property
    def _feed(self) -> LiveFeed:
        return self._live.feeds[self._table.name]

    @functools.cached_property
    def _taking(self) -> Taking | None:
        return _taking_of(self._connected, self._feed)

    def once(self) -> Fed | None:
        """Take over what silver has committed since; None where there is nothing. Raises as `feed_once` does; it may be
        called again after that.

        Where a topic brings what is new, None while it has not yet brought all of it.
        """
        glance = self._connected.reads.glance(self._table)
        if glance is None or (self._is_applied and glance.mark == self._mark):
            return None
        if self.is_waiting and time.monotonic() - self._looked < self._looked_every_s:
            return None
        self._looked = time.monotonic()
        try:
            with _alone(self._connected), self._connected.reads.at_work():
                if not self._is_applied:
                    self._begin()
                fed = self._once()
        except BaseException:
            self.close()
            raise
        if self._before is not None and self._before.generation >= glance.pin.generation:
            self._mark = glance.mark
        return fed

    def _begin(self) -> None:
        store = self._connected.live_store
        found = _differences(store, self._live)
        if found:
            _applied(self._connected, self._live, found)
        self._before, self._is_applied = store.progress(self._feed), True
        if self._taking is not None and self._before is not None:
            self._taking.store.take(self._feed)

    def _once(self) -> Fed | None:
        feeding = self._feeding()
        if feeding is None:
            return None
        fed = self._taken(feeding)
        if fed is not None:
            self._before, self.is_waiting = fed.token, False
        return fed

    def _taken(self, feeding: Feeding) -> Fed | None:
        before, store = self._before, self._connected.live_store
        if self._taking is not None:
            why = feeding.why_anew(before) or (before is not None and self._taking.why_anew(before)) or None
            if before is None or why is not None:
                return self._taking.all(self._there, why or "")
            self.is_waiting = before.generation < feeding.now.generation
            return self._taking.more(before, feeding.now) if self.is_waiting else None
        try:
            return feeding.feed_since(before, store)
        except Conflict:  # another process has fed meanwhile
            self._before = store.progress(self._feed)
            return feeding.feed_since(self._before, store)

    def _feeding(self) -> Feeding | None:
        """Over the table as it is now; None where there is none."""
        silver = self._connected.reads.open(self._table)
        if silver is None:
            return None
        then = functools.partial(self._connected.reads.open, self._table)
        return Feeding(self._feed, silver, self._opened(), self._connected.state, then)

    def _there(self) -> Feeding:
        found = self._feeding()
        assert found is not None
        return found

    def _opened(self) -> Engine[Any]:
        # An engine keeps a name for every frame that it was asked for.
        if self._engine is not None and self._fed % _FED_BY_ONE_ENGINE == 0:
            self._engine.close()
            self._engine = None
        if self._engine is None:
            self._engine = self._connected.engine(self._share)
        self._fed += 1
        return self._engine

    def close(self) -> None:
        """Give back what is open; it may be used again after that."""
        if self._engine is not None:
            self._engine.close()
        self._engine, self._is_applied, self._mark = None, False, None
        self._connected.live_store.close()
        if "broker" in self._connected.__dict__:
            self._connected.broker.close()


def _taking_of(connected: Connected, feed: LiveFeed) -> Taking | None:
    """How the feed's topic comes into the store; None where rows are inserted."""
    if feed.through is None:
        return None
    store: Any = connected.live_store
    broker: Any = connected.broker
    name = naming.publication(connected.project.name, connected.target_name, feed.name)
    return Taking(feed, feed.through, store, broker, broker.groups, name)


def follow(
    connected: Connected,
    stop: threading.Event,
    told: Callable[[Fed], None],
    failed: Callable[[RetryableError], None],
    every_s: float = _FOLLOWED_EVERY_S,
) -> None:
    """Feed whenever silver has something new, until `stop` is set; a store that does not answer is asked again.

    Raises as `feed_once` does for everything that trying again would not mend.
    """
    _refuse_none(connected)
    feeders = [Feeder(connected, name) for name in connected.live.feeds]
    try:
        while not stop.is_set():
            try:
                for feeder in feeders:
                    fed = feeder.once()
                    if fed is not None:
                        told(fed)
            except RetryableError as error:
                failed(error)
                stop.wait(_TRIED_AGAIN_S)
            stop.wait(every_s)
    finally:
        for feeder in feeders:
            feeder.close()


def _refuse_none(connected: Connected) -> None:
    if not connected.project.live:
        message = "this project declares no live figures"
        raise ConfigError(message, hint="add a metric under live: in catchment.yaml (docs/guides/live.md)")


def edited(connected: Connected) -> list[tuple[str, str]]:
    """(metric, in words) of those that are otherwise in the store than the project says, or only there: nothing is fed
    until somebody has applied that."""
    found = connected.live_store.apply(live_of(connected), "show")
    return [(one.name, one.words) for one in found if one.kind in ("change", "remove")]


def _differences(store: LiveStore, live: Live) -> Sequence[LiveDifference]:
    """What is to be added. Raises ConfigError where something was edited, which somebody has to look at first."""
    found = store.apply(live, "show")
    stopping = [one for one in found if one.kind in ("change", "remove")]
    if stopping:
        lines = "\n  ".join(f"live.{one.name}: {one.words}" for one in stopping)
        message = f"live figures are not what the project says:\n  {lines}"
        raise ConfigError(message, hint=f"look: catchment live apply   ·   change them: {APPLY}")
    return found


@contextmanager
def _alone(connected: Connected) -> Iterator[None]:
    """Two processes on this machine that feed one store go one after the other."""
    connected.state.mkdir(exist_ok=True)
    lock = os.open(connected.state / f"live-{connected.target_name}.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def status(connected: Connected, *, topics: bool = True) -> list[MetricStatus]:
    """How every metric stands, with `topics` also what lies in them before the store. Reads no rows. Raises ConfigError
    where nothing is declared."""
    _refuse_none(connected)
    store, live = connected.live_store, live_of(connected)
    try:
        said = store.apply(live, "show")
        behind = {name: _behind(connected, feed) for name, feed in live.feeds.items()}
        lags = {name: _topic(connected, feed) if topics else (None, None) for name, feed in live.feeds.items()}
        reset = {
            name for name, metric in live.metrics.items() if behind[metric.feed] is None and _is_there(store, name)
        }
    finally:
        store.close()
    return [
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


def _is_there(store: LiveStore, metric: str) -> bool:
    """Whether figures are served, be they of before."""
    try:
        store.query(f"SELECT 1 FROM live.{naming.quoted(metric)} LIMIT 0")
    except ConfigError:
        return False
    return True


def lacking(connected: Connected, table: str) -> int | None:
    """How many commits of a silver table, by its bare name, are not fed; None where none is. Reads no rows."""
    return _behind(connected, live_of(connected).feeds[table])


def was_fed(connected: Connected, table: str) -> bool:
    """Whether figures over a silver table, by its bare name, are served, be they of before."""
    named = (name for name, metric in connected.live.metrics.items() if metric.feed == table)
    return any(_is_there(connected.live_store, name) for name in named)


def _behind(connected: Connected, feed: LiveFeed) -> int | None:
    token = connected.live_store.progress(feed)
    glance = connected.reads.glance(naming.silver_table(feed.name))
    if token is None:
        return None
    return 0 if glance is None else max(0, glance.pin.generation - token.generation)


def _topic(connected: Connected, feed: LiveFeed) -> tuple[int | None, str | None]:
    """How many messages are not taken yet, and what the store met with."""
    taking = _taking_of(connected, feed)
    if taking is None:
        return None, None
    return taking.lag(), next(iter(taking.store.troubles(feed)), None)


def statements(connected: Connected) -> Sequence[str]:
    """The store's own SQL of every metric that is served."""
    try:
        return connected.live_store.statements(live_of(connected))
    finally:
        connected.live_store.close()


def query(connected: Connected, sql: str) -> pa.RecordBatchReader:
    """A reading statement in the store's own SQL; metrics are in schema `live`. Raises ConfigError."""
    _refuse_none(connected)
    try:
        return connected.live_store.query(sql)
    finally:
        connected.live_store.close()


@contextmanager
def page(connected: Connected, address: tuple[str, int]) -> Iterator[int]:
    """The live page at an address, until the end of the block; its port. Raises ConfigError where nothing is declared
    or nobody can listen there."""
    _refuse_none(connected)
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


def recounted(connected: Connected, examples: int = 3) -> Iterator[Recounted]:
    """Every metric beside its recount from silver as the store has heard of it. Raises ConfigError where a metric was
    never fed, or edited since; where a topic brings its rows, they are waited for."""
    _refuse_none(connected)
    engine, live = connected.engine(), live_of(connected)
    try:
        _differences(connected.live_store, live)
        for name in (name for name, feed in live.feeds.items() if feed.through is not None):
            _await(connected, name)
        for metric in live.metrics.values():
            feed = live.feeds[metric.feed]
            token = connected.live_store.progress(feed)
            if token is None:
                reset = _is_there(connected.live_store, metric.name)
                why = "has to be fed anew, and serves the figures of before" if reset else "has never been fed"
                message = f"live.{metric.name} {why}"
                raise ConfigError(message, hint="catchment live feed")
            silver = connected.reads.open(naming.silver_table(metric.feed), token.version)
            if silver is None or silver.history(1)[0].at.isoformat() != token.at:
                message = f"live.{metric.name} was fed from another silver.{metric.feed}"
                raise ConfigError(message, hint="catchment live feed")
            yield Recounting(metric, feed, silver, engine).against(connected.live_store, examples)
    finally:
        engine.close()
        connected.live_store.close()


def _await(connected: Connected, table: str) -> None:
    """Until the topic has brought what silver has. Raises RetryableError where that takes too long."""
    feed, until = live_of(connected).feeds[table], time.monotonic() + _AWAITED_S
    if connected.live_store.progress(feed) is None:
        return
    feeder = Feeder(connected, table, looked_every_s=0.0)
    try:
        while feeder.once() is not None or _behind(connected, feed):
            if time.monotonic() > until:
                message = f"the topic has not brought all of silver.{table} to the live store in {_AWAITED_S:.0f} s"
                raise RetryableError(message, hint="is it published? catchment live status tells more")
            time.sleep(_FOLLOWED_EVERY_S)
    finally:
        feeder.close()
