"""Connections to PostgreSQL: for questions, and for the log of a slot. Values come as the server writes them."""

from __future__ import annotations

import contextlib
import re
import select
import time
from collections.abc import Iterator, Sequence
from struct import Struct
from typing import Any, NoReturn

import psycopg
from psycopg import pq

from catchment.errors import CatchmentError, ConfigError, RetryableError
from catchment.naming import literal, quoted
from catchment.sources.postgres.mishaps import SETTINGS, completed, failed, place_of, refused
from catchment.sources.postgres_changes.messages import padded
from catchment.sources.postgres_changes.place import POSTGRES_EPOCH_US, shown

# How values become text, and nobody who ends a session of ours because it is long.
_SESSION = {
    **SETTINGS,
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "wal_sender_timeout": "10min",
    "row_security": "off",  # or a policy would hide rows of the snapshot that the log then tells of
}

# From PostgreSQL 14 and 17 on.
_TIMEOUTS = (
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('idle_session_timeout', 'transaction_timeout')"
)

_WAL, _ALIVE = b"wk"
_IDLE = "SELECT wait_event AS doing FROM pg_stat_activity WHERE pid = {pid}"
_CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::int8 AS us"
_alive = Struct(">QqB").unpack_from
_status = Struct(">cQQQqB").pack

# How long the server may have nothing to say before it is asked where it stands.
_QUIET_S = 0.05
# How long after that it may be silent before somebody looks whether it waits for a log that nobody writes.
_STUCK_S = 0.1
# So much of a copied table is handed on at a time.
_PIECE_BYTES = 1 << 20
# How often whoever waits is asked whether he still wants to.
_BREATH_S = 1.0


class Session:
    """One connection. Raises what `Source.read` may, in words that never hold the address."""

    def __init__(self, url: str, who: str, *, replication: bool = False) -> None:
        self.place = place_of(url)
        self._who = who
        told = completed(url) + ("&replication=database" if replication else "")
        try:
            self._connection = psycopg.connect(told, autocommit=True, prepare_threshold=None, client_encoding="UTF8")
        except (psycopg.Error, UnicodeError) as error:
            # What cannot be taken for an address is told without connecting.
            said = "invalid URI" if isinstance(error, psycopg.ProgrammingError) else str(error)
            raise _known(error, who, self.place) or refused(said, who, self.place) from None
        try:
            self.fetch("SELECT " + ", ".join(f"set_config('{key}', '{word}', false)" for key, word in _SESSION.items()))
            self.fetch(_TIMEOUTS)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The server's process."""
        return self._connection.pgconn.backend_pid

    @property
    def is_open(self) -> bool:
        return not self._connection.closed

    def _as_stored(self) -> None:
        """A database without an encoding holds any bytes as text: unless they come as they are, one ends the rest."""
        own = self._connection.pgconn
        if own.parameter_status(b"server_encoding") == b"SQL_ASCII":
            own.exec_(b"SET client_encoding TO SQL_ASCII")

    def _as_text(self) -> None:
        own = self._connection.pgconn
        if own.parameter_status(b"server_encoding") == b"SQL_ASCII":
            own.exec_(b"SET client_encoding TO UTF8")

    def fetch(self, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """A few rows."""
        with self._in_words():
            found = self._connection.execute(sql.encode(), values or None)
            names = [column.name for column in found.description or ()]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()] if names else []

    def fetch_raw(self, sql: str, arrays: Sequence[Sequence[bytes | None]]) -> list[list[bytes | None]]:
        """Rows as the server writes them; `$1` and so on are arrays of values as it wrote them."""
        with self._in_words():
            self._as_stored()
            result = self._connection.pgconn.exec_params(sql.encode(), [_array(one) for one in arrays])
            self._good(result, (pq.ExecStatus.TUPLES_OK,))
            self._as_text()
            return [[result.get_value(row, at) for at in range(result.nfields)] for row in range(result.ntuples)]

    def patiently(self, sql: str) -> Iterator[list[str] | None]:
        """The one row of a statement that may wait for others; None whenever a second has passed without it."""
        with self._in_words():
            own = self._connection.pgconn
            own.send_query(sql.encode())
            while own.is_busy():
                if not _readable(own.socket, _BREATH_S):
                    yield None
                own.consume_input()
            result = own.get_result()
            while own.get_result() is not None:
                pass
            assert result is not None
            self._good(result, (pq.ExecStatus.TUPLES_OK,))
            yield [(result.get_value(0, at) or b"").decode() for at in range(result.nfields)]

    def copied(self, sql: str) -> Iterator[list[bytes]]:
        """The lines of `COPY … TO STDOUT`, as many as have come; an empty list where a second passed without any."""
        with self._in_words():
            own = self._connection.pgconn
            self._as_stored()
            self._good(own.exec_(sql.encode()), (pq.ExecStatus.COPY_OUT,))
            got = 0
            while got >= 0:
                lines: list[bytes] = []
                size = 0
                while size < _PIECE_BYTES:
                    got, data = own.get_copy_data(1)
                    if got <= 0:
                        break
                    lines.append(bytes(data))
                    size += got
                if lines:
                    yield lines
                elif got == 0:
                    if not _readable(own.socket, _BREATH_S):
                        yield []
                    own.consume_input()
            result = own.get_result()
            while own.get_result() is not None:
                pass
            if result is not None:
                self._good(result, (pq.ExecStatus.COMMAND_OK,))
            self._as_text()

    def close(self) -> None:
        with contextlib.suppress(psycopg.Error):
            self._connection.close()

    def _good(self, result: pq.abc.PGresult, wanted: Sequence[int]) -> None:
        if result.status not in wanted:
            raise psycopg.errors.error_from_result(result, encoding="utf-8")

    @contextlib.contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, OSError) as error:
            broken = self._connection.closed or self._connection.pgconn.status != pq.ConnStatus.OK
            if broken and getattr(error, "sqlstate", None) is None:
                message = f"{self._who} at {self.place}: the connection broke off"
                raise RetryableError(message, hint="what was committed stays; the next run goes on behind it") from None
            raise _known(error, self._who, self.place) or failed(error, self._who, self.place) from None


class PublicationAbsent(RetryableError):
    """The log was written while its publication was not there: no reader of the slot gets past that."""


# What only readers of the log are told -> what it is, our words, and the cure.
_REFUSALS: tuple[tuple[str, type[CatchmentError], str, str], ...] = (
    (
        r"(must be superuser or|permission denied.*) replication|to start WAL sender|use replication slots",
        ConfigError,
        "this user may not replicate",
        "ALTER ROLE … REPLICATION (on Amazon RDS: GRANT rds_replication TO …)",
    ),
    (
        r"wal_level",
        ConfigError,
        "the server's log tells no rows (wal_level is not logical)",
        "ALTER SYSTEM SET wal_level = logical, then restart it (on Amazon RDS: rds.logical_replication = 1)",
    ),
    (
        r"all replication slots are in use",
        ConfigError,
        "the server has no replication slot left",
        "drop those that nobody reads, or raise max_replication_slots",
    ),
    (r"all WAL senders|max_wal_senders", RetryableError, "the server has no WAL sender left", "raise max_wal_senders"),
    (
        r"replication slot .* is active",
        RetryableError,
        "another process reads the slot",
        "one at a time can: is another at work?",
    ),
    (
        r"row-level security",
        ConfigError,
        "row-level security would hide rows of a snapshot from this user",
        "ALTER ROLE … BYPASSRLS, or take the owner of the table",
    ),
    (
        r"publication .* does not exist",
        PublicationAbsent,
        "the publication was not there while the log was written, and the slot cannot be read past that",
        "set `on_gap: snapshot`: a new slot is made, and each table is snapshotted anew",
    ),
    (
        r"can no longer (get changes|access)|has been invalidated|requested WAL segment",
        ConfigError,
        "the slot fell too far behind: the server has removed its log",
        "see what is lost: catchment plan",
    ),
)


def _known(error: Exception, who: str, place: str) -> CatchmentError | None:
    for pattern, kind, words, cure in _REFUSALS:
        if re.search(pattern, str(error), re.IGNORECASE):
            return kind(f"{who} at {place}: {words}", hint=cure)
    return None


def _array(values: Sequence[bytes | None]) -> bytes:
    """As PostgreSQL reads an array."""
    said = (
        b"NULL" if one is None else b'"' + one.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"' for one in values
    )
    return b"{" + b",".join(said) + b"}"


def _readable(socket: int, seconds: float) -> bool:
    return _ready(socket, select.POLLIN, seconds)


def _ready(socket: int, what: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(socket, what)
    return bool(poll.poll(seconds * 1000))


class Link(Session):
    """The log of one slot, from a place on. `reached` is how far everything has come over it."""

    def __init__(self, url: str, who: str) -> None:
        super().__init__(url, who, replication=True)
        found = self.fetch("IDENTIFY_SYSTEM")[0]
        self.system, self.timeline = str(found["systemid"]), int(found["timeline"])
        self.reached = 0
        self._flushed = 0
        self._told_us = 0
        self._waiting: list[bytes] = []

    def history(self) -> str:
        """Where the timelines of this server left one another."""
        found = self.fetch(f"TIMELINE_HISTORY {self.timeline}")
        content = found[0]["content"]
        return bytes(content).decode() if isinstance(content, bytes | memoryview) else str(content)

    def start(self, slot: str, publication: str, lsn: int) -> None:
        """From here on nothing else can be asked over this connection."""
        names = literal(quoted(publication))
        sql = f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {shown(lsn)}"
        with self._in_words():
            self._as_stored()
            result = self._connection.pgconn.exec_(f"{sql} (proto_version '1', publication_names {names})".encode())
            self._good(result, (pq.ExecStatus.COPY_BOTH,))
        self.reached = lsn

    def items(self, upto: int, other: Session) -> Iterator[bytes | int | None]:
        """Messages; numbers, of places up to which everything has come; None where a second has passed.

        A place at or behind `upto` comes in the end, also where the log ends in the middle of a record before it:
        `other`, another session, is asked then whether the server waits for more.
        """
        own, news, breath = self._connection.pgconn, time.monotonic(), time.monotonic()
        with self._in_words():
            self.tell(ask=True)
            while True:
                item = self._next()
                if item is not None:
                    if isinstance(item, bytes) or item > self.reached:
                        news = time.monotonic()
                    self.reached = max(self.reached, item) if isinstance(item, int) else self.reached
                    yield item
                    continue
                if _readable(own.socket, _QUIET_S):
                    continue
                now = time.monotonic()
                if now - news > _STUCK_S:
                    yield from self._drained(upto, other)
                    news = time.monotonic()
                if now - breath > _BREATH_S:
                    breath = now
                    yield None
                self.tell(ask=True)

    def _drained(self, upto: int, other: Session) -> Iterator[bytes | int]:
        """Where the server waits for somebody to write: what it had sent before, and then the place."""
        idle = other.fetch(_IDLE.format(pid=self.pid))
        if not idle or str(idle[0]["doing"]).lower() not in ("walsenderwaitforwal", "walsendermain"):
            return
        since_us = int(other.fetch(_CLOCK)[0]["us"]) - POSTGRES_EPOCH_US
        self.tell(ask=True)
        while True:
            item = self._next()
            if item is None:
                _readable(self._connection.pgconn.socket, _BREATH_S)
            elif isinstance(item, bytes):
                yield item
            elif self._told_us >= since_us:
                # Not `reached`: the record that is not whole yet may be a commit, which a cursor must not lie behind.
                yield upto
                return

    def _next(self) -> bytes | int | None:
        """A message that has come, or how far everything has; None where there is nothing."""
        if self._waiting:
            return self._waiting.pop(0)
        own = self._connection.pgconn
        got, data = own.get_copy_data(1)
        if got == 0:
            own.consume_input()
            got, data = own.get_copy_data(1)
        if got == 0:
            return None
        if got < 0:
            self._ended()
        if data[0] == _WAL:
            return padded(data)
        end, self._told_us, asked = _alive(data, 1)
        if asked:
            self.tell()
        return int(end)

    def has_news(self, seconds: float) -> bool:
        """Wait for a message, at most so long."""
        until = time.monotonic() + seconds
        with self._in_words():
            while not self._waiting:
                item = self._next()
                if isinstance(item, bytes):
                    self._waiting.append(item)
                elif isinstance(item, int):
                    self.reached = max(self.reached, item)
                elif not _readable(self._connection.pgconn.socket, max(0.0, until - time.monotonic())):
                    return False
        return True

    def flushed(self, lsn: int) -> None:
        """Everything before a place is kept by us: the server may forget it."""
        self._flushed = max(self._flushed, lsn)
        with self._in_words():
            self.tell()

    def tell(self, *, ask: bool = False) -> None:
        own = self._connection.pgconn
        kept = self._flushed
        own.put_copy_data(_status(b"r", kept, kept, kept, _now_us(), ask))
        while own.flush():
            _ready(own.socket, select.POLLOUT, _BREATH_S)

    def _ended(self) -> NoReturn:
        result = self._connection.pgconn.get_result()
        if result is not None and result.get_error_message():
            raise psycopg.errors.error_from_result(result, encoding="utf-8")
        message = "server closed the connection"
        raise psycopg.OperationalError(message)


def _now_us() -> int:
    return time.time_ns() // 1000 - POSTGRES_EPOCH_US
