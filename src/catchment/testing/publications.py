"""What every broker promises of publications. Subclass `PublicationPromises`, say how yours is reached, run pytest."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from catchment.errors import CatchmentError, ConfigError, Conflict
from catchment.interfaces import Broker
from catchment.records import Message
from catchment.testing.brokers import BrokerReaching

KILLS = 20
_PATIENCE_S = 20.0
_NAME = "shop.local.silver.events"


def numbered(first: int, count: int) -> list[Message]:
    """Messages that tell their own number; seven keys."""
    return [Message(str(n).encode(), f"key-{n % 7}".encode(), [("n", str(n).encode())]) for n in _span(first, count)]


def _span(first: int, count: int) -> range:
    return range(first, first + count)


class PublicationPromises(BrokerReaching):
    """Every broker keeps these promises."""

    @pytest.fixture(name="place")
    def _place(self, tmp_path: Path) -> Path:
        return tmp_path

    @pytest.fixture(name="broker")
    def _broker(self, place: Path) -> Iterator[Broker]:
        broker = self.open(place)
        yield broker
        broker.close()

    def numbers(self, broker: Broker, topic: str, count: int = 0) -> list[int]:
        """What is there for everybody, in order; so many are waited for: a server may show a transaction that it has
        committed a moment later."""
        until = time.monotonic() + _PATIENCE_S
        while True:
            found = sorted(int(value) for value in self.values(broker, topic))
            if len(found) >= count or time.monotonic() > until:
                return found
            time.sleep(0.01)

    # What other processes do; each gives lines that they write.

    def publish_on(self, place: Path, topic: str, name: str, upto: str) -> Iterator[str]:
        """Go on with a publication to a number, in transactions of any size; tell each that was committed."""
        broker, chance = self.open(place), random.Random()
        publication = broker.publication(topic, name)
        reached = (publication.progress() or {}).get("next", 0)
        yield str(reached)
        while reached < int(upto):
            count = min(chance.choice((1, 3, 50, 400)), int(upto) - reached)
            publication.write(numbered(reached, count), {"next": reached + count})
            reached += count
            yield str(reached)
        publication.close()
        broker.close()

    # Promises.

    def test_a_publication_that_has_written_nothing_has_no_progress(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        assert broker.published(topic, _NAME) is None
        publication = broker.publication(topic, _NAME)
        assert publication.progress() is None
        assert broker.published(topic, _NAME) is None
        assert broker.publications(topic) == {}
        publication.close()

    def test_messages_and_progress_are_there_together(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        publication = broker.publication(topic, _NAME)
        publication.write(numbered(0, 20), {"next": 20, "word": "größer"})
        other = self.open(place)
        assert self.numbers(other, topic, 20) == list(range(20))
        assert other.published(topic, _NAME) == publication.progress() == {"next": 20, "word": "größer"}
        (first, *_) = [one for one in self.all(other, topic) if one["value"] == b"3"]
        assert (first["key"], first["headers"]) == (b"key-3", [{"name": "n", "value": b"3"}])
        other.close()
        publication.close()

    def test_progress_alone_can_be_written(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        publication = broker.publication(topic, _NAME)
        publication.write([], {"next": 7})
        assert broker.published(topic, _NAME) == {"next": 7}
        assert self.numbers(broker, topic) == []
        publication.close()

    def test_progress_outlasts_who_wrote_it(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        for number in range(3):
            publication = broker.publication(topic, _NAME)
            assert (publication.progress() or {"next": 0})["next"] == number
            publication.write(numbered(number, 1), {"next": number + 1})
            publication.close()
            broker.close()
        assert self.numbers(broker, topic, 3) == [0, 1, 2]

    def test_messages_of_one_key_keep_their_order(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        publication = broker.publication(topic, _NAME)
        for number in range(0, 300, 100):
            publication.write(numbered(number, 100), {"next": number + 100})
        self.in_order(broker, topic, 300)
        publication.close()

    def in_order(self, broker: Broker, topic: str, count: int) -> None:
        """All numbers once, those of a key in one partition and in their order."""
        assert self.numbers(broker, topic, count) == list(range(count))
        found = self.all(broker, topic)
        for key in {one["key"] for one in found}:
            mine = [one for one in found if one["key"] == key]
            assert len({one["partition"] for one in mine}) == 1
            mine.sort(key=lambda one: int(one["offset"]))
            assert [int(one["value"]) for one in mine] == sorted(int(one["value"]) for one in mine)

    def test_what_breaks_off_leaves_nothing(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        publication = broker.publication(topic, _NAME)
        publication.write(numbered(0, 5), {"next": 5})

        def broken() -> Iterator[Message]:
            yield from numbered(5, 500)
            message = "the rows cannot be read"
            raise OSError(message)

        with pytest.raises(OSError, match="cannot be read"):
            publication.write(broken(), {"next": 505})
        publication.close()
        again = broker.publication(topic, _NAME)
        assert again.progress() == {"next": 5}
        assert self.numbers(broker, topic, 5) == list(range(5))
        again.write(numbered(5, 5), {"next": 10})
        # Whoever reads on behind what broke off comes to the end, too.
        assert self.numbers(broker, topic, 10) == list(range(10))
        again.close()

    def test_nobody_sees_a_message_before_all_are_there(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        publication, reader, seen = broker.publication(topic, _NAME), self.open(place), list[int]()

        def looked_at() -> Iterator[Message]:
            yield from numbered(0, 2_000)
            time.sleep(0.1)  # so that some are on their way
            seen.extend(self.numbers(reader, topic))
            yield from numbered(2_000, 1)

        publication.write(looked_at(), {"next": 2_001})
        assert seen == []
        assert len(self.numbers(reader, topic, 2_001)) == 2_001
        publication.close()
        reader.close()

    def test_who_was_fenced_writes_nothing_any_more(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        older = broker.publication(topic, _NAME)
        older.write(numbered(0, 3), {"next": 3})
        other = self.open(place)
        newer = other.publication(topic, _NAME)
        assert newer.progress() == {"next": 3}
        with pytest.raises(Conflict, match=topic):
            older.write(numbered(3, 3), {"next": 6})
        older.close()
        newer.write(numbered(3, 2), {"next": 5})
        assert self.numbers(broker, topic, 5) == list(range(5))
        assert broker.published(topic, _NAME) == {"next": 5}
        newer.close()
        other.close()

    def test_who_is_fenced_while_it_sends_hears_of_it(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        older, other = broker.publication(topic, _NAME), self.open(place)
        opened = []

        def overtaken() -> Iterator[Message]:
            for number, message in enumerate(numbered(0, 1_000)):
                if number == 100:
                    opened.append(other.publication(topic, _NAME))
                    opened[0].write(numbered(0, 3), {"next": 3})
                if number % 100 == 0:
                    time.sleep(0.02)  # so that some are on their way
                yield message

        with pytest.raises(Conflict, match=topic):
            older.write(overtaken(), {"next": 1_000})
        older.close()
        assert self.numbers(broker, topic, 3) == list(range(3))
        opened[0].close()
        other.close()

    def test_publications_of_other_names_go_on_beside_it(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        names = [f"{_NAME}-{number}" for number in range(3)]
        publications = [broker.publication(topic, name) for name in names]
        for number, publication in enumerate(publications):
            publication.write(numbered(number * 10, 10), {"next": number})
        assert [publication.progress() for publication in publications] == [{"next": n} for n in range(3)]
        assert [broker.published(topic, name) for name in names] == [{"next": n} for n in range(3)]
        assert broker.publications(topic) == {name: {"next": n} for n, name in enumerate(names)}
        assert self.numbers(broker, topic, 30) == list(range(30))
        for publication in publications:
            publication.close()

    def test_others_may_write_into_the_topic_too(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)
        publication = broker.publication(topic, _NAME)
        publication.write(numbered(0, 2), {"next": 2})
        broker.write(topic, numbered(2, 2))
        publication.write(numbered(4, 2), {"next": 6})
        assert self.numbers(broker, topic, 6) == list(range(6))
        publication.close()

    def test_a_topic_that_is_not_there_is_refused(self, broker: Broker) -> None:
        for call in (broker.publication, broker.published):
            with pytest.raises(ConfigError, match="promises-none"):
                call("promises-none", _NAME)

    def test_two_processes_take_turns_and_none_doubles(self, place: Path, broker: Broker) -> None:
        topic = self.topic(place)

        def rival(chance: random.Random) -> int:
            mine, lost = self.open(place), 0
            while True:
                publication = mine.publication(topic, _NAME)
                try:
                    reached = (publication.progress() or {"next": 0})["next"]
                    for _ in range(chance.randint(1, 4)):
                        if reached >= 60:
                            return lost
                        publication.write(numbered(reached, 3), {"next": reached + 3})
                        reached += 3
                except CatchmentError:
                    lost += 1
                finally:
                    publication.close()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(rival, [random.Random(1), random.Random(2)]))
        self.in_order(broker, topic, 60)

    def test_killed_at_any_moment_it_publishes_each_message_once(self, place: Path, broker: Broker) -> None:
        topic, chance = self.topic(place), random.Random(7)
        reached: Sequence[str] = ()
        for _ in range(KILLS):
            with self.elsewhere(place, "publish_on", topic, _NAME, "1000000") as (child, told):
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
                first = int(told.readline())
                # What was told as committed is there for who goes on.
                assert first >= (int(reached[-1]) if reached else 0)
                time.sleep(chance.uniform(0, 0.08))
                child.send_signal(signal.SIGKILL)
                reached = [str(first), *(line.strip() for line in told if line.endswith("\n"))]
        publication = broker.publication(topic, _NAME)
        done = (publication.progress() or {"next": 0})["next"]
        assert done >= int(reached[-1]) > 0
        publication.close()
        self.in_order(broker, topic, done)
