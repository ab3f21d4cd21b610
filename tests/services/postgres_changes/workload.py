"""A random life of five tables, and two independent judges of it: the tables themselves, and what triggers wrote down.

    life = Workload(url, seed=7)
    life.create()
    life.run(1000)                       # operations, in transactions of all sizes, some of them rolled back
    replayed(bronze rows) == life.tables()
    told(bronze rows) == life.history()

Documents and rows are compared as canonical values: numbers as their text, instants in one form.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg

Key = tuple[Any, ...]
Row = dict[str, Any]

KEYS: Mapping[str, tuple[str, ...]] = {
    "users": ("id",),
    "orders": ("shop", "nr"),
    "items": ("id",),
    "notes": ("code",),
    "events": ("id",),
}
# As `streams` of a source say it.
STREAMS = {stream: f"public.{stream}" for stream in KEYS}
# Of these an update may leave a value alone that the log then does not have.
BESIDE = ("notes",)

_TABLES = (
    "CREATE TABLE users (id int PRIMARY KEY, email text NOT NULL, balance numeric(12, 2), since timestamptz)",
    "CREATE TABLE orders (shop text, nr bigint, state text, amount numeric, paid boolean, PRIMARY KEY (shop, nr))",
    "CREATE TABLE items (id uuid PRIMARY KEY, tags text[], price float8, extra jsonb, note text)",
    "ALTER TABLE items REPLICA IDENTITY FULL",
    "CREATE TABLE notes (code text PRIMARY KEY, body text, n int)",
    "ALTER TABLE notes ALTER body SET STORAGE EXTERNAL",
    "CREATE TABLE events (id int PRIMARY KEY, kind text, flag boolean)",
    "CREATE TABLE history (seq bigserial PRIMARY KEY, tab text, op text, before jsonb, after jsonb,"
    " xid xid DEFAULT pg_current_xact_id()::xid)",
    """CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_OP = 'INSERT' THEN INSERT INTO history (tab, op, after) VALUES (TG_TABLE_NAME, 'insert', to_jsonb(NEW));
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO history (tab, op, before, after) VALUES (TG_TABLE_NAME, 'update', to_jsonb(OLD), to_jsonb(NEW));
    ELSIF TG_OP = 'DELETE' THEN INSERT INTO history (tab, op, before) VALUES (TG_TABLE_NAME, 'delete', to_jsonb(OLD));
    ELSE INSERT INTO history (tab, op) VALUES (TG_TABLE_NAME, 'truncate'); END IF; RETURN NULL; END $$""",
)

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d+)?)([+-]\d\d)(?::00)?")


@dataclass(frozen=True)
class Happened:
    """One change of one table, as it was written down: whole rows, canonical."""

    table: str
    op: str
    before: Row | None
    after: Row | None
    committed_at: datetime | None = None


@dataclass
class Workload:
    """Runs against one database; the same seed does the same, as long as nobody gets in its way."""

    url: str
    seed: int = 0
    schema_changes: bool = True
    truncates: bool = True
    rng: random.Random = field(init=False)
    done: int = 0
    _keys: dict[str, list[Key]] = field(default_factory=lambda: {table: [] for table in KEYS})
    _made: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def create(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as opened:
            for statement in _TABLES:
                opened.execute(statement.encode())
            for table in KEYS:
                each = f"CREATE TRIGGER each AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW"
                opened.execute(f"{each} EXECUTE FUNCTION remember()".encode())
                whole = f"CREATE TRIGGER whole AFTER TRUNCATE ON {table} FOR EACH STATEMENT"
                opened.execute(f"{whole} EXECUTE FUNCTION remember()".encode())

    def run(self, operations: int) -> None:
        """So many more operations, in transactions; a server that goes away is waited for."""
        until = self.done + operations
        while self.done < until:
            with contextlib.suppress(psycopg.OperationalError), self._connected() as opened:
                while self.done < until:
                    self._transaction(opened)

    @contextlib.contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        """Who knows whether the last transaction was committed before the server went: the keys are asked for anew."""
        patience = time.monotonic() + 60
        while True:
            try:
                opened = psycopg.connect(self.url)
                break
            except psycopg.OperationalError:
                if time.monotonic() > patience:
                    raise
                time.sleep(0.1)
        with opened:
            for table, key in KEYS.items():
                found = opened.execute(f"SELECT {', '.join(key)} FROM {table} ORDER BY 1".encode()).fetchall()
                self._keys[table] = [tuple(row) for row in found]
            opened.commit()
            yield opened

    def _transaction(self, opened: psycopg.Connection[Any]) -> None:
        draw = self.rng.random()
        kept = {table: list(keys) for table, keys in self._keys.items()} if draw < 0.1 else None
        if self.schema_changes and draw > 0.99:
            self._change_schema(opened)
        for _ in range(self.rng.choice((1, 1, 1, 2, 3, 8, 30))):
            self._operation(opened)
        if draw < 0.05 and kept is not None:
            opened.rollback()
            self._keys = kept
            return
        if draw < 0.1 and kept is not None:
            self._subtransaction(opened)
        opened.commit()

    def _subtransaction(self, opened: psycopg.Connection[Any]) -> None:
        kept = {table: list(keys) for table, keys in self._keys.items()}
        opened.execute("SAVEPOINT before")
        self._operation(opened)
        self._operation(opened)
        opened.execute("ROLLBACK TO SAVEPOINT before")
        self._keys = kept
        self._operation(opened)

    def _operation(self, opened: psycopg.Connection[Any]) -> None:
        self.done += 1
        table = self.rng.choice(list(KEYS))
        draw, keys = self.rng.random(), self._keys[table]
        if draw < 0.4 or len(keys) < 5:
            key = self._new_key(table)
            self._insert(opened, table, key)
            keys.append(key)
        elif draw < 0.45:
            place, key = self.rng.randrange(len(keys)), self._new_key(table)
            self._set(opened, table, keys[place], dict(zip(KEYS[table], key, strict=True)))
            keys[place] = key
        elif draw < 0.8:
            names, values = self._values(table)
            some = self.rng.sample(range(len(names)), self.rng.randint(1, len(names)))
            self._set(opened, table, self.rng.choice(keys), {names[at]: values[at] for at in some})
        elif draw < 0.998 or not self.truncates:
            key = keys.pop(self.rng.randrange(len(keys)))
            where = " AND ".join(f"{name} = %s" for name in KEYS[table])
            opened.execute(f"DELETE FROM {table} WHERE {where}".encode(), key)
        elif table == "events":
            opened.execute("TRUNCATE events")
            keys.clear()

    def _insert(self, opened: psycopg.Connection[Any], table: str, key: Key) -> None:
        names, values = self._values(table)
        said = ", ".join((*KEYS[table], *names))
        marks = ", ".join(["%s"] * (len(key) + len(values)))
        opened.execute(f"INSERT INTO {table} ({said}) VALUES ({marks})".encode(), (*key, *values))

    def _set(self, opened: psycopg.Connection[Any], table: str, key: Key, values: Row) -> None:
        said = ", ".join(f"{name} = %s" for name in values)
        where = " AND ".join(f"{name} = %s" for name in KEYS[table])
        opened.execute(f"UPDATE {table} SET {said} WHERE {where}".encode(), (*values.values(), *key))

    def _new_key(self, table: str) -> Key:
        self._made += 1
        number = self._made * 7_919 % 2_000_003  # a prime: no number comes twice, and they are in no order
        if table == "orders":
            return (self.rng.choice(("nord", 'süd"', "o'st")), number)
        if table == "items":
            return (uuid.UUID(int=self.rng.getrandbits(128)),)
        return (f"n{number}\\",) if table == "notes" else (number,)

    def _values(self, table: str) -> tuple[list[str], list[Any]]:
        rng = self.rng
        words = ["", None, "plain", 'qu"o\\te', "zeile\n\tzwei", "ünï→🙂", "{a,b}"]
        if table == "users":
            since = None if rng.random() < 0.2 else f"2026-0{rng.randint(1, 9)}-11 {rng.randint(10, 23)}:05:06.7+02"
            email, balance = rng.choice(words) or "e", rng.randint(-(10**6), 10**6) / 4
            return ["email", "balance", "since"], [email, balance, since]
        if table == "orders":
            return ["state", "amount", "paid"], [rng.choice(("new", None)), rng.randint(0, 9**9), rng.random() < 0.5]
        if table == "items":
            extra = json.dumps({"a": rng.choice(words), "b": [rng.randint(0, 9), None, {"c": True}]})
            tags = rng.choice(([], None, ["a", None, 'b"c\\'], ["NULL", "{x}", ""]))
            return ["tags", "price", "extra", "note"], [tags, rng.random() * 1e6, extra, rng.choice(words)]
        if table == "notes":
            body = rng.choice((None, "short", "".join(rng.choice("abcdefü") for _ in range(50)) * 60))
            return ["n", "body"], [rng.randint(0, 99), body]
        return ["kind", "flag"], [rng.choice(words), rng.choice((True, False, None))]

    def _change_schema(self, opened: psycopg.Connection[Any]) -> None:
        """A column comes, and later goes or is widened; the log tells it with the next row."""
        table = self.rng.choice(list(KEYS))
        sql = f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass AND NOT attisdropped"
        more = [row[0] for row in opened.execute(f"{sql} AND attname LIKE 'more%'".encode()).fetchall()]
        if len(more) < 3:
            self._made += 1
            name = f"more{self._made}"
            opened.execute(f"ALTER TABLE {table} ADD COLUMN {name} int".encode())
            some = f"SELECT ctid FROM {table} LIMIT 3"
            opened.execute(f"UPDATE {table} SET {name} = 7 WHERE ctid IN ({some})".encode())
        elif self.rng.random() < 0.5:
            opened.execute(f"ALTER TABLE {table} DROP COLUMN {more[0]}".encode())
        else:
            opened.execute(f"ALTER TABLE {table} ALTER COLUMN {more[0]} TYPE bigint".encode())

    # The judges.

    def tables(self) -> dict[str, dict[Key, Row]]:
        """What the tables hold now, by key, columns that hold nothing left out."""
        found: dict[str, dict[Key, Row]] = {}
        with psycopg.connect(self.url, autocommit=True) as opened:
            opened.execute("SET TimeZone = 'UTC'")
            for table in KEYS:
                rows = opened.execute(f"SELECT to_jsonb(t)::text FROM {table} t".encode()).fetchall()
                found[table] = _by_key(table, (canonical(text) for (text,) in rows))
        return found

    def columns(self) -> dict[str, set[str]]:
        """The columns that the tables have now."""
        with psycopg.connect(self.url, autocommit=True) as opened:
            sql = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
            found: dict[str, set[str]] = {table: set() for table in KEYS}
            for table, name in opened.execute(sql.encode()).fetchall():
                if table in found:
                    found[table].add(name)
        return found

    def history(self) -> list[Happened]:
        """All that happened, in its order; with the instant of the commit where the server keeps those."""
        with psycopg.connect(self.url, autocommit=True) as opened:
            opened.execute("SET TimeZone = 'UTC'")
            kept = opened.execute("SHOW track_commit_timestamp").fetchone() == ("on",)
            at = "pg_xact_commit_timestamp(xid)" if kept else "NULL::timestamptz"
            rows = opened.execute(
                f"SELECT tab, op, before::text, after::text, {at} FROM history ORDER BY seq".encode()
            ).fetchall()
        return [
            Happened(table, op, *(None if text is None else canonical(text) for text in (before, after)), when)
            for table, op, before, after, when in rows
        ]


def canonical(text: str) -> Row:
    """A document or a row as JSON, in values that can be compared; what is null is left out."""
    found = json.loads(text, parse_float=str, parse_int=str)
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    instant = _TIME.fullmatch(value)
    return f"{instant[1]} {instant[2]}{instant[3]}" if instant else value


def _by_key(table: str, rows: Iterable[Row]) -> dict[Key, Row]:
    return {tuple(row[name] for name in KEYS[table]): row for row in rows}


def replayed(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, set[str]]) -> dict[str, dict[Key, Row]]:
    """What the tables hold after the rows of bronze, in their order, as far as they have the columns still."""
    found: dict[str, dict[Key, Row]] = {table: {} for table in KEYS}
    for row in rows:
        table, op = row["stream"], row["op"]
        if op == "truncate":
            found[table].clear()
            continue
        document = canonical(row["document"])
        key = tuple(document[name] for name in KEYS[table])
        if op == "delete":
            found[table].pop(key, None)
        else:
            found[table][key] = document
    return {
        table: {key: {name: one[name] for name in one if name in columns[table]} for key, one in rows.items()}
        for table, rows in found.items()
    }


def told(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[tuple[str, Key | None, Row | None]]]:
    """By table what the log of bronze says happened: (op, key, the row after it)."""
    found: dict[str, list[tuple[str, Key | None, Row | None]]] = {table: [] for table in KEYS}
    for row in rows:
        table, op = row["stream"], row["op"]
        document = None if row["document"] is None else canonical(row["document"])
        key = None if document is None else tuple(document[name] for name in KEYS[table])
        found[table].append((op, key, None if op == "delete" or table in BESIDE else document))
    return found


def expected(history: Iterable[Happened]) -> dict[str, list[tuple[str, Key | None, Row | None]]]:
    """What the log has to say of a history: a change of key is a delete and an update."""
    found: dict[str, list[tuple[str, Key | None, Row | None]]] = {table: [] for table in KEYS}
    for one in history:
        before, after = (
            None if row is None else tuple(row[name] for name in KEYS[one.table]) for row in (one.before, one.after)
        )
        if one.op == "delete" or (one.op == "update" and before != after):
            found[one.table].append(("delete", before, None))
        if one.op != "delete":
            found[one.table].append((one.op, after, None if one.table in BESIDE else one.after))
    return found
