"""A topic as a sink laid it down: whatever was written again, in whatever lengths, each message is given once."""

from __future__ import annotations

import base64
import gzip
import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pyarrow as pa
import pytest

from catchment.errors import DataError, Passed
from catchment.naming import bronze_table
from catchment.records import Budget, Cursor, Feed, message_schema
from catchment.sources.files.found import FoundFile
from catchment.sources.mirrors.lines import Lines
from catchment.sources.mirrors.objects import Laid, Mirror, Objects
from catchment.sources.topic.following import Following, Place
from catchment.sources.topic.rows import Messages, Numbered

FEED = Feed("clicks.events", bronze_table("clicks.events"))


def line(offset: int, *, partition: int = 0, key: str | None = None, value: bytes | None = b"{}", wrapped: bool) -> str:
    encoded = None if value is None else base64.b64encode(value).decode()
    inner = {"value": encoded, "partition": partition, "offset": offset, "at": 1_700_000_000_000 + offset}
    if not wrapped:
        return json.dumps(inner)
    return json.dumps({"key": None if key is None else base64.b64encode(key.encode()).decode(), "value": inner})


class Bucket:
    """Stands for a bucket whose objects change at times that a test chooses: `first: (until, when)` by partition."""

    def __init__(self, objects: Mapping[int, Mapping[int, tuple[int, int]]]) -> None:
        self.objects = objects

    def listed(self, topic: str) -> dict[int, list[Laid]]:
        return {
            partition: [
                Laid(
                    first,
                    when,
                    FoundFile(f"{topic}/{partition}/{first}", cast(Any, None), "", 0, when, f"{until}@{when}"),
                )
                for first, (until, when) in sorted(found.items())
            ]
            for partition, found in self.objects.items()
            if found
        }

    def messages(self, laid: Laid, partition: int) -> pa.Table:
        until, _ = self.objects[partition][laid.first]
        offsets = range(laid.first, until)
        columns = {
            "partition": pa.array([partition] * len(offsets), pa.int32()),
            "offset": pa.array(offsets, pa.int64()),
            "at": pa.array([0] * len(offsets), pa.timestamp("us", "UTC")),
            "key": pa.nulls(len(offsets), pa.binary()),
            "value": pa.array([json.dumps({"n": one}).encode() for one in offsets], pa.binary()),
            "headers": pa.nulls(len(offsets), message_schema().field("headers").type),
        }
        return pa.table(columns, schema=message_schema())

    def end(self, laid: Laid, partition: int) -> int:
        return self.objects[partition][laid.first][0]


def read(bucket: Bucket, since: Cursor | None = None, on_gap: str = "stop") -> tuple[list[int], Cursor | None]:
    """The numbers of the messages of one partition that a read gives, and the cursor after it."""
    offsets = Place.of("events", since, FEED.name).offsets
    mirror = Mirror(cast(Objects, bucket), offsets).of("events")
    reads = SimpleNamespace(from_="earliest", on_gap=on_gap)
    following = Following(mirror, FEED, "events", cast(Any, reads), since)
    numbers: list[int] = []
    cursor = since
    for batch in following.read(Messages(Numbered(), documents=True, tombstones=True), Budget(bytes=1)):
        numbers += [json.loads(text)["n"] for text in batch.rows.column("document").to_pylist()]
        cursor = batch.cursor or cursor
    return numbers, cursor


def test_objects_in_a_row_are_read_one_after_the_other() -> None:
    bucket = Bucket({0: {0: (10, 1), 10: (25, 2), 25: (26, 3)}})
    numbers, cursor = read(bucket)
    assert numbers == list(range(26))
    assert read(bucket, cursor)[0] == []


def test_an_object_that_grew_brings_what_is_new() -> None:
    _, cursor = read(Bucket({0: {0: (10, 1), 10: (15, 2)}}))
    assert read(Bucket({0: {0: (10, 1), 10: (40, 3)}}), cursor)[0] == list(range(15, 40))


def test_an_object_that_shrank_says_nothing_again() -> None:
    _, cursor = read(Bucket({0: {0: (10, 1), 10: (50, 2)}}))
    numbers, cursor = read(Bucket({0: {0: (10, 1), 10: (20, 3)}}), cursor)
    assert numbers == []
    numbers, _ = read(Bucket({0: {0: (10, 1), 10: (20, 3), 20: (60, 4)}}), cursor)
    assert numbers == list(range(50, 60))


def test_what_is_being_written_again_is_waited_for() -> None:
    # 0 and 30 were written before a kill; 0 again since then, and shorter.
    numbers, cursor = read(Bucket({0: {0: (20, 9), 30: (50, 2)}}))
    assert numbers == list(range(20))
    numbers, cursor = read(Bucket({0: {0: (20, 9), 20: (35, 10), 30: (50, 2)}}), cursor)
    assert numbers == list(range(20, 50))


def test_an_object_written_again_may_reach_behind_the_next_one() -> None:
    _, cursor = read(Bucket({0: {0: (20, 1), 20: (40, 2)}}))
    numbers, cursor = read(Bucket({0: {0: (60, 9), 20: (40, 2)}}), cursor)
    assert numbers == list(range(40, 60))


def test_a_hole_that_nobody_fills_stops_or_is_told() -> None:
    # 0 was cut short by a task that nobody missed, after 20 had come: 40 came later still.
    bucket = Bucket({0: {0: (10, 8), 20: (40, 2), 40: (50, 9)}})
    numbers, cursor = read(bucket)
    assert numbers == list(range(10))
    with pytest.raises(Passed, match="10 messages of topic events went before they were read: 10 to 19 of partition 0"):
        read(bucket, cursor)
    assert read(bucket, cursor, on_gap="continue")[0] == list(range(20, 50))


def test_offsets_that_no_message_has_are_no_hole() -> None:
    # Ends of transactions take an offset each.
    bucket = Bucket({0: {0: (10, 1), 11: (20, 2), 25: (30, 2)}})
    assert read(bucket)[0] == [*range(10), *range(11, 20), *range(25, 30)]


def test_partitions_whose_objects_all_went_are_where_they_were() -> None:
    _, cursor = read(Bucket({0: {0: (10, 1)}, 1: {0: (5, 1)}}))
    numbers, cursor = read(Bucket({1: {5: (7, 3)}}), cursor)
    assert numbers == [5, 6]
    assert read(Bucket({}), cursor)[0] == []


def test_objects_that_went_before_they_were_read_stop_it() -> None:
    _, cursor = read(Bucket({0: {0: (10, 1)}}))
    with pytest.raises(Passed):
        read(Bucket({0: {30: (40, 5)}}), cursor)


@pytest.mark.parametrize("seed", [1065, 1097, *range(20)])
def test_a_sink_killed_at_any_time_loses_and_doubles_nothing(seed: int) -> None:
    """A sink that stores what came and commits now and then, killed in between; we read at any time."""
    chance = random.Random(seed)
    laid: dict[int, tuple[int, int]] = {}
    place = committed = when = 0
    got: list[int] = []
    cursor: Cursor | None = None
    while place < 300:
        when += 1
        event = chance.random()
        if event < 0.5:
            end = min(place + chance.randint(1, 30), 300)
            laid[place], place = (end, when), end
        elif event < 0.7:
            committed = place
        elif event < 0.85:
            place = committed
        else:
            numbers, cursor = read(Bucket({0: dict(laid)}), cursor)
            got += numbers
    numbers, cursor = read(Bucket({0: laid}), cursor)
    assert got + numbers == list(range(300))


@pytest.mark.parametrize("wrapped", [True, False])
def test_lines_are_messages_byte_for_byte(wrapped: bool) -> None:
    values = [b'{"a": 1}', b"\xff\x00", None, b"", "ü".encode()]
    text = "\n".join(line(7 + number, key="k", value=value, wrapped=wrapped) for number, value in enumerate(values))
    for content in (text.encode(), gzip.compress(text.encode())):
        table = Lines().messages(content, "s3://b/x", 0)
        assert table.column("value").to_pylist() == values
        assert table.column("offset").to_pylist() == [7, 8, 9, 10, 11]
        assert table.column("key").to_pylist() == [b"k" if wrapped else None] * 5
        assert table.column("at")[0].as_py().timestamp() == 1_700_000_000.007


@pytest.mark.parametrize("content", [b"{", b'{"a": 1}', b"\x1f\x8bxx", b'{"value": "%%", "partition": 0, "offset": 1}'])
def test_an_object_of_somebody_else_is_told(content: bytes) -> None:
    with pytest.raises(DataError, match=r"s3://b/x holds (no )?messages"):
        Lines().messages(content, "s3://b/x", 0)


def test_an_object_in_the_folder_of_another_partition_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="were somewhere else"):
        Lines().messages(line(1, partition=3, wrapped=False).encode(), "s3://b/x", 0)
