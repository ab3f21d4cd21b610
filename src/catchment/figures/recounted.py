"""Live figures held against a recount from silver."""

from __future__ import annotations

import time
from collections.abc import Iterator

from catchment import naming
from catchment.connected import Connected
from catchment.errors import ConfigError, RetryableError
from catchment.figures.applied import differences, live_of, refuse_none
from catchment.figures.feeder import Feeder
from catchment.figures.standing import is_there, lacking
from catchment.live.recount import Recounted, Recounting

_AWAITED_S = 60.0
_LOOKED_EVERY_S = 0.25


def recounted(connected: Connected, examples: int = 3) -> Iterator[Recounted]:
    """Every metric beside its recount from silver as the store has heard of it. Raises ConfigError where a metric was
    never fed, or edited since; where a topic brings its rows, they are waited for."""
    refuse_none(connected)
    engine, live = connected.engine(), live_of(connected)
    try:
        differences(connected.live_store, live)
        for name in (name for name, feed in live.feeds.items() if feed.through is not None):
            _await(connected, name)
        for metric in live.metrics.values():
            feed = live.feeds[metric.feed]
            token = connected.live_store.progress(feed)
            if token is None:
                reset = is_there(connected.live_store, metric.name)
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
        while feeder.once() is not None or lacking(connected, table):
            if time.monotonic() > until:
                message = f"the topic has not brought all of silver.{table} to the live store in {_AWAITED_S:.0f} s"
                raise RetryableError(message, hint="is it published? catchment live status tells more")
            time.sleep(_LOOKED_EVERY_S)
    finally:
        feeder.close()
