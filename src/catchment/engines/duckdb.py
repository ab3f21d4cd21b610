"""DuckDB in process: the laptop's engine. Spills to disk under its memory limit."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb
import pyarrow as pa

from catchment.engines import arrow_files
from catchment.engines.arrow_files import FILE_BYTES, LONGEST_STATISTIC
from catchment.errors import ConfigError, DataError, FatalError, RetryableError
from catchment.interfaces import Engine
from catchment.naming import HIDDEN, literal, quoted
from catchment.records import DataFile, Scan

if TYPE_CHECKING:
    import narwhals as nw
    from sqlglot import exp

T = TypeVar("T")

_SPILL, _LOCK = "catchment-spill-", ".lock"

_LOST = "is the disk full? if a file of a silver table is lost, make it anew: catchment run --rebuild silver.<table>"


def _instant(text: str) -> datetime:
    """As DuckDB's statistics write it, always in UTC: `2026-01-01 08:00:00.123456+00`."""
    return datetime.fromisoformat(text.removesuffix("+00") + "+00:00")


# Which of DuckDB's text statistics can be kept as they are, and how Delta wants them.
_STATISTICS: Mapping[str, Callable[[str], Any]] = {
    "TINYINT": int,
    "SMALLINT": int,
    "INTEGER": int,
    "BIGINT": int,
    "DATE": lambda text: date.fromisoformat(text).isoformat(),
    "VARCHAR": str,
    "TIMESTAMP WITH TIME ZONE": lambda text: _instant(text).isoformat(timespec="microseconds").replace("+00:00", "Z"),
}

# With Bloom filters DuckDB up to 1.5.6 does not find bytes that are no ASCII (https://github.com/duckdb/duckdb/pull/23829)
# nor a zero among those that are less than zero (https://github.com/duckdb/duckdb/pull/24005).
_NO_BLOOM = "WRITE_BLOOM_FILTER false"

# Else a folder such as `country=PT`, wherever it lies above a lake, is a column, before the one in the file.
_NO_HIVE = "hive_partitioning = false"


class DuckDBEngine(Engine[duckdb.DuckDBPyRelation]):
    """One connection, in memory; `spill` is a folder for what does not fit under `memory_bytes`."""

    def __init__(self, *, memory_bytes: int, threads: int | None = None, spill: Path | None = None) -> None:
        self.memory_bytes = memory_bytes
        self._threads = threads
        self._spill_in = spill
        self._views = 0
        self._named: dict[int, tuple[duckdb.DuckDBPyRelation, str]] = {}

    @cached_property
    def _spill(self) -> str:
        if self._spill_in is not None:
            self._spill_in.mkdir(parents=True, exist_ok=True)
            _remove_what_the_dead_left(self._spill_in)
        folder = tempfile.mkdtemp(prefix=_SPILL, dir=self._spill_in)
        self._let_go = weakref.finalize(self, os.close, _held(Path(folder)))
        return folder

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """Made when something is computed: most steps of a run have nothing to do, and it takes 13 ms."""
        settings: dict[str, Any] = {"memory_limit": f"{self.memory_bytes}B", "temp_directory": self._spill}
        if self._threads is not None:
            settings["threads"] = self._threads
        connection = duckdb.connect(config=settings)
        # Order is carried by `_row`; giving up the order of files halves memory and lets COPY use every core.
        connection.execute("SET preserve_insertion_order = false; SET TimeZone = 'UTC'")
        # It would keep what it has read of files that are made anew with every commit: within the limit, and for
        # nothing, the kernel has them (https://github.com/duckdb/duckdb/issues/22730).
        connection.execute("SET enable_external_file_cache = false")
        # Without a script (a notebook, `python -c`) DuckDB would draw on stdout, which is for data.
        connection.execute("SET enable_progress_bar = false")
        return connection

    def frame(self, rows: Scan | pa.Table, *, file_column: str | None = None) -> duckdb.DuckDBPyRelation:
        if isinstance(rows, pa.Table):
            # Registered, so that the frame's SQL names a table and no address in memory.
            self._views += 1
            self._connection.register(f"arrow_{self._views}", rows)
            return self._connection.sql(f"SELECT * FROM arrow_{self._views}")
        # The typed empty side gives every column its type, also those that older files lack, and stands for no file.
        typed = ", ".join(f"NULL::{duckdb_type(field.type)} AS {quoted(field.name)}" for field in rows.schema)
        if file_column is not None:
            typed += f", NULL::VARCHAR AS {quoted(file_column)}"
        sql = f"SELECT {typed} WHERE false"
        if rows.files:
            listed = ", ".join(literal(path) for path in rows.files)
            named = "" if file_column is None else f", filename = {literal(file_column)}"
            sql += f" UNION ALL BY NAME SELECT * FROM read_parquet([{listed}], union_by_name = true, {_NO_HIVE}{named})"
        if rows.loads is not None:
            after, to = rows.loads
            sql = f"SELECT * FROM ({sql}) WHERE _load > {after:d} AND _load <= {to:d}"
        if rows.shown:
            sql = f"SELECT * FROM ({sql}) WHERE {HIDDEN} IS NULL"
        if rows.judged is not None:
            counted = _numbered(rows.judged)
            if rows.waiting is not None:
                counted = f"(status = 'rejected' AND {counted}) OR (status = 'waiting' AND {_numbered(rows.waiting)})"
            sql = f"SELECT * FROM ({sql}) WHERE {counted}"
        return self._run(lambda: self._connection.sql(sql))

    def query(self, sql: exp.Query, frames: Mapping[str, duckdb.DuckDBPyRelation]) -> duckdb.DuckDBPyRelation:
        from sqlglot import exp

        names = {name: self._view(frame) for name, frame in frames.items()}
        renamed = sql.copy()
        for table in list(renamed.find_all(exp.Table)):
            if table.name in names:
                alias = table.alias or table.name
                table.replace(exp.alias_(exp.to_table(names[table.name]), alias, table=True))
        text = renamed.sql(dialect="duckdb", copy=False)
        return self._run(lambda: self._connection.sql(text))

    def kept(self, frame: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        # Files, not a temporary table: five million orders are 1.6 GB uncompressed in memory, which then spills, and
        # 0.4 GB here, of which later queries read the columns they need.
        view = self._view(frame)
        folder = f"{self._spill}/kept_{self._views}"
        Path(folder).mkdir()
        form = f"FORMAT parquet, COMPRESSION snappy, PARQUET_VERSION v2, PER_THREAD_OUTPUT, {_NO_BLOOM}"
        copy = f"COPY (SELECT * FROM {view}) TO {literal(folder)} ({form})"
        self._run(lambda: self._connection.execute(copy))
        # By name: in a folder called `a[1]` a pattern would find nothing.
        listed = ", ".join(literal(str(path)) for path in sorted(Path(folder).iterdir()))
        return self._run(lambda: self._connection.sql(f"SELECT * FROM read_parquet([{listed}], {_NO_HIVE})"))

    def _view(self, frame: duckdb.DuckDBPyRelation) -> str:
        # A view binds all that its frame is made of, which takes milliseconds. Kept with its frame, whose id is then
        # nobody else's.
        if id(frame) not in self._named:
            self._views += 1
            name = f"frame_{self._views}"
            frame.create_view(name)
            self._named[id(frame)] = (frame, name)
        return self._named[id(frame)][1]

    def lazy(self, frame: duckdb.DuckDBPyRelation) -> nw.LazyFrame[Any]:
        import narwhals as nw

        return nw.from_native(frame)

    def native(self, lazy: nw.LazyFrame[Any]) -> duckdb.DuckDBPyRelation:
        relation = lazy.to_native()
        assert isinstance(relation, duckdb.DuckDBPyRelation)
        return relation

    def schema(self, frame: duckdb.DuckDBPyRelation) -> pa.Schema:
        return self._run(lambda: frame.limit(0).to_arrow_table()).schema

    def tree(self, frame: duckdb.DuckDBPyRelation) -> exp.Expr:
        import sqlglot

        return sqlglot.parse_one(frame.sql_query(), read="duckdb")

    def fetch(self, sql: exp.Query, frames: Mapping[str, duckdb.DuckDBPyRelation]) -> pa.Table:
        result = self.query(sql, frames)
        return self._run(result.to_arrow_table)

    def write(self, frame: duckdb.DuckDBPyRelation, folder: str, prefix: str) -> Sequence[DataFile]:
        types = {name: str(kind) for name, kind in zip(frame.columns, frame.types, strict=True)}
        # Level 1 takes a sixth less CPU than the default and makes files a tenth larger (measured on orders).
        copy = (
            f"COPY (SELECT * FROM {self._view(frame)}) TO {literal(folder)} (FORMAT parquet,"
            f" COMPRESSION zstd, COMPRESSION_LEVEL 1, RETURN_STATS, APPEND, {_NO_BLOOM},"
            f" FILE_SIZE_BYTES {FILE_BYTES}, FILENAME_PATTERN {literal(prefix + '-{uuid}')})"
        )
        written = self._run(lambda: self._connection.execute(copy).fetchall())
        files = []
        for path, rows, size, _, statistics, _ in written:
            if rows == 0:
                Path(path).unlink()
                continue
            kept = _kept_statistics(statistics, types)
            files.append(DataFile(path=str(Path(path).absolute()), rows=rows, bytes=size, statistics=kept))
        return files

    def write_batches(
        self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, folder: str, prefix: str
    ) -> Sequence[DataFile]:
        if arrow_files.can_write(schema):
            return arrow_files.write(batches, schema, Path(folder), prefix)
        cause: list[BaseException] = []

        def watched() -> Iterator[pa.RecordBatch]:
            # DuckDB tells an error in here as one of its own; ours says more.
            try:
                yield from batches
            except BaseException as error:
                cause.append(error)
                raise

        reader = pa.RecordBatchReader.from_batches(schema, watched())
        try:
            return self.write(self._connection.from_arrow(reader), folder, prefix)
        except Exception:
            if cause:
                raise cause[0] from None
            raise

    def close(self) -> None:
        if "_connection" not in self.__dict__:
            return
        self._named.clear()
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)
        self._let_go()

    def interrupt(self) -> None:
        """Break off what is computed now; called from another thread."""
        self._connection.interrupt()

    def _run(self, compute: Callable[[], T]) -> T:
        try:
            return compute()
        except duckdb.OutOfMemoryException as error:
            message = f"DuckDB needs more than {self.memory_bytes / 1e9:.1f} GB: {first_line(error)}"
            raise FatalError(message, hint="give the target more: targets.<name>.memory in catchment.yaml") from error
        except (duckdb.BinderException, duckdb.CatalogException, duckdb.InvalidInputException) as error:
            if ".parquet'" in str(error):
                message = f"a file of the lake is damaged: {first_line(error)}"
                raise FatalError(message, hint=_LOST) from error
            message = f"DuckDB cannot read an expression of this table: {first_line(error)}"
            raise ConfigError(message, hint="catchment check rehearses every contract and refine function") from error
        except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
            message = f"a value stops the whole table: {first_line(error)}"
            raise DataError(message, hint="let the refine function cast only what can be cast") from error
        except duckdb.IOException as error:
            # A file that vanished under a rewrite or a full disk: both may be different on the next try.
            message = f"DuckDB could not read or write: {first_line(error)}"
            raise RetryableError(message, hint=_LOST) from error


def _numbered(ranges: Sequence[tuple[int, int]]) -> str:
    """Whether a verdict's number lies in one of the closed ranges."""
    return f"({' OR '.join(f'_judged BETWEEN {first:d} AND {last:d}' for first, last in ranges) or 'FALSE'})"


def _held(folder: Path) -> int:
    """A lock that says that the folder's process lives; it gets its name once it is held."""
    draft = folder / f"{_LOCK}.draft"
    lock = os.open(draft, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    draft.rename(folder / _LOCK)
    return lock


def _remove_what_the_dead_left(spill: Path) -> None:
    """Folders of killed processes: their locks are free."""
    for lock in spill.glob(f"{_SPILL}*/{_LOCK}"):
        with suppress(OSError), lock.open("r+") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]


def _kept_statistics(
    found: Mapping[str, Mapping[str, str]], types: Mapping[str, str]
) -> dict[str, tuple[Any, Any, int]]:
    """DuckDB's statistics that are exact in Delta's spelling; the rest is left out, never guessed."""
    kept = {}
    for place, figures in found.items():
        name = place[1:-1].replace('""', '"')
        read = _STATISTICS.get(types.get(name, ""))
        if read is not None and figures.get("null_count") == figures.get("num_values"):
            kept[name] = (None, None, int(figures["null_count"]))
            continue
        if read is None or "min" not in figures or max(len(figures["min"]), len(figures["max"])) > LONGEST_STATISTIC:
            continue
        try:
            kept[name] = (read(figures["min"]), read(figures["max"]), int(figures.get("null_count", 0)))
        except ValueError:  # a date before the year 1 or after 9999
            continue
    return kept


def duckdb_type(kind: pa.DataType) -> str:
    """DuckDB's name for an Arrow type."""
    simple = {
        pa.bool_(): "BOOLEAN",
        pa.int8(): "TINYINT",
        pa.int16(): "SMALLINT",
        pa.int32(): "INTEGER",
        pa.int64(): "BIGINT",
        pa.float32(): "FLOAT",
        pa.float64(): "DOUBLE",
        pa.date32(): "DATE",
    }
    if kind in simple:
        return simple[kind]
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMP" if kind.tz is None else "TIMESTAMP WITH TIME ZONE"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_list_view(kind):
        return f"{duckdb_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        fields = ", ".join(f"{quoted(field.name)} {duckdb_type(field.type)}" for field in kind)
        return f"STRUCT({fields})"
    if pa.types.is_map(kind):
        return f"MAP({duckdb_type(kind.key_type)}, {duckdb_type(kind.item_type)})"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return "BLOB"
    return "VARCHAR"
