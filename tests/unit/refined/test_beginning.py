"""A topic holds what one table publishes: whoever comes second is told, and so is whoever comes at the same moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from catchment.naming import ROW_ID
from catchment.records import Message, TopicSpec
from catchment.refined.beginning import begin, is_another, taken
from catchment.refined.place import Place
from catchment.topics.embedded import EmbeddedBroker

OURS, OTHERS = "shop.local.silver.orders", "store.local.silver.orders"
ROW = Message(b"{}", b"k", [(ROW_ID, b"drops.rows/0/1/0")])


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path)
    broker.declare([TopicSpec("t", 3)])
    yield broker
    broker.close()


def began(broker: EmbeddedBroker, name: str) -> str | None:
    publication = broker.publication("t", name)
    why = begin(broker, "t", name, publication)
    if why is None:
        publication.write([ROW], Place(1, topic=broker.identity("t")).progress())
    publication.close()
    return why


def test_the_first_one_begins_and_the_second_one_is_told_who_that_is(broker: EmbeddedBroker) -> None:
    assert began(broker, OURS) is None
    assert OURS in str(began(broker, OTHERS))
    assert broker.published("t", OTHERS) is None


def test_who_was_killed_before_its_first_message_begins_again(broker: EmbeddedBroker) -> None:
    for _ in range(3):
        publication = broker.publication("t", OURS)
        assert begin(broker, "t", OURS, publication) is None
        assert Place.of(publication.progress()) is None
    assert OURS in str(began(broker, OTHERS))
    assert began(broker, OURS) is None


def test_of_two_that_begin_at_the_same_moment_none_writes(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One is between its look and its claim when the other begins."""
    publication, inner = broker.publication("t", OURS), broker.publications
    told: list[str | None] = []

    def looked(topic: str) -> dict[str, object]:
        found: dict[str, object] = dict(inner(topic))
        monkeypatch.setattr(broker, "publications", inner)
        other = EmbeddedBroker(broker._folder)
        told.append(begin(other, topic, OTHERS, other.publication(topic, OTHERS)))
        return found

    monkeypatch.setattr(broker, "publications", looked)
    assert OTHERS in str(begin(broker, "t", OURS, publication))
    assert told == [None]
    # The one goes on, and the other's claim is no longer there.
    assert began(broker, OTHERS) is None
    assert OTHERS in str(began(broker, OURS))
    assert sum(end for _, end in broker.bounds("t").values()) == 1


def test_a_topic_that_only_applications_write_into_is_free(broker: EmbeddedBroker) -> None:
    broker.write("t", [Message(b"{}", headers=[("trace", b"1")]), Message(b"{}")])
    assert began(broker, OURS) is None


def test_rows_that_nobody_knows_of_any_more_are_found_by_their_header(broker: EmbeddedBroker) -> None:
    broker.write("t", [ROW])
    broker.write("t", [Message(b"{}", b"k")] * 50)
    assert "nobody knows any more" in str(began(broker, OURS))


@pytest.mark.parametrize(("messages", "is_free"), [(1, False), (0, True)])
def test_what_an_older_version_has_published_says_nothing_of_its_topic(
    broker: EmbeddedBroker, messages: int, is_free: bool
) -> None:
    publication = broker.publication("t", OTHERS)
    publication.write([ROW] * messages, {"sent": 1, "messages": messages})
    assert (began(broker, OURS) is None) == is_free


def test_progress_in_a_topic_that_was_removed_is_none_in_the_new_one(
    broker: EmbeddedBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Kafka, which keeps progress apart from its topic."""
    assert began(broker, OTHERS) is None
    kept = broker.publications("t")
    place = Place.of(kept[OTHERS])
    assert place is not None
    assert not is_another(place, broker.identity("t"))
    shutil.rmtree(tmp_path / "t")
    broker.declare([TopicSpec("t", 3)])
    assert is_another(place, broker.identity("t"))
    broker.write("t", [Message(b"{}")])
    monkeypatch.setattr(broker, "publications", lambda _: kept)
    assert taken(broker, "t", OURS) is None
