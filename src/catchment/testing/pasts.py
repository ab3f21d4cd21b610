"""What every lake promises of its tables' past: how it is read, how it is had again, and how it goes.

Subclass `PastPromises` beside `LakePromises`, with the same way of writing.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catchment.errors import ConfigError, Unfenced
from catchment.interfaces import Table, Upkeep
from catchment.naming import HIDDEN, TableName
from catchment.records import Change, Commit, DataFile, Kept, Progress, Scan
from catchment.testing.lakes import SALES, SCHEMA, WIDER, LakeWriting

_Operations = st.lists(
    st.tuples(st.sampled_from(["append", "rewrite", "compact", "restore", "widen"]), st.integers(0, 9)), max_size=9
)

_PROPERTY = settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow, HealthCheck.data_too_large],
)


class PastPromises(LakeWriting):
    """One class per table format."""

    # The past is read.

    @_PROPERTY
    @given(operations=_Operations)
    def test_every_version_can_be_read_as_it_was(self, operations: list[tuple[str, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            was = self._do(place, operations)
            for version, (rows, progress) in was.items():
                old = self.at(place, version)
                assert (_ids(old.scan()), old.progress()) == (rows, progress), version

    def _do(self, place: Path, operations: Sequence[tuple[str, int]]) -> dict[int, tuple[list[int], Progress]]:
        """Rows and state by version, after each operation."""
        self.open(place).create(SALES, SCHEMA)
        was: dict[int, tuple[list[int], Progress]] = {}
        for step, (operation, number) in enumerate(operations):
            table = self.table(place)
            files = table.scan().files
            if operation == "append":
                self.append(table, [10 * step + row for row in range(number % 3 + 1)])
            elif operation == "rewrite" and files:
                self.rewrite(table, files[number % len(files)])
            elif operation == "compact":
                self.compact(place, SALES)
            elif operation == "restore" and was:
                self.restore(place, sorted(was)[number % len(was)])
            elif operation == "widen" and "note" not in table.schema().names:
                table.add_columns(table.claim(), WIDER, table.progress())
            table = self.table(place)
            was[table.pin.version] = (_ids(table.scan()), table.progress())
        return was

    def at(self, place: Path, moment: int | datetime) -> Table:
        table = self.open(place).open(SALES, at=moment)
        assert table is not None
        return table

    def restore(self, place: Path, version: int) -> Commit:
        """A new generation with the rows and the state of a version."""
        table, old = self.table(place), self.at(place, version)
        absent = [field for field in old.schema() if field.name not in table.schema().names]
        if absent:
            table = table.add_columns(table.claim(), pa.schema(absent), table.progress())
        present, wanted = ({file.path: file for file in one.files()} for one in (table, old))
        add = [file for path, file in wanted.items() if path not in present]
        change = Change(add=add, remove=[path for path in present if path not in wanted])
        then, now = old.progress(), table.progress().generation
        cut = (*then.cut_off, (then.generation + 1, now)) if now > then.generation else then.cut_off
        return table.commit(table.claim(), change, replace(then, cut_off=cut))

    def test_an_instant_is_the_version_that_was_the_newest_then(self, place: Path) -> None:
        self.append(self.table(place), [1])
        time.sleep(0.01)
        then = datetime.now(UTC)
        time.sleep(0.01)
        self.append(self.table(place), [2])
        assert _ids(self.at(place, then).scan()) == [1]
        assert _ids(self.at(place, datetime.now(UTC) + timedelta(days=1)).scan()) == [1, 2]
        assert self.open(place).open(SALES, at=then - timedelta(days=1)) is None

    def test_a_handle_that_was_overtaken_tells_what_was_before_it(self, place: Path) -> None:
        for number in (1, 2):
            self.append(self.table(place), [number])
        table = self.table(place)
        told = [(commit.pin, commit.at) for commit in table.history()]
        for number in (3, 4, 5):
            self.append(self.table(place), [number])
        assert [(commit.pin, commit.at) for commit in table.history()] == told

    @pytest.mark.parametrize("version", [99, -1])
    def test_a_version_that_never_was_is_told(self, place: Path, version: int) -> None:
        with pytest.raises(ConfigError, match=f"no version {version}"):
            self.open(place).open(SALES, at=version)

    def test_a_version_whose_rows_are_gone_is_told(self, place: Path) -> None:
        self.append(self.table(place), [1])
        version, path = self.table(place).pin.version, self.table(place).scan().files[0]
        self.rewrite(self.table(place), path)
        Path(path).unlink()
        with pytest.raises(ConfigError, match=f"rows of version {version} are no longer kept"):
            self.open(place).open(SALES, at=version)
        assert _ids(self.table(place).scan()) == [1]

    # The past comes again.

    def test_an_older_generation_comes_again_under_a_new_number(self, place: Path) -> None:
        for number in (1, 2, 3):
            self.append(self.table(place), [number])
        old = self.at(place, self.version(place, 1))
        commit = self.restore(place, old.pin.version)
        table = self.table(place)
        assert (commit.pin.generation, _ids(table.scan())) == (4, [1])
        assert (table.progress().parent, table.progress().cursors) == (1, old.progress().cursors)
        assert [table.descends(number) for number in range(6)] == [True, True, False, False, True, False]

    def version(self, place: Path, generation: int) -> int:
        history = self.table(place).history()
        return next(commit.pin.version for commit in history if commit.pin.generation == generation)

    def test_what_was_cut_off_stays_so_when_nobody_keeps_the_forebears(self, place: Path) -> None:
        for number in (1, 2, 3):
            self.append(self.table(place), [number])
        self.restore(place, self.version(place, 1))
        self.append(self.table(place), [4])
        keeper = self.keeper(place)
        since = self.later()
        keeper.remove(keeper.unnamed_states(keeper.kept(since), since, None), since)
        table = self.table(place)
        assert [table.descends(number) for number in (1, 2, 3, 4, 5)] == [True, False, False, True, True]

    def test_files_that_come_again_exclude_no_row(self, place: Path) -> None:
        lake, name = self.open(place), TableName("silver", "typed")
        instants = [datetime(2026, 1, 1, 1, 2, 3, 456789, UTC), datetime(1960, 1, 1, 0, 0, 0, 1, UTC)]
        columns: Mapping[str, Sequence[Any]] = {
            "n": [-(2**62), 2**62],
            "s": ["Ä", "\U0001f30a"],
            "t": instants,
            "d": [moment.date() for moment in instants],
            "x": [float("-inf"), 1.5],
            "b": [True, False],
        }
        types = [pa.int64(), pa.string(), pa.timestamp("us", "UTC"), pa.date32(), pa.float64(), pa.bool_()]
        fields = [("_load", pa.int64()), *zip(columns, types, strict=True)]
        table = lake.create(name, pa.schema(fields))
        claim = table.claim()
        path = Path(table.folder()) / "rows.parquet"
        rows = pa.table({"_load": [claim.number] * 2, **columns}, pa.schema(fields))
        pq.write_table(rows, path)
        table.commit(claim, Change(add=[self._file(path, rows)]), table.progress())
        for _ in range(2):
            table = lake.open(name)  # type: ignore[assignment]
            before = table.files()
            table.commit(table.claim(), Change(remove=[str(path)]), table.progress())
            table = lake.open(name)  # type: ignore[assignment]
            table.commit(table.claim(), Change(add=before), table.progress())
        found = lake.open(name)
        assert found is not None
        for column, values in columns.items():
            for value in values:
                assert len(found.scan(within={column: (value, value)}).files) == 1, (column, value)
        assert found.scan(within={"n": (2**62 + 1, 2**63 - 1)}).files == ()
        assert found.files() == before

    def _file(self, path: Path, rows: pa.Table) -> DataFile:
        """With its statistics as they are written down."""
        low, high = pc.min_max(rows["n"]).as_py().values()
        spelled = [pc.strftime(pc.min_max(rows["t"])[end], "%Y-%m-%dT%H:%M:%SZ").as_py() for end in ("min", "max")]
        days = [pc.min_max(rows["d"])[end].as_py().isoformat() for end in ("min", "max")]
        texts = pc.min_max(rows["s"]).as_py()
        told = {"n": (low, high, 0), "t": (*spelled, 0), "d": (*days, 0), "s": (texts["min"], texts["max"], 0)}
        return DataFile(str(path), rows.num_rows, path.stat().st_size, told)

    def test_only_files_that_may_hold_what_is_looked_for_are_read(self, place: Path) -> None:
        for ids in ([1, 5], [4, 9], [20]):
            self.append(self.table(place), ids)
        table = self.table(place)
        for low, high in ((1, 1), (5, 6), (10, 19), (20, 99), (2, 3)):
            expected = [ids for ids in ([1, 5], [4, 9], [20]) if any(low <= i <= high for i in ids)]
            files = table.scan(within={"id": (low, high)}).files
            assert {row for path in files for row in pq.read_table(path)["id"].to_pylist()} >= {
                i for ids in expected for i in ids
            }
            assert len(files) == len([ids for ids in ([1, 5], [4, 9], [20]) if ids[0] <= high and ids[-1] >= low])
        assert len(table.scan(within={"unknown": (1, 1)}).files) == 3

    @pytest.mark.parametrize("columns", [1, 40])
    def test_rows_that_a_table_keeps_for_itself_are_counted_apart(self, place: Path, columns: int) -> None:
        lake, name = self.open(place), TableName("silver", "hides")
        own = [(f"c{number}", pa.int64()) for number in range(columns)]
        table = lake.create(name, pa.schema([*own, ("_load", pa.int64()), (HIDDEN, pa.string())]))
        for gone in (["deleted", None], [None, None, None]):
            claim = table.claim()
            file = self.file(table, claim.number, {"c0": [1] * len(gone), HIDDEN: gone})
            table.commit(claim, Change(add=[file]), table.progress())
            table = lake.open(name)  # type: ignore[assignment]
        assert (table.scan().rows, table.scan().shown, table.scan(hidden=True).rows) == (4, True, 5)
        self.compact(place, name)
        again = self.open(place).open(name)
        assert again is not None
        assert (again.scan().rows, again.scan(hidden=True).rows) == (4, 5)

    # Rows that lost their state.

    def test_a_claim_lies_above_what_rows_say(self, place: Path) -> None:
        claim = self.table(place).claim(above=41)
        assert (claim.number, claim.base) == (42, 0)
        assert self.table(place).claim(above=7).number == 43

    def test_a_table_whose_state_is_lost_was_put_back_by_nobody(self, place: Path) -> None:
        self.append(self.table(place), [1])
        self.lose_progress(place, SALES)
        assert self.table(place).put_back() is None

    def test_a_table_that_was_put_back_says_to_where_until_somebody_takes_it_so(self, place: Path) -> None:
        for number in (1, 2, 3):
            self.append(self.table(place), [number])
        version = self.version(place, 1)
        assert self.table(place).put_back() is None
        self.put_back(place, SALES, version)
        self.compact(place, SALES)
        table = self.table(place)
        assert table.put_back() == version
        with pytest.raises(Unfenced, match="put back"):
            table.progress()
        then = self.at(place, version).progress()
        table.commit(table.claim(), Change(), replace(then, cut_off=((2, 3),)))
        after = self.table(place)
        assert (after.progress().generation, after.put_back(), _ids(after.scan())) == (4, None, [1])
        assert [after.descends(number) for number in (1, 2, 3, 4)] == [True, False, False, True]

    def test_a_lost_state_is_replaced_over_rows_that_stay(self, place: Path) -> None:
        for number in (1, 2):
            self.append(self.table(place), [number])
        self.lose_progress(place, SALES)
        table = self.table(place)
        claim = table.claim(above=2)
        table.commit(claim, Change(), Progress(generation=2, cursors={"land": {"rows": 2}}, cut_off=((1, 1),)))
        after = self.table(place)
        assert (after.progress().generation, _ids(after.scan())) == (3, [1, 2])
        assert [after.descends(number) for number in (1, 2, 3)] == [False, True, True]
        with pytest.raises(Unfenced):
            self.at(place, self.version(place, 2)).progress()

    # The past goes.

    def keeper(self, place: Path) -> Upkeep:
        keeper = self.open(place).upkeep(SALES)
        assert keeper is not None
        return keeper

    def later(self) -> datetime:
        """An instant before which everything that is there was written."""
        time.sleep(0.01)
        return datetime.now(UTC)

    def sweep(self, place: Path, since: datetime, pinned: Sequence[int] = ()) -> Kept:
        keeper = self.keeper(place)
        kept = keeper.kept(since, pinned)
        keeper.expire(kept, since)
        keeper.remove(keeper.unnamed(kept, since), since)
        keeper.remove(keeper.unnamed_states(kept, since, None), since)
        return kept

    def test_a_table_that_is_not_there_has_no_upkeep(self, place: Path) -> None:
        assert self.open(place).upkeep(TableName("silver", "none")) is None

    @_PROPERTY
    @given(before=_Operations, after=_Operations, pin=st.integers(0, 9))
    def test_versions_that_are_kept_can_be_read_and_had_again_after_a_sweep(
        self, before: list[tuple[str, int]], after: list[tuple[str, int]], pin: int
    ) -> None:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            was = self._do(place, before)
            newest = max(was, default=0)
            since = self.later()
            was |= self._do(place, after)
            pinned = [sorted(was)[pin % len(was)]] if was else []
            kept = self.sweep(place, since, pinned)
            for version, (rows, progress) in was.items():
                if version >= newest or version in pinned:
                    old = self.at(place, version)
                    assert (_ids(old.scan()), old.progress()) == (rows, progress), version
            assert {Path(path).exists() for path in kept.files} <= {True}
            self.append(self.table(place), [1])

    def test_what_only_old_versions_name_goes_and_nothing_is_left_to_sweep(self, place: Path) -> None:
        for number in range(3):
            self.append(self.table(place), [number])
            self.rewrite(self.table(place), self.table(place).scan().files[-1])
        since = self.later()
        kept = self.sweep(place, since)
        folder = Path(self.table(place).folder())
        assert {str(path) for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts} == kept.files
        assert kept.generations[0] == {6}
        keeper = self.keeper(place)
        assert (list(keeper.unnamed(kept, since)), list(keeper.unnamed_states(kept, since, None))) == ([], [])

    def test_what_a_dead_process_left_goes_once_it_is_old(self, place: Path) -> None:
        self.append(self.table(place), [1])
        died = self.table(place)
        claim = died.claim()
        file = self.file(died, claim.number, {"id": [9]})
        self.append(self.table(place), [2])
        self.sweep(place, datetime.now(UTC) - timedelta(days=1))
        assert Path(file.path).exists()
        self.sweep(place, self.later())
        assert not Path(file.path).exists()
        assert self.table(place).claim().number > claim.number

    def test_what_a_commit_names_again_is_young(self, place: Path) -> None:
        self.append(self.table(place), [1])
        (file,) = self.table(place).files()
        self.rewrite(self.table(place), file.path)
        os.utime(file.path, (0, 0))
        since = self.later()
        keeper = self.keeper(place)
        looked = keeper.unnamed(keeper.kept(since), since)
        assert [one.path for one in looked] == [file.path]
        self.restore(place, self.version(place, 1))
        assert keeper.remove(looked, since) == 0
        assert _ids(self.table(place).scan()) == [1]

    def test_small_files_are_joined_and_no_row_changes(self, place: Path) -> None:
        for number in range(4):
            self.append(self.table(place), [number])
        before = self.table(place)
        keeper = self.keeper(place)
        assert len(keeper.small()) == 4
        assert keeper.compact() == 4
        after = self.table(place)
        assert (_ids(after.scan()), after.progress()) == (_ids(before.scan()), before.progress())
        assert len(after.scan().files) == 1
        assert [len(after.scan(loads=span).files) for span in ((0, 1), (3, 4), (4, 9))] == [1, 1, 0]
        assert list(self.keeper(place).small()) == []

    def test_a_pinned_version_that_never_was_is_told(self, place: Path) -> None:
        with pytest.raises(ConfigError, match="version 77"):
            self.keeper(place).kept(self.later(), [77])

    def test_states_from_a_generation_on_are_left_for_those_who_ask(self, place: Path) -> None:
        for number in range(1, 5):
            self.append(self.table(place), [number])
        since = self.later()
        keeper = self.keeper(place)
        keeper.remove(keeper.unnamed_states(keeper.kept(since), since, 2), since)
        table = self.table(place)
        assert [table.descends(number) for number in range(2, 6)] == [True, True, True, False]
        with pytest.raises(Unfenced):
            self.at(place, self.version(place, 1)).progress()


def _ids(scan: Scan) -> list[int]:
    parts = [pq.read_table(path, partitioning=None)["id"].to_pylist() for path in scan.files]
    return sorted(int(row) for part in parts for row in part)
