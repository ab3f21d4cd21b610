"""Tables of SQLite: the promises of every source, and values that are not of their column's type."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from catchment.errors import CatchmentError, ConfigError, MissingExtra, SchemaDrift
from catchment.reading.kinds.sql import TableStream
from catchment.records import Batch, Budget, Cursor
from catchment.sources.sql.source import SqlSource, find
from catchment.testing.sources import SourcePromises, committed, rows_in


class Outside:
    """A file of SQLite, and how far it was read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "data").mkdir()
        self.connection = sqlite3.connect(folder / "data/shop.db", isolation_level=None)
        self.cursor: Cursor | None = None

    def run(self, sql: str, *values: Any) -> None:
        self.connection.execute(sql, values)

    def source(self, *, url: str = "sqlite:///data/shop.db", **keys: Any) -> SqlSource:
        return SqlSource("shop", {"rows": TableStream(**{"table": "rows", **keys})}, self.folder, url)

    def batches(self, budget: Budget | None = None, **keys: Any) -> list[Batch]:
        source = self.source(**keys)
        found = list(source.read(source.feeds()[0], self.cursor, budget or Budget()))
        self.cursor = committed(self.cursor, [one.cursor for one in found if one.cursor is not None])
        return found

    def rows(self, **keys: Any) -> list[dict[str, Any]]:
        return rows_in(self.batches(**keys))

    def ids(self, **keys: Any) -> list[int]:
        return [row["id"] for row in self.rows(**keys)]


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    made = Outside(tmp_path)
    yield made
    made.connection.close()


class _OverSqlite(SourcePromises):
    forgetful = True
    keys: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _table(self, outside: Outside) -> None:
        self._outside = outside
        self._added = 0
        outside.run("CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT, price REAL, updated_at DATETIME NOT NULL)")
        outside.run("CREATE INDEX by_time ON rows (updated_at)")

    def source(self) -> SqlSource:
        return self._outside.source(**self.keys)

    def add_rows(self, count: int) -> None:
        for _ in range(count):
            self._insert(f"row {self._added}")

    def add_unreadable(self) -> None:
        self._insert(b"\xff")

    def _insert(self, name: str | bytes) -> None:
        self._added += 1
        at = f"2026-01-{1 + self._added:02} 10:00:00"
        self._outside.run("INSERT INTO rows VALUES (?, ?, ?, ?)", self._added, name, self._added / 4, at)


class TestByCursor(_OverSqlite):
    keys: ClassVar[dict[str, Any]] = {"cursor": "updated_at"}


class TestByCursorWithLookback(_OverSqlite):
    keys: ClassVar[dict[str, Any]] = {"cursor": "updated_at", "lookback": "2 days"}


class TestByKey(_OverSqlite):
    keys: ClassVar[dict[str, Any]] = {"cursor": "id", "lookback": 2}


class TestWhole(_OverSqlite):
    whole = True


def test_types_follow_the_declaration_and_values_are_kept_as_they_are(outside: Outside) -> None:
    outside.run(
        "CREATE TABLE rows (id BIGINT, name VARCHAR(9), price DECIMAL(10,2), ratio DOUBLE, raw BLOB, is_paid BOOLEAN,"
        " at DATETIME, anything)"
    )
    values = (2**63 - 1, "zwölf", 12.5, 0.1, b"\x00\xff", 1, "2026-01-01T10:00:00Z", 7)
    outside.run("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *values)
    outside.run("INSERT INTO rows (id) VALUES (NULL)")
    outside.run("INSERT INTO rows (id, price, at) VALUES (1, '12.50', 1767225600)")
    (batch, _) = outside.batches()
    kinds = dict(zip(batch.rows.schema.names[4:], batch.rows.schema.types[4:], strict=True))
    texts = dict.fromkeys(("name", "price", "at", "anything"), pa.string())
    plain = {"id": pa.int64(), "ratio": pa.float64(), "raw": pa.binary(), "is_paid": pa.int64()}
    assert kinds == {**texts, **plain}
    first, empty, third = batch.rows.drop_columns(["_origin", "_position"]).to_pylist()
    assert list(first.values())[2:] == [2**63 - 1, "zwölf", "12.5", 0.1, b"\x00\xff", 1, "2026-01-01T10:00:00Z", "7"]
    assert set(empty.values()) == {None}
    assert (third["price"], third["at"]) == ("12.5", "1767225600")


@pytest.mark.parametrize(
    ("column", "value", "words", "raw"),
    [
        ("id", "abc", "str abc in a column declared INTEGER", "abc"),
        ("id", 1.5, "float 1.5 in a column declared INTEGER", 1.5),
        ("id", b"\x01", "1 bytes in a column declared INTEGER", "01"),
        ("ratio", "n/a", "str n/a in a column declared REAL", "n/a"),
        ("name", b"\x01\x02", "2 bytes in a column declared TEXT", "0102"),
        ("raw", "text", "str text in a column declared BLOB", "text"),
        ("at", b"\x01", "1 bytes in a column declared DATETIME", "01"),
    ],
)
def test_a_value_of_another_kind_is_a_defect_that_says_all_of_the_row(
    outside: Outside, column: str, value: Any, words: str, raw: Any
) -> None:
    outside.run("CREATE TABLE rows (nr INTEGER PRIMARY KEY, id INTEGER, ratio REAL, name TEXT, raw BLOB, at DATETIME)")
    outside.run(f"INSERT INTO rows ({column}) VALUES (?)", value)
    outside.run("INSERT INTO rows (nr) VALUES (2)")
    bad, good = outside.rows()
    assert words in bad["_defect"]
    assert json.loads(bad["_raw"])[column] == raw
    assert "nr" not in bad
    assert good["nr"] == 2


def test_text_that_is_no_utf8_is_a_defect_and_the_rest_is_read(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER, name TEXT)")
    outside.run("INSERT INTO rows VALUES (1, CAST(x'ff61' AS TEXT)), (2, 'good')")
    bad, good = outside.rows()
    assert "text that is no UTF-8" in bad["_defect"]
    assert json.loads(bad["_raw"]) == {"id": 1, "name": "ff61"}
    assert good["name"] == "good"


def test_a_column_named_under_as_text_takes_any_value(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER)")
    for value in ("abc", 1.5, 7):
        outside.run("INSERT INTO rows VALUES (?)", value)
    assert [row["id"] for row in outside.rows(as_text=["id"])] == ["abc", "1.5", "7"]


def test_rows_committed_late_are_found_within_the_lookback(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER PRIMARY KEY, at TIMESTAMP)")
    keys = {"cursor": "at", "lookback": "10 minutes"}
    outside.run("INSERT INTO rows VALUES (1, '2026-01-01 10:00:00'), (2, '2026-01-01 10:30:00.5')")
    assert outside.ids(**keys) == [1, 2]
    outside.run(
        "INSERT INTO rows VALUES (3, '2026-01-01 10:20:00'), (4, '2026-01-01 10:20:01'), (5, '2026-01-01 11:00')"
    )
    assert outside.ids(**keys) == [4, 5]
    assert outside.batches(**keys) == []
    outside.run("INSERT INTO rows VALUES (6, '2026-01-01 10:50:00')")
    assert outside.ids(**keys) == [6]


def test_a_lookback_over_text_that_tells_no_time_is_refused(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id TEXT)")
    outside.run("INSERT INTO rows VALUES ('a')")
    with pytest.raises(ConfigError, match="needs a cursor that tells time"):
        outside.rows(cursor="id", lookback="1 hour")


def test_a_part_of_the_columns_and_rows_can_be_asked_for(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER, name TEXT, secret TEXT)")
    outside.run("INSERT INTO rows VALUES (1, 'a', 's'), (2, 'b', 's'), (3, 'c', 's')")
    rows = outside.rows(columns=["name", "id"], where="name <> 'b' OR id = 99")
    assert [(row["id"], row["name"], "secret" in row) for row in rows] == [(1, "a", False), (3, "c", False)]


def test_a_view_and_columns_that_are_made_of_others_are_read(outside: Outside) -> None:
    outside.run("CREATE TABLE base (id INTEGER, twice INTEGER GENERATED ALWAYS AS (id * 2))")
    outside.run("CREATE VIEW rows AS SELECT id, twice, 'x' || id AS name FROM base")
    outside.run("INSERT INTO base (id) VALUES (4)")
    (row,) = outside.rows()
    assert (row["id"], row["twice"], row["name"]) == (4, 8, "x4")


def test_a_file_that_grows_while_it_is_read_is_read_as_it_was(outside: Outside) -> None:
    outside.run("PRAGMA journal_mode = WAL")
    outside.run("CREATE TABLE rows (id INTEGER PRIMARY KEY)")
    outside.run("INSERT INTO rows SELECT value FROM json_each('[1,2,3,4,5]')")
    source = outside.source(cursor="id")
    reading = source.read(source.feeds()[0], None, Budget(1))
    got = [next(reading)]
    outside.run("INSERT INTO rows VALUES (6)")
    outside.run("DELETE FROM rows WHERE id = 5")
    assert [row["id"] for row in rows_in([*got, *reading])] == [1, 2, 3, 4, 5]


def test_reading_changes_nothing_and_makes_no_file(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER)")
    outside.run("INSERT INTO rows VALUES (1)")
    before = (outside.folder / "data/shop.db").read_bytes()
    outside.rows()
    assert (outside.folder / "data/shop.db").read_bytes() == before
    with pytest.raises(ConfigError, match="there is no file"):
        outside.rows(url="sqlite:///data/none.db")
    assert sorted(path.name for path in (outside.folder / "data").iterdir()) == ["shop.db"]


def test_a_column_of_another_type_stops_in_words(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER, name TEXT)")
    outside.run("INSERT INTO rows VALUES (1, 'a')")
    outside.batches()
    outside.run("DROP TABLE rows")
    outside.run("CREATE TABLE rows (id INTEGER, name INTEGER)")
    outside.run("INSERT INTO rows VALUES (1, 5)")
    with pytest.raises(SchemaDrift, match="column `name` is int64 now"):
        outside.batches()


def test_what_is_wrong_is_said_in_words(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER, raw BLOB)")
    (outside.folder / "data/other.db").write_text("This is no database, whatever its name says." * 50)
    wrong: list[tuple[dict[str, Any], type[CatchmentError], str]] = [
        ({"table": "rowz"}, ConfigError, "no table `rowz`"),
        ({"cursor": "idd"}, ConfigError, "no column `idd`"),
        ({"cursor": "raw"}, ConfigError, "cannot be a cursor"),
        ({"where": "nope = 1"}, ConfigError, "no such column: nope"),
        ({"url": "sqlite:///data/other.db"}, ConfigError, "not a database"),
        ({"url": "nosuchdb://host/x"}, ConfigError, "SQLAlchemy knows no database called `nosuchdb`"),
        ({"url": "oracle+oracledb://me:an-open-secret@host/x"}, MissingExtra, "package `oracledb` is not installed"),
        ({"url": "mysql://me:an-open-secret@host:port/x"}, ConfigError, "the address cannot be read"),
    ]
    for keys, kind, words in wrong:
        with pytest.raises(kind) as stopped:
            outside.rows(**keys)
        assert words in str(stopped.value), keys
        assert "secret" not in str(stopped.value)
        assert stopped.value.hint is not None


@pytest.mark.parametrize(
    ("said", "meant"), [("order", "orders"), ("main.order", "main.orders"), ("mian.orders", "orders")]
)
def test_a_slip_of_the_pen_in_a_table_is_told_with_the_nearest_one(outside: Outside, said: str, meant: str) -> None:
    outside.run("CREATE TABLE orders (id INTEGER)")
    outside.run("CREATE TABLE places (id INTEGER)")
    source = outside.source(table=said)
    (finding,) = source.probe(source.feeds()[0])
    assert finding.hint == f"did you mean `{meant}`?"


def test_a_driver_that_is_not_there_is_told_with_one_that_can_be_had(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER)")
    with pytest.raises(MissingExtra, match="package `MySQLdb` is not installed") as stopped:
        outside.rows(url="mysql://me:an-open-secret@host/x")
    assert stopped.value.hint == "write mysql+pymysql://… in the address, and pip install pymysql"


def test_probing_finds_what_a_run_would_meet(outside: Outside) -> None:
    outside.run("CREATE TABLE rows (id INTEGER PRIMARY KEY, at TEXT)")
    outside.run("INSERT INTO rows VALUES (1, NULL)")
    feed = outside.source().feeds()[0]
    assert [one.severity for one in outside.source(cursor="id").probe(feed)] == ["ok"]
    unindexed, unfound = outside.source(cursor="at").probe(feed)
    assert ("no index" in unindexed.message, "never taken" in unfound.message) == (True, True)
    (missing,) = outside.source(table="nope").probe(feed)
    assert (missing.severity, "no table" in missing.message) == ("error", True)


def test_finding_tells_tables_keys_references_and_a_cursor(outside: Outside) -> None:
    outside.run("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, updated_at DATETIME)")
    outside.run('CREATE TABLE "Order Lines" (user_id INT REFERENCES users (id), nr INT, PRIMARY KEY (user_id, nr))')
    outside.run("CREATE VIEW names AS SELECT name FROM users")
    outside.run("INSERT INTO users (name) VALUES ('a'), ('b')")
    lines, users, names = find("sqlite:///data/shop.db", outside.folder)
    assert (lines.name, users.name, names.name) == ("order_lines", "users", "names")
    assert lines.keys == {"table": "Order Lines"}
    assert lines.references == [(["user_id"], "users", ["id"])]
    assert (lines.key, users.key, users.rows) == (["user_id", "nr"], ["id"], 2)
    assert users.keys["cursor"] == "updated_at"
    assert [column.type for column in users.columns] == ["integer", "string", "timestamp"]
    assert "without an index" in users.evidence["cursor"]
