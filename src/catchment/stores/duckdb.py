"""Live figures in one DuckDB file, for a laptop or one machine: no server.

    <folder>/live_store.duckdb    schema `live`: metrics as views; `feeds`: rows; `feeds.state`: what was applied

DuckDB lets one process write or several read. The file is open only for the moments of one feed or one query, and who
finds it taken waits a little.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from catchment.errors import CatchmentError, ConfigError, FatalError, RetryableError
from catchment.metric import DELETED, EXPIRES, VERSION, LiveFeed, Metric, Owner, figures, listing
from catchment.naming import LIVE, literal, quoted
from catchment.records import Token
from catchment.stores.applied import OWNER, TABLE, AppliedStore, Held, going_on, metrics_in, table_in

if TYPE_CHECKING:
    import pyarrow as pa

# A database is named after its file, and views name it.
_FILE = "live_store.duckdb"
_PATIENCE_S = 10.0
# What DuckDB says of a file that it cannot read: none of its own, damaged, cut off.
_BROKEN = ("not a valid DuckDB database file", "Corrupt database file", "Could not read enough bytes", "INTERNAL Error")
_WHOLE = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT"})


def _silent(_: str) -> None:
    """Nobody listens to the named points."""


class DuckDBLiveStore(AppliedStore):
    """Rows, views and progress change together, in one transaction."""

    def __init__(
        self,
        folder: Path,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        owner: Owner | None = None,
        reached: Callable[[str], None] = _silent,
    ) -> None:
        self._path = folder.absolute() / _FILE
        self._settings: dict[str, Any] = {} if memory_limit is None else {"memory_limit": memory_limit}
        if threads is not None:
            self._settings["threads"] = threads
        self._owner = owner
        self._reached = reached

    def feed(
        self,
        feed: LiveFeed,
        rows: pa.RecordBatchReader,
        token: Token,
        *,
        anew: bool = False,
        since: Token | None = None,
    ) -> int:
        with self._writing() as connection:
            state = _read(connection)
            self._refuse_others(state)
            held = going_on(state, feed, since, anew=anew)
            if not anew and held is not None and held.token.generation >= token.generation:
                return 0
            number = held.number + 1 if held is not None and anew else held.number if held is not None else 1
            table = f"{feed.name}__{number}"
            if anew:
                connection.register("incoming", rows.schema.empty_table())
                connection.execute(f"CREATE OR REPLACE TABLE feeds.{quoted(table)} AS FROM incoming")
            count = sum(_take(connection, feed, table, batch) for batch in rows)
            self._reached("live.taken")
            connection.execute(f"DELETE FROM feeds.{quoted(table)} WHERE {EXPIRES} < CAST(now() AS TIMESTAMP)")
            now_held = Held(table, number, feed.fingerprint, token, served=True)
            ours = {} if self._owner is None else {OWNER: asdict(self._owner)}
            _remember(connection, {f"{TABLE}{feed.name}": now_held.value(), **ours})
            if anew:
                self._show(connection, feed, now_held, metrics_in(state, feed.name))
                if held is not None:
                    connection.execute(f"DROP TABLE IF EXISTS feeds.{quoted(held.table)}")
            self._reached("live.kept")
        self._reached("live.fed")
        return count

    def _show(
        self, connection: duckdb.DuckDBPyConnection, feed: LiveFeed, held: Held, metrics: Sequence[Metric]
    ) -> None:
        connection.execute(_shown(feed, held.table))
        for metric in metrics:
            connection.execute(_view(connection, metric, held))

    def query(self, sql: str) -> pa.RecordBatchReader:
        import pyarrow as pa

        if not self._path.exists():
            message = "there are no live figures yet"
            raise ConfigError(message, hint="catchment live feed")
        with self._open(read_only=True) as connection:
            self._refuse_others(_read(connection))
            try:
                kinds = {statement.type for statement in connection.extract_statements(sql)}
                if not kinds <= {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}:
                    message = "a query only reads"
                    raise ConfigError(message, hint="begin with select")
                found: pa.Table = connection.execute(sql).to_arrow_table()
            except duckdb.IOException:
                raise
            except duckdb.Error as error:
                raise _explained(error, connection) from error
        return pa.RecordBatchReader.from_batches(found.schema, found.to_batches())

    def close(self) -> None:
        """Nothing is held between two calls."""

    def _described(self) -> tuple[str, str]:
        cure = f"where nobody needs those figures any more, remove {self._path}: catchment live feed makes it anew"
        return f"the file {self._path}", cure

    def _state(self) -> dict[str, Any]:
        if not self._path.exists():
            return {}
        with self._open(read_only=True) as connection:
            return _read(connection)

    def _do(self, statements: Sequence[str], entries: Mapping[str, Any]) -> None:
        with self._writing() as connection:
            for statement in statements:
                connection.execute(statement)
            _remember(connection, entries)

    def _view(self, metric: Metric, held: Held) -> str:
        with self._open(read_only=True) as connection:
            return _view(connection, metric, held)

    def _view_over(self, metric: Metric, columns: pa.Schema) -> str:
        return _counted(metric, {name for name, kind in _types(columns) if kind in _WHOLE})

    def _grounds(self) -> Sequence[str]:
        state = "CREATE TABLE IF NOT EXISTS feeds.state (name VARCHAR PRIMARY KEY, value VARCHAR)"
        return [f"CREATE SCHEMA IF NOT EXISTS {LIVE}", "CREATE SCHEMA IF NOT EXISTS feeds", state]

    def _made(self, state: Mapping[str, Any], feed: LiveFeed, columns: pa.Schema) -> Sequence[str]:
        table = table_in(state, feed)
        listed = listing([f"{quoted(name)} {kind}" for name, kind in _types(columns)])
        return [f"CREATE TABLE feeds.{quoted(table)} ({listed}\n)", _shown(feed, table)]

    def _dropped_view(self, metric: str) -> str:
        return f"DROP VIEW IF EXISTS {LIVE}.{quoted(metric)}"

    def _dropped_feed(self, feed: str, held: Held) -> Sequence[str]:
        view, table = f"feeds.{quoted(feed)}", f"feeds.{quoted(held.table)}"
        return [f"DROP VIEW IF EXISTS {view}", f"DROP TABLE IF EXISTS {table}"]

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction over a file that has its schemas."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._open(read_only=False) as connection:
            for statement in self._grounds():
                connection.execute(statement)
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")

    @contextmanager
    def _open(self, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                connection = duckdb.connect(str(self._path), read_only=read_only, config=self._settings)
                break
            except duckdb.Error as error:
                if not self._is_taken(error) or time.monotonic() > until:
                    raise self._unopened(error) from error
                time.sleep(0.02)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        except (duckdb.IOException, duckdb.InternalException) as error:
            raise self._unopened(error) from error
        finally:
            connection.close()

    def _is_taken(self, error: duckdb.Error) -> bool:
        """Whether the file may be free in a moment. Within one process there is no lock: it is open for reading or for
        writing. A file of no bytes is being made."""
        if "Could not set lock" in str(error) or "different configuration" in str(error):
            return True
        with suppress(OSError):
            return self._path.stat().st_size == 0
        return False

    def _unopened(self, error: duckdb.Error) -> CatchmentError:
        words = str(error).partition("\n")[0]
        message = f"the live store {self._path} cannot be read: {words}"
        if "Permission denied" in words or "Is a directory" in words or "Read-only file system" in words:
            return FatalError(message, hint=f"who runs this has to be let read and write {self._path} and its folder")
        if any(sign in words for sign in _BROKEN):
            return FatalError(message, hint=f"remove {self._path}: catchment live feed makes it anew from silver")
        hint = "another program may hold it open: close that one, or try again"
        if not self._is_taken(error):
            hint = "look at the free space and at what lies there, then try again"
        return RetryableError(message, hint=hint)


def _take(connection: duckdb.DuckDBPyConnection, feed: LiveFeed, table: str, batch: pa.RecordBatch) -> int:
    """Rows of one batch, as far as they are newer than what is there."""
    import pyarrow as pa

    connection.register("incoming", pa.Table.from_batches([batch]))
    keyed, ordered = ", ".join(map(quoted, feed.key)), ", ".join(f"{name} DESC" for name in VERSION)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE newest AS SELECT * FROM incoming QUALIFY"
        f" row_number() OVER (PARTITION BY {keyed} ORDER BY {ordered}) = 1"
    )
    same = " AND ".join(f"there.{quoted(name)} IS NOT DISTINCT FROM newest.{quoted(name)}" for name in feed.key)
    there, new = (f"({', '.join(f'{side}.{name}' for name in VERSION)})" for side in ("there", "newest"))
    target = f"feeds.{quoted(table)}"
    connection.execute(f"DELETE FROM newest USING {target} AS there WHERE {same} AND {there} > {new}")
    connection.execute(f"DELETE FROM {target} AS there USING newest WHERE {same}")
    taken = connection.execute(f"INSERT INTO {target} BY NAME FROM newest").fetchone()
    connection.unregister("incoming")
    return 0 if taken is None else int(taken[0])


def _view(connection: duckdb.DuckDBPyConnection, metric: Metric, held: Held) -> str:
    described = connection.execute(f"DESCRIBE feeds.{quoted(held.table)}").fetchall()
    return _counted(metric, {name for name, kind, *_ in described if kind in _WHOLE})


def _counted(metric: Metric, whole: Collection[str]) -> str:
    kept = None if metric.keep_s is None else f"now() - INTERVAL {metric.keep_s} SECOND"
    sql = figures(metric, f"feeds.{quoted(metric.feed)}", whole=whole, since=kept)
    return f"CREATE OR REPLACE VIEW {LIVE}.{quoted(metric.name)} AS\n{sql}"


def _shown(feed: LiveFeed, table: str) -> str:
    shown = f"SELECT * FROM feeds.{quoted(table)} WHERE NOT {DELETED}"
    return f"CREATE OR REPLACE VIEW feeds.{quoted(feed.name)} AS\n{shown}"


def _types(columns: pa.Schema) -> Sequence[tuple[str, str]]:
    """The columns with the types that they get."""
    with duckdb.connect() as nowhere:
        nowhere.register("incoming", columns.empty_table())
        return [(name, kind) for name, kind, *_ in nowhere.execute("DESCRIBE incoming").fetchall()]


def _read(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    try:
        rows = connection.execute("FROM feeds.state").fetchall()
    except duckdb.CatalogException:  # a first writer that died before its first commit
        return {}
    return {name: json.loads(value) for name, value in rows}


def _remember(connection: duckdb.DuckDBPyConnection, entries: Mapping[str, Any]) -> None:
    for name, value in entries.items():
        if value is None:
            connection.execute("DELETE FROM feeds.state WHERE name = ?", [name])
        else:
            connection.execute("INSERT OR REPLACE INTO feeds.state VALUES (?, ?)", [name, json.dumps(value)])


def _explained(error: duckdb.Error, connection: duckdb.DuckDBPyConnection) -> ConfigError:
    listed = f"SELECT view_name FROM duckdb_views() WHERE schema_name = {literal(LIVE)} ORDER BY 1"
    known = [f"{LIVE}.{name}" for (name,) in connection.execute(listed).fetchall()]
    message = f"the query was not understood: {str(error).partition(chr(10))[0]}"
    return ConfigError(message, hint=f"metrics are {', '.join(known)}" if known else "there is no metric yet")
