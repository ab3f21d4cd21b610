"""What a publication does not tell is said: nothing is taken for followed of which changes would stay out."""

from __future__ import annotations

import contextlib
import json
import random
import threading

import psycopg
import pytest

from catchment.errors import ConfigError, Passed, RetryableError
from catchment.records import Budget, Cursor
from tests.services.postgres_changes.conftest import Database, brief, preview

PARTED = (
    "CREATE TABLE rows (id int PRIMARY KEY) PARTITION BY RANGE (id)",
    "CREATE TABLE low PARTITION OF rows FOR VALUES FROM (0) TO (10)",
    "INSERT INTO rows VALUES (1)",
)


@pytest.fixture
def rows(database: Database) -> Database:
    """A table of which everything has landed."""
    database.run("CREATE TABLE rows (id int PRIMARY KEY)", "INSERT INTO rows VALUES (1)")
    database.land()
    return database


@pytest.mark.parametrize(
    "while_nobody_looks",
    [
        ("DROP TABLE rows", "INSERT INTO rows VALUES (2)", "ADD TABLE rows"),
        ("SET (publish = 'insert')", "DELETE FROM rows", "SET (publish = 'insert, update, delete, truncate')"),
        ("SET TABLE rows WHERE (id > 5)", "INSERT INTO rows VALUES (2)", "SET TABLE rows"),
    ],
)
def test_what_a_publication_left_out_for_a_while_is_a_gap(rows: Database, while_nobody_looks: tuple[str, ...]) -> None:
    away, change, back = while_nobody_looks
    rows.run(f"ALTER PUBLICATION catchment_shop {away}", change, f"ALTER PUBLICATION catchment_shop {back}")
    with pytest.raises(Passed, match=r"public.rows was out of publication `catchment_shop`, or that was altered"):
        rows.land()
    rows.keys = {"on_gap": "snapshot"}
    there = [("snapshot", f'{{"id":{one}}}') for (one,) in rows.fetch("SELECT id FROM rows ORDER BY id")]
    assert brief(rows.land()) == [("truncate", None), *there]
    rows.run("INSERT INTO rows VALUES (9)")
    assert brief(rows.land()) == [("insert", '{"id":9}')]


@pytest.mark.parametrize("is_made", [True, False])
def test_a_publication_that_was_dropped_is_a_gap_that_can_be_got_over(rows: Database, *, is_made: bool) -> None:
    """The server refuses to tell what was written meanwhile, for ever: the slot has to go with it."""
    rows.run("DROP PUBLICATION catchment_shop", "INSERT INTO rows VALUES (2)")
    if is_made:
        rows.run("CREATE PUBLICATION catchment_shop FOR TABLE rows")
    with pytest.raises(Passed, match="was dropped and made anew" if is_made else "is gone"):
        rows.land()
    rows.keys = {"on_gap": "snapshot"}
    assert rows.land(loads=1) == []  # killed before a slot is made
    assert brief(rows.land()) == [("truncate", None), ("snapshot", '{"id":1}'), ("snapshot", '{"id":2}')]
    rows.run("INSERT INTO rows VALUES (3)")
    assert brief(rows.land()) == [("insert", '{"id":3}')]


def test_a_cursor_without_a_mark_goes_on_and_has_one_from_then_on(rows: Database) -> None:
    assert rows.cursor is not None
    told = dict(rows.cursor.value)
    told["tables"] = {"rows": {key: one for key, one in told["tables"]["rows"].items() if key != "told"}}
    rows.cursor = Cursor(told)
    rows.run("INSERT INTO rows VALUES (2)")
    assert brief(rows.land()) == [("insert", '{"id":2}')]
    rows.run("ALTER PUBLICATION catchment_shop DROP TABLE rows", "ALTER PUBLICATION catchment_shop ADD TABLE rows")
    with pytest.raises(Passed, match="was out of publication"):
        rows.land()


def test_what_was_written_without_a_publication_is_a_gap_also_where_only_the_log_tells(rows: Database) -> None:
    assert rows.cursor is not None
    told = dict(rows.cursor.value)
    told["tables"] = {"rows": {key: one for key, one in told["tables"]["rows"].items() if key != "told"}}
    rows.cursor = Cursor(told)
    rows.run("DROP PUBLICATION catchment_shop", "INSERT INTO rows VALUES (2)")
    rows.run("CREATE PUBLICATION catchment_shop FOR TABLE rows")
    with pytest.raises(Passed, match="publication `catchment_shop` was not there for a while"):
        rows.land()
    rows.keys = {"on_gap": "snapshot"}
    kinds = [notice.kind for batch in preview(rows.source(), rows.cursor) for notice in batch.notices]
    assert kinds == ["lost"]
    assert brief(rows.land()) == [("truncate", None), ("snapshot", '{"id":1}'), ("snapshot", '{"id":2}')]
    rows.run("INSERT INTO rows VALUES (3)")
    assert brief(rows.land()) == [("insert", '{"id":3}')]


def test_a_life_with_a_publication_that_comes_and_goes_ends_at_what_is_there(rows: Database) -> None:
    rows.run("ALTER TABLE rows ADD v int DEFAULT 0")
    rows.keys = {"on_gap": "snapshot"}
    source, over = rows.source(), threading.Event()

    def live() -> None:
        chance = random.Random(4)
        with rows.connect() as opened:
            while not over.is_set():
                for statement in _happens(chance):
                    with contextlib.suppress(psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
                        opened.execute(statement.encode())

    writer = threading.Thread(target=live)
    writer.start()
    try:
        for _ in range(40):
            with contextlib.suppress(RetryableError):
                rows.land(source)
    finally:
        over.set()
        writer.join()
    for _ in range(3):  # as a step is tried
        with contextlib.suppress(RetryableError):
            rows.land(source)
    left: dict[int, int | None] = {}
    for op, document in brief(rows.landed):
        row = json.loads(document or "{}")
        if op == "truncate":
            left.clear()
        elif op == "delete":
            left.pop(row["id"], None)
        else:
            left[row["id"]] = row.get("v")
    there = dict(rows.fetch("SELECT id, v FROM rows"))
    assert {key: value or 0 for key, value in left.items()} == there
    instants = [row["committed_at"] for row in rows.landed]
    assert instants == sorted(instants)


def _happens(chance: random.Random) -> list[str]:
    key, what = chance.randrange(500), chance.random()
    if what < 0.5:
        return [f"INSERT INTO rows VALUES ({key}, 0) ON CONFLICT DO NOTHING"]
    if what < 0.75:
        return [f"DELETE FROM rows WHERE id = {key}"]
    if what < 0.98:
        return [f"UPDATE rows SET v = v + 1 WHERE id = {key}"]
    if what < 0.99:
        table = "catchment_shop DROP TABLE rows", "catchment_shop ADD TABLE rows"
        return [f"ALTER PUBLICATION {table[0]}", f"DELETE FROM rows WHERE id = {key}", f"ALTER PUBLICATION {table[1]}"]
    made = "CREATE PUBLICATION catchment_shop FOR TABLE rows"
    return ["DROP PUBLICATION IF EXISTS catchment_shop", f"DELETE FROM rows WHERE id = {key}", made]


@pytest.mark.parametrize(
    ("publication", "streams", "why", "cure"),
    [
        ("FOR TABLE rows", {"rows": "rows"}, "the parts of public.rows, not of the table", "SET (publish_via"),
        ("FOR ALL TABLES", {"rows": "rows"}, "the parts of public.rows, not of the table", "SET (publish_via"),
        (
            "FOR ALL TABLES WITH (publish_via_partition_root)",
            {"low": "low"},
            "changes of public.low as those of public.rows",
            "follow public.rows",
        ),
        (None, {"rows": "rows", "low": "low"}, "changes of public.low as those of public.rows", "follow public.rows"),
        (
            "FOR TABLE rows WITH (publish = 'insert')",
            {"rows": "rows"},
            "does not tell inserts, updates",
            "SET (publish",
        ),
    ],
)
def test_a_publication_that_never_tells_a_table_is_refused(
    database: Database, publication: str | None, streams: dict[str, str], why: str, cure: str
) -> None:
    database.run(*PARTED)
    if publication is not None:
        database.run(f"CREATE PUBLICATION catchment_shop {publication}")
    database.streams = streams
    with pytest.raises(ConfigError, match=why) as refused:
        database.land()
    assert cure in str(refused.value.hint)
    assert database.landed == []
    source = database.source()
    assert any(why.partition(" as ")[0] in one.message for one in source.probe(source.feeds()[0]))


def test_a_part_is_followed_by_itself(database: Database) -> None:
    database.run(*PARTED)
    database.streams = {"low": "low"}
    database.land()
    database.run("INSERT INTO rows VALUES (2)", "TRUNCATE low")
    database.land()
    assert [op for op, _ in brief(database.landed)] == ["snapshot", "insert", "truncate"]


def test_what_inherits_from_a_table_is_a_table_of_its_own(database: Database) -> None:
    database.run("CREATE TABLE rows (id int PRIMARY KEY)", "CREATE TABLE heirs (PRIMARY KEY (id)) INHERITS (rows)")
    database.run("INSERT INTO rows VALUES (1)", "INSERT INTO heirs VALUES (2)")
    source = database.source()
    assert any("inherit from public.rows" in one.message for one in source.probe(source.feeds()[0]))
    database.land()
    database.run("INSERT INTO heirs VALUES (3)", "UPDATE rows SET id = id + 10")
    database.land()
    assert brief(database.landed) == [
        ("snapshot", '{"id":1}'),
        ("delete", '{"id":1}'),
        ("update", '{"id":11}'),
    ]


def test_it_is_said_for_whom_a_snapshot_waits(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchment.sources.postgres_changes.reading._LONG_S", 1)
    database.run("CREATE TABLE rows (id int PRIMARY KEY)")
    source, said = database.source(), list[str]()
    with database.connect() as writer:
        writer.execute("SET application_name TO slowly")
        writer.execute("BEGIN")
        writer.execute("INSERT INTO rows VALUES (1)")
        for batch in source.read(source.feeds()[0], None, Budget()):
            said += [one.message for one in batch.notices]
            if batch.cursor is not None:
                source.acknowledge(source.feeds()[0], batch.cursor)
            if said:
                writer.execute("COMMIT")
                break
    assert len(said) == 1
    assert "(slowly)" in said[0]
