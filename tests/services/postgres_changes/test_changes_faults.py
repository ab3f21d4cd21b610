"""Kills, restarts, cut lines, slots that are gone: nothing is lost in silence, and nothing lands twice."""

from __future__ import annotations

import random
import re
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.errors import CatchmentError, ConfigError, Passed, RetryableError
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.records import Budget, Cursor
from catchment.sources.postgres_changes import slots
from catchment.sources.postgres_changes.place import Place
from catchment.testing import crash
from catchment.testing.proxy import FaultProxy
from tests.services.postgres_changes.conftest import Database, brief, preview
from tests.services.postgres_changes.workload import STREAMS, Workload, expected, replayed, told

_PROJECT = """\
name: shop
sources:
  shop:
    type: postgres_changes
    url: ${{file:url.txt}}
    streams:
{streams}
"""


def _project(folder: Path, database: Database) -> Path:
    folder.mkdir()
    streams = "\n".join(f"      {name}: {{table: {table}}}" for name, table in database.streams.items())
    (folder / "catchment.yaml").write_text(_PROJECT.format(streams=streams))
    (folder / "url.txt").write_text(database.url)
    return folder


def _bronze(folder: Path) -> list[dict[str, Any]]:
    opened = OpenProject(load_project(folder))
    sql = "SELECT stream, op, document, before, _position FROM bronze.shop__changes ORDER BY _load, _row"
    rows: pa.Table = opened.query(sql).read_all()
    return rows.to_pylist()


def test_runs_killed_at_every_point_land_every_change_once(database: Database, tmp_path: Path) -> None:
    life = Workload(database.url, seed=21)
    life.create()
    life.run(200)
    database.streams = STREAMS
    folder = _project(tmp_path / "shop", database)
    kills = 0
    while (ended := crash.run_until(folder, kill_at=kills + 1)).killed:
        kills += 1
        life.run(40)
    assert ended.outcome == "done", ended.causes
    assert kills > 10
    # Whatever is killed now falls between the log, the commit and the word to the slot.
    known, landed = len(life.history()), len(_bronze(folder))
    for kill in range(1, 8):
        life.run(100)
        crash.run_until(folder, kill_at=kill)
    assert crash.run_until(folder).outcome in ("done", "nothing_new")
    rows = _bronze(folder)
    assert replayed(rows, life.columns()) == life.tables()
    assert told(rows[landed:]) == expected(life.history()[known:])
    assert [row["_position"] for row in rows] == list(range(len(rows)))
    assert crash.faults(folder) == []
    assert crash.run_until(folder).outcome == "nothing_new"


def test_a_server_that_restarts_in_the_middle_costs_and_doubles_nothing(database: Database) -> None:
    life = Workload(database.url, seed=22)
    life.create()
    life.run(200)
    database.streams = STREAMS
    database.land()
    known, snapshot = len(life.history()), len(database.landed)
    source = database.source()
    chance = random.Random(22)
    writing = threading.Thread(target=life.run, args=(1500,))
    writing.start()
    broken = 0
    for _ in range(3):
        restart = threading.Timer(chance.random() / 2, database.postgres.server.restart)
        restart.start()
        for _ in range(20):
            try:
                database.land(source, budget=Budget(bytes=5_000))
            except RetryableError:
                broken += 1
        restart.join()
    writing.join()
    while True:
        try:
            if not database.land(source):
                break
        except RetryableError:
            broken += 1
    source.close()
    assert broken
    assert replayed(database.landed, life.columns()) == life.tables()
    assert told(database.landed[snapshot:]) == expected(life.history()[known:])


def test_a_line_that_is_cut_costs_and_doubles_nothing(database: Database) -> None:
    life = Workload(database.url, seed=23)
    life.create()
    life.run(300)
    database.streams = STREAMS
    database.land()
    known, snapshot = len(life.history()), len(database.landed)
    life.run(800)
    cuts = 0
    with FaultProxy(("127.0.0.1", database.postgres.port), cut_after=30_000, cuts=6) as proxy:
        source = database.source(url=database.postgres.url(database.name, port=proxy.port))
        while True:
            try:
                if not database.land(source, budget=Budget(bytes=5_000)):
                    break
            except RetryableError:
                cuts += 1
        source.close()
    assert cuts >= 2
    assert told(database.landed[snapshot:]) == expected(life.history()[known:])


def test_a_snapshot_that_is_cut_begins_again(database: Database) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY, name text)", "CREATE TABLE more (id int PRIMARY KEY)")
    database.run("INSERT INTO rows SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i")
    database.run("INSERT INTO more VALUES (1)")
    database.streams = {"more": "more", "rows": "rows"}
    with FaultProxy(("127.0.0.1", database.postgres.port), cut_after=700_000) as proxy:
        url = database.postgres.url(database.name, port=proxy.port)
        with pytest.raises(RetryableError):
            database.land(database.source(url=url))
    assert [row["stream"] for row in database.landed] == ["more"]
    database.run("INSERT INTO rows VALUES (0, 'late')", "INSERT INTO more VALUES (2)")
    database.land()
    assert [row["stream"] for row in database.landed].count("more") == 2
    rows = [row for row in database.landed if row["stream"] == "rows"]
    assert {row["op"] for row in rows} == {"snapshot"}
    assert len({row["document"] for row in rows}) == len(rows) == 20_001


@pytest.fixture
def rows(database: Database) -> Database:
    """A table with a row that landed and was deleted since, and one that landed and stayed."""
    database.run("CREATE TABLE rows (id int PRIMARY KEY, name text)", "INSERT INTO rows VALUES (1, 'a'), (2, 'b')")
    database.land()
    database.run("DELETE FROM rows WHERE id = 1")
    return database


def _lose_slot(rows: Database) -> None:
    rows.run("SELECT pg_drop_replication_slot('catchment_shop')")


def _lose_log(rows: Database) -> None:
    rows.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
    for _ in range(4):
        rows.run("SELECT pg_logical_emit_message(false, 'x', repeat('x', 10000)) FROM generate_series(1, 900)")
        rows.run("SELECT pg_switch_wal()", "CHECKPOINT")
    rows.run("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")


def _take_it(rows: Database) -> None:
    rows.run("SELECT pg_replication_slot_advance('catchment_shop', pg_current_wal_lsn())")


def _make_it_anew(rows: Database) -> None:
    rows.run("DROP TABLE rows", "CREATE TABLE rows (id int PRIMARY KEY, name text)", "INSERT INTO rows VALUES (2, 'b')")


def _unpublish(rows: Database) -> None:
    rows.run("ALTER PUBLICATION catchment_shop DROP TABLE rows")


def _restore(rows: Database) -> None:
    assert rows.cursor is not None
    rows.cursor = Cursor({**rows.cursor.value, "system": "123"})


_LOSSES = [
    (_lose_slot, "is gone"),
    (_lose_log, "fell too far behind"),
    (_take_it, "somebody else reads it"),
    (_make_it_anew, "dropped and made anew"),
    (_unpublish, "not in publication"),
    (_restore, "another server"),
]


@pytest.mark.parametrize(("lose", "why"), _LOSSES)
def test_what_the_log_has_lost_stops_a_run_or_is_snapshotted_anew(rows: Database, lose: Any, why: str) -> None:
    lose(rows)
    with pytest.raises(Passed, match=why) as stopped:
        rows.land()
    assert "are lost" in stopped.value.message
    assert "on_gap: snapshot" in str(stopped.value.hint)
    rows.keys = {"on_gap": "snapshot"}
    source = rows.source()
    notices = [notice for batch in preview(source, rows.cursor) for notice in batch.notices]
    source.close()
    assert [notice.kind for notice in notices][:1] == ["lost"]
    landed = rows.land()
    assert brief(landed) == [("truncate", None), ("snapshot", '{"id":2,"name":"b"}')]
    instants = [row["committed_at"] for row in rows.landed]
    assert instants == sorted(instants)
    assert instants[1] < instants[2] < instants[3]
    rows.run("INSERT INTO rows VALUES (3, 'c')")
    assert brief(rows.land()) == [("insert", '{"id":3,"name":"c"}')]


def test_whoever_is_killed_while_a_slot_is_made_anew_loses_nothing(rows: Database) -> None:
    _lose_slot(rows)
    rows.keys = {"on_gap": "snapshot"}
    assert rows.land(loads=1) == []
    rows.run("INSERT INTO rows VALUES (3, 'c')")
    assert [op for op, _ in brief(rows.land())] == ["truncate", "snapshot", "snapshot"]
    rows.run("INSERT INTO rows VALUES (4, 'd')")
    assert [op for op, _ in brief(rows.land())] == ["insert"]


def test_a_new_slot_may_be_named_and_begins_with_a_snapshot(rows: Database) -> None:
    rows.keys = {"slot": "another"}
    with pytest.raises(Passed, match=r"`another` is not there \(what has landed came from `catchment_shop`\)"):
        rows.land()
    rows.keys = {"slot": "another", "on_gap": "snapshot"}
    assert [op for op, _ in brief(rows.land())] == ["truncate", "snapshot"]


def test_a_slot_of_another_project_is_not_touched(rows: Database) -> None:
    other = Database(rows.postgres, rows.name)
    with pytest.raises(ConfigError, match="another project") as refused:
        other.land()
    assert "pg_drop_replication_slot" in str(refused.value.hint)
    other.keys = {"slot": "of_their_own"}
    assert len(other.land()) == 1
    assert len(rows.land()) == 1


def test_a_limit_for_idle_sessions_ends_none_of_ours(rows: Database) -> None:
    """A transaction may take longer to be read than somebody else's sessions may rest."""
    rows.run("ALTER ROLE postgres SET idle_session_timeout = '200ms'")
    try:
        source = rows.source()
        for number in (3, 4):
            rows.run(f"INSERT INTO rows VALUES ({number}, 'c')")
            rows.land(source)
            session = source._held.session
            time.sleep(0.5)
            assert session.fetch("SELECT 1 AS one") == [{"one": 1}]
    finally:
        rows.run("ALTER ROLE postgres RESET ALL")
    assert [op for op, _ in brief(rows.landed)].count("insert") == 2


def test_a_slot_that_is_being_read_is_waited_for_and_then_told(rows: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_LETS_GO_S", 0.3)
    first = rows.source()
    rows.land(first)
    with pytest.raises(RetryableError, match=r"read by another process \(PID \d+\)"):
        rows.land()
    closing = threading.Timer(0.1, first.close)
    closing.start()
    rows.land()
    closing.join()


def test_a_run_that_was_killed_before_its_word_to_the_slot_leaves_out_what_has_landed(rows: Database) -> None:
    source = rows.source()
    rows.run("INSERT INTO rows VALUES (3, 'c')")
    (batch,) = preview(source, rows.cursor)
    source.close()
    rows.cursor = batch.cursor
    assert rows.land() == []
    rows.run("INSERT INTO rows VALUES (4, 'd')")
    assert brief(rows.land()) == [("insert", '{"id":4,"name":"d"}')]


@pytest.mark.parametrize(
    ("history", "timeline", "left"),
    [
        ("1\t0/3000148\tno recovery target\n", 1, 0x3000148),
        ("1\t0/5\tx\n\n2\t16/B374D848\ty\n", 2, 0x16B374D848),
        ("", 1, None),
    ],
)
def test_the_history_of_a_promoted_server_tells_where_it_left(history: str, timeline: int, left: int | None) -> None:
    assert slots.left_at(history, timeline) == left


def test_a_cursor_comes_back_as_it_was(rows: Database) -> None:
    assert rows.cursor is not None
    assert Place.of(rows.cursor, "x").cursor() == rows.cursor
    lost = Place.of(rows.cursor, "x").lost("y")
    assert Place.of(lost.cursor(), "x") == lost
    assert lost.again == ("rows",)


def _findings(database: Database, **keys: Any) -> dict[str, list[str]]:
    source = database.source(**keys)
    found: dict[str, list[str]] = {}
    for one in source.probe(source.feeds()[0]):
        found.setdefault(one.severity, []).append(f"{one.message} | {one.hint}")
    return found


def test_probing_tells_what_a_run_would_meet(database: Database) -> None:
    database.run(
        "CREATE TABLE rows (id int PRIMARY KEY, body text)",
        "INSERT INTO rows SELECT 1, string_agg(md5(i::text), '') FROM generate_series(1, 900) i",
        "CREATE TABLE bare (id int)",
        "CREATE TABLE whole (id int)",
        "ALTER TABLE whole REPLICA IDENTITY FULL",
        "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)",
        "CREATE TABLE part PARTITION OF parted DEFAULT",
        "CREATE PUBLICATION mine FOR TABLE parted WITH (publish = 'insert')",
    )
    database.streams = {"rows": "rows", "bare": "bare", "whole": "whole", "parted": "parted"}
    found = _findings(database, publication="mine")
    text = "\n".join(found["error"])
    assert "nothing names a row of public.bare" in text
    assert "does not tell inserts, updates and deletes" in text
    warnings = "\n".join(found["warning"])
    assert "public.rows has long values" in warnings
    assert "public.whole has no primary key" in warnings
    database.run("ALTER PUBLICATION mine SET (publish = 'insert, update, delete', publish_via_partition_root = false)")
    database.run("ALTER PUBLICATION mine ADD TABLE part")
    assert "is truncated" in "\n".join(_findings(database, publication="mine")["warning"])


def test_probing_tells_which_rights_are_missing(database: Database) -> None:
    database.run(
        "CREATE TABLE rows (id int PRIMARY KEY)",
        "CREATE ROLE guest LOGIN PASSWORD 'an-open-secret'",
        "GRANT USAGE ON SCHEMA public TO guest",
    )
    url = database.postgres.url(user="guest")
    try:
        found = "\n".join(_findings(database, url=url)["error"])
        database.run("GRANT SELECT ON rows TO guest")
        with pytest.raises(CatchmentError, match="may not replicate") as refused:
            database.land(database.source(url=url))
        database.run("ALTER ROLE guest REPLICATION")
        with pytest.raises(ConfigError, match="publication `catchment_shop` cannot be made") as unpublished:
            database.land(database.source(url=url))
        database.run("CREATE PUBLICATION catchment_shop FOR TABLE rows")
        database.run("INSERT INTO rows VALUES (1)")
        database.land(database.source(url=url))
        database.close()
    finally:
        database.run("DROP OWNED BY guest", "DROP ROLE guest")
    assert "role guest may not replicate" in found
    assert "ALTER ROLE guest REPLICATION" in found
    assert "no right to read public.rows" in found
    assert "may not put it there | let its owner run: CREATE PUBLICATION" in found
    assert "REPLICATION" in str(refused.value.hint)
    assert 'CREATE PUBLICATION "catchment_shop" FOR TABLE public.rows' in str(unpublished.value.hint)
    assert [op for op, _ in brief(database.landed)] == ["snapshot"]


def test_a_slot_that_holds_too_much_is_told_before_the_disk_is_full(rows: Database) -> None:
    rows.run("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'", "SELECT pg_reload_conf()")
    try:
        # File by file of the log, of 16 MB each: where in one of them the slot begins is nobody's choice.
        warnings = list[str]()
        while not warnings:
            rows.run("SELECT pg_logical_emit_message(false, 'x', repeat('x', 10000)) FROM generate_series(1, 900)")
            rows.run("SELECT pg_switch_wal()", "CHECKPOINT")
            found = _findings(rows)
            assert "error" not in found, found
            warnings = found.get("warning", [])
        source = rows.source()
        about = source.describe(source.feeds()[0], rows.cursor)
        (warning,) = warnings
        notices = [notice.message for batch in preview(source, rows.cursor) for notice in batch.notices]
    finally:
        rows.run("ALTER SYSTEM RESET max_slot_wal_keep_size", "SELECT pg_reload_conf()")
    held = re.search("holds ([0-9]+) MB of the server's log", warning)
    assert held is not None
    assert 40 < int(held[1]) < 66
    assert "max_slot_wal_keep_size" in warning
    assert "pg_drop_replication_slot('catchment_shop')" in warning
    assert about.item == "stretch of log"
    assert int(held[1]) - 17 < about.bytes / (1 << 20) < int(held[1]) + 1  # what has landed is held for a while
    assert [notice.message in warning for notice in about.notices] == [True]
    assert len(notices) == 1


def test_describing_tells_of_a_gap_and_of_snapshots(rows: Database) -> None:
    source = rows.source()
    feed = source.feeds()[0]
    assert (source.describe(feed, None).items, source.describe(feed, None).item) == (1, "row")
    _lose_slot(rows)
    about = source.describe(feed, rows.cursor)
    assert (about.item, [notice.kind for notice in about.notices]) == ("snapshot", ["lost"])
