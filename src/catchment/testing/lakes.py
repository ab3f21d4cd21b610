"""What every lake and its tables promise. Subclass `LakePromises`, say how yours is opened, and run pytest.

What they promise of the past and of upkeep is in `catchment.testing.pasts`.
"""

from __future__ import annotations

import inspect
import random
import subprocess
import sys
import tempfile
import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catchment.errors import Conflict, Unfenced
from catchment.interfaces import Lake, Table
from catchment.naming import TableName
from catchment.records import Change, Commit, DataFile, Progress, Scan

SALES = TableName("bronze", "drops__sales")
SCHEMA = pa.schema([("_load", pa.int64()), ("id", pa.int64())])
WIDER = pa.schema([("note", pa.string())])

# Enough commits that whatever folds segments has done so.
_MANY = 70

_ELSEWHERE = """
import pathlib, runpy, sys, time
file, name, place, method, go, *arguments = sys.argv[1:]
suite = runpy.run_path(file)[name]()
sys.stdout.write("ready\\n")
sys.stdout.flush()
while not pathlib.Path(go).exists():
    time.sleep(0.005)
for line in getattr(suite, method)(pathlib.Path(place), *arguments):
    sys.stdout.write(f"{line}\\n")
"""

_Operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3)),
        st.tuples(st.just("compact"), st.just(0)),
        st.tuples(st.just("rewrite"), st.integers(0, 5)),
        st.tuples(st.just("widen"), st.just(0)),
    ),
    max_size=8,
)


class LakeWriting(ABC):
    """How a suite reaches a lake and writes to it: what to say once per table format."""

    @abstractmethod
    def open(self, place: Path) -> Lake:
        """The lake that lives in `place`; every call is another process's view of the same one."""

    @abstractmethod
    def compact(self, place: Path, name: TableName) -> None:
        """What somebody's maintenance does: fewer files, the same rows, and none of our marks on the commit."""

    @abstractmethod
    def write_foreign(self, place: Path, name: TableName, rows: pa.Table) -> None:
        """A table of this format that another tool made where ours would lie."""

    @abstractmethod
    def lose_progress(self, place: Path, name: TableName) -> None:
        """Take away the objects that the table's generations point to, as a restore of the table alone would."""

    @abstractmethod
    def statistics(self, place: Path, name: TableName) -> Mapping[str, Mapping[str, tuple[Any, Any]]]:
        """What the table tells every reader: (min, max) by column by absolute path of each of its files."""

    @abstractmethod
    def put_back(self, place: Path, name: TableName, version: int) -> None:
        """What another program does that restores a table to a version."""

    # How the suite writes.

    def file(self, table: Table, load: int, rows: Mapping[str, Sequence[Any]]) -> DataFile:
        """A data file of the table with rows of one load, as an engine would have written it."""
        count = len(next(iter(rows.values())))
        data = pa.table({"_load": pa.array([load] * count, pa.int64()), **rows})
        data = data.cast(pa.schema([table.schema().field(name) for name in data.column_names]))
        path = Path(table.folder()) / f"{load:06d}-{uuid.uuid4()}.parquet"
        pq.write_table(data, path)
        return DataFile(str(path), count, path.stat().st_size, _statistics(data))

    def append(self, table: Table, ids: Sequence[int], *, seen: pa.Table | None = None) -> Commit:
        """One commit of a load; its state counts rows."""
        claim = table.claim()
        files = [self.file(table, claim.number, {"id": ids})] if ids else []
        before = table.progress()
        rows = before.cursors.get("land", {}).get("rows", 0) + len(ids)
        progress = replace(before, cursors={"land": {"rows": rows}}, judged=((1, claim.number),))
        return table.commit(claim, Change(add=files), progress, seen=seen)

    def rewrite(self, table: Table, path: str) -> Commit:
        """One file out, its rows in again."""
        claim = table.claim()
        rows = pq.read_table(path)
        target = Path(table.folder()) / f"{claim.number:06d}-{uuid.uuid4()}.parquet"
        pq.write_table(rows, target)
        file = DataFile(str(target), rows.num_rows, target.stat().st_size, _statistics(rows))
        return table.commit(claim, Change(add=[file], remove=[path]), table.progress())

    def table(self, place: Path) -> Table:
        """The table as it is now."""
        table = self.open(place).open(SALES)
        assert table is not None
        return table

    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        # A name that has to be quoted wherever paths become addresses.
        place = tmp_path / "a läke of 'ours'"
        self.open(place).create(SALES, SCHEMA)
        return place


class LakePromises(LakeWriting):
    """One class per table format. Its file is run in other processes too, so it may need no conftest."""

    # Finding tables.

    def test_a_definition_is_kept_once_and_seen_by_every_process(self, tmp_path: Path) -> None:
        lake = self.open(tmp_path)
        assert lake.definition("f1") is None
        lake.keep_definition("f1", {"mode": "append"})
        lake.keep_definition("f1", {"mode": "something else"})
        assert self.open(tmp_path).definition("f1") == {"mode": "append"}

    def test_a_table_is_there_once_it_is_created(self, place: Path) -> None:
        lake = self.open(place)
        other = TableName("silver", "other")
        assert lake.open(other) is None
        created = lake.create(other, SCHEMA)
        opened = self.open(place).open(other)
        assert opened is not None
        assert opened.schema() == created.schema() == SCHEMA
        assert (opened.progress(), opened.pin.generation, opened.scan().rows) == (Progress(), 0, 0)

    def test_tables_are_listed_by_layer_and_name(self, place: Path) -> None:
        lake = self.open(place)
        for layer, name in (("silver", "b"), ("silver", "a"), ("quarantine", "a")):
            lake.create(TableName(layer, name), SCHEMA)
        assert [str(name) for name in lake.list("silver")] == ["silver.a", "silver.b"]
        assert {str(name) for name in lake.list()} == {str(SALES), "silver.a", "silver.b", "quarantine.a"}

    def test_a_lake_that_is_not_there_yet_has_no_tables(self, tmp_path: Path) -> None:
        lake = self.open(tmp_path / "nowhere")
        assert lake.list() == []
        assert lake.open(SALES) is None
        assert not (tmp_path / "nowhere").exists()

    def test_creating_what_is_there_changes_nothing(self, place: Path) -> None:
        self.append(self.table(place), [1])
        again = self.open(place).create(SALES, pa.schema([("other", pa.string())]))
        assert again.schema() == SCHEMA
        assert _ids(again.scan()) == [1]

    def test_four_processes_that_create_a_table_make_one(self, tmp_path: Path) -> None:
        loads = self.elsewhere(tmp_path / "lake", "create_and_append", [[str(number)] for number in range(4)])
        table = self.table(tmp_path / "lake")
        assert sorted(_ids(table.scan())) == [0, 1, 2, 3]
        assert sorted(int(load) for told in loads for load in told) == sorted(_loads(table.scan()))

    def create_and_append(self, place: Path, number: str) -> list[int]:
        self.open(place).create(SALES, SCHEMA)
        for _ in range(20):
            try:
                return [self.append(self.table(place), [int(number)]).pin.generation]
            except Conflict:
                time.sleep(random.random() / 20)
        return []

    # Claims.

    def test_a_claim_is_never_given_twice(self, place: Path) -> None:
        handles = [self.table(place) for _ in range(3)]
        claims = [handle.claim() for _ in range(3) for handle in handles]
        assert [claim.number for claim in claims] == list(range(1, 10))
        assert {claim.base for claim in claims} == {0}

    def test_a_claim_is_never_given_twice_to_four_processes_at_once(self, place: Path) -> None:
        told = self.elsewhere(place, "claim", [["25"]] * 4)
        numbers = [int(line) for lines in told for line in lines]
        assert len(numbers) == len(set(numbers)) == 100

    def claim(self, place: Path, count: str) -> list[int]:
        table = self.table(place)
        return [table.claim().number for _ in range(int(count))]

    def test_claims_that_died_leave_no_trace(self, place: Path) -> None:
        self.append(self.table(place), [1])
        died = self.table(place)
        claims = [died.claim(), died.claim()]
        self.file(died, claims[0].number, {"id": [99]})  # written, never committed
        table = self.table(place)
        assert (table.pin.generation, _ids(table.scan())) == (1, [1])
        assert self.append(table, [2]).pin.generation > max(claim.number for claim in claims)
        assert sorted(_ids(self.table(place).scan())) == [1, 2]

    # Commits.

    def test_a_commit_says_its_generation_in_rows_state_and_pin(self, place: Path) -> None:
        table = self.table(place)
        before = table.pin
        commit = self.append(table, [1, 2])
        after = self.table(place)
        assert commit.pin == after.pin
        assert after.pin.version > before.version
        assert after.progress().generation == after.pin.generation == 1
        assert after.progress().parent == 0
        assert set(_loads(after.scan())) == {1}
        assert commit.rows_added == after.scan().rows == 2

    def test_state_and_rows_come_together(self, place: Path) -> None:
        handles = [self.table(place)]
        for ids in ([1], [2, 3], [], [4]):
            self.append(self.table(place), ids)
            handles.append(self.table(place))
        for handle in handles:
            assert handle.progress().cursors.get("land", {}).get("rows", 0) == len(_ids(handle.scan()))
        assert [len(_ids(handle.scan())) for handle in handles] == [0, 1, 3, 3, 4]

    def test_an_old_handle_sees_the_old_table(self, place: Path) -> None:
        self.append(self.table(place), [1])
        old = self.table(place)
        pin, state = old.pin, old.progress()
        self.append(self.table(place), [2])
        self.compact(place, SALES)
        assert (old.pin, old.progress(), _ids(old.scan())) == (pin, state, [1])

    @pytest.mark.parametrize("rewriting", [False, True])
    def test_of_two_commits_over_one_generation_one_wins_and_the_other_leaves_nothing(
        self, place: Path, rewriting: bool
    ) -> None:
        self.append(self.table(place), [1])
        winner, loser = self.table(place), self.table(place)
        path = loser.scan().files[0]
        self.append(winner, [2])
        before = self.table(place)
        with pytest.raises(Conflict):
            self.rewrite(loser, path) if rewriting else self.append(loser, [3])
        after = self.table(place)
        assert (after.pin, after.progress()) == (before.pin, before.progress())
        assert sorted(_ids(after.scan())) == [1, 2]

    def test_of_four_processes_over_one_generation_one_wins(self, place: Path) -> None:
        for round_ in range(2):
            told = self.elsewhere(place, "commit_over", [[str(round_), str(number)] for number in range(4)])
            won = [int(line) for lines in told for line in lines]
            assert len(won) == 1
            assert _ids(self.table(place).scan()).count(won[0]) == 1
        assert self.table(place).scan().rows == 2

    def commit_over(self, place: Path, round_: str, number: str) -> list[int]:
        table = self.table(place)
        while table.scan().rows < int(round_):
            table = self.table(place)
        # All have opened the table when the first of them commits.
        (place / f"opened-{round_}-{number}").touch()
        while len(list(place.glob(f"opened-{round_}-*"))) < 4:
            time.sleep(0.002)
        row = 100 * (1 + int(round_)) + int(number)
        try:
            self.append(table, [row])
        except Conflict:
            return []
        return [row]

    def test_an_append_goes_on_over_a_compaction(self, place: Path) -> None:
        for number in range(3):
            self.append(self.table(place), [number])
        table = self.table(place)
        self.compact(place, SALES)
        commit = self.append(table, [3])
        after = self.table(place)
        assert commit.pin == after.pin
        assert sorted(_ids(after.scan())) == [0, 1, 2, 3]
        assert after.progress().cursors["land"]["rows"] == 4

    def test_a_rewrite_over_a_compaction_is_a_conflict(self, place: Path) -> None:
        for number in range(3):
            self.append(self.table(place), [number])
        table = self.table(place)
        path = table.scan().files[0]
        self.compact(place, SALES)
        with pytest.raises(Conflict):
            self.rewrite(table, path)
        assert sorted(_ids(self.table(place).scan())) == [0, 1, 2]
        again = self.table(place)
        self.rewrite(again, again.scan().files[0])
        assert sorted(_ids(self.table(place).scan())) == [0, 1, 2]

    def test_a_commit_without_rows_moves_the_state(self, place: Path) -> None:
        self.append(self.table(place), [1])
        self.append(self.table(place), [])
        table = self.table(place)
        assert (table.progress().generation, table.progress().parent, _ids(table.scan())) == (2, 1, [1])

    def test_a_table_is_made_anew_in_one_commit(self, place: Path) -> None:
        self.append(self.table(place), [1, 2])
        old, table = self.table(place), self.table(place)
        anew = pa.schema([("_load", pa.int64()), ("name", pa.string())])
        claim = table.claim()
        path = Path(table.folder()) / "anew.parquet"
        rows = pa.table({"_load": [claim.number], "name": ["x"]}, anew)
        pq.write_table(rows, path)
        file = DataFile(str(path), 1, path.stat().st_size, _statistics(rows))
        table.commit(claim, Change(add=[file], remove="all", schema=anew), replace(table.progress(), definition="new"))
        after = self.table(place)
        assert after.schema() == anew
        assert [row["name"] for row in _read(after.scan()).to_pylist()] == ["x"]
        assert (after.progress().definition, after.progress().generation) == ("new", claim.number)
        assert (old.schema(), _ids(old.scan()), old.progress().definition) == (SCHEMA, [1, 2], None)

    def test_making_anew_over_somebody_elses_commit_is_a_conflict(self, place: Path) -> None:
        self.append(self.table(place), [1])
        table = self.table(place)
        claim = table.claim()
        self.append(self.table(place), [2])
        with pytest.raises(Conflict):
            table.commit(claim, Change(remove="all", schema=SCHEMA), table.progress())
        assert sorted(_ids(self.table(place).scan())) == [1, 2]

    # Columns.

    def test_a_column_is_added_in_a_generation_of_its_own(self, place: Path) -> None:
        self.append(self.table(place), [1])
        table = self.table(place)
        before = table.progress()
        wider = table.add_columns(table.claim(), WIDER, before)
        assert wider.schema() == pa.schema([*SCHEMA, *WIDER])
        assert (wider.progress().generation, wider.progress().parent) == (2, 1)
        assert wider.progress().cursors == before.cursors
        claim = wider.claim()
        wider.commit(claim, Change(add=[self.file(wider, claim.number, {"id": [2], "note": ["x"]})]), wider.progress())
        found = {row["id"]: row["note"] for row in _read(self.table(place).scan()).to_pylist()}
        assert found == {1: None, 2: "x"}

    def test_a_column_added_over_somebody_elses_commit_is_a_conflict(self, place: Path) -> None:
        table = self.table(place)
        claim = table.claim()
        self.append(self.table(place), [1])
        with pytest.raises(Conflict):
            table.add_columns(claim, WIDER, table.progress())
        assert self.table(place).schema() == SCHEMA

    # Reading.

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(operations=_Operations, spans=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=5))
    def test_a_scan_misses_no_row_of_its_span_whatever_was_done_to_the_files(
        self, operations: list[tuple[str, int]], spans: list[tuple[int, int]]
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            self.open(place).create(SALES, SCHEMA)
            landed = self._apply(place, operations)
            table = self.table(place)
            assert Counter(_pairs(table.scan())) == Counter(landed)
            assert table.scan().rows == len(landed)
            for span in spans:
                expected = [pair for pair in landed if span[0] < pair[0] <= span[1]]
                scan = table.scan(loads=span)
                assert Counter(_pairs(scan)) == Counter(expected), span
                assert scan.files or not expected

    def _apply(self, place: Path, operations: Sequence[tuple[str, int]]) -> list[tuple[int, int]]:
        landed: list[tuple[int, int]] = []
        for step, (operation, number) in enumerate(operations):
            table = self.table(place)
            files = table.scan().files
            if operation == "append":
                ids = [10 * step + place for place in range(number)]
                load = self.append(table, ids).pin.generation
                landed += [(load, row) for row in ids]
            elif operation == "compact":
                self.compact(place, SALES)
            elif operation == "rewrite" and files:
                self.rewrite(table, files[number % len(files)])
            elif operation == "widen" and "note" not in table.schema().names:
                table.add_columns(table.claim(), WIDER, table.progress())
        return landed

    def test_a_compacted_file_is_read_for_every_span_that_it_holds_a_row_of(self, place: Path) -> None:
        for number in range(4):
            self.append(self.table(place), [number])
        self.compact(place, SALES)
        table = self.table(place)
        assert len(table.scan().files) == 1
        for after in range(5):
            for to in range(after, 6):
                expected = [load for load in (1, 2, 3, 4) if after < load <= to]
                assert sorted(_loads(table.scan(loads=(after, to)))) == expected

    def test_a_span_reads_only_the_files_that_may_hold_it(self, place: Path) -> None:
        for number in range(4):
            self.append(self.table(place), [number])
        table = self.table(place)
        assert [len(table.scan(loads=span).files) for span in ((0, 4), (1, 3), (4, 9), (3, 4))] == [4, 2, 0, 1]

    def test_statistics_never_exclude_a_row(self, place: Path) -> None:
        lake = self.open(place)
        name = TableName("silver", "told")
        table = lake.create(name, pa.schema([("_load", pa.int64()), ("n", pa.int64()), ("s", pa.string())]))
        claim = table.claim()
        rows: list[dict[str, Sequence[Any]]] = [
            {"n": [-5, 3, None], "s": ["b", "Ä", None]},
            {"n": [None, None], "s": [None, None]},
            {"n": [0], "s": ["\U0001f30a'\"\\ %"]},
            {"n": [-(2**63), 2**63 - 1], "s": ["", "z" * 60]},
        ]
        files = [self.file(table, claim.number, one) for one in rows]
        table.commit(claim, Change(add=files), table.progress())
        told = self.statistics(place, name)
        assert set(told) == {file.path for file in files}
        for file, held in zip(files, rows, strict=True):
            for column, values in held.items():
                low, high = told[file.path][column]
                assert all((low is None or low <= v) and (high is None or v <= high) for v in values if v is not None)

    # Things seen.

    def test_what_was_seen_comes_back_in_full_however_many_commits_it_took(self, place: Path) -> None:
        for number in range(_MANY):
            self.append(self.table(place), [], seen=pa.table({"path": [f"file {number}"]}))
            if number in (0, 9):
                seen = self.table(place).seen()
                assert seen is not None
                assert sorted(seen["path"].to_pylist()) == sorted(f"file {n}" for n in range(number + 1))
        seen = self.table(place).seen()
        assert seen is not None
        assert sorted(seen["path"].to_pylist()) == sorted(f"file {number}" for number in range(_MANY))
        files = self.open(place).seen_files(SALES, self.table(place).progress())
        assert pa.concat_tables([pq.read_table(file) for file in files]) == seen
        assert len(self.table(place).progress().segments) < _MANY

    def test_nothing_seen_is_none_and_what_lost_a_race_was_not_seen(self, place: Path) -> None:
        assert self.table(place).seen() is None
        winner, loser = self.table(place), self.table(place)
        self.append(winner, [1], seen=pa.table({"path": ["mine"]}))
        with pytest.raises(Conflict):
            self.append(loser, [1], seen=pa.table({"path": ["theirs"]}))
        self.append(self.table(place), [2])
        seen = self.table(place).seen()
        assert seen is not None
        assert seen["path"].to_pylist() == ["mine"]

    def test_columns_of_what_was_seen_may_come_later(self, place: Path) -> None:
        self.append(self.table(place), [], seen=pa.table({"path": ["a"]}))
        self.append(self.table(place), [], seen=pa.table({"path": ["b"], "size": [3]}))
        seen = self.table(place).seen()
        assert seen is not None
        assert sorted((row["path"], row["size"]) for row in seen.to_pylist()) == [("a", None), ("b", 3)]

    # Shards.

    def test_shards_have_fences_of_their_own(self, place: Path) -> None:
        first, second = self.table(place), self.table(place)
        self.append(first, [1])
        claim = second.claim(shard=1)
        second.commit(claim, Change(add=[self.file(second, claim.number, {"id": [2]})]), Progress(definition="other"))
        table = self.table(place)
        assert sorted(_ids(table.scan())) == [1, 2]
        assert (table.progress(0).definition, table.progress(1).definition) == (None, "other")
        assert table.progress(2) == Progress()

    # What is not ours.

    def test_a_table_that_another_tool_made_is_unfenced(self, place: Path) -> None:
        name = TableName("silver", "foreign")
        self.write_foreign(place, name, pa.table({"_load": [1], "id": [1]}))
        table = self.open(place).open(name)
        assert table is not None
        with pytest.raises(Unfenced, match=r"silver\.foreign") as told:
            table.progress()
        assert told.value.hint

    def test_a_generation_whose_state_is_gone_is_unfenced(self, place: Path) -> None:
        self.append(self.table(place), [1])
        self.lose_progress(place, SALES)
        with pytest.raises(Unfenced, match="generation 1") as told:
            self.table(place).progress()
        assert told.value.hint

    # At a glance.

    def test_a_glance_tells_what_opening_tells(self, place: Path) -> None:
        marks = [self._glanced(place)]
        for number in range(3):
            self.append(self.table(place), [number], seen=pa.table({"path": [f"file {number}"]}))
            marks.append(self._glanced(place))
        self.compact(place, SALES)
        marks.append(self._glanced(place))
        table = self.table(place)
        table.add_columns(table.claim(), WIDER, table.progress())
        marks.append(self._glanced(place))
        assert len(set(marks)) == len(marks)
        assert self._glanced(place) == marks[-1]
        assert self.open(place).glance(TableName("silver", "none")) is None

    def _glanced(self, place: Path) -> str:
        """The mark of the table, whose glance is right."""
        table, found = self.table(place), self.open(place).glance(SALES)
        assert found is not None
        assert (found.pin, found.progress) == (table.pin, table.progress())
        assert self.open(place).seen(SALES, found.progress) == table.seen()
        return found.mark

    def test_a_glance_at_what_cannot_be_trusted_is_unfenced(self, place: Path) -> None:
        self.append(self.table(place), [1])
        self.append(self.table(place), [2])
        self.put_back(place, SALES, 1)
        with pytest.raises(Unfenced):
            self.open(place).glance(SALES)
        self.write_foreign(place, TableName("silver", "foreign"), pa.table({"id": [1]}))
        with pytest.raises(Unfenced):
            self.open(place).glance(TableName("silver", "foreign"))

    # History.

    def test_history_tells_the_newest_commit_first(self, place: Path) -> None:
        for number in range(3):
            self.append(self.table(place), [number])
        self.compact(place, SALES)
        history = self.table(place).history()
        versions = [commit.pin.version for commit in history]
        assert versions == sorted(versions, reverse=True)
        assert [commit.pin.generation for commit in history if commit.pin.generation] == [3, 2, 1]
        times = [commit.at for commit in history]
        assert times == sorted(times, reverse=True)
        assert all(at.tzinfo is not None for at in times)
        assert [commit.pin for commit in self.table(place).history(limit=2)] == [commit.pin for commit in history[:2]]

    # Other processes.

    def elsewhere(self, place: Path, method: str, arguments: Sequence[Sequence[str]]) -> list[list[str]]:
        """Call a method of this suite in one process for each of `arguments`, all at once; the lines they gave."""
        with tempfile.TemporaryDirectory() as folder:
            go = Path(folder) / "go"
            suite = [inspect.getfile(type(self)), type(self).__name__, str(place), method, str(go)]
            children = [
                subprocess.Popen(
                    [sys.executable, "-c", _ELSEWHERE, *suite, *given_],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                for given_ in arguments
            ]
            for child in children:
                assert child.stdout is not None
                child.stdout.readline()
            go.touch()
            with ThreadPoolExecutor(len(children)) as pool:
                ended = list(pool.map(lambda child: child.communicate(timeout=60), children))
        for child, (_, words) in zip(children, ended, strict=True):
            assert child.returncode == 0, words
        return [told.split() for told, _ in ended]


def _statistics(rows: pa.Table) -> dict[str, tuple[Any, Any, int]]:
    told = {}
    for name in rows.column_names:
        ends = pc.min_max(rows.column(name)).as_py()
        told[name] = (ends["min"], ends["max"], rows.column(name).null_count)
    return told


def _read(scan: Scan) -> pa.Table:
    """Rows of the scan's files within its span."""
    parts = [pq.read_table(path, partitioning=None) for path in scan.files]
    rows = pa.concat_tables([scan.schema.empty_table(), *parts], promote_options="permissive")
    if scan.loads is None:
        return rows
    after, to = scan.loads
    return rows.filter((pc.field("_load") > after) & (pc.field("_load") <= to))


def _ids(scan: Scan) -> list[int]:
    return [int(row) for row in _read(scan).column("id").to_pylist()]


def _loads(scan: Scan) -> list[int]:
    return [int(row) for row in _read(scan).column("_load").to_pylist()]


def _pairs(scan: Scan) -> list[tuple[int, int]]:
    return list(zip(_loads(scan), _ids(scan), strict=True))
