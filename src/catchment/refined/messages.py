"""Rows as messages: what stands in the key, the value and the headers, in SQL as far as it goes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from catchment.contract import Column, Contract
from catchment.naming import (
    HIDDEN,
    ROW_COMMIT,
    ROW_DELETED,
    ROW_HEADERS,
    ROW_ID,
    ROW_LATEST,
    ROW_RANK,
    literal,
    quoted,
)
from catchment.records import Message
from catchment.refined.place import ORDER
from catchment.refined.texts import INSTANT, as_array, as_json, as_object, plain

if TYPE_CHECKING:
    from catchment.refined.avro import AvroRows

# What a version begins with where nothing tells it.
_LEAST = -9223372036854775807

_ID = "_stream || '/' || _shard || '/' || _load || '/' || _row"

# What a message is made of; the other columns decide which rows are published and how far.
_TEXTS = ("_key", "_value", *(f"_{name}" for name in ROW_HEADERS))


class Outgoing(ABC):
    """What of a table is published into one topic."""

    topic: str

    @abstractmethod
    def select(self, columns: Collection[str], *, gone: bool = False) -> str:
        """The columns of messages and of their order over `rows`, a relation with these columns, as SQL; `gone` says
        that the rows have left the table."""

    @abstractmethod
    def messages(self, rows: pa.Table) -> Iterator[Message]:
        """The messages of what was selected."""


@dataclass(frozen=True)
class Refined(Outgoing):
    """The rows of a silver table. `key` are the columns of a message's key, none for the row's identity; `latest` is
    the SQL of the first part of a row's version, `streams` rank what the other parts do not tell apart."""

    topic: str
    contract: Contract
    key: tuple[str, ...]
    latest: str
    streams: tuple[str, ...]
    tombstones: bool = False
    avro: AvroRows | None = None

    def select(self, columns: Collection[str], *, gone: bool = False) -> str:
        known = {column.name: column for column in self.contract.columns}
        ranked = " ".join(f"WHEN {literal(name)} THEN {n}" for n, name in enumerate(sorted(self.streams)))
        part = as_array([known[name] for name in self.contract.key]) if self.contract.key else "''"
        deleted = "TRUE" if gone else f"{HIDDEN} IS NOT NULL" if HIDDEN in columns else "FALSE"
        value = as_object([known[name] for name in known if name in columns]) if self.avro is None else "''"
        listed = {
            "_key": self._keyed(known),
            "_value": f"CASE WHEN {deleted} THEN NULL ELSE {value} END" if self.tombstones else value,
            f"_{ROW_ID}": _ID,
            f"_{ROW_COMMIT}": "CAST(_judged AS VARCHAR)",
            f"_{ROW_LATEST}": f"CAST(COALESCE(CAST({self.latest} AS BIGINT), {_LEAST}) AS VARCHAR)",
            f"_{ROW_RANK}": f"CAST(_shard * 256 + CASE _stream {ranked} ELSE 255 END AS VARCHAR)",
            f"_{ROW_DELETED}": f"CASE WHEN {deleted} THEN 'true' ELSE 'false' END",
            **{name: name for name in ORDER[:-1]},
            ORDER[-1]: part,
            **({} if self.avro is None else self.avro.columns(columns)),
        }
        return f"SELECT {', '.join(f'{sql} AS {quoted(name)}' for name, sql in listed.items())} FROM rows"

    def _keyed(self, known: dict[str, Column]) -> str:
        if not self.key:
            return _ID
        return plain(known[self.key[0]]) if len(self.key) == 1 else as_array([known[name] for name in self.key])

    def messages(self, rows: pa.Table) -> Iterator[Message]:
        if self.avro is None:
            return _messages(rows)
        values: list[bytes | None] = list(self.avro.values(rows))
        if self.tombstones:
            gone = rows.column(f"_{ROW_DELETED}").to_pylist()
            values = [None if word == "true" else value for word, value in zip(gone, values, strict=True)]
        return _messages(rows, values)


@dataclass(frozen=True)
class Rejects(Outgoing):
    """The rows of a table's quarantine: where they came from, their reasons and how they arrived."""

    topic: str
    table: str

    def select(self, columns: Collection[str], *, gone: bool = False) -> str:
        del columns, gone
        told = {
            "table": literal(self.table),
            "stream": "_stream",
            "origin": "_origin",
            "position": "_position",
            "landed_at": f"strftime(_loaded_at, {INSTANT})",
            "reasons": "reasons",
        }
        texts = {name: f"COALESCE(CAST(to_json({sql}) AS VARCHAR), 'null')" for name, sql in told.items()}
        texts["raw"] = as_json(Column("raw", "object", ""))
        parts = [f"'{',' if n else '{'}\"{name}\":' || {sql}" for n, (name, sql) in enumerate(texts.items())]
        listed = {
            "_key": _ID,
            "_value": " || ".join([*parts, "'}'"]),
            f"_{ROW_ID}": _ID,
            f"_{ROW_COMMIT}": "CAST(_judged AS VARCHAR)",
            f"_{ROW_LATEST}": "CAST(_judged AS VARCHAR)",
            f"_{ROW_RANK}": "'0'",
            f"_{ROW_DELETED}": "'false'",
            **{name: name for name in ORDER[:-1]},
            # A function makes several rows of one, which may be rejected each with reasons of its own.
            ORDER[-1]: "md5(CAST(to_json(reasons) AS VARCHAR) || raw)",
        }
        return f"SELECT {', '.join(f'{sql} AS {quoted(name)}' for name, sql in listed.items())} FROM rows"

    def messages(self, rows: pa.Table) -> Iterator[Message]:
        return _messages(rows)


def _messages(rows: pa.Table, values: Sequence[bytes | None] | None = None) -> Iterator[Message]:
    columns = [rows.column(name).cast(pa.string()).cast(pa.binary()).to_pylist() for name in _TEXTS]
    if values is not None:
        columns[1] = list(values)
    for key, value, *told in zip(*columns, strict=True):
        yield Message(value, key, tuple(zip(ROW_HEADERS, told, strict=True)))
