"""An endless shop into two topics: `user_events` by user, `transactions` by order.

A message has two headers beside: `ordinal`, its place in the sequence, and `sent-at`, when it was written in
microseconds since 1970. What is there already is found by its ordinal, so that who goes on sends nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.generate.sequence import Sent, stretch
from catchment.records import Message

if TYPE_CHECKING:
    from catchment.generate.endless import Endless
    from catchment.interfaces import Broker

EVENTS, ORDERS = "user_events", "transactions"
TOPICS = (EVENTS, ORDERS)

ORDINAL, SENT_AT = "ordinal", "sent-at"

# What of the last write may be lacking lies so far back at most.
MOST = 10_000

_Planned = tuple[int, bytes, bytes]  # ordinal, key, value


@dataclass
class IntoTopics:
    """Writes to those of `TOPICS` that are named. `now` tells microseconds since 1970."""

    broker: Broker
    shop: Endless
    topics: Sequence[str] = TOPICS
    now: Callable[[], int] = field(kw_only=True)

    def next(self) -> int | None:
        """The ordinal after the last one that was sent to any of the topics; None where none was."""
        last = [found for topic in self.topics if (found := self._last(topic)) is not None]
        return max(last) + 1 if last else None

    def mend(self, upto: int) -> Sent:
        """Send what of the last write did not arrive: a broker may take one partition's part and not another's.

        Raises ConfigError where a shop is there that this one does not go on.
        """
        first, counts = max(0, upto - MOST), Counter[str]()
        for topic in self.topics:
            there = Counter(one for one in self._tail(topic, first) if one[0] < upto)
            planned = self._planned(topic, first, upto)
            if there.keys() - {one[:2] for one in planned}:
                message = f"topic {topic} holds another shop: other users clicked there"
                raise ConfigError(message, hint="name its --seed, --visits and shares, or --from-ordinal")
            counts[topic] += self._write(topic, [one for one in planned if not _is_there(one, there)])
        return Sent(counts[EVENTS], counts[ORDERS])

    def send(self, first: int, end: int) -> Sent:
        """Send what belongs from one ordinal to before another, at most `MOST` of them."""
        counts = {topic: self._write(topic, self._planned(topic, first, end)) for topic in self.topics}
        return Sent(counts.get(EVENTS, 0), counts.get(ORDERS, 0))

    def close(self) -> None:
        self.broker.close()

    def _planned(self, topic: str, first: int, end: int) -> list[_Planned]:
        if topic == ORDERS:
            changes = self.shop.orders.changes(first, end)
            keys, values = changes.rows["transaction_id"].to_pylist(), changes.documents().to_pylist()
            return [
                (at, key.encode(), value.encode())
                for at, key, value in zip(changes.at.tolist(), keys, values, strict=True)
            ]
        part = stretch(self.shop.seed, self.shop.shares, first, end)
        lines, users = self.shop.clicks.lines(part.clicks, self.shop.clock.seconds(part.clicks))
        values = _bytes(lines)
        for place in part.broken.nonzero()[0].tolist():
            values[place] = _spoilt(values[place], int(part.broken[place]))
        return list(zip(part.ordinals.tolist(), _bytes(users), values, strict=True))

    def _write(self, topic: str, planned: Sequence[_Planned]) -> int:
        if planned:
            sent_at = (SENT_AT, b"%d" % self.now())
            self.broker.write(
                topic, [Message(value, key, ((ORDINAL, b"%d" % at), sent_at)) for at, key, value in planned]
            )
        return len(planned)

    def _last(self, topic: str) -> int | None:
        """The newest ordinal: the greatest of those of each partition's newest message of ours."""
        found = [
            next((ordinal for ordinal, _ in self._backwards(topic, partition, bounds)), None)
            for partition, bounds in self.broker.bounds(topic).items()
        ]
        return max((one for one in found if one is not None), default=None)

    def _tail(self, topic: str, first: int) -> Iterator[tuple[int, bytes]]:
        """Ordinals and keys of the messages from an ordinal on; within a partition ordinals only grow."""
        for partition, bounds in self.broker.bounds(topic).items():
            for ordinal, key in self._backwards(topic, partition, bounds):
                if ordinal < first:
                    break
                yield ordinal, key

    def _backwards(self, topic: str, partition: int, bounds: tuple[int, int]) -> Iterator[tuple[int, bytes]]:
        """Ordinals and keys of the messages of ours in a partition, the newest first."""
        low, end = bounds
        while end > low:
            begin = max(low, end - MOST)
            found = [
                one
                for batch in self.broker.read(topic, {partition: begin}, {partition: end})
                for one in zip(batch["headers"].to_pylist(), batch["key"].to_pylist(), strict=True)
            ]
            for headers, key in reversed(found):
                told = next((one["value"] for one in headers or () if one["name"] == ORDINAL), None)
                if told is not None and told.isdigit():
                    yield int(told), key
            end = begin


def _is_there(planned: _Planned, there: Counter[tuple[int, bytes]]) -> bool:
    """Whether it is; one of several that look alike is taken once."""
    found = there[planned[:2]] > 0
    there[planned[:2]] -= found
    return found


def _bytes(texts: object) -> list[bytes]:
    import pyarrow as pa
    import pyarrow.compute as pc

    found: list[bytes] = pc.cast(texts, pa.binary()).to_pylist()
    return found


def _spoilt(value: bytes, how: int) -> bytes:
    """Cut off, without its key, or with properties that are no JSON."""
    if how == 1:
        return value[: len(value) // 2]
    if how == 2:
        return b'{"event_id":null' + value[len('{"event_id":""') + 36 :]
    return value[: value.rindex(b'"properties":')] + b'"properties":"{\'amount\': 1"}'
