"""Silver's commits into the live store of a target: once, again and again, or whenever there is something new."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.connected import Connected
from catchment.errors import ConfigError, Conflict, RetryableError
from catchment.events import RowsFed
from catchment.figures.applied import alone, differences, live_of, make_so, refuse_none
from catchment.live.feeding import Fed, Feeding
from catchment.live.taking import Taking
from catchment.metric import Live, LiveFeed
from catchment.records import LiveDifference, Token

if TYPE_CHECKING:
    from catchment.interfaces import Engine

_FOLLOWED_EVERY_S = 0.25
_TRIED_AGAIN_S = 2.0
_BROUGHT_S = 5.0
_FED_BY_ONE_ENGINE = 100


def apply(connected: Connected, *, do: bool) -> Sequence[LiveDifference]:
    """What of the live store is not as the project says; with `do` it is made so, and rows are taken where they are
    needed anew. Raises ConfigError where nothing is declared under `live`, and nothing of before is left to remove."""
    store, live = connected.live_store, live_of(connected)
    try:
        with alone(connected) if do else contextlib.nullcontext():
            found = store.apply(live, "show")
            if not found:
                refuse_none(connected)
            elif do:
                make_so(connected, live, found)
    finally:
        store.close()
    if do and live.metrics:
        feed_once(connected)
    return found


def feed_once(connected: Connected) -> list[Fed]:
    """Take over what silver has committed since; metrics that are new are applied first.

    Raises ConfigError where a metric was changed or removed in the project and nobody has applied that.
    """
    refuse_none(connected)
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
    refuse_none(connected)
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
        refuse_none(connected)
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
        return taking_of(self._connected, self._feed)

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
            with alone(self._connected), self._connected.reads.at_work():
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
        found = differences(store, self._live)
        if found:
            make_so(self._connected, self._live, found)
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


def taking_of(connected: Connected, feed: LiveFeed) -> Taking | None:
    """How the feed's topic comes into the store; None where rows are inserted."""
    if feed.through is None:
        return None
    store: Any = connected.live_store
    broker: Any = connected.broker
    name = naming.publication(connected.project.name, connected.target_name, feed.name)
    return Taking(feed, feed.through, store, broker, broker.groups, name)
