"""A connection to PostgreSQL that hands out Arrow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import adbc_driver_manager
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from catchment.sources.postgres.mishaps import SETTINGS, completed, failed, place_of, refused

_MOST_BYTES = 16 << 20


class Session:
    """One connection. Raises what `Source.read` may, in words that never hold the address."""

    def __init__(self, url: str, who: str) -> None:
        self.place = place_of(url)
        self._who = who
        try:
            self._connection = dbapi.connect(completed(url), autocommit=True)
        except adbc_driver_manager.Error as error:
            raise refused(str(error), who, self.place) from None

    def run(self, sql: str) -> None:
        with self._in_words(), self._connection.cursor() as cursor:
            cursor.execute(sql)

    def begin(self, locked: str | None) -> None:
        """One read-only snapshot for all that follows; `locked` is a table that shall keep its columns meanwhile."""
        self.run("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        if locked is not None:
            self.run(f"LOCK TABLE {locked} IN ACCESS SHARE MODE")
        self.fetch("SELECT " + ", ".join(f"set_config('{key}', '{value}', true)" for key, value in SETTINGS.items()))

    def fetch(self, sql: str) -> list[dict[str, Any]]:
        """A few rows."""
        with self._in_words(), self._connection.cursor() as cursor:
            cursor.execute(sql)
            rows: list[dict[str, Any]] = cursor.fetch_arrow_table().to_pylist()
            return rows

    def stream(self, sql: str, size: int) -> Iterator[pa.RecordBatch]:
        """Rows in batches of about `size` bytes, 16 MB at most; the next is fetched while one is used."""
        with self._in_words(), self._connection.cursor() as cursor:
            hint = str(max(1, min(size, _MOST_BYTES)))
            cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": hint})
            cursor.execute(sql)
            yield from _fetched_ahead(cursor, cursor.fetch_record_batch())

    def close(self) -> None:
        with contextlib.suppress(adbc_driver_manager.Error):
            self._connection.close()

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
            raise failed(error, self._who, self.place) from None


def _fetched_ahead(cursor: dbapi.Cursor, reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    with ThreadPoolExecutor(1, "postgres") as pool:
        following = pool.submit(_next, reader)
        try:
            while (batch := following.result()) is not None:
                following = pool.submit(_next, reader)
                yield batch
        finally:
            if not following.done():
                with contextlib.suppress(adbc_driver_manager.Error):
                    cursor.adbc_cancel()  # or who gives up would wait for rows that a slow query has yet to find


def _next(reader: pa.RecordBatchReader) -> pa.RecordBatch | None:
    try:
        return reader.read_next_batch()
    except StopIteration:
        return None
