"""Topics as a source: every promise on the real embedded log, gaps, and messages that are not what they should be."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest

from catchment.errors import ConfigError, DataError, Passed
from catchment.interfaces import Source
from catchment.records import Batch, Budget, Cursor, Description, Message, Notice, TopicSpec
from catchment.sources.topic import following
from catchment.sources.topic.source import TopicSource
from catchment.testing.sources import SourcePromises
from catchment.topics.embedded import EmbeddedBroker

_LONG_AGO = datetime(2026, 3, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Settings:
    topic: str | None = "events"
    format: Literal["json", "text", "debezium"] = "json"
    from_: Literal["earliest", "latest"] = "earliest"
    on_gap: Literal["stop", "continue"] = "stop"
    tombstones: Literal["row", "defect"] = "row"
    shards: int = 1


class _OverATopic(SourcePromises):
    settings = Settings()
    partitions = 3

    @pytest.fixture(autouse=True)
    def _topic(self, tmp_path: Path) -> Iterator[None]:
        self.project = tmp_path
        self.broker = EmbeddedBroker(tmp_path / "topics")
        self.broker.declare([TopicSpec("events", self.partitions)])
        self.rows = 0
        yield
        self.broker.close()

    def source(self) -> Source:
        streams = {"clicks": self.settings, "others": Settings("none")}
        return TopicSource("web", streams, self.project, broker=EmbeddedBroker(self.project / "topics"))

    def numbers(self, count: int) -> list[int]:
        self.rows += count
        return list(range(self.rows - count, self.rows))

    def write(self, *values: bytes | None, key: bytes | None = None) -> None:
        self.broker.write("events", [Message(value, key) for value in values])


class TestJson(_OverATopic):
    def add_rows(self, count: int) -> None:
        messages = [Message(b'{"id": %d}' % n, b"key-%d" % n, at=_LONG_AGO) for n in self.numbers(count)]
        self.broker.write("events", messages)

    def add_unreadable(self) -> None:
        self.write(b'{"id": ', b"\xff", b'{"id": NaN}')


class TestText(_OverATopic):
    settings = Settings(format="text")
    partitions = 1

    def add_rows(self, count: int) -> None:
        self.write(*(b"line %d\n" % n for n in self.numbers(count)))

    def add_unreadable(self) -> None:
        self.write(b"good", b"caf\xe9")


class TestDebezium(_OverATopic):
    settings = Settings(format="debezium")

    def add_rows(self, count: int) -> None:
        self.write(*(_envelope("c", after={"id": n}) for n in self.numbers(count)))

    def add_unreadable(self) -> None:
        self.write(b'{"op": "x"}', b"{", b"[]", _envelope("u"))


def _envelope(op: str, **parts: Any) -> bytes:
    return json.dumps({"before": None, "after": None, "op": op, "ts_ms": 1_772_366_400_123, **parts}).encode()


def _is_json(value: bytes) -> bool:
    """As the standard has it."""
    try:
        return b"NaN," in value or b"NaN" not in json.dumps(json.loads(value)).encode()
    except ValueError:
        return False


# What each of the following reads.
_HERE = Settings()


@dataclass
class _Log:
    """A topic of one partition, in segments so small that a few messages fill one, and its readers."""

    folder: Path
    broker: EmbeddedBroker

    def write(self, *values: bytes | None, partition: int = 0, at: datetime | None = None, **beside: Any) -> None:
        self.broker.write("events", [Message(value, partition=partition, at=at, **beside) for value in values])

    def fill(self, first: int, count: int, *, partition: int = 0, at: datetime | None = None) -> None:
        """So many messages of 1 KB, a segment for four of them."""
        for number in range(first, first + count):
            self.write(b'{"id": %d, "x": "%s"}' % (number, b"x" * 1000), partition=partition, at=at)

    def forget(self) -> None:
        """Retention takes all that is not being written."""
        self.broker.expire("events", datetime.now(UTC) + timedelta(days=8))

    def anew(self, partitions: int = 1) -> None:
        """Somebody else takes the topic away and makes one of the same name."""
        shutil.rmtree(self.folder / "topics/events")
        spec = TopicSpec("events", partitions, retention_s=3600)
        EmbeddedBroker(self.folder / "topics", segment_bytes=32_000).declare([spec])

    def source(self, settings: Settings = _HERE) -> TopicSource:
        return TopicSource("web", {"clicks": settings}, self.folder, broker=self.broker)

    def read(self, since: Cursor | None = None, settings: Settings = _HERE, budget: Budget | None = None) -> _Read:
        source = self.source(settings)
        return _Read(list(source.read(source.feeds()[0], since, budget or Budget())))

    def describe(self, since: Cursor | None = None, settings: Settings = _HERE) -> Description:
        source = self.source(settings)
        return source.describe(source.feeds()[0], since)


@dataclass
class _Read:
    batches: list[Batch]

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [row for batch in self.batches for row in batch.rows.to_pylist()]

    @property
    def ids(self) -> list[int]:
        return [json.loads(row["document"])["id"] for row in self.rows]

    @property
    def cursor(self) -> Cursor:
        found = self.batches[-1].cursor
        assert found is not None
        return found

    @property
    def notices(self) -> list[Notice]:
        return [notice for batch in self.batches for notice in batch.notices]


@pytest.fixture
def log(tmp_path: Path) -> Iterator[_Log]:
    broker = EmbeddedBroker(tmp_path / "topics", segment_bytes=32_000)
    broker.declare([TopicSpec("events", 1, retention_s=3600)])
    yield _Log(tmp_path, broker)
    broker.close()


def test_a_row_says_where_its_message_was_and_what_stood_beside_it(log: _Log) -> None:
    log.write(b'{"n": 1.10}', key=b"u-1", headers=[("type", b"click"), ("to", "Zo\u00eb".encode())], at=_LONG_AGO)
    log.write(b"[2]", key=b"\xff\x00a", headers=[("x", b"1"), ("x", b"\xff")], at=_LONG_AGO)
    log.write(b"3", at=_LONG_AGO)
    assert log.read().rows == [
        {
            "_origin": "events/0",
            "_position": position,
            "_defect": None,
            "_raw": None,
            "document": document,
            "message_key": key,
            "message_headers": headers,
            "message_at": _LONG_AGO,
        }
        for position, (document, key, headers) in enumerate(
            [
                ('{"n": 1.10}', "u-1", '{"type": "click", "to": "Zo\u00eb"}'),
                ("[2]", "\\xff\x00a", '[["x", "1"], ["x", {"base64": "/w=="}]]'),
                ("3", None, None),
            ]
        )
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "not valid JSON: Expecting value at character 0"),
        (b"{", "not valid JSON"),
        (b'{"a": 1} x', "not valid JSON: Extra data"),
        (b"caf\xe9", "not valid UTF-8 at byte 3 of the message"),
        (b'{"a": "\x00"}', "NUL byte at character 7 of the message"),
        (b'"\\ud800"', "not valid JSON"),
        (b"NaN", "not valid JSON: NaN is no number of JSON"),
        (b'{"a":NaN}', "not valid JSON: NaN is no number of JSON"),
        (b'{"a": -Infinity}', "not valid JSON: -Infinity is no number of JSON"),
        (b"[1, inf]", "not valid JSON"),
        (b"[1,]", "not valid JSON"),
        (b'{"a": 1,\n}', "not valid JSON"),
        (b'"%s"' % (b"x" * (16 << 20)), "a message of more than 16 MB; the first 65,536 of"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_a_poison_message_is_a_defect_among_good_rows(log: _Log, value: bytes, reason: str) -> None:
    log.broker = EmbeddedBroker(log.folder / "topics", message_bytes=32 << 20)
    log.write(b'{"id": 1}', value, b'{"id": 2}')
    rows = log.read().rows
    assert [row["document"] for row in rows] == ['{"id": 1}', None, '{"id": 2}']
    assert [row["_raw"] for row in rows] == [None, value[: 64 << 10], None]
    assert [row["_defect"] is None for row in rows] == [True, False, True]
    assert rows[1]["_defect"].startswith(reason)


@pytest.mark.parametrize(
    "value",
    [b'"NaN, nan, inf"', b'{"a": "x,]", "b": ",}"}', b"1e999", b"null", b" {} ", b"9" * 5000, b'[", nan]", 1]'],
)
def test_what_only_looks_like_poison_is_none(log: _Log, value: bytes) -> None:
    log.write(value)
    assert [(row["document"], row["_defect"]) for row in log.read().rows] == [(value.decode(), None)]


def test_good_poison_and_tombstones_in_any_order_keep_their_places(log: _Log) -> None:
    chance = random.Random(7)
    kinds = [b'{"n": %d}', b"%d", b'{"n": %d,}', b"[%d, NaN]", b"{%d", b"\xff%d", b'"NaN, %d"', None]
    values = [None if kind is None else kind % n for n, kind in enumerate(chance.choices(kinds, k=300))]
    log.write(*values)
    rows = log.read(budget=Budget(bytes=1)).rows
    assert [row["_position"] for row in rows] == list(range(300))
    for value, row in zip(values, rows, strict=True):
        is_good = value is None or _is_json(value)
        assert (row["_defect"] is None) == is_good
        assert row["document"] == (value.decode() if value is not None and is_good else None)
        assert row["_raw"] == (None if is_good else value)


def test_a_tombstone_is_a_row_without_a_document_or_a_defect_as_the_stream_says(log: _Log) -> None:
    log.write(b'{"id": 1}', None, b"{", key=b"u-1")
    rows = log.read().rows
    assert [(row["message_key"], row["document"], row["_raw"]) for row in rows][1] == ("u-1", None, None)
    assert [row["_defect"] is None for row in rows] == [True, True, False]
    strict = log.read(settings=Settings(tombstones="defect")).rows
    assert [row["_defect"] for row in strict][:2] == [None, "a message without a value"]
    assert [row["_raw"] for row in strict] == [None, b"", b"{"]


def test_text_lands_as_it_is_and_needs_no_form(log: _Log) -> None:
    log.write(b"a,b\r\n", b"", None, b"\xff", b"NaN")
    rows = log.read(settings=Settings(format="text")).rows
    assert [row["value"] for row in rows] == ["a,b\r\n", "", None, None, "NaN"]
    assert [row["_defect"] for row in rows] == [*[None] * 3, "not valid UTF-8 at byte 0 of the message", None]


def test_loads_are_cut_by_size_and_each_partition_keeps_its_order(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "topics", segment_bytes=32_000)
    broker.declare([TopicSpec("events", 3)])
    log = _Log(tmp_path, broker)
    for number in range(60):
        log.fill(number, 1, partition=number % 3)
    read = log.read(budget=Budget(bytes=8_000))
    loads = [batch for batch in read.batches if batch.cursor is not None]
    assert len(loads) > 3
    assert sum(batch.bytes for batch in read.batches) > 60_000
    for partition in range(3):
        assert [number for number in read.ids if number % 3 == partition] == list(range(partition, 60, 3))
    assert dict(read.cursor.value)["offsets"] == {"0": 20, "1": 20, "2": 20}


def test_messages_that_come_while_a_read_goes_on_are_left_to_the_next(log: _Log) -> None:
    log.fill(0, 10)
    source = log.source()
    batches = source.read(source.feeds()[0], None, Budget())
    first = next(batches)
    log.fill(10, 5)
    read = _Read([first, *batches])
    assert read.ids == list(range(10))
    assert log.read(read.cursor).ids == list(range(10, 15))


def test_a_partition_that_is_new_is_read_from_its_beginning(log: _Log) -> None:
    log.fill(0, 3)
    before = log.read(settings=Settings(from_="latest"))
    assert before.rows == []
    log.broker.declare([TopicSpec("events", 2)])
    log.fill(3, 2, partition=1)
    assert log.read(before.cursor, Settings(from_="latest")).ids == [3, 4]


def test_latest_begins_behind_what_was_there_at_the_first_read_even_in_an_empty_topic(log: _Log) -> None:
    latest = Settings(from_="latest")
    assert log.describe(settings=latest).is_new
    empty = log.read(settings=latest)
    assert empty.rows == []
    log.fill(0, 2)
    assert log.read(empty.cursor, latest).ids == [0, 1]
    later = log.read(settings=latest)
    assert later.rows == []
    assert "2 messages" in log.describe(settings=latest).notices[0].message
    log.fill(2, 2)
    assert log.read(later.cursor, latest).ids == [2, 3]
    assert not log.describe(log.read(later.cursor, latest).cursor, latest).is_new


def test_a_look_at_a_stream_from_latest_shows_its_last_messages(log: _Log) -> None:
    log.fill(0, 20)
    assert log.read(settings=Settings(from_="latest"), budget=Budget(rows=3)).ids == [17, 18, 19]


def test_messages_that_went_before_they_were_read_stop_it_with_what_was_lost_and_the_cure(log: _Log) -> None:
    log.fill(0, 10, at=_LONG_AGO)
    landed = log.read().cursor
    log.fill(10, 90, at=_LONG_AGO + timedelta(hours=1))
    log.forget()
    log.fill(100, 3, at=_LONG_AGO + timedelta(hours=2))
    first = log.broker.bounds("events")[0][0]
    for asked in (log.read, log.describe):
        with pytest.raises(Passed) as stopped:
            asked(landed)
        assert stopped.value.message == (
            f"web.clicks: {first - 10} messages of topic events went before they were read: 10 to {first - 1} of"
            " partition 0 (the last one read is of 2026-03-01 12:00:00 UTC, the first one kept of 2026-03-01 14:00:00"
            " UTC)"
        )
        assert "on_gap: continue" in str(stopped.value.hint)


def test_with_continue_what_was_lost_is_counted_and_told_and_the_rest_lands(log: _Log) -> None:
    go_on = Settings(on_gap="continue")
    log.fill(0, 10)
    landed = log.read().cursor
    log.fill(10, 90)
    log.forget()
    log.fill(100, 3)
    first = log.broker.bounds("events")[0][0]
    assert log.describe(landed, go_on).notices[0].kind == "lost"
    read = log.read(landed, go_on)
    assert read.ids == list(range(first, 103))
    (notice,) = read.notices
    assert (notice.kind, notice.detail["messages"]) == ("lost", first - 10)
    assert notice.detail["partitions"] == {"0": [10, first - 1]}
    assert log.read(read.cursor, go_on).batches == []


def test_a_topic_that_lost_everything_is_told_of_once_without_a_row(log: _Log) -> None:
    go_on = Settings(on_gap="continue")
    log.fill(0, 10)
    landed = log.read().cursor
    log.fill(10, 30)
    log.forget()
    assert log.broker.bounds("events")[0] == (40, 40)
    about = log.describe(landed, go_on)
    assert (about.items, about.item) == (1, "gap")
    read = log.read(landed, go_on)
    assert read.rows == []
    assert [notice.detail["messages"] for notice in read.notices] == [30]
    assert log.read(read.cursor, go_on).batches == []


def test_what_was_lost_of_several_partitions_is_told_in_one(log: _Log) -> None:
    log.broker.declare([TopicSpec("events", 3)])
    for partition in range(3):
        log.fill(0, 5, partition=partition)
    landed = log.read().cursor
    log.fill(5, 1)
    log.fill(5, 2, partition=2)
    log.forget()
    with pytest.raises(Passed, match=r"3 messages of topic events .*: 5 of partition 0 \(.*\); 5 to 6 of partition 2"):
        log.read(landed)
    (notice,) = log.read(landed, Settings(on_gap="continue")).notices
    assert notice.detail["partitions"] == {"0": [5, 5], "2": [5, 6]}


@pytest.mark.parametrize("on_gap", ["stop", "continue"])
def test_retention_that_overtakes_a_read_is_a_gap_as_well(
    log: _Log, on_gap: Literal["stop", "continue"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_FEW", 0)  # so few would all be read before the first is handed on
    log.broker.declare([TopicSpec("events", 2)])
    log.fill(0, 40)
    log.fill(100, 40, partition=1)
    source = log.source(Settings(on_gap=on_gap))
    batches = source.read(source.feeds()[0], None, Budget(bytes=1))
    got = [next(batches)]
    log.forget()
    log.fill(200, 1, partition=1)
    if on_gap == "stop":
        with pytest.raises(
            Passed, match="33 messages of topic events went before they were read: 7 to 39 of partition 0"
        ):
            got.extend(batches)
    else:
        got.extend(batches)
    read = _Read(got)
    lost = sum(notice.detail["messages"] for notice in read.notices)
    assert lost if on_gap == "continue" else not lost
    assert on_gap == "stop" or len(read.ids) + lost == 80


def test_a_cursor_of_another_topic_is_not_read_on(log: _Log) -> None:
    log.fill(0, 5)
    landed = log.read().cursor
    log.broker.declare([TopicSpec("other", 1)])
    with pytest.raises(ConfigError, match="was read from topic events; the project now says other"):
        log.read(landed, Settings(topic="other"))


def _without_identity(cursor: Cursor) -> Cursor:
    """As a version before 0.5 left it."""
    return Cursor({key: told for key, told in cursor.value.items() if key != "id"})


@pytest.mark.parametrize("length", [0, 3, 5, 30], ids=lambda length: f"{length} messages anew")
@pytest.mark.parametrize("partitions", [1, 2])
def test_a_topic_made_anew_stops_a_stream_or_is_read_from_its_beginning(
    log: _Log, length: int, partitions: int
) -> None:
    log.fill(0, 5)
    landed = log.read().cursor
    log.anew(partitions)
    log.fill(100, length)
    for read in (log.read, log.describe):
        with pytest.raises(DataError, match=r"topic events was made anew since it was read.*\n.*on_gap: continue at"):
            read(landed)
    onward = Settings(on_gap="continue", from_="latest")
    assert log.describe(landed, onward).is_new
    read = log.read(landed, onward)
    assert read.ids == list(range(100, 100 + length))
    (notice,) = read.notices
    assert notice.kind == "lost"
    assert notice.detail == {"stream": "web.clicks", "topic": "events", "landed": {"0": 5}}
    # It is told once, and the key may be taken out again.
    log.fill(200, 2)
    assert log.read(read.cursor).ids == [200, 201]
    assert log.read(read.cursor, onward).notices == []
    source = log.source()
    assert source.wait(source.feeds()[0], landed, 0)


def test_what_retention_took_of_a_topic_made_anew_is_told_as_well(log: _Log) -> None:
    log.fill(0, 5)
    landed = log.read().cursor
    log.anew()
    log.fill(100, 20)
    log.forget()
    log.fill(200, 2)
    read = log.read(landed, Settings(on_gap="continue"))
    assert read.ids == [200, 201]
    assert [notice.message.partition(":")[0] for notice in read.notices] == [
        "topic events was made anew since it was read",
        "20 messages of topic events went before they were read",
    ]


def test_a_cursor_that_does_not_say_which_topic_it_read_takes_the_one_that_is_there(log: _Log) -> None:
    log.fill(0, 5)
    old = _without_identity(log.read().cursor)
    assert log.read(old).batches == []
    log.fill(5, 5)
    landed = log.read(old).cursor
    assert landed.value["id"] == log.broker.identity("events")
    log.anew()
    log.fill(100, 1)
    # It is shorter than what has landed: that one is another.
    with pytest.raises(DataError, match="made anew"):
        log.read(old)
    assert log.read(old, Settings(on_gap="continue")).ids == [100]
    log.fill(101, 20)
    with pytest.raises(DataError, match="made anew"):
        log.read(landed)


@pytest.mark.parametrize("on_gap", ["stop", "continue"])
def test_an_older_copy_of_a_topic_is_not_read_on(log: _Log, on_gap: Literal["stop", "continue"]) -> None:
    """What would be written to it has the offsets of what has landed: nobody could tell which is which."""
    log.fill(0, 3)
    log.broker.close()
    shutil.copytree(log.folder / "topics/events", log.folder / "copy")
    log.fill(3, 2)
    landed = log.read().cursor
    log.broker.close()
    shutil.rmtree(log.folder / "topics/events")
    shutil.move(log.folder / "copy", log.folder / "topics/events")
    log.broker = EmbeddedBroker(log.folder / "topics")
    with pytest.raises(DataError, match=r"up to 4 of events/0 have landed, and it now ends before 3"):
        log.read(landed, Settings(on_gap=on_gap))


def test_shards_of_which_some_have_seen_a_topic_made_anew_go_on_in_that_one(log: _Log) -> None:
    topic, onward = "events", Settings(on_gap="continue", shards=2)
    log.broker.declare([TopicSpec(topic, 2)])
    log.fill(0, 9, partition=0)
    log.fill(50, 9, partition=1)
    source = log.source(onward)
    first, second = source.feeds()
    cursors = [list(source.read(feed, None, Budget()))[-1].cursor for feed in (first, second)]
    log.anew(2)
    log.fill(100, 2, partition=0)
    log.fill(150, 2, partition=1)
    landed = _Read(list(source.read(first, cursors[0], Budget())))
    assert landed.ids == [100, 101]
    assert cursors[1] is not None
    for known in ([landed.cursor, cursors[1]], [cursors[1], landed.cursor], [_without_identity(cursors[1])]):
        joined = source.joined(second, [landed.cursor, *known])
        assert joined.value["offsets"] == {"0": 2}
        assert _Read(list(source.read(second, joined, Budget()))).ids == [150, 151]


def test_a_topic_that_is_not_there_is_told_of_until_it_was_read(log: _Log) -> None:
    absent = Settings(topic="event")
    assert log.read(settings=absent).batches == []
    (notice,) = log.describe(settings=absent).notices
    assert notice.kind == "nothing_found"
    assert "did you mean `events`?" in notice.message
    source = log.source(absent)
    (finding,) = source.probe(source.feeds()[0])
    assert finding.severity == "warning"
    log.fill(0, 1)
    landed = log.read().cursor
    shutil.rmtree(log.folder / "topics/events")
    with pytest.raises(ConfigError, match="no topic events"):
        log.read(landed)


def test_a_stream_is_its_topic_s_name_unless_it_says_another(log: _Log) -> None:
    log.fill(0, 1)
    source = TopicSource("web", {"events": Settings(topic=None)}, log.folder, broker=log.broker)
    assert sum(batch.rows.num_rows for batch in source.read(source.feeds()[0], None, Budget())) == 1


def test_a_reader_that_retention_nearly_catches_up_with_is_warned(log: _Log) -> None:
    log.fill(0, 10)
    log.forget()
    log.fill(10, 2)
    landed = log.read().cursor
    log.fill(12, 1)
    assert log.describe(landed).notices == ()
    log.fill(13, 3)
    (notice,) = log.describe(landed).notices
    assert notice.message.startswith("4 of the 6 messages that events/0 keeps are not read")
    assert log.describe().notices == log.describe(log.read(landed).cursor).notices == ()


def test_probing_counts_what_is_kept_and_what_went(log: _Log) -> None:
    log.fill(0, 20)
    log.forget()
    log.fill(20, 2)
    source = log.source()
    (finding,) = source.probe(source.feeds()[0])
    assert finding.message == "2 messages in 1 partition of events; 20 from before are not kept any more"


def test_waiting_ends_when_a_message_comes(log: _Log) -> None:
    source = log.source()
    feed = source.feeds()[0]
    log.fill(0, 1)
    landed = log.read().cursor
    assert source.wait(feed, None, 5)
    assert not source.wait(feed, landed, 0.02)
    absent = log.source(Settings(topic="absent"))
    assert not absent.wait(absent.feeds()[0], None, 0.02)
    writing = threading.Timer(0.05, log.fill, (1, 1))
    writing.start()
    begun = time.monotonic()
    assert source.wait(feed, landed, 20)
    assert time.monotonic() - begun < 10
    writing.join()


def test_rows_of_another_topic_do_not_tell_a_cursor(log: _Log) -> None:
    source = log.source()
    origins = pa.table({"_origin": ["other/0"], "rows": [1], "last": [7]})
    with pytest.raises(ConfigError, match="not of topic events"):
        source.recognize(source.feeds()[0], origins)
