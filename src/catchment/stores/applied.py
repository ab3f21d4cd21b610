"""What every live store remembers beside its rows: which metrics were applied, and which table holds a feed's rows.

A feed has one table at a time, `<feed>__<number>`, behind a view of the feed's name that shows the rows which count;
metrics are views over that. Rows that are taken anew come into the next table, and the views change over to it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from catchment.errors import ConfigError, Conflict
from catchment.interfaces import LiveStore
from catchment.metric import Live, LiveFeed, Measure, Metric, Owner
from catchment.naming import quoted
from catchment.records import LiveDifference, Token

if TYPE_CHECKING:
    import pyarrow as pa

# Entries of the state, by what stands before the first colon: a metric as it was applied, a feed's definition, the
# table that holds a feed's rows.
METRIC, FEED, TABLE = "metric:", "feed:", "table:"
# And the one of whose figures these are.
OWNER = "store:owner"


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
    """What stores share. A store keeps the state as texts by name, and makes and drops its tables and views.

    A store belongs to the first owner who changes it, until nothing is applied to it any more; nobody else is let in.
    One that was made before there were owners belongs to the first who comes.
    """

    _owner: Owner | None = None  # who opened it; None is let in everywhere

    def apply(self, live: Live, mode: Literal["show", "do"]) -> Sequence[LiveDifference]:
        before = self._known()
        found = differences(before, live)
        if mode == "do" and found:
            self._change(self._claimed(), live)
        return found

    def progress(self, feed: LiveFeed) -> Token | None:
        held = fitting_in(self._known(), feed)
        # A topic that was not begun with has rows that nobody read.
        return None if held is None or (feed.through is not None and not held.taking) else held.token

    def statements(self, live: Live, columns: Mapping[str, pa.Schema]) -> Sequence[str]:
        state, found = self._known(), list(self._grounds())
        for name, feed in live.feeds.items():
            head = f"-- rows of silver.{name}, version {feed.fingerprint}"
            computed = {column: sql for column, sql in feed.columns.items() if sql != quoted(column)}
            told = [f"--   {column}: {' '.join(sql.split())}" for column, sql in computed.items()]
            table, *others = self._made(state, feed, columns[name])
            found.append("\n".join([head, *told, table]))
            found += [f"{head}\n{statement}" for statement in others]
        for name, metric in live.metrics.items():
            head = f"-- live.{name}, version {metric.fingerprint}"
            found.append(f"{head}\n{self._view_over(metric, columns[metric.feed])}")
        return found

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
        left = {} if live.metrics else {OWNER: None}
        self._do(statements, {**changed, **dict.fromkeys(forgotten), **left})

    def _known(self) -> dict[str, Any]:
        """The state. Raises ConfigError where it is somebody else's."""
        state = self._state()
        self._refuse_others(state)
        return state

    def _claimed(self) -> dict[str, Any]:
        """The same for who is about to change it: from now on it is theirs."""
        state = self._known()
        if self._owner is None or OWNER in state:
            return state
        self._do([], {OWNER: asdict(self._owner)})
        # Of two who come at once the later one has it.
        return self._known()

    def _refuse_others(self, state: Mapping[str, Any]) -> None:
        told = state.get(OWNER)
        if told is not None and self._owner is not None and Owner(**told) != self._owner:
            place, cure = self._described()
            message = f"{place} keeps the live figures of {Owner(**told)}, and this is {self._owner}"
            raise ConfigError(message, hint=cure)

    @abstractmethod
    def _described(self) -> tuple[str, str]:
        """Where it is, and what those can do who find somebody else's figures there."""

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
    def _view_over(self, metric: Metric, columns: pa.Schema) -> str:
        """The same over rows with these columns, whether there are any or not."""

    @abstractmethod
    def _grounds(self) -> Sequence[str]:
        """The statements that make what every store has; each may be run again."""

    @abstractmethod
    def _made(self, state: Mapping[str, Any], feed: LiveFeed, columns: pa.Schema) -> Sequence[str]:
        """Those that make what a feed's rows are in, and what brings them from a topic."""

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


def table_in(state: Mapping[str, Any], feed: LiveFeed) -> str:
    """The table of a feed as it is, or as it will be after the next feeding."""
    held = held_in(state, feed.name)
    if held is None:
        return f"{feed.name}__1"
    return held.table if held.fingerprint == feed.fingerprint else f"{feed.name}__{held.number + 1}"


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
            found.append(LiveDifference(name, "add", _said(metric.told or {}), metric.feed))
        elif _metric(before) != metric:
            words = _changed(before.get("told") or {}, metric.told or {}) or "its columns are read anew"
            found.append(LiveDifference(name, "change", words, metric.feed))
    applied = {name.removeprefix(METRIC): value["feed"] for name, value in state.items() if name.startswith(METRIC)}
    left = {name: feed for name, feed in applied.items() if name not in live.metrics}
    found += [LiveDifference(name, "remove", "is no longer declared", feed) for name, feed in left.items()]
    for name, feed in live.feeds.items():
        held = held_in(state, name)
        known = state.get(f"{FEED}{name}")
        if known is not None and known != feed.fingerprint:
            words = "other columns or keys: its rows are taken anew"
            found.append(LiveDifference(f"silver.{name}", "anew", words, name))
        elif known is None and held is None:
            found.append(LiveDifference(f"silver.{name}", "anew", "all its rows are taken", name))
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
