"""Before a run: over many tables hardly anything is opened, and what is recalled is never older than what is there."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catchment.connected import Connected
from catchment.contract import Reference
from catchment.lake.delta import DeltaLake
from catchment.lake.progress import ProgressFolder
from catchment.outlook import pending
from catchment.plan import plan
from catchment.project import Project
from catchment.reading.declaration import Gold, Target
from catchment.reading.kinds.rest import RestSource, RestStream
from catchment.records import Pending
from catchment.run import run
from catchment.sources.files.source import FilesSource
from catchment.testing.fakes import column, contract, project

MANY = 25


def make(folder: Path, count: int) -> Project:
    """So many tables, one file each, landed and refined."""
    names = [f"t{number}" for number in range(count)]
    for name in names:
        (folder / name).mkdir()
        (folder / name / "1.csv").write_text("id,n\na,1\n", encoding="utf-8")
    contracts = [contract(name, column("id"), column("n", "integer")) for name in names]
    found = project(folder, contracts, {name: {"from": f"src.{name}"} for name in names}, streams=names)
    assert run(found, None, plan(found)) == "done"
    return found


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Callable[[Path], Project]]:
    """A project of three tables that ran; the second value takes it as it is in a copy."""
    folder = tmp_path_factory.mktemp("landed")
    found = make(folder, 3)
    return folder, lambda copy: replace(found, folder=copy)


@pytest.fixture
def three(landed: tuple[Path, Callable[[Path], Project]], tmp_path: Path) -> Project:
    shutil.copytree(landed[0], tmp_path / "project")
    return landed[1](tmp_path / "project")


def look(found: Project, target: str | None = None) -> Sequence[Pending]:
    return pending(found, target, plan(found))


def news(found: Project) -> list[str]:
    return [one.step.name for one in look(found) if one.is_new]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> Iterator[list[Any]]:
    """First arguments of the calls of a method, which still does what it does."""
    calls: list[Any] = []
    original = getattr(owner, method)

    def heard(self: Any, first: Any, *rest: Any, **named: Any) -> Any:
        calls.append(first)
        return original(self, first, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(owner, method, heard)
        yield calls


def test_a_plan_of_many_tables_opens_none_where_nothing_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = make(tmp_path, MANY)
    with counted(monkeypatch, DeltaLake, "open") as opened, counted(monkeypatch, FilesSource, "describe") as described:
        first = look(found)
        assert (len(opened), len(described)) == (0, MANY)
        described.clear()
        assert look(found) == first
        assert (opened, described) == ([], [])
    assert {one.words for one in first} == {"nothing new"}

    for name in ("t3", "t20"):
        (tmp_path / name / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    with (
        counted(monkeypatch, DeltaLake, "open") as opened,
        counted(monkeypatch, FilesSource, "describe") as described,
        counted(monkeypatch, ProgressFolder, "seen") as seen,
    ):
        assert news(found) == ["src.t3", "src.t20", "silver.t3", "silver.t20"]
        assert (opened, [feed.name for feed in described], len(seen)) == ([], ["src.t3", "src.t20"], 2)


def _sealed(content: str) -> bytes:
    """As a file that an older release, with other digests, might have left."""
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest().encode() + b"\n" + content.encode()


LIE = {"items": 7, "bytes": 7, "item": "file", "notices": []}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff\xfe\x00",
        b"\n",
        b"[1, 2]",
        _sealed("{"),
        _sealed(json.dumps({f"src.t{number}": ["", LIE] for number in range(3)})),
    ],
)
def test_a_damaged_or_foreign_cache_is_none(three: Project, content: bytes) -> None:
    before = look(three)
    (cache,) = (three.folder / ".catchment" / "plan").glob("local*")
    cache.write_bytes(content)
    assert look(three) == before
    assert look(three) == before


def test_a_cache_that_lost_or_changed_a_byte_is_none(three: Project) -> None:
    (three.folder / "t1" / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    before = look(three)
    (cache,) = (three.folder / ".catchment" / "plan").glob("local*")
    whole = cache.read_bytes()
    for broken in (whole[:-20], whole.replace(b'"items":1', b'"items":9'), whole[1:]):
        assert broken != whole
        cache.write_bytes(broken)
        assert look(three) == before
    shutil.rmtree(cache.parent)
    assert look(three) == before


def test_a_cache_that_cannot_be_written_costs_nothing_but_time(three: Project) -> None:
    (three.folder / ".catchment" / "plan").write_text("in the way", encoding="utf-8")
    assert news(three) == news(three) == []


def test_a_plan_before_the_first_run_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "1.csv").write_text("id\na\n", encoding="utf-8")
    found = project(tmp_path, [contract("t", column("id"))], {"t": {"from": "src.t"}}, streams=["t"])
    assert news(found) == ["src.t", "silver.t"]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_a_file_that_comes_changes_or_goes_is_told_at_once(three: Project) -> None:
    assert news(three) == []
    new, old = three.folder / "t1" / "2.csv", three.folder / "t1" / "1.csv"
    new.write_text("id,n\nb,2\n", encoding="utf-8")
    assert news(three) == ["src.t1", "silver.t1"]
    new.unlink()
    assert news(three) == []
    # Same size, same content, another time: looked into. Same size, other content, another time: told.
    os.utime(old, ns=(0, 10**9))
    assert look(three)[1].words == "nothing new"
    old.write_text("id,n\na,2\n", encoding="utf-8")
    assert "1.csv changed after it was read" in look(three)[1].words
    assert look(three) == look(three)


def test_what_another_process_lands_or_refines_is_told_at_once(three: Project) -> None:
    assert news(three) == []
    (three.folder / "t1" / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    assert news(three) == ["src.t1", "silver.t1"]
    run(three, None, plan(three, ["src.t1"]))
    told = {one.step.id: one.words for one in look(three) if one.is_new}
    assert told == {"refine:silver.t1": "loads 2-2 of bronze.src__t1"}
    run(three, None, plan(three))
    assert news(three) == []


def test_a_table_that_went_away_is_told_at_once(three: Project) -> None:
    assert news(three) == []
    shutil.rmtree(three.folder / "lake" / "silver" / "t2")
    assert news(three) == ["silver.t2"]
    shutil.rmtree(three.folder / "lake" / "bronze" / "src__t0")
    assert news(three) == ["src.t0", "silver.t0", "silver.t2"]


def test_what_the_project_says_of_a_stream_is_part_of_what_is_recalled(three: Project) -> None:
    (three.folder / "t0" / "1.csv").write_text("id,n\nz,9\n", encoding="utf-8")
    assert "the next run stops before it" in look(three)[0].words
    source = three.sources["src"]
    lenient = source.streams["t0"].model_copy(update={"changed": "ignore"})
    changed = source.model_copy(update={"streams": {**source.streams, "t0": lenient}})
    assert "it is not read again" in look(replace(three, sources={"src": changed}))[0].words


def test_targets_do_not_recall_for_each_other(three: Project) -> None:
    target = Target(default=True, memory="256MB", threads=1)
    two = replace(three, targets={"local": target, "other": target.model_copy(update={"lake": "elsewhere"})})
    assert [one.is_new for one in look(two)] == [False] * 6
    assert [one.is_new for one in look(two, "other")] == [True] * 6
    assert [one.is_new for one in look(two)] == [False] * 6


def test_a_lake_that_was_put_in_the_place_of_another_is_another(three: Project, tmp_path: Path) -> None:
    (three.folder / "t0" / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    shutil.copytree(three.folder / "lake", tmp_path / "older")
    run(three, None, plan(three))
    assert news(three) == []
    shutil.rmtree(three.folder / "lake")
    shutil.move(tmp_path / "older", three.folder / "lake")
    assert news(three) == ["src.t0", "silver.t0"]


def test_two_lakes_of_as_many_commits_are_told_apart(three: Project, tmp_path: Path) -> None:
    lake, data = three.folder / "lake", three.folder / "t0"
    shutil.copytree(lake, tmp_path / "first")
    (data / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    run(three, None, plan(three))
    lake.rename(tmp_path / "second")
    (tmp_path / "first").rename(lake)
    (data / "2.csv").unlink()
    (data / "3.csv").write_text("id,n\nc,3\nd,4\ne,5\n", encoding="utf-8")
    run(three, None, plan(three))
    (data / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    assert look(three)[0].words == "1 new file, 0.0 kB"
    (data / "3.csv").write_text("id,n\n" + "c,3\n" * 1000, encoding="utf-8")
    assert "3.csv changed after it was read" in look(three)[0].words
    shutil.rmtree(lake)
    (tmp_path / "second").rename(lake)
    assert look(three)[0].words == "1 new file, 4.0 kB"


def test_a_selection_does_not_make_the_rest_be_forgotten(three: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    look(three)
    (three.folder / "t0" / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    pending(three, None, plan(three, ["src.t0"]))
    with counted(monkeypatch, FilesSource, "describe") as described:
        look(three)
    assert described == []


def test_where_a_table_stands_is_what_opening_it_tells(three: Project) -> None:
    lake = Connected.of(three).lake
    for name in lake.list():
        table, glance = lake.open(name), lake.glance(name)
        assert table is not None
        assert glance is not None
        assert (glance.pin, glance.progress) == (table.pin, table.progress())


def test_gold_is_compared_again_once_a_table_or_its_project_has_moved(
    three: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (three.folder / "gold").mkdir()
    (three.folder / "gold" / "dbt_project.yml").write_text("name: small\nversion: '1.0'\n", encoding="utf-8")
    model = three.folder / "gold" / "m.sql"
    model.write_text("select * from {{ source('silver', 't0') }}", encoding="utf-8")
    found, calls = replace(three, gold=Gold(dbt="gold/", command=None)), 0
    pinned = Connected.pinned

    def heard(self: Connected) -> Any:
        nonlocal calls
        calls += 1
        return pinned(self)

    monkeypatch.setattr(Connected, "pinned", heard)
    assert [one.words for one in look(found)[-2:]] == ["gold was never built", "after model"]
    assert look(found) == look(found)
    assert calls == 1
    model.write_text("select 1 from {{ source('silver', 't0') }}", encoding="utf-8")
    look(found)
    look(found)
    assert calls == 2
    (three.folder / "t0" / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    run(three, None, plan(three))
    look(found)
    look(found)
    assert calls == 3


def test_a_source_that_is_down_says_so_in_its_place_and_the_rest_is_told(three: Project) -> None:
    (three.folder / "t2" / "2.csv").write_text("id,n\nb,2\n", encoding="utf-8")
    away = RestSource(
        type="rest", url="http://127.0.0.1:9", streams={"items": RestStream(path="/items", records="$[*]")}
    )
    told = look(replace(three, sources={"api": away, **three.sources}))
    assert [one.step.name for one in told if one.error is not None] == ["api.items"]
    (wrong,) = [one for one in told if one.error is not None]
    assert not wrong.is_new
    assert wrong.words.startswith("cannot be told: ")
    assert "127.0.0.1:9" in wrong.words
    assert [one.step.name for one in told if one.is_new] == ["src.t2", "silver.t2"]


def test_a_table_of_which_cannot_be_told_does_not_hide_the_others(three: Project) -> None:
    log = three.folder / "lake" / "silver" / "t0" / "_delta_log"
    for entry in log.glob("*.json"):
        entry.write_text("{", encoding="utf-8")
    told = {one.step.name: one for one in look(three)}
    assert told["silver.t0"].error is not None
    assert told["silver.t1"].words == "nothing new"


def test_a_definition_that_goes_on_is_something_to_do(three: Project) -> None:
    wider = replace(three.contracts["t0"], columns=(*three.contracts["t0"].columns, column("more")))
    changed = replace(three, contracts={**three.contracts, "t0": wider})
    (told,) = [one for one in look(changed) if one.is_new]
    assert (told.step.name, told.words, told.choices) == ("silver.t0", "definition changed", ())
    assert len(told.changed) == 1
    assert run(changed, None, plan(changed)) == "done"
    assert news(changed) == []


def test_rows_that_wait_are_news_once_what_they_refer_to_has_moved(tmp_path: Path) -> None:
    for name, text in {"users": "id\nu1\n", "orders": "id,user\n1,u1\n2,u2\n"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.csv").write_text(text, encoding="utf-8")
    users = contract("users", column("id", key_position=1))
    orders = contract("orders", column("id", key_position=1), column("user"))
    orders = replace(orders, references=(Reference(("user",), "users", ("id",)),))
    silver = {name: {"from": f"src.{name}", "mode": "merge"} for name in ("users", "orders")}
    found = project(tmp_path, [users, orders], silver, streams=("users", "orders"))
    run(found, None, plan(found))
    assert news(found) == []
    (tmp_path / "users" / "2.csv").write_text("id\nu2\n", encoding="utf-8")
    run(found, None, plan(found, ["src.users", "silver.users"]))
    assert [(one.step.name, one.words) for one in look(found) if one.is_new] == [
        ("silver.orders", "rows that waited for others, once more")
    ]
    run(found, None, plan(found))
    assert news(found) == []
