"""What every live store remembers beside its rows: which metrics were applied, and which table holds a feed's rows.

A feed has one table at a time, `<feed>__<number>`, behind a view of the feed's name that shows the rows which count;
metrics are views over that. Rows that are taken anew come into the next table, and the views change over to it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from catchment.errors import ConfigError, Conflict
from catchment.interfaces import LiveStore
from catchment.metric import Live, LiveFeed, Measure, Metric
from catchment.records import LiveDifference, Token

# Entries of the state, by what stands before the first colon: a metric as it was applied, a feed's definition, the
# table that holds a feed's rows.
METRIC, FEED, TABLE = "metric:", "feed:", "table:"


@dataclass(frozen=True)
class Held:
    """The table that holds a feed's rows, and how far it has come. `served` says that the views show it, `taking` that
    a topic brings what is new."""

    table: str
    number: int
    fingerprint: str
    token: Token
    served: bool
    taking: bool = False

    def value(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Held:
        return cls(**{**value, "token": Token(**value["token"])})


class AppliedStore(LiveStore):
    """What stores share. A store keeps the state as texts by name, and makes and drops its tables and views."""

    def apply(self, live: Live, mode: Literal["show", "do"]) -> Sequence[LiveDifference]:
        before = self._state()
        found = differences(before, live)
        if mode == "do" and found:
            self._change(before, live)
        return found

    def progress(self, feed: LiveFeed) -> Token | None:
        held = fitting_in(self._state(), feed)
        # A topic that was not begun with has rows that nobody read.
        return None if held is None or (feed.through is not None and not held.taking) else held.token

    def statements(self, live: Live) -> Sequence[str]:
        state = self._state()
        return [
            self._view(metric, held)
            for metric in live.metrics.values()
            if f"{METRIC}{metric.name}" in state
            and (held := held_in(state, metric.feed)) is not None
            and held.fingerprint == live.feeds[metric.feed].fingerprint
        ]

    def _change(self, before: Mapping[str, Any], live: Live) -> None:
        wanted: dict[str, Any] = {f"{METRIC}{name}": asdict(metric) for name, metric in live.metrics.items()}
        wanted |= {f"{FEED}{name}": feed.fingerprint for name, feed in live.feeds.items()}
        kept = (METRIC, FEED)
        gone = [name for name in before if name.startswith(kept) and name not in wanted]
        statements = []
        for name in gone:
            what = name.partition(":")[2]
            if name.startswith(METRIC):
                statements.append(self._dropped_view(what))
            else:
                gone_table = held_in(before, what)
                if gone_table is not None:
                    statements += self._dropped_feed(what, gone_table)
        changed = {name: value for name, value in wanted.items() if before.get(name) != value}
        for metric in live.metrics.values():
            held = held_in(before, metric.feed)
            if held is not None and held.fingerprint == live.feeds[metric.feed].fingerprint:
                statements.append(self._view(metric, held))
        forgotten = [*gone, *(f"{TABLE}{name.removeprefix(FEED)}" for name in gone if name.startswith(FEED))]
        self._do(statements, {**changed, **dict.fromkeys(forgotten)})

    @abstractmethod
    def _state(self) -> dict[str, Any]:
        """Every entry; none where nothing was applied yet."""

    @abstractmethod
    def _do(self, statements: Sequence[str], entries: Mapping[str, Any]) -> None:
        """Run statements, each of which may be run again, and then set entries; those that are None are removed."""

    @abstractmethod
    def _view(self, metric: Metric, held: Held) -> str:
        """The statement that makes a metric's view, over the feed's rows as this table has them."""

    @abstractmethod
    def _dropped_view(self, metric: str) -> str:
        """The statement that drops it, where it is there."""

    @abstractmethod
    def _dropped_feed(self, feed: str, held: Held) -> Sequence[str]:
        """Those that drop a feed's view and its table."""


def held_in(state: Mapping[str, Any], feed: str) -> Held | None:
    """The table of a feed, None before its first feeding is whole."""
    value = state.get(f"{TABLE}{feed}")
    return None if value is None else Held.of(value)


def fitting_in(state: Mapping[str, Any], feed: LiveFeed) -> Held | None:
    """The same, where it was made for this definition."""
    held = held_in(state, feed.name)
    return held if held is not None and held.fingerprint == feed.fingerprint else None


def going_on(state: Mapping[str, Any], feed: LiveFeed, since: Token | None, *, anew: bool) -> Held | None:
    """The table of a feed, which rows since `since` go into. Raises ConfigError where there is none that they could,
    Conflict where somebody else has fed it meanwhile."""
    held, fitting = held_in(state, feed.name), fitting_in(state, feed)
    if not anew and fitting is None:
        message = f"the live store has no rows of silver.{feed.name} that it could go on from"
        raise ConfigError(message, hint="feed them anew: catchment live feed")
    if since is not None and (fitting is None or fitting.token != since):
        message = f"another process has fed silver.{feed.name} to the live store"
        raise Conflict(message)
    return held


def metrics_in(state: Mapping[str, Any], feed: str) -> list[Metric]:
    """The applied metrics over a feed."""
    found = [value for name, value in state.items() if name.startswith(METRIC) and value["feed"] == feed]
    return [_metric(value) for value in found]


def _metric(value: Mapping[str, Any]) -> Metric:
    """One that was kept as JSON: lists are tuples again."""
    measures = tuple(Measure(**{**one, "columns": tuple(one["columns"])}) for one in value["measures"])
    return Metric(**{**value, "measures": measures, "by": tuple(value["by"])})


def differences(state: Mapping[str, Any], live: Live) -> list[LiveDifference]:
    """What of the state is not as the project says."""
    found = []
    for name, metric in live.metrics.items():
        before = state.get(f"{METRIC}{name}")
        if before is None:
            found.append(LiveDifference(name, "add", _said(metric.told or {})))
        elif _metric(before) != metric:
            words = _changed(before.get("told") or {}, metric.told or {}) or "its columns are read anew"
            found.append(LiveDifference(name, "change", words))
    applied = [name.removeprefix(METRIC) for name in state if name.startswith(METRIC)]
    found += [LiveDifference(name, "remove", "is no longer declared") for name in applied if name not in live.metrics]
    for name, feed in live.feeds.items():
        held = held_in(state, name)
        known = state.get(f"{FEED}{name}")
        if known is not None and known != feed.fingerprint:
            found.append(LiveDifference(f"silver.{name}", "anew", "other columns or keys: its rows are taken anew"))
        elif known is None and held is None:
            found.append(LiveDifference(f"silver.{name}", "anew", "all its rows are taken"))
    return found


def _said(told: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in _flat(told).items())


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    one, other = _flat(before), _flat(after)
    keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    return ", ".join(f"{key}: {one.get(key, 'nothing')} -> {other.get(key, 'nothing')}" for key in keys)


def _flat(told: Mapping[str, Any]) -> dict[str, str]:
    """Keys and texts; each measure under its own name."""
    flat = {key: _text(value) for key, value in told.items() if key != "measures"}
    return flat | {f"measures.{name}": str(text) for name, text in told.get("measures", {}).items()}


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
