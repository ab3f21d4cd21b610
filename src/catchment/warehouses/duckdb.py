"""Gold in one DuckDB file: built beside the served one, put in its place by one rename.

    <folder>/<project>.duckdb                   what is served; nobody ever opens it for writing
    <folder>/builds/.lock                       held for a moment by who cleans up or publishes
    <folder>/builds/<unique>/.lock              held as long as the process that builds lives
    <folder>/builds/<unique>/<project>.duckdb   where dbt works
    <folder>/kept/<number>/<project>.duckdb     earlier builds, to go back to; read only as well

What the served file was made of lies in the file itself (schema `_catchment`), so gold and its state change in one
rename. The file name is the same in every build because DuckDB names a database after its file, and views keep that
name. A fresh folder per build means that no left-over `.wal` can be replayed into it.

A build that goes on from an earlier one (incremental models, snapshots) begins as a copy of its file. Which files of
the lake each source was made of lies in the file, too (`_catchment.files`): what came and what left since is the
difference of two sets of files, and two views per source show its rows (schemas `_came_silver`, `_left_silver`).
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import shutil
import uuid
import weakref
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb

from catchment.errors import CatchmentError, ConfigError, Conflict, RetryableError
from catchment.interfaces import Build, Warehouse
from catchment.naming import LAYERS, SCHEMAS, TableName
from catchment.records import Abilities, FileForm, Scan
from catchment.warehouses.asked import FORMS, explained, exported, mentioned, refuse_writing, streamed, watched
from catchment.warehouses.views import create_view, quoted, text

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 100_000

# Builds that can be served: the served one and those before it.
KEPT = 3

# DuckDB could not tell a database of this name from a schema.
_RESERVED = {*SCHEMAS, "stg", "std", "cur", "main", "memory", "system", "temp", "information_schema", "pg_catalog"}


class DuckDBBuild(Build):
    """A folder that belongs to this process while the object lives; a dead process loses it to the next build."""

    def __init__(self, path: Path, number: int, base: Mapping[str, Any] | None, lock: int) -> None:
        self.path = path
        self.number = number
        self.id = path.parent.name
        self.base = base
        self.untold = []
        self.kept: Collection[str] = ()
        # The files of each source in the build that this one goes on from; None where it starts from empty.
        self.before: Mapping[str, Sequence[str]] | None = None
        self._give_up = weakref.finalize(self, os.close, lock)
        self._connection: duckdb.DuckDBPyConnection | None = None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """The one connection through which this process fills the build."""
        if self._connection is None:
            self._connection = duckdb.connect(str(self.path))
        return self._connection

    def hand_over(self) -> None:
        """Close the file: DuckDB lets one process in at a time, and the next one is dbt."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def release(self) -> None:
        """Give the folder up; whoever builds next may remove it."""
        self.hand_over()
        self._give_up()


class DuckDBWarehouse(Warehouse):
    """Gold of one project in `folder`.

    `memory_limit` (DuckDB's words: `2GB`) and `threads` hold for queries and for dbt alike. `reached` hears the named
    points of a publication; the crash harness kills there.

    Guarantee: a reader sees one whole build, from its first to its last statement; what is served changes only by
    `publish`, and a process killed anywhere leaves the old or the new gold, whole.
    """

    abilities: ClassVar[Abilities] = Abilities(swaps=True)

    def __init__(
        self,
        folder: Path,
        project: str,
        *,
        memory_limit: str | None = None,
        threads: int | None = None,
        reached: Callable[[str], None] | None = None,
    ) -> None:
        if project.lower() in _RESERVED:
            message = (
                f"a project that keeps gold in DuckDB cannot be called {project}: that is the name of a layer there"
            )
            raise ConfigError(message, hint="choose another `name` in catchment.yaml")
        self.folder = folder.absolute()
        self.project = project
        self.path = self.folder / f"{project}.duckdb"
        self._builds = self.folder / "builds"
        self._settings: dict[str, Any] = {} if memory_limit is None else {"memory_limit": memory_limit}
        self._threads = threads or min(4, os.cpu_count() or 1)
        self._reached = reached or (lambda _point: None)

    def served(self) -> Mapping[str, Any] | None:
        if not self.path.exists():
            return None
        with self._connect() as connection:
            self._attach(connection)
            return self._made_of(connection)

    def kept(self) -> Sequence[Mapping[str, Any]]:
        served = self.served()
        found = [] if served is None else [served]
        for number in self._numbers():
            if served is None or number != served["build"]:
                # Another process may take it away meanwhile; what is damaged cannot be gone back to.
                with suppress(CatchmentError), self._connect() as connection:
                    self._attach(connection, self._kept / str(number) / self.path.name)
                    found.append(self._made_of(connection))
        return found

    def build(self, of: int | None = None, keep: Collection[str] | None = None) -> DuckDBBuild:
        with self._alone():
            base = self.served()
            origin = None if of is None else self._origin(of, base)
            self._remove_what_the_dead_left()
            folder = self._builds / uuid.uuid4().hex
            folder.mkdir()
            lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            newest = max([*self._numbers(), 0 if base is None else int(base["build"])], default=0)
            build = DuckDBBuild(folder / self.path.name, newest + 1, base, lock)
            if origin is not None:
                _link(origin, folder / "origin")  # whatever is published meanwhile
        if origin is not None:
            self._go_on(build, folder / "origin", keep)
        build.connect().execute("create schema if not exists silver")
        self._reached("build.made")
        return build

    def load(
        self, build: Build, name: TableName, scan: Scan, columns: Sequence[str], also: Collection[str] = ()
    ) -> None:
        ours = _ours(build)
        connection = ours.connect()
        connection.execute(f"create schema if not exists {quoted(name.layer)}")
        create_view(connection, _relation(name.layer, name.name), scan, columns)
        for other in also:
            schema, _, table = other.partition(".")
            connection.execute(f"create schema if not exists {quoted(schema)}")
            view, origin = _relation(schema, table), f"{quoted(self.project)}.{_relation(name.layer, name.name)}"
            connection.execute(f"create or replace view {view} as from {origin}")
        connection.execute("create schema if not exists _catchment")
        connection.execute("create table if not exists _catchment.files (name varchar, files varchar[])")
        connection.execute("insert into _catchment.files values (?, ?)", [str(name), list(scan.files)])
        if ours.before is not None:
            self._show_changes(ours, name, scan, columns)

    def profile(self, build: Build, at: Path | None = None) -> Mapping[str, Any]:
        _ours(build).hand_over()
        path = build.path if at is None else at / build.path.name
        settings = {"TimeZone": "UTC", **self._settings}
        return {"type": "duckdb", "path": str(path), "schema": "main", "threads": self._threads, "settings": settings}

    def publish(self, build: Build, made_of: Mapping[str, Any]) -> None:
        ours = _ours(build)
        self._reached("publish.ready")
        if ours.path.exists():
            self._finish(ours, made_of)
            self._reached("publish.written")
        with self._alone():
            self._rename(ours)
            self._prune(ours, made_of.get("of"))
        self._reached("publish.renamed")
        self.discard(build)
        self._reached("publish.cleaned")

    def _go_on(self, build: DuckDBBuild, origin: Path, keep: Collection[str] | None) -> None:
        """The build as a copy of an earlier one, of which only the tables `keep` stay (all for None)."""
        try:
            shutil.copyfile(origin, build.path)
            origin.unlink()
            connection = build.connect()
            connection.execute("create schema if not exists _catchment")
            connection.execute("create table if not exists _catchment.files (name varchar, files varchar[])")
            if keep is None:
                return
            build.before = dict(connection.execute("from _catchment.files").fetchall())
            connection.execute("delete from _catchment.files")
            for schema, name, kind in _objects(connection):
                if kind == "view" or f"{schema}.{name}" not in keep:
                    connection.execute(f"drop {kind} {_relation(schema, name)}")
            build.kept = frozenset(keep)
        except (OSError, duckdb.Error) as error:
            self.discard(build)
            message = f"build {build.number} of gold cannot go on from an earlier one: {error}"
            raise RetryableError(message) from error

    def _show_changes(self, build: DuckDBBuild, name: TableName, scan: Scan, columns: Sequence[str]) -> None:
        """Views of the rows that came and that left since the build that this one goes on from.

        Rows of files that are in both versions did not change; a file that was written anew without a change (a
        compaction) shows on both sides and is taken out by the difference.
        """
        assert build.before is not None
        before, now = set(build.before.get(str(name), ())), set(scan.files)
        left = sorted(before - now)
        if not all(Path(file).exists() for file in left):
            build.untold.append(name)
            left = []
        connection = build.connect()
        sides = {"came": [file for file in scan.files if file not in before], "left": left}
        for side, files in sides.items():
            connection.execute(f"create schema if not exists {quoted(f'_{side}_{name.layer}')}")
            connection.execute(f"create schema if not exists {quoted(f'_{side}_files')}")
            part = replace(scan, files=files)
            create_view(connection, _relation(f"_{side}_files", str(name)), part, columns)
        for side, other in (("came", "left"), ("left", "came")):
            rows, less = (_relation(f"_{one}_files", str(name)) for one in (side, other))
            view = _relation(f"_{side}_{name.layer}", name.name)
            connection.execute(f"create or replace view {view} as from {rows} except all from {less}")

    def discard(self, build: Build) -> None:
        ours = _ours(build)
        ours.hand_over()
        shutil.rmtree(ours.path.parent, ignore_errors=True)
        ours.release()

    def query(
        self, sql: str, tables: Mapping[TableName, Scan] | None = None, *, gold: bool = True
    ) -> pa.RecordBatchReader:
        connection = self._reading(sql, tables or {}, gold=gold)
        try:
            with self._explaining(sql, tables or {}, gold=gold):
                rows = connection.execute(sql).to_arrow_reader(_BATCH_ROWS)
        except BaseException:
            connection.close()
            raise
        return streamed(rows, connection)

    def export(
        self,
        sql: str,
        tables: Mapping[TableName, Scan],
        path: Path,
        form: FileForm,
        *,
        gold: bool = True,
        told: Callable[[float], None] | None = None,
    ) -> int:
        connection = self._reading(sql, tables, gold=gold)
        try:
            with self._explaining(sql, tables, gold=gold), watched(connection, told):
                # As DuckDB reads it, so that a semicolon or a comment at the end does no harm.
                asked = connection.extract_statements(sql)[-1].query.strip().rstrip(";")
                described = connection.execute(f"describe ({asked}\n)").fetchall()
                items = ", ".join(exported(name, kind, form) for name, kind, *_ in described)
                copy = f"copy (select {items} from ({asked}\n)) to {text(path)} ({FORMS[form]})"
                written = connection.execute(copy).fetchall()
            return int(written[0][0])
        finally:
            connection.close()

    def _reading(self, sql: str, lake: Mapping[TableName, Scan], *, gold: bool) -> duckdb.DuckDBPyConnection:
        """A connection in which `sql`, which only reads, finds the tables that it mentions."""
        connection = self._connect()
        try:
            with self._explaining(sql, lake, gold=gold):
                connection.execute("set TimeZone = 'UTC'")
                refuse_writing(connection, sql)
                models: Mapping[str, str] = {}
                served = gold and self.path.exists()
                if served:
                    self._attach(connection)
                    models = self._made_of(connection).get("models", {})
                self._show(connection, sql, lake, models, served=served)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _explaining(self, sql: str, lake: Mapping[TableName, Scan], *, gold: bool) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            served = (self.served() or {}).get("models", {}) if gold else {}
            raise explained(error, sql, [*lake, *(TableName("gold", name) for name in served)]) from error

    def _connect(self) -> duckdb.DuckDBPyConnection:
        return duckdb.connect(":memory:", config={**self._settings, "threads": self._threads})

    def _attach(self, connection: duckdb.DuckDBPyConnection, path: Path | None = None) -> None:
        """A build's file, the served one's by default, under the project's name: views in it find their tables."""
        try:
            connection.execute(f"attach {text(path or self.path)} as {quoted(self.project)} (read_only, type duckdb)")
        except duckdb.Error as error:
            if "lock" in str(error):
                message = f"gold cannot be read: another program holds {self.path} open for writing ({error})"
                raise RetryableError(message, hint="close that program, or let it open the file read-only") from error
            raise self._damaged(error) from error

    def _made_of(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        try:
            row = connection.execute(f"select made_of from {quoted(self.project)}._catchment.gold").fetchone()
            made_of: dict[str, Any] = json.loads(row[0] if row is not None else "")
        except duckdb.CatalogException as error:
            message = f"{self.path} was not made by catchment: it does not say what it was made of"
            raise ConfigError(message, hint="move it elsewhere; `catchment run` then builds gold there") from error
        except (duckdb.Error, ValueError) as error:
            raise self._damaged(error) from error
        return made_of

    def _damaged(self, error: Exception) -> CatchmentError:
        message = f"the served gold is damaged: {self.path}: {error}"
        return CatchmentError(message, hint=f"remove {self.path}; `catchment run` then builds gold anew from silver")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else cleans up or publishes meanwhile. Held for moments only."""
        self._builds.mkdir(parents=True, exist_ok=True)
        with (self._builds / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _remove_what_the_dead_left(self) -> None:
        for folder in self._builds.iterdir():
            if folder.is_dir() and not _is_held(folder / ".lock"):
                shutil.rmtree(folder, ignore_errors=True)

    def _finish(self, build: DuckDBBuild, made_of: Mapping[str, Any]) -> None:
        """Everything durable before the rename makes it visible."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        stale = set(build.kept).difference(made_of.get("models", {}).values())
        told = {**made_of, "build": build.number, "id": build.id, "published_at": at}
        try:
            connection = build.connect()
            for relation in sorted(stale):  # of models that are no longer in the project
                connection.execute(f"drop table if exists {_relation(*relation.split('.', 1))}")
            for side, what in itertools.product(("came", "left"), (*LAYERS, "files")):  # only dbt reads them
                connection.execute(f"drop schema if exists _{side}_{what} cascade")
            connection.execute("create schema if not exists _catchment")
            text = json.dumps({**told, "rows": _rows(connection)})
            connection.execute("create or replace table _catchment.gold as select ?::varchar as made_of", [text])
            connection.execute("force checkpoint")
            build.hand_over()
        except duckdb.Error as error:
            message = f"build {build.number} of gold cannot be finished: {error}"
            raise RetryableError(message) from error
        if _wal(build.path).exists():
            message = f"build {build.number} of gold is not whole: {_wal(build.path)} is still there"
            raise RetryableError(message)
        _sync(build.path)

    def _rename(self, build: DuckDBBuild) -> None:
        served = self.served()
        if served is not None and served["id"] == build.id:
            return
        if served is not None and served["id"] != (build.base or {}).get("id"):
            message = f"gold was published by another run (build {served['build']}) while build {build.number} was made"
            raise Conflict(message, hint="the model step starts over from what is served now")
        if not build.path.exists():
            message = f"build {build.number} of gold is gone: {build.path}"
            raise Conflict(message, hint="the model step starts over")
        # Somebody may have written into the served file by hand and died; DuckDB would replay that into ours.
        _wal(self.path).unlink(missing_ok=True)
        if served is not None:
            self._keep(int(served["build"]))
            self._reached("publish.kept")
        build.path.replace(self.path)
        _sync(self.folder)

    def _prune(self, build: DuckDBBuild, of: int | None) -> None:
        """Keep the last builds, each once: one that was gone back to is what is served now."""
        others = [number for number in self._numbers() if number not in (build.number, of)]
        for number in {*self._numbers()}.difference(others[: KEPT - 1]):
            shutil.rmtree(self._kept / str(number), ignore_errors=True)

    @property
    def _kept(self) -> Path:
        return self.folder / "kept"

    def _numbers(self) -> list[int]:
        """Builds that were served once and still lie here, newest first."""
        found = [path.name for path in self._kept.iterdir()] if self._kept.exists() else []
        return sorted((int(name) for name in found if name.isdecimal()), reverse=True)

    def _keep(self, number: int) -> None:
        """The served file has a second name, before its first is given to another."""
        place = self._kept / str(number) / self.path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists() and not place.samefile(self.path):
            place.unlink()  # half a copy of a process that died
        if not place.exists():
            _link(self.path, place)

    def _origin(self, number: int, served: Mapping[str, Any] | None) -> Path:
        if served is not None and served["build"] == number:
            return self.path
        place = self._kept / str(number) / self.path.name
        if not place.exists():
            message = f"build {number} of gold is not kept"
            raise Conflict(message, hint="catchment gold list shows which are")
        return place

    def _show(
        self,
        connection: duckdb.DuckDBPyConnection,
        sql: str,
        lake: Mapping[TableName, Scan],
        gold: Mapping[str, str],
        *,
        served: bool,
    ) -> None:
        """Views in memory for the tables that `sql` mentions; the served file stays as it is.

        Schemas that we do not make here (`stg`, `cur`, …) are looked for in the served file.
        """
        known = {str(name).lower(): name for name in lake}
        models = {name.lower(): relation for name, relation in gold.items()}
        path = [f"{quoted(self.project)}.main"] if served else ["memory.main"]
        for layer in SCHEMAS:
            connection.execute(f"create schema memory.{layer}")
            path.append(f"memory.{layer}")
        for layer, name in mentioned(sql):
            view = f"memory.{quoted(layer)}.{quoted(name)}"
            if layer == "gold" and name in models:
                schema, _, relation = models[name].partition(".")
                target = ".".join(quoted(part) for part in (self.project, schema, relation))
                connection.execute(f"create view {view} as from {target}")
            elif (table := known.get(f"{layer}.{name}")) is not None:
                scan = lake[table]
                if scan.schema.names:  # none: whoever asked knows that the statement does not read it
                    create_view(connection, view, scan, scan.schema.names)
        connection.execute(f"set search_path = {text(','.join(path))}")


def _ours(build: Build) -> DuckDBBuild:
    if not isinstance(build, DuckDBBuild):
        message = f"{build!r} is not a build of this warehouse"
        raise TypeError(message)
    return build


def _is_held(lock: Path) -> bool:
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _link(path: Path, name: Path) -> None:
    """A second name of a file, a copy where the disk has no such thing."""
    try:
        os.link(path, name)
    except OSError:
        shutil.copyfile(path, name)


def _objects(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str]]:
    """Schema, name and kind of what is not ours in a build's file, views first."""
    found = connection.execute(
        "select schema_name, view_name, 'view' from duckdb_views() where not internal"
        " and database_name = current_database()"
        " union all select schema_name, table_name, 'table' from duckdb_tables() where not internal"
        " and database_name = current_database() and schema_name <> '_catchment' order by 3 desc, 1, 2"
    ).fetchall()
    return [(schema, name, kind) for schema, name, kind in found]


def _rows(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows of each table, counted from what the file tells of itself: `estimated_size` counts deleted ones, too."""
    tables = [(schema, name) for schema, name, kind in _objects(connection) if kind == "table"]
    if not tables:
        return {}
    counts = ", ".join(f"(select count(*) from {_relation(*table)})" for table in tables)
    counted = connection.execute(f"select {counts}").fetchall()[0]
    return {f"{schema}.{name}": rows for (schema, name), rows in zip(tables, counted, strict=True)}


def _relation(schema: str, name: str) -> str:
    return f"{quoted(schema)}.{quoted(name)}"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
