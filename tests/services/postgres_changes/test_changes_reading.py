"""What lands of a real log: kinds of changes, transactions, values that are not in the log, schemas that change."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from catchment.errors import ConfigError
from catchment.reading.kinds.postgres_changes import ChangesStream
from catchment.records import Budget
from catchment.sources.postgres_changes import following, reading
from tests.services.postgres_changes.conftest import Database, brief, preview
from tests.services.postgres_changes.workload import STREAMS, Workload, expected, replayed, told


@pytest.fixture
def rows(database: Database) -> Database:
    """A table that was snapshotted while it was empty."""
    database.run("CREATE TABLE rows (id int PRIMARY KEY, name text)")
    assert database.land() == []
    return database


def test_a_random_life_is_told_as_triggers_wrote_it_down(database: Database) -> None:
    life = Workload(database.url, seed=11)
    life.create()
    database.streams = STREAMS
    life.run(300)
    known, snapshot = len(life.history()), len(database.land())
    source = database.source()
    for _ in range(5):
        life.run(400)
        database.land(source, budget=Budget(bytes=20_000))
    assert replayed(database.landed, life.columns()) == life.tables()
    assert told(database.landed[snapshot:]) == expected(life.history()[known:])


def test_rows_are_of_the_instant_of_their_commit_and_no_two_transactions_of_one(database: Database) -> None:
    life = Workload(database.url, seed=12, schema_changes=False)
    life.create()
    database.streams = STREAMS
    database.land()
    life.run(500)
    database.land()
    commits = {one.committed_at for one in life.history()}
    instants = [row["committed_at"] for row in database.landed]
    assert instants == sorted(instants)
    assert set(instants) == commits


def test_a_clock_that_goes_back_does_not_change_the_order(rows: Database) -> None:
    assert rows.cursor is not None
    rows.run("INSERT INTO rows VALUES (1, 'a')", "INSERT INTO rows VALUES (2, 'b')")
    late = 3 * 10**15
    rows.cursor = type(rows.cursor)({**rows.cursor.value, "committed": late})
    first, second = rows.land()
    assert second["committed_at"] > first["committed_at"]
    assert rows.cursor.value["committed"] == late + 2


def test_a_changed_key_is_a_delete_and_an_update(rows: Database) -> None:
    rows.run("INSERT INTO rows VALUES (1, 'a')", "UPDATE rows SET id = 2, name = 'b'", "DELETE FROM rows")
    assert brief(rows.land()) == [
        ("insert", '{"id":1,"name":"a"}'),
        ("delete", '{"id":1}'),
        ("update", '{"id":2,"name":"b"}'),
        ("delete", '{"id":2}'),
    ]


def test_a_table_with_full_identity_tells_what_rows_were_before(rows: Database) -> None:
    rows.run("ALTER TABLE rows REPLICA IDENTITY FULL", "INSERT INTO rows VALUES (1, 'a')")
    rows.run("UPDATE rows SET name = 'b'", "UPDATE rows SET id = 2", "DELETE FROM rows")
    landed = rows.land()
    assert brief(landed) == [
        ("insert", '{"id":1,"name":"a"}'),
        ("update", '{"id":1,"name":"b"}'),
        ("delete", '{"id":1,"name":"b"}'),
        ("update", '{"id":2,"name":"b"}'),
        ("delete", '{"id":2,"name":"b"}'),
    ]
    befores = [None, '{"id":1,"name":"a"}', '{"id":1,"name":"b"}', '{"id":1,"name":"b"}', '{"id":2,"name":"b"}']
    assert [row["before"] for row in landed] == befores


def test_without_a_primary_key_the_streams_key_names_a_row(database: Database) -> None:
    database.run("CREATE TABLE rows (a int, b int)", "ALTER TABLE rows REPLICA IDENTITY FULL")
    database.streams = {"rows": ChangesStream(table="rows", key=["a"])}  # type: ignore[dict-item]
    database.land()
    database.run("INSERT INTO rows VALUES (1, 1)", "UPDATE rows SET b = 2", "UPDATE rows SET a = 2")
    assert [op for op, _ in brief(database.land())] == ["insert", "update", "delete", "update"]


@pytest.mark.parametrize("more", ["", "UPDATE rows SET name = name || '!'"])
def test_keys_that_change_places_in_one_transaction_are_all_there(database: Database, more: str) -> None:
    """Where keys are compared at the end of a transaction only, one is given before it is given up."""
    database.run("CREATE TABLE rows (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, name text)")
    database.run("ALTER TABLE rows REPLICA IDENTITY FULL", "INSERT INTO rows VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    database.land()
    with database.connect() as opened, opened.transaction():
        opened.execute("UPDATE rows SET id = 3 - id WHERE id < 3")
        opened.execute("INSERT INTO rows VALUES (3, 'new')")
        opened.execute("DELETE FROM rows WHERE name = 'c'")
        opened.execute("UPDATE rows SET id = id + 1")
        opened.execute("UPDATE rows SET id = id + 1 WHERE id = 4")
        opened.execute(more.encode())
    database.land()
    left: dict[int, str] = {}
    for op, document in brief(database.landed):
        row = json.loads(document or "")
        left.pop(row["id"], None)
        if op != "delete":
            left[row["id"]] = row["name"]
    assert left == dict(database.fetch("SELECT id, name FROM rows"))


def test_a_truncate_is_a_row_of_each_stream_that_it_empties(database: Database) -> None:
    database.streams = {"rows": "rows", "more": "more", "other": "other"}
    database.run(*(f"CREATE TABLE {name} (id int PRIMARY KEY)" for name in ("rows", "more", "other", "beside")))
    database.run("INSERT INTO rows VALUES (1)")
    database.land()
    database.run("BEGIN; INSERT INTO rows VALUES (2); TRUNCATE rows, more, beside; INSERT INTO rows VALUES (3); COMMIT")
    landed = [(row["stream"], row["op"], row["document"]) for row in database.land()]
    assert landed[0] == ("rows", "insert", '{"id":2}')
    assert sorted(landed[1:3]) == [("more", "truncate", None), ("rows", "truncate", None)]
    assert landed[3:] == [("rows", "insert", '{"id":3}')]


def test_what_was_rolled_back_never_lands_and_what_is_open_lands_when_it_ends(rows: Database) -> None:
    with rows.connect() as long, rows.connect() as other:
        long.execute("BEGIN")
        long.execute("INSERT INTO rows VALUES (1, 'open')")
        other.execute("INSERT INTO rows VALUES (2, 'fast')")
        assert brief(rows.land()) == [("insert", '{"id":2,"name":"fast"}')]
        long.execute("SAVEPOINT s")
        long.execute("INSERT INTO rows VALUES (3, 'gone')")
        long.execute("ROLLBACK TO SAVEPOINT s")
        long.execute("INSERT INTO rows VALUES (4, 'kept')")
        assert rows.land() == []
        long.execute("COMMIT")
        other.execute("BEGIN")
        other.execute("INSERT INTO rows VALUES (5, 'gone')")
        other.execute("ROLLBACK")
    assert brief(rows.land()) == [("insert", '{"id":1,"name":"open"}'), ("insert", '{"id":4,"name":"kept"}')]


def test_a_read_ends_though_the_log_ends_within_an_open_transaction(rows: Database) -> None:
    with rows.connect() as long:
        long.execute("BEGIN")
        for size in (100_000, 3_333, 7_777):  # the server's writer flushes pages, not records
            long.execute(f"INSERT INTO rows SELECT i, repeat('x', {size}) FROM generate_series({size}, {size + 50}) i")
            began = time.monotonic()
            assert rows.land() == []
            assert time.monotonic() - began < 5
        long.execute("ROLLBACK")


def test_a_snapshot_waits_for_transactions_that_run_and_has_all_of_them(database: Database) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY, name text)", "INSERT INTO rows VALUES (1, 'before')")
    with database.connect() as long:
        long.execute("BEGIN")
        long.execute("INSERT INTO rows VALUES (2, 'open')")
        ending = threading.Timer(1.5, lambda: long.execute("COMMIT"))
        ending.start()
        landed = database.land()
        ending.join()
    assert brief(landed) == [("snapshot", '{"id":1,"name":"before"}'), ("snapshot", '{"id":2,"name":"open"}')]


def test_rows_written_while_snapshots_are_taken_land_once(database: Database) -> None:
    life = Workload(database.url, seed=5, schema_changes=False, truncates=False)
    life.create()
    life.run(500)
    database.streams = STREAMS
    writing = threading.Thread(target=life.run, args=(1500,))
    writing.start()
    database.land()
    database.land()
    writing.join()
    database.land()
    assert replayed(database.landed, life.columns()) == life.tables()
    keys = [(row["stream"], row["document"]) for row in database.landed if row["op"] == "snapshot"]
    assert len(keys) == len(set(keys))


def test_what_is_committed_between_the_slot_and_the_snapshot_lands_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY, name text)", "INSERT INTO rows VALUES (1, 'before')")
    exported = reading.exported

    def later(*given: Any) -> Any:
        database.run("INSERT INTO rows VALUES (2, 'between')")
        return exported(*given)

    monkeypatch.setattr(reading, "exported", later)
    landed = database.land()
    assert brief(landed) == [("snapshot", '{"id":1,"name":"before"}'), ("snapshot", '{"id":2,"name":"between"}')]


def test_a_transaction_larger_than_a_batch_is_one_load_and_never_in_memory_at_once(
    rows: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows.run("INSERT INTO rows SELECT i, repeat('x', 1000) FROM generate_series(1, 100000) i")
    batches = preview(rows.source(), rows.cursor, Budget(bytes=1 << 20))
    assert [batch.cursor is not None for batch in batches] == [False] * (len(batches) - 1) + [True]
    assert sum(batch.rows.num_rows for batch in batches) == 100_000
    assert max(batch.bytes for batch in batches) < 2 * following.BATCH_BYTES
    assert sum(batch.bytes for batch in batches) > 100_000_000


_LONG = "".join(chr(ord("a") + place % 26) for place in range(10_000))


@pytest.fixture
def beside(database: Database) -> Database:
    """Long values that are stored beside their rows."""
    database.run(
        "CREATE TABLE rows (id int PRIMARY KEY, n int, body text)",
        "ALTER TABLE rows ALTER body SET STORAGE EXTERNAL",
        f"INSERT INTO rows SELECT i, 0, '{_LONG}' || i FROM generate_series(1, 3) i",
    )
    database.land()
    return database


def test_a_value_that_the_log_does_not_have_is_read_from_the_table(beside: Database) -> None:
    beside.run("UPDATE rows SET n = 1 WHERE id < 3", "UPDATE rows SET id = 20 WHERE id = 2")
    landed = [(row["op"], row["document"]) for row in beside.land()]
    assert landed == [
        ("update", f'{{"id":1,"n":1,"body":"{_LONG}1"}}'),
        ("update", '{"id":2,"n":1}'),  # no row of that key any more
        ("delete", '{"id":2}'),
        ("update", f'{{"id":20,"n":1,"body":"{_LONG}2"}}'),
    ]


def test_a_value_beside_a_row_that_is_gone_is_left_out(beside: Database) -> None:
    beside.run("UPDATE rows SET n = 1 WHERE id = 1", "DELETE FROM rows WHERE id = 1")
    assert brief(beside.land()) == [("update", '{"id":1,"n":1}'), ("delete", '{"id":1}')]


def test_with_full_identity_the_log_has_every_value(beside: Database) -> None:
    beside.run("ALTER TABLE rows REPLICA IDENTITY FULL", "UPDATE rows SET n = 1 WHERE id = 1", "DELETE FROM rows")
    assert brief(beside.land())[0] == ("update", f'{{"id":1,"n":1,"body":"{_LONG}1"}}')


def test_a_column_that_is_gone_by_now_is_left_out_where_the_log_does_not_have_it(beside: Database) -> None:
    beside.run("UPDATE rows SET n = 1 WHERE id = 1", "ALTER TABLE rows DROP COLUMN body")
    assert brief(beside.land()) == [("update", '{"id":1,"n":1}')]


def test_a_column_of_another_type_by_now_is_left_out_where_the_log_does_not_have_it(beside: Database) -> None:
    beside.run("UPDATE rows SET n = 1 WHERE id = 1", "ALTER TABLE rows DROP body", "ALTER TABLE rows ADD body jsonb")
    beside.run("UPDATE rows SET body = '[1]' WHERE id = 1")
    assert brief(beside.land()) == [("update", '{"id":1,"n":1}'), ("update", '{"id":1,"n":1,"body":[1]}')]


def test_a_key_of_another_type_by_now_does_not_stop_the_log(database: Database) -> None:
    database.run(
        "CREATE TABLE rows (id text PRIMARY KEY, body text)", "ALTER TABLE rows ALTER body SET STORAGE EXTERNAL"
    )
    database.run("ALTER TABLE rows ADD n int", "INSERT INTO rows VALUES ('a', repeat('x', 3000), 1)")
    database.land()
    database.run("UPDATE rows SET n = 2", "DELETE FROM rows", "ALTER TABLE rows ALTER id TYPE int USING id::int")
    assert brief(database.land()) == [("update", '{"id":"a","n":2}'), ("delete", '{"id":"a"}')]


def test_columns_come_go_and_are_renamed_as_they_do_in_the_table(rows: Database) -> None:
    source = rows.source()
    rows.run("INSERT INTO rows VALUES (1, 'a')")
    rows.land(source)
    rows.run(
        "INSERT INTO rows VALUES (2, 'b')",
        "ALTER TABLE rows ADD COLUMN more numeric",
        "INSERT INTO rows VALUES (3, 'c', 1.50)",
        "ALTER TABLE rows RENAME COLUMN name TO title",
        "INSERT INTO rows VALUES (4, 'd', 2)",
        "ALTER TABLE rows DROP COLUMN title",
        "INSERT INTO rows VALUES (5, 3)",
        "ALTER TABLE rows RENAME TO lines",
        "ALTER TABLE lines RENAME TO rows",
        "INSERT INTO rows VALUES (6, 4)",
    )
    batches = preview(source, rows.cursor)
    documents = [one for batch in batches for one in batch.rows.column("document").to_pylist()]
    assert documents == [
        '{"id":2,"name":"b"}',
        '{"id":3,"name":"c","more":"1.50"}',
        '{"id":4,"title":"d","more":"2"}',
        '{"id":5,"more":"3"}',
        '{"id":6,"more":"4"}',
    ]
    notices = [notice for batch in batches for notice in batch.notices]
    assert [(notice.kind, notice.detail["columns"]) for notice in notices] == [
        ("columns_added", ["more"]),
        ("columns_added", ["title"]),
    ]


def test_a_stream_that_is_added_is_snapshotted_and_the_others_go_on(database: Database) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY)", "CREATE TABLE more (id int PRIMARY KEY)")
    database.land()
    database.run("INSERT INTO rows VALUES (1)", "INSERT INTO more VALUES (1)")
    database.streams = {"rows": "rows", "more": "more"}
    database.run("INSERT INTO rows VALUES (2)")
    added = sorted((row["stream"], *one) for row, one in ((row, brief([row])[0]) for row in database.land()))
    assert added == [("more", "snapshot", '{"id":1}'), ("rows", "insert", '{"id":1}'), ("rows", "insert", '{"id":2}')]
    database.run("INSERT INTO more VALUES (2)", "INSERT INTO rows VALUES (3)")
    assert brief(database.land()) == [("insert", '{"id":2}'), ("insert", '{"id":3}')]


def test_a_stream_that_was_away_is_snapshotted_again(database: Database) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY)", "CREATE TABLE more (id int PRIMARY KEY)")
    both = {"rows": "rows", "more": "more"}
    database.streams = both
    database.run("INSERT INTO more VALUES (1)")
    database.land()
    database.streams = {"rows": "rows"}
    database.run("DELETE FROM more", "INSERT INTO more VALUES (2)", "INSERT INTO rows VALUES (1)")
    assert [row["stream"] for row in database.land()] == ["rows"]
    database.streams = both
    database.run("INSERT INTO rows VALUES (2)")
    landed = database.land()
    more = [row for row in landed if row["stream"] == "more"]
    assert brief(more) == [("truncate", None), ("snapshot", '{"id":2}')]
    assert [row["stream"] for row in landed if row not in more] == ["rows"]


def test_parts_of_a_table_land_as_the_table(database: Database) -> None:
    database.run(
        "CREATE TABLE rows (id int PRIMARY KEY, name text) PARTITION BY RANGE (id)",
        "CREATE TABLE low PARTITION OF rows FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE high PARTITION OF rows FOR VALUES FROM (10) TO (20)",
        "INSERT INTO rows VALUES (1, 'a')",
    )
    assert brief(database.land()) == [("snapshot", '{"id":1,"name":"a"}')]
    database.run("INSERT INTO rows VALUES (11, 'b')", "UPDATE rows SET id = 12 WHERE id = 1")
    assert brief(database.land()) == [
        ("insert", '{"id":11,"name":"b"}'),
        ("delete", '{"id":1}'),
        ("insert", '{"id":12,"name":"a"}'),
    ]


def test_a_publication_of_the_users_decides_on_rows_and_columns(database: Database) -> None:
    database.run(
        "CREATE TABLE rows (id int PRIMARY KEY, name text, secret text)",
        "INSERT INTO rows VALUES (1, 'a', 's'), (2, 'b', 's')",
        "CREATE PUBLICATION mine FOR TABLE rows (id, name) WHERE (id > 1)",
    )
    database.keys = {"publication": "mine"}
    assert brief(database.land()) == [("snapshot", '{"id":2,"name":"b"}')]
    database.run("INSERT INTO rows VALUES (0, 'x', 's'), (3, 'c', 's')")
    assert brief(database.land()) == [("insert", '{"id":3,"name":"c"}')]


def test_columns_that_are_computed_are_left_out_of_snapshot_and_log_alike(database: Database) -> None:
    database.run(
        "CREATE TABLE rows (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (2 * id) STORED)",
        "INSERT INTO rows VALUES (1)",
    )
    database.land()
    database.run("INSERT INTO rows VALUES (2)")
    database.land()
    assert brief(database.landed) == [("snapshot", '{"id":1}'), ("insert", '{"id":2}')]


def test_names_of_all_kinds_are_followed(database: Database) -> None:
    database.run(
        'CREATE SCHEMA "My Shop"',
        'CREATE TABLE "My Shop"."100% Rows" ("a ""b" int PRIMARY KEY, "50%s" text, "ü" text)',
        """INSERT INTO "My Shop"."100% Rows" VALUES (1, 'x', 'y')""",
    )
    database.streams = {"rows": '"My Shop"."100% Rows"'}
    database.land()
    database.run("""UPDATE "My Shop"."100% Rows" SET ü = 'z'""")
    database.land()
    database.run('DROP SCHEMA "My Shop" CASCADE')
    assert brief(database.landed) == [
        ("snapshot", '{"a \\"b":1,"50%s":"x","ü":"y"}'),
        ("update", '{"a \\"b":1,"50%s":"x","ü":"z"}'),
    ]


def test_what_others_write_lets_the_slot_go_on(rows: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "IDLE_BYTES", 1 << 20)
    rows.run("CREATE TABLE other (note text)")
    before = rows.cursor
    rows.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 200)")
    assert rows.land() == []
    assert rows.cursor == before
    rows.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 2000)")
    assert rows.land() == []
    assert rows.cursor != before
    assert rows.cursor is not None
    confirmed = rows.fetch("SELECT confirmed_flush_lsn::text FROM pg_replication_slots")
    assert confirmed == [(rows.cursor.value["lsn"],)]
    rows.run("INSERT INTO rows VALUES (1, 'a')")
    assert len(rows.land()) == 1


def test_who_looks_makes_nothing_in_the_server(database: Database) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY, name text)", "INSERT INTO rows VALUES (1, 'a'), (2, 'b')")
    source = database.source()
    feed = source.feeds()[0]
    assert sum(batch.rows.num_rows for batch in source.read(feed, None, Budget(rows=1))) == 1
    assert sum(batch.rows.num_rows for batch in preview(source, None)) == 2
    source.describe(feed, None)
    source.probe(feed)
    source.close()
    assert database.fetch("SELECT slot_name FROM pg_replication_slots") == []
    assert database.fetch("SELECT pubname FROM pg_publication") == []
    assert len(database.land()) == 2


def test_a_preview_goes_on_behind_what_has_landed_and_takes_nothing(rows: Database) -> None:
    rows.run("INSERT INTO rows VALUES (1, 'a')")
    source = rows.source()
    for _ in range(2):
        assert sum(batch.rows.num_rows for batch in preview(source, rows.cursor)) == 1
        source.close()
    assert len(rows.land()) == 1


@pytest.mark.parametrize(
    ("table", "why"),
    [("nono", "no table `nono`"), ("shown", "is no table"), ("hidden", "unlogged"), ('"', "cannot be read")],
)
def test_what_has_no_log_is_refused_in_words(database: Database, table: str, why: str) -> None:
    database.run("CREATE VIEW shown AS SELECT 1 AS id", "CREATE UNLOGGED TABLE hidden (id int PRIMARY KEY)")
    database.streams = {"rows": table}
    with pytest.raises(ConfigError, match=why) as refused:
        database.land()
    assert refused.value.hint


def test_two_streams_of_one_table_are_refused(database: Database) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY)")
    database.streams = {"one": "rows", "two": "public.rows"}
    with pytest.raises(ConfigError, match="name one table"):
        database.land()


def test_a_stream_wakes_when_a_row_is_written(rows: Database) -> None:
    source: Any = rows.source()
    feed = source.feeds()[0]
    rows.land(source)
    assert not source.wait(feed, rows.cursor, 0.05)
    writing = threading.Timer(0.3, lambda: rows.run("INSERT INTO rows VALUES (1, 'a')"))
    writing.start()
    began = time.monotonic()
    assert source.wait(feed, rows.cursor, 30)
    assert time.monotonic() - began < 10
    writing.join()
    assert len(rows.land(source)) == 1
    assert not source.wait(feed, rows.cursor, 0.05)
