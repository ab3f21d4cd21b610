"""What every source keeps to. Subclass `SourcePromises` and give it a source over something that can grow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from catchment.errors import ConfigError, DataError
from catchment.interfaces import Source
from catchment.records import Batch, Budget, Cursor, Feed

OURS = ("_origin", "_position", "_defect", "_raw")
SMALLEST = Budget(bytes=1)


class SourcePromises(ABC):
    """Every source keeps these promises.

    The suite makes a fresh instance (`source`) for each read, as a run does. `pytest` collects the subclass; fixtures
    may set up what it needs (`@pytest.fixture(autouse=True)`).
    """

    whole: ClassVar[bool] = False  # each new item brings everything that there is, and only the newest is read
    refuses_halves: ClassVar[bool] = False  # what cannot be read stops it: the rest would count as deleted
    forgetful: ClassVar[bool] = False  # rows in bronze do not tell how far it was read
    unsure: ClassVar[bool] = False  # only reading all of it tells whether anything is new

    @abstractmethod
    def source(self) -> Source:
        """A new instance over the same outside."""

    @abstractmethod
    def add_rows(self, count: int) -> None:
        """Put so many more good rows where the source will find them, as one item (file, page); no two rows alike."""

    @abstractmethod
    def add_unreadable(self) -> None:
        """Put one item there of which something cannot be read."""

    def feed(self) -> Feed:
        """The feed that `add_rows` fills; the first one unless told otherwise."""
        return self.source().feeds()[0]

    def batches(self, since: Cursor | None = None, budget: Budget = SMALLEST) -> Iterator[Batch]:
        source = self.source()
        yield from source.read(self.feed(), since, budget)

    def test_feeds_have_distinct_names_and_tables(self) -> None:
        feeds = self.source().feeds()
        assert feeds
        assert len({feed.name for feed in feeds}) == len(feeds)
        assert len({feed.table for feed in feeds}) == len(feeds)
        assert all(feed.table.layer == "bronze" for feed in feeds)

    def test_a_source_with_nothing_in_it_gives_nothing(self) -> None:
        assert self.unsure or not self.source().describe(self.feed(), None).is_new
        assert rows_in(self.batches()) == []

    def test_our_columns_come_first_with_their_types(self) -> None:
        self.add_rows(3)
        for batch in self.batches():
            assert tuple(batch.rows.schema.names[:4]) == OURS
            assert batch.rows.schema.types[:4] == [pa.string(), pa.int64(), pa.string(), pa.binary()]

    def test_places_of_rows_are_distinct(self) -> None:
        self.add_rows(5)
        self.add_rows(5)
        places = [(row["_origin"], row["_position"]) for row in rows_in(self.batches())]
        assert len(set(places)) == len(places) == 10

    def test_the_same_cursor_gives_the_same_rows_in_the_same_order(self) -> None:
        self.add_rows(4)
        self.add_rows(3)
        assert rows_in(self.batches()) == rows_in(self.batches())

    def test_the_last_batch_has_a_cursor(self) -> None:
        self.add_rows(4)
        self.add_rows(2)
        for budget in (SMALLEST, Budget()):
            assert list(self.batches(budget=budget))[-1].cursor is not None

    def test_loads_of_any_size_add_up_to_one_read(self) -> None:
        for count in (3, 1, 4):
            self.add_rows(count)
        whole = rows_in(self.batches(budget=Budget()))
        assert len(whole) == 8
        for size in (1, 100, 1 << 30):
            assert rows_in(self.batches(budget=Budget(bytes=size))) == whole

    def test_resuming_from_any_cursor_reads_nothing_twice_and_leaves_nothing_out(self) -> None:
        for count in (2, 3, 1):
            self.add_rows(count)
        whole = rows_in(self.batches())
        for stop in range(1, self._cursors() + 1):
            before, cursor = self._until(stop)
            assert before + rows_in(self.batches(cursor)) == whole

    def test_one_instance_reads_again_and_again_as_a_stream_does(self) -> None:
        self.add_rows(2)
        source = self.source()
        first, cursor = _read(source, self.feed(), None)
        again, cursor = _read(source, self.feed(), cursor)
        self.add_rows(3)
        more, cursor = _read(source, self.feed(), cursor)
        last, _ = _read(source, self.feed(), cursor)
        source.close()
        assert [len(rows) for rows in (first, again, more, last)] == [2, 0, 5 if self.whole else 3, 0]

    def test_it_tells_that_something_is_new_where_it_says_that_it_can(self) -> None:
        source = self.source()
        if not source.abilities.wakes:
            assert not source.wait(self.feed(), None, 0.01)
            return
        self.add_rows(2)
        assert source.wait(self.feed(), None, 10)
        _, cursor = _read(source, self.feed(), None)
        assert not source.wait(self.feed(), cursor, 0.05)
        self.add_rows(1)
        assert source.wait(self.feed(), cursor, 10)
        source.close()

    def test_one_load_after_the_other_from_fresh_instances_reads_everything_once(self) -> None:
        for count in (2, 3, 1):
            self.add_rows(count)
        whole, got, cursor = rows_in(self.batches()), [], None
        for _ in range(self._cursors()):
            before, cursor = self._until(1, cursor)
            got += before
        assert got == whole
        assert rows_in(self.batches(cursor)) == []

    def test_after_the_last_cursor_only_what_was_added_is_new(self) -> None:
        self.add_rows(3)
        _, cursor = self._until(self._cursors())
        assert self.unsure or not self.source().describe(self.feed(), cursor).is_new
        assert rows_in(self.batches(cursor)) == []
        self.add_rows(2)
        assert self.source().describe(self.feed(), cursor).is_new
        assert len(rows_in(self.batches(cursor))) == (5 if self.whole else 2)

    def test_describing_changes_nothing_and_agrees_with_reading(self) -> None:
        self.add_rows(3)
        source, feed = self.source(), self.feed()
        first = source.describe(feed, None)
        assert first.is_new
        assert source.describe(feed, None) == first
        assert len(rows_in(source.read(feed, None, SMALLEST))) == 3
        assert source.describe(feed, None) == first

    def test_what_cannot_be_read_is_a_row_with_its_raw_form_and_a_reason(self) -> None:
        self.add_rows(2)
        self.add_unreadable()
        if self.refuses_halves:
            with pytest.raises(DataError) as stopped:
                rows_in(self.batches())
            assert stopped.value.hint is not None
            return
        rows = rows_in(self.batches())
        defects = [row for row in rows if row["_defect"] is not None]
        assert defects
        assert all(row["_raw"] is not None for row in defects)
        assert all(row["_raw"] is None for row in rows if row["_defect"] is None)
        assert len(rows) - len(defects) >= 2

    def test_hearing_twice_that_a_cursor_is_committed_is_harmless(self) -> None:
        self.add_rows(2)
        _, cursor = self._until(self._cursors())
        assert cursor is not None
        source = self.source()
        source.acknowledge(self.feed(), cursor)
        source.acknowledge(self.feed(), cursor)
        self.add_rows(1)
        assert len(rows_in(self.batches(cursor))) == (3 if self.whole else 1)

    def test_a_lost_cursor_is_found_again_from_what_landed(self) -> None:
        self.add_rows(3)
        self.add_rows(2)
        landed = pa.concat_tables([batch.rows.select(["_origin", "_position"]) for batch in self.batches()])
        counted = landed.group_by("_origin").aggregate([("_position", "count"), ("_position", "max")])
        origins = counted.rename_columns(["_origin", "rows", "last"])
        if self.forgetful:
            with pytest.raises(ConfigError) as refused:
                self.source().recognize(self.feed(), origins)
            assert refused.value.hint is not None
            return
        cursor = self.source().recognize(self.feed(), origins)
        assert not self.source().describe(self.feed(), cursor).is_new
        assert rows_in(self.batches(cursor)) == []
        self.add_rows(4)
        assert len(rows_in(self.batches(cursor))) == (9 if self.whole else 4)

    def test_probing_finds_nothing_wrong_and_reads_on(self) -> None:
        self.add_rows(2)
        source, feed = self.source(), self.feed()
        found = source.probe(feed)
        assert [one.feed for one in found] == [feed.name] * len(found)
        assert "error" not in [one.severity for one in found]
        assert source.probe(feed) == found
        assert len(rows_in(source.read(feed, None, SMALLEST))) == 2

    def test_a_closed_source_can_be_used_again(self) -> None:
        self.add_rows(2)
        source = self.source()
        source.close()
        assert len(rows_in(source.read(self.feed(), None, SMALLEST))) == 2
        source.close()
        source.close()
        assert source.describe(self.feed(), None).is_new

    def test_a_read_that_is_given_up_leaves_the_source_as_it_was(self) -> None:
        self.add_rows(3)
        self.add_rows(2)
        source, feed = self.source(), self.feed()
        begun = source.read(feed, None, SMALLEST)
        next(begun)
        begun.close()  # type: ignore[attr-defined]
        assert len(rows_in(source.read(feed, None, SMALLEST))) == 5
        source.close()

    def test_who_wants_a_look_is_given_the_first_rows(self) -> None:
        self.add_rows(5)
        whole = rows_in(self.batches())
        first = rows_in(self.source().read(self.feed(), None, Budget(rows=2)))
        assert len(first) >= 2
        assert first == whole[: len(first)]

    def _cursors(self) -> int:
        return sum(batch.cursor is not None for batch in self.batches())

    def _until(self, count: int, since: Cursor | None = None) -> tuple[list[dict[str, Any]], Cursor | None]:
        """Rows up to the so manieth cursor, and that cursor as it would come back from the table."""
        taken: list[Batch] = []
        given: list[Cursor] = []
        batches = self.batches(since)
        for batch in batches:
            taken.append(batch)
            if batch.cursor is not None:
                given.append(batch.cursor)
            if len(given) == count:
                break
        return rows_in(taken), committed(since, given)


def _read(source: Source, feed: Feed, since: Cursor | None) -> tuple[list[dict[str, Any]], Cursor | None]:
    """All that is new for an instance that is kept, and the cursor after it; each is told that it is committed."""
    batches = list(source.read(feed, since, SMALLEST))
    cursor = committed(since, [batch.cursor for batch in batches if batch.cursor is not None])
    if batches and cursor is not None:
        source.acknowledge(feed, cursor)
    return rows_in(batches), cursor


def committed(since: Cursor | None, given: Sequence[Cursor]) -> Cursor | None:
    """The cursor that a source receives after these were committed: the last value, and everything ever seen."""
    if not given:
        return since
    cursors = list(given) if since is None else [since, *given]
    anew = [place for place, cursor in enumerate(cursors) if cursor.anew]
    seen = [cursor.seen for cursor in cursors[anew[-1] if anew else 0 :] if cursor.seen is not None]
    return Cursor(given[-1].value, pa.concat_tables(seen) if seen else None)


def rows_in(batches: Iterator[Batch] | Sequence[Batch]) -> list[dict[str, Any]]:
    """Rows as dictionaries, columns that hold nothing left out: a column may come later in one read than in another.

    Those of a load that holds what the last one held are left out, as they are when they land.
    """
    taken: list[dict[str, Any]] = []
    load: list[dict[str, Any]] = []
    for batch in batches:
        load += [
            {name: value for name, value in row.items() if value is not None or name in OURS}
            for row in batch.rows.to_pylist()
        ]
        if batch.cursor is not None:
            taken += [] if batch.unchanged else load
            load = []
    return taken + load
