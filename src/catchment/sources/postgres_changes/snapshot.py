"""Tables as they were at one place of the log: copied by the server, said as the log says rows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from catchment import naming
from catchment.errors import ConfigError
from catchment.naming import quoted
from catchment.sources.postgres_changes.forms import Form, Gathered
from catchment.sources.postgres_changes.messages import Fields
from catchment.sources.postgres_changes.place import micros, number
from catchment.sources.postgres_changes.publications import Published
from catchment.sources.postgres_changes.session import Session
from catchment.sources.postgres_changes.slots import PLUGIN
from catchment.sources.postgres_changes.tables import Table, Types, columns

# Rows wait for each other until there are so many bytes of them, or so many.
BATCH_BYTES = 8 << 20
BATCH_ROWS = 50_000

_ESCAPES = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


@dataclass
class Moment:
    """A place of the log and a session that sees what was committed before it. `at_us` lies before it as well."""

    session: Session
    lsn: int
    at_us: int


def exported(session: Session, link: Session, slot: str) -> Iterator[Moment | None]:
    """A moment that begins when transactions which run now have ended; None for each second of waiting.

    A slot that lives as long as `link` tells where it lies; `session` sees the tables as they were there until its
    transaction ends.
    """
    at = session.fetch("SELECT clock_timestamp() AS now")[0]["now"]
    name = f"{slot[:30]}_snapshot_{os.getpid()}_{link.pid}"
    for found in link.patiently(f"CREATE_REPLICATION_SLOT {quoted(name)} TEMPORARY LOGICAL {PLUGIN} EXPORT_SNAPSHOT"):
        if found is None:
            yield None
            continue
        session.fetch("BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        session.fetch(f"SET TRANSACTION SNAPSHOT '{found[2]}'")
        yield Moment(session, number(found[1]), _utc(at))


def _utc(at: datetime) -> int:
    return micros(at.astimezone(UTC))


class Copying:
    """One table, copied. `rows` is how many have come."""

    def __init__(self, session: Session, table: Table, published: Published, types: Types) -> None:
        self._session, self._table, self._filter = session, table, published.filter
        session.fetch(f"LOCK TABLE {table.name} IN ACCESS SHARE MODE")
        told = columns(session, table)
        if published.columns is not None:
            told = [one for one in told if one.name in published.columns]
        renders = types.renders(session, [one.type for one in told])
        self.form = Form([(one.name, render) for one, render in zip(told, renders, strict=True)])

    def batches(self, first: int, origin: str, at_us: int, limit: int | None = None) -> Iterator[Gathered]:
        """Batches of rows from position `first` on; empty ones while the server has nothing to give."""
        named = ", ".join(quoted(name) for name, _ in self.form.columns)
        where = "" if self._filter is None else f" WHERE {self._filter}"
        few = "" if limit is None else f" LIMIT {limit}"
        sql = f"COPY (SELECT {named} FROM {self._table.rows_of}{where}{few}) TO STDOUT"
        gathered = Gathered(first, origin)
        for lines in self._session.copied(sql):
            if not lines:
                yield Gathered(first, origin)
                continue
            rows = [values(line) for line in lines]
            gathered.add_rows(self._table.stream, naming.SNAPSHOT, at_us, self.form, rows)
            gathered.bytes += sum(map(len, lines))
            if gathered.bytes >= BATCH_BYTES or len(gathered) >= BATCH_ROWS:
                first += len(gathered)
                yield gathered
                gathered = Gathered(first, origin)
        if len(gathered):
            yield gathered


def values(line: bytes) -> Fields:
    """One line of COPY's text."""
    found = line[:-1].split(b"\t") if line != b"\n" else [b""]
    if b"\\" not in line:
        return list(found)
    return [None if one == b"\\N" else _unescaped(one) if b"\\" in one else one for one in found]


def _unescaped(value: bytes) -> bytes:
    first, *rest = value.split(b"\\")
    parts, at = [first], 0
    while at < len(rest):
        part = rest[at]
        if part:
            parts.append(_ESCAPES.get(part[:1], part[:1]) + part[1:])
        else:  # two of them are one, and what follows is no escape
            at += 1
            parts.append(b"\\" + rest[at])
        at += 1
    return b"".join(parts)


def readable(source: str, table: Table, place: str) -> None:
    """Raises ConfigError where the snapshot of a table could not be read."""
    if not table.readable:
        message = f"{source}.{table.stream}: no right to read {table.shown} at {place}, which its snapshot takes"
        raise ConfigError(message, hint=f"GRANT SELECT ON {table.name} TO this user")
