"""Upkeep: rows, states and pins stay as they are, whatever goes; and what nobody needs does go."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from catchment import maintain as upkeep
from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.events import StepFinished
from catchment.lake.delta import DeltaLake
from catchment.maintain import Tidied, maintain, survey
from catchment.naming import TableName
from catchment.plan import plan
from catchment.project import Project
from catchment.reading.declaration import Gold, Target
from catchment.records import Change, Message, Order, TopicSpec
from catchment.restore import restore
from catchment.run import run
from catchment.testing.fakes import Heard, column, contract, project
from catchment.topics.embedded import EmbeddedBroker

BRONZE = TableName("bronze", "src__rows")
SILVER = TableName("silver", "orders")
QUARANTINE = TableName("quarantine", "orders")

_NOW = timedelta(seconds=0)
_LONG = timedelta(days=7)


def make(folder: Path, mode: str) -> Project:
    """`silver.orders` from `src.rows`, a reject in each file."""
    columns = (column("id", required=True, key_position=1), column("n", "integer", required=True))
    return project(folder, [contract("orders", *columns)], {"orders": {"from": "src.rows", "mode": mode}})


@pytest.fixture
def found(tmp_path: Path) -> Project:
    """Every commit of its silver table puts a file out and another in."""
    return make(tmp_path, "merge")


@pytest.fixture
def appended(tmp_path: Path) -> Project:
    """Every commit of its silver table adds a file."""
    return make(tmp_path, "append")


def days(found: Project, *numbers: int) -> None:
    folder = found.folder / "rows"
    folder.mkdir(exist_ok=True)
    for day in numbers:
        text = f"id,n\nday {day},{day}\nalways,{day}\nbad {day},x\n"
        (folder / f"{day}.csv").write_text(text, encoding="utf-8")
        heard = Heard()
        assert run(found, None, plan(found), listeners=[heard]) == "done", heard.of(StepFinished)


def lake(found: Project, reached: Callable[[str], None] | None = None) -> DeltaLake:
    place = found.folder / "lake"
    return DeltaLake(place) if reached is None else DeltaLake(place, reached=reached)


def opened(found: Project, name: TableName) -> Any:
    table = lake(found).open(name)
    assert table is not None
    return table


def rows(found: Project, name: TableName) -> list[str]:
    parts = [pq.read_table(path).to_pylist() for path in opened(found, name).scan().files]
    return sorted(str(sorted(row.items())) for part in parts for row in part)


def rejects(found: Project) -> list[str]:
    from catchment.inspect import standing_rejects

    connected = Connected.of(found)
    engine = connected.engine()
    frame = standing_rejects(connected, engine, SILVER)
    told = sorted(row["raw"] for row in frame.to_arrow_table().to_pylist())
    engine.close()
    return told


def everything(found: Project) -> list[Any]:
    return [rows(found, BRONZE), rows(found, SILVER), rejects(found)]


def tidy(found: Project, retention: timedelta = _NOW, select: Sequence[str] = ()) -> dict[str, dict[str, int]]:
    """Items by kind by table, of what was done; what is there now is older than the retention afterwards."""
    time.sleep(0.02)
    return counts(maintain(found, None, select, retention=retention))


def counts(told: Sequence[Tidied]) -> dict[str, dict[str, int]]:
    return {one.table: {chore.kind: chore.items for chore in one.chores} for one in told}


def data_files(found: Project, name: TableName) -> set[Path]:
    return set(Path(opened(found, name).folder()).glob("*.parquet"))


def states(found: Project, name: TableName) -> list[int]:
    return sorted(int(path.stem) for path in (found.folder / "lake/_progress" / str(name) / "0").glob("*.json"))


def idle(found: Project) -> str:
    return run(found, None, plan(found))


# Rows, readers and pins.


def test_rows_and_verdicts_are_the_same_afterwards_and_nothing_is_new(found: Project) -> None:
    days(found, 1, 2, 3)
    before = everything(found)
    did = tidy(found)
    assert did["bronze.src__rows"]["compact"] == 3
    assert everything(found) == before
    assert len(opened(found, BRONZE).scan().files) == 1
    assert idle(found) == "nothing_new"
    days(found, 4)
    assert rejects(found) == [*before[2], rejects(found)[-1]]


def test_doing_it_again_finds_nothing_to_do(found: Project) -> None:
    days(found, 1, 2, 3)
    tidy(found)
    tidy(found)  # what the first one made needless is old now
    before = {name: opened(found, name).pin for name in lake(found).list()}
    assert tidy(found) == {}
    assert {name: opened(found, name).pin for name in lake(found).list()} == before


def test_a_survey_changes_nothing_and_says_what_is_done_then(found: Project) -> None:
    days(found, 1, 2, 3)
    before = {path: path.stat().st_mtime_ns for path in (found.folder / "lake").rglob("*")}
    said = counts(survey(found, None, retention=_NOW))
    assert {path: path.stat().st_mtime_ns for path in (found.folder / "lake").rglob("*")} == before
    did = tidy(found)
    joined = {name: kinds.get("compact", 0) for name, kinds in did.items()}
    assert {name: kinds.get("compact", 0) for name, kinds in said.items()} == joined
    assert joined["bronze.src__rows"] == joined["quarantine.orders"] == 3
    assert "states" in said["bronze.src__rows"]


def test_messages_that_are_older_than_their_topic_keeps_them_go(found: Project) -> None:
    broker = EmbeddedBroker(found.folder / "topics", segment_bytes=1)
    broker.declare([TopicSpec("clicks", 1, retention_s=1)])
    for value in (b"one", b"two"):
        broker.write("clicks", [Message(value)])
    assert not [one for one in survey(found, None) if one.table.startswith("topic")]
    time.sleep(1.1)
    (told,) = [one for one in maintain(found, None) if one.table.startswith("topic")]
    assert told.table == "topic clicks"
    assert told.chores[0].kind == "messages"
    assert broker.bounds("clicks") == {0: (2, 2)}


def test_what_is_younger_than_the_retention_stays(found: Project) -> None:
    days(found, 1, 2, 3)
    before = data_files(found, SILVER), states(found, SILVER), rows(found, SILVER)
    assert {kind for kinds in tidy(found, _LONG).values() for kind in kinds} == {"compact"}
    assert before[0] <= data_files(found, SILVER)
    assert (states(found, SILVER), rows(found, SILVER)) == before[1:]
    restore(Connected.of(found), Order("restore", to=1), SILVER, step="s", tell=Heard())
    assert len(rows(found, SILVER)) == 2


def test_what_somebody_at_work_may_read_stays_without_any_retention(found: Project) -> None:
    days(found, 1, 2)
    with Connected.of(found).lake.at_work():
        reader = opened(found, SILVER)
        days(found, 3)
        tidy(found)  # joins the files that the reader goes by
        assert all(Path(path).exists() for path in reader.scan().files)
        assert lake(found).open(SILVER, reader.pin.version).pin == reader.pin
    tidy(found)
    assert not any(Path(path).exists() for path in reader.scan().files)


def test_the_version_that_was_the_newest_when_the_retention_began_stays(found: Project) -> None:
    days(found, 1)
    days(found, 2)
    time.sleep(0.6)
    days(found, 3)
    tidy(found, timedelta(seconds=0.5))
    assert 1 not in states(found, SILVER)
    restore(Connected.of(found), Order("restore", to=2), SILVER, step="s", tell=Heard())
    assert len(rows(found, SILVER)) == 3
    with pytest.raises(ConfigError, match="no longer kept"):
        restore(Connected.of(found), Order("restore", to=1), SILVER, step="s", tell=Heard())


def test_a_version_that_gold_reads_stays_for_as_long_as_it_is_served(
    found: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    days(found, 1)
    pin = opened(found, SILVER).pin
    files = opened(found, SILVER).scan().files
    days(found, 2, 3)
    monkeypatch.setattr(upkeep._Maintaining, "_pins", {"silver.orders": [pin.version]})
    tidy(found)
    assert all(Path(path).exists() for path in files)
    old = lake(found).open(SILVER, at=pin.version)
    assert old is not None
    assert old.progress().generation == 1
    monkeypatch.setattr(upkeep._Maintaining, "_pins", {})
    tidy(found)
    assert not any(Path(path).exists() for path in files)


def test_a_pin_that_the_log_no_longer_tells_of_leaves_its_table_alone(
    found: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    days(found, 1, 2)
    before = data_files(found, SILVER)
    monkeypatch.setattr(upkeep._Maintaining, "_pins", {"silver.orders": [99]})
    time.sleep(0.02)
    (told,) = [one for one in maintain(found, None, retention=_NOW) if one.table == "silver.orders"]
    assert told.note is not None
    assert "gold reads version 99" in told.note
    assert data_files(found, SILVER) == before


def serve(connected: Connected, version: int) -> None:
    """Gold over a version of silver.orders."""
    build = connected.warehouse.build()
    connected.warehouse.publish(build, {"pins": {"silver.orders": {"version": version, "generation": 1}}, "models": {}})


def test_pins_are_those_of_every_build_of_gold_that_is_kept_of_every_target_on_this_lake(found: Project) -> None:
    local = found.targets["local"]
    targets = {"local": local, "same": local.model_copy(update={"default": False}), "other": Target(lake="elsewhere")}
    several = replace(found, gold=Gold(dbt="gold/", command=None), targets=targets)
    for name in targets:
        serve(Connected.of(several, name), 1)
    days(found, 1)
    files = opened(found, SILVER).scan().files
    pinned = opened(found, SILVER).pin.version
    days(found, 2, 3)
    serve(Connected.of(several, "same"), pinned)
    time.sleep(0.02)
    assert upkeep._Maintaining(Connected.of(several), datetime.now(UTC), _NOW, do=False)._pins == {
        "silver.orders": [1, pinned, 1]
    }
    maintain(several, None, retention=_NOW)
    assert all(Path(path).exists() for path in files)


def test_what_the_gold_of_an_environment_reads_stays_as_well(found: Project) -> None:
    shop = replace(found, gold=Gold(dbt="gold/", command=None))
    days(found, 1)
    files, pinned = opened(found, SILVER).scan().files, opened(found, SILVER).pin.version
    alice = Connected.of(shop, "local@alice")
    alice.lake.create(TableName("silver", "of_her_own"), opened(found, SILVER).schema())
    serve(alice, pinned)
    days(found, 2, 3)
    time.sleep(0.02)
    maintain(shop, None, retention=_NOW)
    assert all(Path(path).exists() for path in files)
    assert pinned in upkeep._Maintaining(alice, datetime.now(UTC), _NOW, do=False)._pins["silver.orders"]


# What goes.


def test_files_and_claims_of_processes_that_died_go(found: Project) -> None:
    days(found, 1)
    table = opened(found, SILVER)
    dead = table.claim()
    orphan = Path(table.folder()) / f"{dead.number:06d}-dead.parquet"
    orphan.write_bytes(b"half a file")
    days(found, 2)
    tidy(found)
    assert not orphan.exists()
    assert dead.number not in states(found, SILVER)
    assert opened(found, SILVER).pin.generation in states(found, SILVER)


def test_a_claim_above_the_newest_generation_stays_so_that_its_number_is_never_given_again(found: Project) -> None:
    days(found, 1, 2)
    dead = opened(found, SILVER).claim()
    tidy(found)
    assert dead.number in states(found, SILVER)
    assert opened(found, SILVER).claim().number == dead.number + 1


def test_states_that_a_silver_table_may_ask_about_stay(found: Project) -> None:
    days(found, 1, 2)
    taken = opened(found, SILVER).progress().cursors["refine"][str(BRONZE)]
    run(found, None, [step for step in plan(found) if step.kind == "land"])
    for day in (3, 4):
        (found.folder / "rows" / f"{day}.csv").write_text(f"id,n\na,{day}\n", encoding="utf-8")
        run(found, None, [step for step in plan(found) if step.kind == "land"])
    tidy(found)
    assert [number for number in states(found, BRONZE) if number >= taken] == [2, 3, 4]
    assert 1 not in states(found, BRONZE)
    assert opened(found, BRONZE).descends(taken)
    assert idle(found) == "done"


def test_what_was_seen_is_still_known_when_its_state_goes(found: Project) -> None:
    days(found, 1, 2, 3)
    tidy(found)
    seen = opened(found, BRONZE).seen()
    assert seen is not None
    assert sorted(seen["path"].to_pylist()) == ["rows/1.csv", "rows/2.csv", "rows/3.csv"]


def test_definitions_that_no_kept_state_names_go(found: Project) -> None:
    days(found, 1)
    folder = found.folder / "lake/_progress/_definitions"
    (used,) = folder.iterdir()
    (folder / "unused.json").write_text("{}", encoding="utf-8")
    assert tidy(found)["definitions"] == {"states": 1}
    assert list(folder.iterdir()) == [used]


def old_log(found: Project, name: TableName, before: int) -> None:
    """Make entries of a log as old as a year."""
    log = Path(opened(found, name).folder()) / "_delta_log"
    year_ago = int((time.time() - 365 * 86_400) * 1000)
    for number in range(before):
        entry = log / f"{number:020d}.json"
        lines = [json.loads(line) for line in entry.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"]["timestamp"] = year_ago + number
        entry.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")


@pytest.fixture
def short_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few entries are worth a checkpoint."""
    monkeypatch.setattr("catchment.lake.upkeep._WORTH_EXPIRING", 2)


@pytest.mark.usefixtures("short_logs")
def test_entries_of_a_log_that_are_too_old_go_and_the_rest_can_be_read(found: Project) -> None:
    days(found, *range(1, 7))
    newest, before = opened(found, BRONZE).pin.version, rows(found, BRONZE)
    old_log(found, BRONZE, newest - 1)
    did = tidy(found)
    log = Path(opened(found, BRONZE).folder()) / "_delta_log"
    assert did["bronze.src__rows"]["log"] == newest - 2
    assert min(int(path.name[:20]) for path in log.glob("*.json")) == newest - 2
    assert rows(found, BRONZE) == before
    assert lake(found).open(BRONZE, at=newest - 2) is not None
    with pytest.raises(ConfigError, match="no version 3"):
        lake(found).open(BRONZE, at=3)
    with pytest.raises(ConfigError, match="is no longer kept"):
        lake(found).open(BRONZE, at=datetime.now(UTC) - timedelta(days=366))
    days(found, 7)


def test_a_short_log_is_left_as_it_is(found: Project) -> None:
    days(found, 1, 2)
    old_log(found, BRONZE, 2)
    assert "log" not in tidy(found).get("bronze.src__rows", {})


# Verdicts and judged numbers.


def undone(found: Project) -> int:
    """A verdict of a refine whose silver commit never came; the number that it had."""
    table, claim = opened(found, QUARANTINE), opened(found, SILVER).claim()
    (path, *_) = table.scan().files
    copied = pq.read_table(path)
    place = copied.schema.get_field_index("_judged")
    import pyarrow as pa

    numbers = pa.array([claim.number] * copied.num_rows, pa.int64())
    written = Path(table.folder()) / f"{claim.number:06d}-undone.parquet"
    pq.write_table(copied.set_column(place, copied.schema.field(place), numbers), written)
    (example, *_) = table.files()
    told = {**example.statistics, "_judged": (claim.number, claim.number, 0)}
    file = replace(example, path=str(written), bytes=written.stat().st_size, statistics=told)
    table.commit(table.claim(), Change(add=[file]), table.progress())
    return claim.number


def judged(found: Project) -> set[int]:
    files = opened(found, QUARANTINE).scan().files
    return {number for path in files for number in pq.read_table(path)["_judged"].to_pylist()}


def test_verdicts_that_will_never_count_go_and_those_that_count_stay(found: Project) -> None:
    days(found, 1)
    number = undone(found)
    days(found, 2)
    assert number in judged(found)
    before = rejects(found)
    tidy(found)
    assert number not in judged(found)
    assert rejects(found) == before
    assert len(before) == 2


def test_a_verdict_stays_while_its_refine_may_still_commit_or_its_state_can_be_restored(found: Project) -> None:
    days(found, 1, 2)
    pending = undone(found)  # above silver's generation: its refine may be going on
    restored = opened(found, SILVER).progress().generation
    do_restore(found, 1)
    tidy(found, _LONG)
    assert {1, restored, pending} <= judged(found)
    before = rejects(found)
    tidy(found)
    assert restored not in judged(found)
    assert rejects(found) == before


def do_restore(found: Project, to: int) -> None:
    restore(Connected.of(found), Order("restore", to=to), SILVER, step="s", tell=Heard())


def test_held_rows_stay_until_the_table_goes_on(found: Project) -> None:
    days(found, 1)
    number = undone(found)
    table = opened(found, QUARANTINE)
    held = replace(table.progress(), cursors={"held": {"judged": number}})
    table.commit(table.claim(), Change(), held)
    gaps(found, 1)
    tidy(found)
    assert number in judged(found)
    table = opened(found, QUARANTINE)
    table.commit(table.claim(), Change(), replace(table.progress(), cursors={}))
    tidy(found)
    assert number not in judged(found)


def gaps(found: Project, count: int) -> None:
    """Silver with a gap of one dead claim after each of its numbers."""
    for _ in range(count):
        table = opened(found, SILVER)
        table.claim()
        claim = table.claim()
        progress = table.progress()
        table.commit(claim, Change(), replace(progress, judged=(*progress.judged, (claim.number, claim.number))))


def test_gaps_that_hold_no_row_close_in_one_generation(found: Project) -> None:
    days(found, 1)
    gaps(found, 20)
    days(found, 2)
    before, was = rejects(found), opened(found, SILVER).progress()
    assert len(was.judged) == 21
    assert tidy(found)["silver.orders"]["fold"] == 20
    now = opened(found, SILVER).progress()
    assert now.judged == ((1, was.generation),)
    assert now.generation > was.generation
    assert now.cursors == was.cursors
    assert rejects(found) == before
    assert idle(found) == "nothing_new"


def test_a_gap_stays_open_while_somebody_may_write_verdicts_under_its_number(found: Project) -> None:
    days(found, 1)
    gaps(found, 20)
    assert "fold" not in tidy(found, _LONG).get("silver.orders", {})


def test_a_gap_with_rows_and_one_that_waits_stay_open(found: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "_WORTH_FOLDING", 1)
    days(found, 1)
    number = undone(found)
    gaps(found, 3)
    table = opened(found, SILVER)
    waits = table.progress().judged[1][1] + 1
    table.commit(table.claim(), Change(), replace(table.progress(), waiting=((waits, waits),)))
    before = rejects(found)
    # The verdict is kept, as if it had come after the rows that never count had gone.
    monkeypatch.setattr(upkeep._Maintaining, "_verdicts", lambda *_: upkeep.Chore("verdicts", 0))
    tidy(found)
    folded = opened(found, SILVER).progress().judged
    assert not any(first <= n <= last for first, last in folded for n in (number, waits))
    assert rejects(found) == before


# A run at the same time.


def test_a_refine_between_looking_and_removing_loses_nothing(found: Project) -> None:
    days(found, 1, 2)
    time.sleep(0.02)
    since = datetime.now(UTC)
    keeper = lake(found).upkeep(SILVER)
    assert keeper is not None
    kept = keeper.kept(since)
    looked = [*keeper.unnamed(kept, since), *keeper.unnamed_states(kept, since, None)]
    assert looked
    days(found, 3)
    before = everything(found)
    keeper.remove(looked, since)
    assert everything(found) == before
    assert idle(found) == "nothing_new"


def test_a_restore_between_looking_and_removing_keeps_its_files(found: Project) -> None:
    days(found, 1, 2)
    time.sleep(0.02)
    since = datetime.now(UTC)
    keeper = lake(found).upkeep(SILVER)
    assert keeper is not None
    looked = keeper.unnamed(keeper.kept(since), since)
    do_restore(found, 1)
    before = rows(found, SILVER)
    keeper.remove(looked, since)
    assert rows(found, SILVER) == before


_POINTS = ("silver.compacting", "silver.compacted", "silver.removing", "quarantine.removing", "bronze.compacted")


@pytest.mark.parametrize("point", _POINTS)
def test_a_run_in_the_middle_of_upkeep_is_not_harmed(appended: Project, point: str) -> None:
    days(appended, 1, 2)
    undone(appended)
    days(appended, 3)
    ran: list[int] = []

    def meanwhile(here: str) -> None:
        if here == point and not ran:
            ran.append(4)
            days(appended, 4)

    tidy(appended)  # leaves files that nobody names once they are older
    days(appended, 5, 6)
    time.sleep(0.02)
    maintain(appended, None, retention=_NOW, reached=meanwhile)
    assert ran
    assert len(rows(appended, BRONZE)) == 18
    assert len(rows(appended, SILVER)) == 12
    assert len(rejects(appended)) == 6
    assert idle(appended) == "nothing_new"


@pytest.mark.usefixtures("short_logs")
def test_upkeep_that_is_killed_anywhere_leaves_what_was_there(found: Project) -> None:
    days(found, *range(1, 6))
    undone(found)
    days(found, 6)
    old_log(found, SILVER, opened(found, SILVER).pin.version - 1)
    before = everything(found)

    class Killed(BaseException):
        pass

    for place in range(40):
        points: list[str] = []

        def die(here: str, place: int = place, points: list[str] = points) -> None:
            points.append(here)
            if len(points) > place:
                raise Killed

        time.sleep(0.01)
        try:
            maintain(found, None, retention=_NOW, reached=die)
        except Killed:
            assert everything(found) == before, points
        else:
            break
    assert everything(found) == before
    assert idle(found) == "nothing_new"


# What is refused.


def test_a_table_that_is_not_fenced_is_left_alone(found: Project) -> None:
    days(found, 1, 2)
    (found.folder / "lake/_progress/silver.orders").rename(found.folder / "lost")
    before = data_files(found, SILVER)
    time.sleep(0.02)
    (told,) = [one for one in maintain(found, None, retention=_NOW) if one.table == "silver.orders"]
    assert told.note is not None
    assert told.note.startswith("left alone")
    assert data_files(found, SILVER) == before


def test_one_table_can_be_chosen_and_an_unknown_one_is_told(found: Project) -> None:
    days(found, 1, 2)
    assert set(counts(survey(found, None, ["silver.orders"], retention=_NOW))) == {"silver.orders"}
    with pytest.raises(ConfigError, match=r"no table silver\.order in the lake") as told:
        survey(found, None, ["silver.order"])
    assert "silver.orders" in (told.value.hint or "")


def test_files_that_are_held_again_are_young(found: Project) -> None:
    days(found, 1, 2)
    definitions = found.folder / "lake/_progress/_definitions"
    (kept,) = definitions.iterdir()
    os.utime(kept, (0, 0))
    lake(found).keep_definition(kept.stem, {})
    assert kept.stat().st_mtime > time.time() - 60
