"""Tables of PostgreSQL."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from catchment.reading.kinds.keys import SourceKeys
from catchment.reading.kinds.sql import TableStream, address


class PostgresSource(SourceKeys):
    """Tables and views of a PostgreSQL database, typed as they are there."""

    example: ClassVar[str] = """\
shop_db:
  type: postgres
  url: ${env:SHOP_DB_URL}
  streams:
    users: {table: public.users, cursor: updated_at, lookback: 5 minutes}
    countries: {table: public.countries}
"""

    type: Literal["postgres"]
    url: Annotated[
        str,
        Field(
            description="`postgresql://user:password@host:port/database`, with what libpq knows behind a `?`, such as"
            " `sslmode=require`. Keep the password in a reference: `${env:SHOP_DB_URL}`."
        ),
    ]
    streams: Annotated[dict[str, TableStream], Field(min_length=1, description="What it gives, by name.")]

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> Any:
        return address(value, ("postgresql", "postgres"), "postgresql://user@host:5432/database")
