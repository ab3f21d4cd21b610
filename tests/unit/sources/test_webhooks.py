"""Webhooks as a source: every promise on the real embedded log, and a delivery that came twice is one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catchment.interfaces import Source
from catchment.records import Batch, Budget, Cursor, Message, TopicSpec
from catchment.sources import webhooks
from catchment.sources.webhooks import Memory, WebhooksSource
from catchment.testing.sources import SourcePromises, committed, rows_in
from catchment.topics.embedded import EmbeddedBroker

_MORNING = datetime(2026, 3, 1, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Settings:
    topic: str | None = None
    format: Literal["json", "text"] = "json"
    on_gap: Literal["stop", "continue"] = "stop"
    remember: str = "24 hours"


class TestWebhooks(SourcePromises):
    @pytest.fixture(autouse=True)
    def _topic(self, tmp_path: Path) -> Iterator[None]:
        self.project = tmp_path
        self.broker = EmbeddedBroker(tmp_path / "topics")
        self.broker.declare([TopicSpec("notices", 1)])
        self.rows = 0
        yield
        self.broker.close()

    def source(self) -> Source:
        streams = {"notices": Settings(), "others": Settings("none")}
        return WebhooksSource("pay", streams, self.project, broker=EmbeddedBroker(self.project / "topics"))

    def add_rows(self, count: int) -> None:
        self.rows += count
        self.write(*(delivery(f"msg_{n}") for n in range(self.rows - count, self.rows)))

    def add_unreadable(self) -> None:
        self.write(Message(b'{"id": ', b"msg_broken", at=_MORNING), Message(b"\xff", at=_MORNING))

    def write(self, *messages: Message) -> None:
        self.broker.write("notices", messages)

    def landed(self, since: Cursor | None, budget: Budget | None = None) -> tuple[list[str], Cursor | None]:
        """Keys that a run would land after a cursor, and the cursor as it comes back from the table."""
        batches = list(self.batches(since, budget or Budget()))
        given = [batch.cursor for batch in batches if batch.cursor is not None]
        return keys(batches), committed(since, given)

    def test_a_delivery_that_came_twice_is_one_row_in_one_read_and_in_the_next_one(self) -> None:
        self.write(delivery("a"), delivery("b"), delivery("a", minutes=1))
        first, cursor = self.landed(None)
        self.write(delivery("b", minutes=2), delivery("c", minutes=2), delivery("c", minutes=3))
        second, cursor = self.landed(cursor)
        self.write(delivery("a", minutes=4))
        third, _ = self.landed(cursor)
        assert (first, second, third) == (["a", "b"], ["c"], [])

    def test_what_is_left_out_is_told(self) -> None:
        self.write(delivery("a"), delivery("a"), delivery("b"), delivery("a"))
        notices = [notice for batch in self.batches(budget=Budget()) for notice in batch.notices]
        assert [notice.kind for notice in notices] == ["left_out"]
        assert notices[0].message == "2 deliveries that came again within 24 hours left out"

    def test_each_coming_begins_the_time_anew_and_after_it_a_delivery_is_a_new_one(self) -> None:
        day = 24 * 60
        self.write(delivery("a"), delivery("a", minutes=day), delivery("a", minutes=2 * day))
        self.write(delivery("a", minutes=3 * day + 11))
        assert self.landed(None)[0] == ["a", "a"]

    def test_a_message_without_an_id_is_always_a_row(self) -> None:
        self.write(Message(b"{}", at=_MORNING), Message(b"{}", at=_MORNING))
        assert self.landed(None)[0] == [None, None]

    def test_a_load_of_nothing_but_known_deliveries_moves_on(self) -> None:
        self.write(delivery("a"))
        _, cursor = self.landed(None)
        self.write(delivery("a"), delivery("a"))
        assert self.landed(cursor)[0] == []
        _, cursor = self.landed(cursor)
        assert not self.source().describe(self.feed(), cursor).is_new

    def test_a_lost_cursor_brings_its_memory_along(self) -> None:
        self.write(delivery("a"), delivery("b"))
        origins = pa.table({"_origin": ["notices/0"], "rows": [2], "last": [1]})
        cursor = self.source().recognize(self.feed(), origins)
        self.write(delivery("b"), delivery("c"))
        assert self.landed(cursor)[0] == ["c"]

    def test_only_what_is_new_is_remembered_with_each_load_and_all_of_it_now_and_then(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(webhooks, "_MOST_PARTS", 3)
        cursor, sizes = None, []
        for number in range(6):
            self.write(delivery(f"msg_{number}"))
            batches = list(self.batches(cursor, Budget()))
            given = next(batch.cursor for batch in batches if batch.cursor is not None)
            assert given.seen is not None
            sizes.append((given.seen.num_rows, given.anew))
            cursor = committed(cursor, [given])
        assert sizes == [(1, False), (1, False), (1, False), (4, True), (1, False), (1, False)]
        self.write(*(delivery(f"msg_{number}") for number in range(6)))
        assert self.landed(cursor)[0] == []

    def test_more_deliveries_than_can_be_remembered_are_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(webhooks, "MOST_REMEMBERED", 2)
        self.write(*(delivery(key, minutes=n) for n, key in enumerate("abc")))
        notices = [notice.kind for batch in self.batches(budget=Budget()) for notice in batch.notices]
        assert notices == ["window_shortened"]
        _, cursor = self.landed(None)
        self.write(*(delivery(key, minutes=4) for key in "abc"))
        assert self.landed(cursor)[0] == ["a"]

    def test_what_was_never_received_is_said_with_what_to_start(self) -> None:
        source = self.source()
        others = source.feeds()[1]
        assert [notice.message for notice in source.describe(others, None).notices] == [
            "nothing was received yet for pay.others: there is no topic none"
        ]
        assert [(found.severity, found.hint) for found in source.probe(others)] == [
            ("warning", "start it: catchment receive")
        ]

    def test_a_tombstone_is_no_delivery(self) -> None:
        self.write(Message(None, b"a", at=_MORNING))
        assert rows_in(self.batches())[0]["_defect"] == "a message without a value"


def test_old_ones_are_forgotten_when_most_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_DEAD", 0)
    memory = Memory(None, 60)
    seen(memory, [("a", 0), ("b", 1), ("c", 2)])
    memory.cursor(Cursor())
    seen(memory, [("d", 500)])
    cursor, _ = memory.cursor(Cursor())
    assert cursor.anew
    assert cursor.seen is not None
    assert cursor.seen.num_rows == 1


def test_a_clock_that_ran_ahead_makes_nothing_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "_MOST_PARTS", 0)
    now = datetime.now(UTC).timestamp()
    memory = Memory(None, 3600)
    seen(memory, [("a", now), ("ahead", now + 100 * 86_400)])
    cursor, _ = memory.cursor(Cursor())
    assert seen(Memory(cursor, 3600), [("a", now + 60)]) == [False]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 300), st.booleans()), max_size=25))
def test_memory_agrees_with_looking_at_every_delivery_by_itself(came: list[tuple[str, int, bool]]) -> None:
    """However reads are cut (the third of each), with a memory that comes back from the table between two of them."""
    expected, last = [], dict[str, int]()
    for key, at, _ in came:
        expected.append(key not in last or abs(at - last[key]) > 100)
        last[key] = max(at, last.get(key, at))
    got, cursor = list[bool](), None
    for part in cut(came):
        memory = Memory(cursor, 100)
        got += seen(memory, [(key, at) for key, at, _ in part])
        cursor = committed(cursor, [memory.cursor(Cursor())[0]])
    assert got == expected


def cut(came: Sequence[tuple[str, int, bool]]) -> list[list[tuple[str, int, bool]]]:
    parts: list[list[tuple[str, int, bool]]] = [[]]
    for one in came:
        parts[-1].append(one)
        if one[2]:
            parts.append([])
    return parts


def seen(memory: Memory, came: Sequence[tuple[str, float]]) -> list[bool]:
    names = pa.chunked_array([pa.array([key for key, _ in came], pa.string())])
    instants = pa.chunked_array([pa.array([int(at * 1e6) for _, at in came], pa.timestamp("us", tz="UTC"))])
    fresh: list[bool] = memory.fresh(names, instants).tolist()
    return fresh


def delivery(key: str, minutes: int = 0) -> Message:
    return Message(b'{"id": "%s"}' % key.encode(), key.encode(), at=_MORNING + timedelta(minutes=minutes))


def keys(batches: Sequence[Batch]) -> list[Any]:
    return [key for batch in batches for key in batch.rows.column("message_key").to_pylist()]
