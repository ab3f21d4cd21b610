"""The log of a PostgreSQL database."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.kinds.keys import ChangesKeys, SourceKeys
from catchment.reading.kinds.sql import address
from catchment.settings import has_references

_SLOT = re.compile(r"[a-z0-9_]{1,63}")


class ChangesStream(ChangesKeys):
    """A table whose rows are followed: what is there, then every change."""

    table: Annotated[str, Field(min_length=1, description="The table, with its schema: `public.users`.")]
    key: Annotated[
        list[str] | None,
        Field(
            min_length=1,
            description="The columns that name a row, so that a change of them is told as a delete and an update; by"
            " default the primary key. Only for tables with `REPLICA IDENTITY FULL`: of others the log says it.",
        ),
    ] = None


class PostgresChangesSource(SourceKeys):
    """Every insert, update, delete and truncate of tables of PostgreSQL, in the order of commits, after a snapshot."""

    is_log: ClassVar[bool] = True

    example: ClassVar[str] = """\
shop_db:
  type: postgres_changes
  url: ${env:SHOP_DB_URL}
  streams:
    users: {table: public.users}
    orders: {table: public.orders}
"""

    type: Literal["postgres_changes"]
    url: Annotated[
        str,
        Field(
            description="`postgresql://user:password@host:port/database`, with what libpq knows behind a `?`, such as"
            " `sslmode=require`. Keep the password in a reference: `${env:SHOP_DB_URL}`."
        ),
    ]
    slot: Annotated[
        str | None,
        Field(
            description="The replication slot, made by the first run; by default `catchment_` and the source's name."
            " One slot gives each change once: every project, environment and machine needs its own."
        ),
    ] = None
    publication: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The publication, made or extended where the user may; by default the slot's name.",
        ),
    ] = None
    on_gap: Annotated[
        Literal["stop", "snapshot"],
        Field(
            description="When the server no longer keeps what comes next, as after the slot was dropped: `stop` and say"
            " so, or take a new `snapshot` of every table, of which silver then keeps no more than is there."
        ),
    ] = "stop"
    streams: Annotated[dict[str, ChangesStream], Field(min_length=1, description="The tables, by name.")]

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> Any:
        return address(value, ("postgresql", "postgres"), "postgresql://user@host:5432/database")

    @field_validator("slot")
    @classmethod
    def _slot(cls, value: str | None) -> str | None:
        if value is not None and not has_references(value) and not _SLOT.fullmatch(value):
            message = f"`{value[:70]}` is no name of a slot"
            raise ValueError(message, "write small letters, digits and _, at most 63 of them")
        return value

    @model_validator(mode="after")
    def _tables(self) -> PostgresChangesSource:
        met: dict[str, str] = {}
        for name, stream in self.streams.items():
            other = met.setdefault(stream.table, name)
            if other != name:
                message = f"streams `{other}` and `{name}` name one table"
                raise ValueError(message, "remove one: several silver tables may read one stream")
        return self
