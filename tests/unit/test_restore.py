"""Ways back: a restored, rewound or adopted table is one that a fresh project would have, and says who must follow."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from catchment.connected import Connected
from catchment.errors import ConfigError, Conflict
from catchment.events import StepFinished, TableRestored
from catchment.naming import TableName
from catchment.plan import plan
from catchment.project import Project
from catchment.records import Order
from catchment.restore import Load, outlook, restore, rewind, way_back
from catchment.run import run
from catchment.testing.fakes import Heard, column, contract, project

BRONZE = TableName("bronze", "src__rows")
SILVER = TableName("silver", "orders")
QUARANTINE = TableName("quarantine", "orders")


@pytest.fixture
def found(tmp_path: Path) -> Project:
    """`silver.orders` merged by id from `src.rows`: CSV files with ids, numbers and a reject each."""
    columns = (column("id", required=True, key_position=1), column("n", "integer", required=True))
    return project(tmp_path, [contract("orders", *columns)], {"orders": {"from": "src.rows", "mode": "merge"}})


def arrive(found: Project, day: int, text: str | None = None) -> None:
    """A file of that day: an id of its own, one that every day has, and one that is rejected."""
    folder = found.folder / "rows"
    folder.mkdir(exist_ok=True)
    rows = text or f"id,n\nday {day},{day}\nalways,{day}\nbad {day},x\n"
    (folder / f"{day}.csv").write_text(rows, encoding="utf-8")


def go(found: Project, **orders: Order) -> Heard:
    """A run; orders by the name of the step, dots as two underscores."""
    heard = Heard()
    named = {name.replace("__", "."): order for name, order in orders.items()}
    chosen = [step for step in plan(found) if not named or step.name in named]
    run(found, None, chosen, listeners=[heard], orders=named)
    return heard


def days(found: Project, *numbers: int) -> None:
    for day in numbers:
        arrive(found, day)
        assert outcomes(go(found)) == {"done"}


def outcomes(heard: Heard) -> set[str]:
    return {event.outcome for event in heard.of(StepFinished)}


def causes(heard: Heard) -> list[str]:
    return [f"{event.cause} {event.hint}" for event in heard.of(StepFinished) if event.cause]


def opened(found: Project, name: TableName) -> Any:
    table = Connected.of(found).lake.open(name)
    assert table is not None
    return table


def rows(found: Project, name: TableName, sql: str = "SELECT id, n FROM t") -> list[tuple[Any, ...]]:
    from catchment.silver.judge import parsed

    connected = Connected.of(found)
    engine = connected.engine()
    table = engine.fetch(parsed(sql), {"t": engine.frame(opened(found, name).scan())})
    engine.close()
    return sorted(tuple(row.values()) for row in table.to_pylist())


def copy(found: Project, name: TableName) -> pa.Table:
    """A table's rows as another program may have kept them."""
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(path) for path in opened(found, name).scan().files])


def rejects(found: Project) -> list[str]:
    from catchment.inspect import standing_rejects

    connected = Connected.of(found)
    engine = connected.engine()
    frame = standing_rejects(connected, engine, SILVER)
    told = sorted(row["raw"] for row in frame.to_arrow_table().to_pylist())
    engine.close()
    return told


def version(found: Project, name: TableName, generation: int) -> int:
    return next(c.pin.version for c in opened(found, name).history() if c.pin.generation == generation)


def do(found: Project, verb: Any, name: TableName, to: int | None = None) -> list[TableRestored]:
    """One way back as the runner makes it, without a run."""
    from catchment import restore as ways

    heard = Heard()
    getattr(ways, verb)(Connected.of(found), Order(verb, to=to), name, step="s", tell=heard)
    return heard.of(TableRestored)


# Restore.


def test_a_restored_silver_table_has_the_old_rows_and_takes_again_what_came_since(found: Project) -> None:
    days(found, 1, 2, 3)
    newest, rejected = rows(found, SILVER), rejects(found)
    (told,) = go(found, silver__orders=Order("restore", to=1)).of(TableRestored)
    assert (told.table, told.verb, told.to, told.generation, told.rows) == ("silver.orders", "restore", 1, 4, 2)
    assert rows(found, SILVER) == [("always", 1), ("day 1", 1)]
    assert rejects(found) == rejected[:1]
    go(found)
    assert (rows(found, SILVER), rejects(found)) == (newest, rejected)


def test_a_restored_generation_descends_from_its_own_forebears_only(found: Project) -> None:
    days(found, 1, 2, 3)
    do(found, "restore", BRONZE, 1)
    table = opened(found, BRONZE)
    assert [table.descends(number) for number in (0, 1, 2, 3, 4)] == [True, True, False, False, True]
    assert (table.progress().parent, table.progress().cut_off) == (1, ((2, 3),))


def test_going_forth_again_brings_back_what_was_cut_off(found: Project) -> None:
    days(found, 1, 2, 3)
    newest = rows(found, BRONZE)
    do(found, "restore", BRONZE, 1)
    do(found, "restore", BRONZE, 3)
    table = opened(found, BRONZE)
    assert rows(found, BRONZE) == newest
    assert table.progress().cut_off == ((4, 4),)
    assert [table.descends(number) for number in (1, 2, 3, 4, 5)] == [True, True, True, False, True]
    assert outcomes(go(found)) == {"nothing_new"}


def test_earlier_cuts_stay_cut(found: Project) -> None:
    days(found, 1, 2)
    do(found, "restore", BRONZE, 1)
    arrive(found, 3)
    run(found, None, [plan(found)[0]])
    do(found, "restore", BRONZE, 3)
    table = opened(found, BRONZE)
    assert not table.descends(2)
    assert not table.descends(4)
    assert table.descends(1)


def test_what_took_loads_that_went_stops_and_its_rebuild_leaves_what_a_fresh_project_has(
    found: Project, tmp_path: Path
) -> None:
    days(found, 1, 2, 3)
    newest = rows(found, SILVER)
    way = way_back(Connected.of(found), BRONZE, version(found, BRONZE, 1))
    assert (way.to, way.rows_now, way.rows_then, way.cut_off, way.stale) == (1, 9, 3, ((2, 3),), ("silver.orders",))
    do(found, "restore", BRONZE, 1)
    (cause,) = causes(go(found))
    assert "no longer holds load 3" in cause
    assert "--rebuild silver." in cause
    go(found, silver__orders=Order("rebuild"))
    assert rows(found, SILVER) == newest
    assert len(rejects(found)) == 3


def test_restoring_twice_changes_nothing_the_second_time(found: Project) -> None:
    days(found, 1, 2)
    assert len(do(found, "restore", SILVER, 1)) == 1
    before = opened(found, SILVER).pin
    assert do(found, "restore", SILVER, 1) == []
    assert opened(found, SILVER).pin == before


def test_restoring_the_newest_is_nothing(found: Project) -> None:
    days(found, 1)
    assert do(found, "restore", SILVER, 1) == []
    assert way_back(Connected.of(found), SILVER, version(found, SILVER, 1)).is_nothing


def test_a_table_goes_back_over_a_compaction(found: Project) -> None:
    days(found, 1, 2, 3)
    DeltaTable(opened(found, BRONZE).folder()).optimize.compact()
    do(found, "restore", BRONZE, 2)
    assert len(rows(found, BRONZE)) == 6
    DeltaTable(opened(found, BRONZE).folder()).optimize.compact()
    do(found, "restore", BRONZE, 3)
    assert len(rows(found, BRONZE)) == 9


def test_rows_of_an_older_generation_are_had_from_a_compaction_of_it(found: Project) -> None:
    days(found, 1, 2)
    DeltaTable(opened(found, BRONZE).folder()).optimize.compact()
    arrive(found, 3)
    go(found)
    for path in Path(opened(found, BRONZE).folder()).glob("00000[12]-*.parquet"):
        path.unlink()  # a vacuum leaves the compacted file
    do(found, "restore", BRONZE, 2)
    assert len(rows(found, BRONZE)) == 6


def test_a_version_whose_files_are_gone_is_refused_with_the_oldest_that_can_be_had(found: Project) -> None:
    days(found, 1, 2, 3)
    arrive(found, 4)
    go(found)
    before = opened(found, SILVER)
    gone = {path for g in (1, 2) for path in opened_at(found, SILVER, g).scan().files} - set(before.scan().files)
    for path in gone:
        Path(path).unlink()
    with pytest.raises(ConfigError, match=r"generation 2 of silver\.orders is no longer kept") as told:
        do(found, "restore", SILVER, 2)
    kept = version(found, SILVER, 3)
    assert told.value.hint == f"the oldest that can be had again is version {kept}"
    with pytest.raises(ConfigError, match=f"rows of version {kept - 1} are no longer kept"):
        way_back(Connected.of(found), SILVER, kept - 1)
    assert opened(found, SILVER).pin == before.pin
    do(found, "restore", SILVER, 3)


def opened_at(found: Project, name: TableName, generation: int) -> Any:
    table = Connected.of(found).lake.open(name, at=version(found, name, generation))
    assert table is not None
    return table


def test_columns_that_came_since_stay_and_columns_that_went_come_back(found: Project) -> None:
    days(found, 1)
    arrive(found, 2, "id,n,note\nb,2,x\n")
    go(found)
    wide = opened(found, BRONZE).pin.generation
    do(found, "restore", BRONZE, 1)
    assert "note" in opened(found, BRONZE).schema().names
    do(found, "rewind", BRONZE, 0)
    assert "note" not in opened(found, BRONZE).schema().names
    do(found, "restore", BRONZE, wide)
    assert rows(found, BRONZE, "SELECT id, n, note FROM t WHERE id = 'b'") == [("b", "2", "x")]
    assert len(rows(found, BRONZE)) == 4
    assert outcomes(go(found)) <= {"nothing_new", "done"}


def test_a_table_goes_back_to_another_type_of_a_column(found: Project) -> None:
    days(found, 1)
    before = rows(found, SILVER)
    table = opened(found, SILVER)
    from catchment.records import Change

    other = pa.schema([pa.field(f.name, pa.string()) if f.name == "n" else f for f in table.schema()])
    table.commit(table.claim(), Change(remove="all", schema=other), table.progress())
    do(found, "restore", SILVER, 1)
    assert opened(found, SILVER).schema().field("n").type == pa.int64()
    assert rows(found, SILVER) == before


def test_quarantine_goes_back_with_silver_and_never_alone(found: Project) -> None:
    days(found, 1, 2)
    with pytest.raises(ConfigError, match="cannot go back by itself") as told:
        do(found, "restore", QUARANTINE, 1)
    assert told.value.hint == "restore silver.orders"


def test_a_generation_to_come_and_a_table_that_is_not_there_are_refused(found: Project) -> None:
    days(found, 1)
    with pytest.raises(ConfigError, match="has no generation 9: it is at 1"):
        do(found, "restore", SILVER, 9)
    with pytest.raises(ConfigError, match=r"no table silver\.order in the lake") as told:
        way_back(Connected.of(found), TableName("silver", "order"), 1)
    assert "silver.orders" in (told.value.hint or "")


def test_a_time_leads_to_the_version_of_then(found: Project) -> None:
    days(found, 1)
    then = datetime.now(UTC)
    days(found, 2)
    way = way_back(Connected.of(found), SILVER, then)
    assert (way.to, way.rows_then) == (1, 2)
    with pytest.raises(ConfigError, match="was not there yet"):
        way_back(Connected.of(found), SILVER, datetime(2020, 1, 1, tzinfo=UTC))


def test_a_restore_that_loses_a_race_leaves_nothing(found: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    days(found, 1, 2)
    connected = Connected.of(found)

    def meanwhile(point: str) -> None:
        if point == "restore.found":
            days(found, 3)

    monkeypatch.setitem(connected.__dict__, "reached", meanwhile)
    with pytest.raises(Conflict):
        restore(connected, Order("restore", to=1), SILVER, step="s", tell=Heard())
    assert len(rows(found, SILVER)) == 4


# Rewind.


def test_a_rewound_stream_is_read_again_to_the_same_rows(found: Project) -> None:
    days(found, 1, 2, 3)
    bronze, silver, rejected = rows(found, BRONZE), rows(found, SILVER), rejects(found)
    go(found, src__rows=Order("rewind", to=0))
    assert rows(found, BRONZE, "SELECT _load FROM t") == []
    assert opened(found, BRONZE).seen() is None
    assert "--rebuild" in causes(go(found))[0]
    go(found, silver__orders=Order("rebuild"))
    assert (rows(found, BRONZE), rows(found, SILVER), rejects(found)) == (bronze, silver, rejected)


def test_what_was_landed_after_a_load_is_read_again(found: Project) -> None:
    days(found, 1, 2, 3)
    way = way_back(Connected.of(found), BRONZE, Load(2))
    assert way.again is not None
    assert (way.to, way.again.rows, way.again.origins, way.again.about.items, way.again.lost_count) == (2, 3, 1, 1, 0)
    do(found, "rewind", BRONZE, way.to)
    assert rows(found, BRONZE, "SELECT DISTINCT _load FROM t") == [(1,), (2,)]
    run(found, None, [plan(found)[0]])
    assert rows(found, BRONZE, "SELECT DISTINCT _load FROM t") == [(1,), (2,), (5,)]


def test_a_load_on_a_branch_that_was_cut_off_is_none(found: Project) -> None:
    days(found, 1, 2, 3)
    do(found, "restore", BRONZE, 1)
    assert way_back(Connected.of(found), BRONZE, Load(3)).to == 1


def test_files_that_are_gone_are_named_before_their_rows_are_lost(found: Project) -> None:
    days(found, 1, 2, 3)
    (found.folder / "rows" / "2.csv").unlink()
    way = way_back(Connected.of(found), BRONZE, Load(0))
    assert way.again is not None
    assert (way.again.lost, way.again.lost_count) == (("rows/2.csv",), 1)
    assert way_back(Connected.of(found), BRONZE, Load(2)).again.lost_count == 0  # type: ignore[union-attr]


def test_files_that_the_stream_no_longer_means_are_lost_too(found: Project) -> None:
    days(found, 1, 2)
    elsewhere = project(
        found.folder, list(found.contracts.values()), {"orders": {"from": "src.rows"}}, streams=("rows",)
    )
    stream = elsewhere.sources["src"].streams["rows"]
    stream.__dict__["path"] = "rows/1*.csv"
    way = way_back(Connected.of(elsewhere), BRONZE, Load(0))
    assert way.again is not None
    assert (way.again.lost, way.again.lost_count) == ((), 1)


def test_only_streams_are_rewound(found: Project) -> None:
    days(found, 1)
    with pytest.raises(ConfigError, match=r"silver\.orders is no stream") as told:
        rewind(Connected.of(found), Order("rewind", to=0), SILVER, step="s", tell=Heard())
    assert "catchment restore silver.orders" in (told.value.hint or "")


# Adopt.


def test_a_table_that_another_program_put_back_goes_on_from_there(found: Project) -> None:
    days(found, 1, 2, 3)
    newest = rows(found, SILVER)
    DeltaTable(opened(found, SILVER).folder()).restore(version(found, SILVER, 1))
    assert "catchment adopt silver.orders" in causes(go(found))[0]
    told = outlook(Connected.of(found), SILVER)
    assert told is not None
    assert "goes on from generation 1" in told.words[0]
    (event,) = go(found, silver__orders=Order("adopt")).of(TableRestored)
    assert (event.verb, event.to, event.cut_off) == ("adopt", 1, ((2, 3),))
    assert rows(found, SILVER) == [("always", 1), ("day 1", 1)]
    go(found)
    assert rows(found, SILVER) == newest
    assert len(rejects(found)) == 3


def test_a_stream_that_was_put_back_is_read_again_after_it(found: Project) -> None:
    days(found, 1, 2)
    newest = rows(found, BRONZE)
    handle = DeltaTable(opened(found, BRONZE).folder())
    handle.restore(datetime.fromtimestamp(handle.history()[1]["timestamp"] / 1000, UTC))
    do(found, "adopt", BRONZE)
    assert "--rebuild" in causes(go(found))[0]
    go(found, silver__orders=Order("rebuild"))
    assert rows(found, BRONZE) == newest


def test_a_table_that_is_whole_is_left_as_it_is(found: Project) -> None:
    days(found, 1)
    before = opened(found, SILVER).pin
    assert outlook(Connected.of(found), SILVER) is None
    assert do(found, "adopt", SILVER) == []
    assert opened(found, SILVER).pin == before


@pytest.mark.parametrize("name", [SILVER, BRONZE])
def test_a_table_whose_state_is_lost_goes_on_to_what_a_fresh_project_has(found: Project, name: TableName) -> None:
    days(found, 1, 2)
    (found.folder / "lake" / "_progress" / str(name)).rename(found.folder / "lost")
    assert f"catchment adopt {name}" in causes(go(found))[0]
    (told,) = do(found, "adopt", name)
    assert (told.to, told.generation) == (None, 3)
    days(found, 3)
    merged = {"orders": {"from": "src.rows", "mode": "merge"}}
    fresh = project(found.folder / "fresh", list(found.contracts.values()), merged)
    shutil.copytree(found.folder / "rows", fresh.folder / "rows")
    go(fresh)
    assert rows(found, SILVER) == rows(fresh, SILVER)
    assert rows(found, BRONZE) == rows(fresh, BRONZE)
    assert rejects(found) == rejects(fresh)
    assert outcomes(go(found)) == {"nothing_new"}


def test_a_copy_without_a_fence_takes_no_number_that_its_rows_hold(found: Project) -> None:
    days(found, 1, 2)
    table = opened(found, SILVER)
    copied = copy(found, SILVER)
    shutil.rmtree(table.folder())
    shutil.rmtree(found.folder / "lake" / "_progress" / str(SILVER))
    write_deltalake(table.folder(), copied)
    (told,) = do(found, "adopt", SILVER)
    assert told.generation == 3
    go(found)
    assert rows(found, SILVER) == [("always", 2), ("day 1", 1), ("day 2", 2)]
    assert len(rejects(found)) == 2


def test_who_has_taken_a_load_that_a_copy_lacks_is_stopped(found: Project) -> None:
    days(found, 1)
    folder = Path(opened(found, BRONZE).folder())
    old = copy(found, BRONZE)
    days(found, 2)
    shutil.rmtree(folder)
    shutil.rmtree(found.folder / "lake" / "_progress" / str(BRONZE))
    write_deltalake(folder, old)
    do(found, "adopt", BRONZE)
    table = opened(found, BRONZE)
    assert [table.descends(number) for number in (1, 2)] == [True, False]
    assert table.pin.generation == 3
    assert "--rebuild" in causes(go(found))[0]


def test_rows_that_are_not_ours_are_refused_with_a_way_out(found: Project) -> None:
    days(found, 1)
    folder = Path(opened(found, SILVER).folder())
    shutil.rmtree(folder)
    write_deltalake(folder, pa.table({"id": ["a"], "n": [1]}))
    for act in (lambda: do(found, "adopt", SILVER), lambda: outlook(Connected.of(found), SILVER)):
        with pytest.raises(ConfigError, match="rows that are not ours: it has no column _stream") as told:
            act()
        assert f"move {folder} away" in (told.value.hint or "")


def test_rows_without_an_identity_are_refused(found: Project) -> None:
    days(found, 1)
    table = opened(found, SILVER)
    added = pa.table({"id": ["z"], "n": [1]}).cast(pa.schema([("id", pa.string()), ("n", pa.int64())]))
    write_deltalake(table.folder(), added, mode="append", schema_mode="merge")
    shutil.rmtree(found.folder / "lake" / "_progress" / str(SILVER))
    with pytest.raises(ConfigError, match="holds 1 rows that are not ours"):
        do(found, "adopt", SILVER)
