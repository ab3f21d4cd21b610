"""What the project declares under `live`, and what of it the live store has applied."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.metric import Live, Through
from catchment.reading import through
from catchment.reading.declaration import ClickHouseStore
from catchment.records import LiveDifference
from catchment.settings import resolve

if TYPE_CHECKING:
    from catchment.interfaces import LiveStore
    from catchment.live.rehearsal import Misfit

APPLY = "catchment live apply --yes"


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
    servers = resolve(broker.servers if own is None else own, folder, place=f"{place}.broker", address=True)
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


def refuse_none(connected: Connected) -> None:
    if not connected.project.live:
        message = "this project declares no live figures"
        raise ConfigError(message, hint="add a metric under live: in catchment.yaml (docs/guides/live.md)")


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


def columns(connected: Connected) -> Mapping[str, pa.Schema]:
    """The columns that each feed of the live store has, told from the contracts; reads no row."""
    from catchment.live.feeding import columns_of
    from catchment.silver.rows import silver_schema

    engine = connected.engine()
    try:
        feeds = connected.live.feeds
        return {name: columns_of(feed, silver_schema(connected.silver(name)), engine) for name, feed in feeds.items()}
    finally:
        engine.close()


def edited(connected: Connected) -> list[tuple[str, str]]:
    """(metric, in words) of those that are otherwise in the store than the project says, or only there: nothing is fed
    until somebody has applied that."""
    found = connected.live_store.apply(live_of(connected), "show")
    return [(one.name, one.words) for one in found if one.kind in ("change", "remove")]


def differences(store: LiveStore, live: Live) -> Sequence[LiveDifference]:
    """What is to be added. Raises ConfigError where something was edited, which somebody has to look at first."""
    found = store.apply(live, "show")
    stopping = [one for one in found if one.kind in ("change", "remove")]
    if stopping:
        lines = "\n  ".join(f"live.{one.name}: {one.words}" for one in stopping)
        message = f"live figures are not what the project says:\n  {lines}"
        raise ConfigError(message, hint=f"look: catchment live apply   ·   change them: {APPLY}")
    return found


def make_so(connected: Connected, live: Live, found: Sequence[LiveDifference]) -> None:
    """Make the store as the project says. Raises ConfigError where one of the metrics that it does not have yet cannot
    be computed: nothing is changed then, and the others are served as they are."""
    wrong = [one for one in misfits(connected, {one.name for one in found}) if one.always]
    if wrong:
        raise ConfigError("\n  ".join(map(str, wrong)), hint=wrong[0].cure)
    connected.live_store.apply(live, "do")


@contextmanager
def alone(connected: Connected) -> Iterator[None]:
    """Two processes on this machine that feed one store go one after the other."""
    connected.state.mkdir(exist_ok=True)
    lock = os.open(connected.state / f"live-{connected.target_name}.lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
