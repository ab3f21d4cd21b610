"""A feed that a refined topic brings: all rows of silver once, and from then on what the store takes from the topic.

Where the topic ends is asked before silver is opened, and there the store's consumer group begins: what was published
before is in silver then, what is published after is taken from the topic, and what is in both is put out by its
version. Messages of rows that an order has taken out of silver lie before and are never read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from catchment.errors import ConfigError
from catchment.live.feeding import Fed, Feeding, Feeds
from catchment.metric import LiveFeed, Through
from catchment.records import Offsets, Token

if TYPE_CHECKING:
    from catchment.interfaces import Broker

_PROBED_S = 30.0
_LOOKED_EVERY_S = 0.1


class Groups(Protocol):
    """Where consumer groups of a broker stand."""

    def place(self, group: str, topic: str, offsets: Offsets) -> None: ...
    def places(self, group: str, topic: str) -> Mapping[int, int]: ...
    def forget(self, group: str) -> None: ...


class TakingStore(Feeds, Protocol):
    """What a live store that reads topics itself can do beside `LiveStore`."""

    def group(self, feed: LiveFeed) -> str | None:
        """The consumer group of the feed's rows, None where there are none yet."""
        ...

    def take(self, feed: LiveFeed) -> None:
        """Take rows from the topic from now on; twice is once. Raises ConfigError for what cannot be computed there."""
        ...

    def knock(self, through: Through, group: str | None) -> bool:
        """Have a consumer of that group join; whether it was let in by now. None: have done with it."""
        ...

    def troubles(self, feed: LiveFeed) -> Sequence[str]:
        """What the store has met with when it read the topic since it last took something, newest first, with the
        time."""
        ...


@dataclass
class Taking:
    """One feed. `publication` is the name under which its table is published."""

    feed: LiveFeed
    through: Through
    store: TakingStore
    broker: Broker
    groups: Groups
    publication: str
    _places: Mapping[int, int] = field(default_factory=dict)

    def why_anew(self, before: Token) -> str | None:
        """Why what the topic brings is not all that came behind `before`, None where it is."""
        if _passed(self._told()) > before.generation:
            return "rows were passed over when silver was published"
        group, bounds = self.store.group(self.feed), self.broker.bounds(self.through.topic)
        places = {} if group is None else self.groups.places(group, self.through.topic)
        if any(places.get(partition, first) < first for partition, (first, _) in bounds.items()):
            return "the topic no longer keeps all that the store had not taken"
        return None

    def all(self, opened: Callable[[], Feeding], why: str) -> Fed:
        """All rows of silver, then the topic. Raises ConfigError where the store cannot reach the broker."""
        if self.through.topic not in self.broker.topics():
            message = f"there is no topic {self.through.topic} yet that live figures over silver.{self.feed.name} read"
            raise ConfigError(message, hint=f"publish it first: catchment publish silver.{self.feed.name}")
        ends = {partition: end for partition, (_, end) in self.broker.bounds(self.through.topic).items()}
        self._refuse_unreached(ends)
        feeding = opened()
        # Whatever is there: rows of a topic that is left off are nobody's.
        fed = feeding.all_into(self.store, why)
        group = self.store.group(self.feed)
        assert group is not None
        self.groups.place(group, self.through.topic, ends)
        self.store.take(self.feed)
        self._places = ends
        return fed

    def more(self, before: Token, now: Token) -> Fed | None:
        """Note that the topic has brought everything up to `now`; None while it has not."""
        told = self._told()
        # Both are of one look: what is passed over later is of commits behind `now`.
        if told is None or told["sent"] < now.generation or _passed(told) > before.generation:
            return None
        places = self._caught_up()
        if places is None:
            return None
        schema = pa.schema([])
        self.store.feed(self.feed, pa.RecordBatchReader.from_batches(schema, []), now, since=before)
        rows = sum(max(0, offset - self._places.get(partition, offset)) for partition, offset in places.items())
        self._places = places
        return Fed(self.feed.name, rows, now)

    def lag(self) -> int | None:
        """How many messages are before the store, with the marks of their transactions; None where it takes none."""
        group = self.store.group(self.feed)
        if group is None:
            return None
        if self._caught_up() is not None:
            return 0
        places = self.groups.places(group, self.through.topic)
        bounds = self.broker.bounds(self.through.topic)
        return sum(max(0, end - max(first, places.get(number, first))) for number, (first, end) in bounds.items())

    def _told(self) -> Mapping[str, Any] | None:
        """How far the table is published."""
        return self.broker.published(self.through.topic, self.publication)

    def _caught_up(self) -> Mapping[int, int] | None:
        """Where the store's group is, if no message lies before it: after the last one come marks of transactions."""
        group, topic = self.store.group(self.feed), self.through.topic
        ends = {partition: end for partition, (_, end) in self.broker.bounds(topic).items()}
        places = {} if group is None else self.groups.places(group, topic)
        missing = {partition: end for partition, end in ends.items() if end > places.get(partition, 0)}
        if missing:
            left = {partition: places[partition] for partition in missing if partition in places}
            if any(batch.num_rows for batch in self.broker.read(topic, left, missing, messages=1)):
                return None
        return places

    def _refuse_unreached(self, ends: Offsets) -> None:
        """That the store reaches the broker is tried and not assumed."""
        group = f"catchment.probe.{time.time_ns()}"
        self.groups.place(group, self.through.topic, ends)
        until = time.monotonic() + _PROBED_S
        try:
            while not self.store.knock(self.through, group):
                if time.monotonic() > until:
                    message = (
                        f"the live store does not reach the broker at {self.through.servers}: in {_PROBED_S:.0f} s no"
                        f" consumer of topic {self.through.topic} was let in"
                    )
                    hint = (
                        "name an address that its server can reach, and that the broker tells its clients: live.broker"
                        " of the target; or have rows inserted: live.through: insert"
                    )
                    raise ConfigError(message, hint=hint)
                time.sleep(_LOOKED_EVERY_S)
        finally:
            self.store.knock(self.through, None)
            self.groups.forget(group)


def _passed(told: Mapping[str, Any] | None) -> int:
    """Up to this commit of silver rows may have been passed over by `publish --from-now`: they are in no message."""
    return 0 if told is None else int(told.get("passed") or 0)
