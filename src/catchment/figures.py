"""Live figures of a project: applied, fed from silver, asked how they stand, and held against a recount."""

from __future__ import annotations

import fcntl
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from catchment import naming
from catchment.connected import Connected
from catchment.errors import ConfigError, RetryableError
from catchment.live.feeding import Fed, Feeding
from catchment.live.recount import Recounted, Recounting
from catchment.records import LiveDifference

_FOLLOWED_EVERY_S = 0.25
_TRIED_AGAIN_S = 2.0


@dataclass(frozen=True)
class MetricStatus:
    """A metric: how many silver commits its rows are behind, None where it has never been fed; and in which of its keys
    the project says something else by now."""

    metric: str
    table: str
    behind: int | None
    differences: Sequence[str] = ()


def apply(connected: Connected, *, do: bool) -> Sequence[LiveDifference]:
    """What of the live store is not as the project says; with `do` it is made so, and rows are taken where they are
    needed anew. Raises ConfigError where nothing is declared under `live`."""
    _refuse_none(connected)
    store = connected.live_store
    try:
        if not do:
            return store.apply(connected.live, "show")
        with _alone(connected):
            found = store.apply(connected.live, "do")
            _feed(connected)
        return found
    finally:
        store.close()


def feed_once(connected: Connected) -> list[Fed]:
    """Take over what silver has committed since; metrics that are new are applied first.

    Raises ConfigError where a metric was changed or removed in the project and nobody has applied that.
    """
    _refuse_none(connected)
    try:
        with _alone(connected):
            _apply_new(connected)
            return _feed(connected)
    finally:
        connected.live_store.close()


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
    seen: dict[str, str] = {}
    while not stop.is_set():
        marks = _marks(connected)
        try:
            for fed in feed_once(connected) if marks != seen else ():
                told(fed)
            seen = marks
        except RetryableError as error:
            failed(error)
            stop.wait(_TRIED_AGAIN_S)
        stop.wait(every_s)


def _marks(connected: Connected) -> dict[str, str]:
    """Changes with every commit of a table that metrics read; the tables themselves are not opened."""
    found = {}
    for name in connected.live.feeds:
        glance = connected.reads.glance(naming.silver_table(name))
        found[name] = "" if glance is None else glance.mark
    return found


def _refuse_none(connected: Connected) -> None:
    if not connected.project.live:
        message = "this project declares no live figures"
        raise ConfigError(message, hint="add a metric under live: in catchment.yaml (docs/guides/live.md)")


def _apply_new(connected: Connected) -> None:
    if _differences(connected):
        connected.live_store.apply(connected.live, "do")


def _differences(connected: Connected) -> Sequence[LiveDifference]:
    """What is to be added. Raises ConfigError where something was edited, which somebody has to look at first."""
    found = connected.live_store.apply(connected.live, "show")
    edited = [one for one in found if one.kind in ("change", "remove")]
    if edited:
        lines = "\n  ".join(f"live.{one.name}: {one.words}" for one in edited)
        message = f"live figures are not what the project says:\n  {lines}"
        raise ConfigError(message, hint="look: catchment live apply   ·   change them: catchment live apply --yes")
    return found


def _feed(connected: Connected) -> list[Fed]:
    """Every feed whose silver table is there."""
    found = []
    engine = connected.engine()
    try:
        for name, feed in connected.live.feeds.items():
            table = naming.silver_table(name)
            silver = connected.reads.open(table)
            if silver is None:
                continue
            then = functools.partial(connected.reads.open, table)
            fed = Feeding(feed, silver, engine, connected.state, then).feed_into(connected.live_store)
            if fed is not None:
                found.append(fed)
    finally:
        engine.close()
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


def status(connected: Connected) -> list[MetricStatus]:
    """How every metric stands. Reads no rows. Raises ConfigError where nothing is declared."""
    _refuse_none(connected)
    store = connected.live_store
    try:
        said = store.apply(connected.live, "show")
        behind = {name: _behind(connected, name) for name in connected.live.feeds}
    finally:
        store.close()
    return [
        MetricStatus(
            metric=name,
            table=str(naming.silver_table(metric.feed)),
            behind=behind[metric.feed],
            differences=tuple(one.words for one in said if one.name == name and one.kind == "change"),
        )
        for name, metric in connected.live.metrics.items()
    ]


def _behind(connected: Connected, feed: str) -> int | None:
    token = connected.live_store.progress(connected.live.feeds[feed])
    glance = connected.reads.glance(naming.silver_table(feed))
    if token is None:
        return None
    return 0 if glance is None else max(0, glance.pin.generation - token.generation)


def statements(connected: Connected) -> Sequence[str]:
    """The store's own SQL of every metric that is served."""
    try:
        return connected.live_store.statements(connected.live)
    finally:
        connected.live_store.close()


def query(connected: Connected, sql: str) -> pa.RecordBatchReader:
    """A reading statement in the store's own SQL; metrics are in schema `live`. Raises ConfigError."""
    _refuse_none(connected)
    try:
        return connected.live_store.query(sql)
    finally:
        connected.live_store.close()


def recounted(connected: Connected, examples: int = 3) -> Iterator[Recounted]:
    """Every metric beside its recount from silver as the store has heard of it. Raises ConfigError where a metric was
    never fed, or edited since."""
    _refuse_none(connected)
    engine = connected.engine()
    try:
        _differences(connected)
        for metric in connected.live.metrics.values():
            feed = connected.live.feeds[metric.feed]
            token = connected.live_store.progress(feed)
            if token is None:
                message = f"live.{metric.name} has never been fed"
                raise ConfigError(message, hint="catchment live feed")
            silver = connected.reads.open(naming.silver_table(metric.feed), token.version)
            if silver is None or silver.history(1)[0].at.isoformat() != token.at:
                message = f"live.{metric.name} was fed from another silver.{metric.feed}"
                raise ConfigError(message, hint="catchment live feed")
            yield Recounting(metric, feed, silver, engine).against(connected.live_store, examples)
    finally:
        engine.close()
        connected.live_store.close()
