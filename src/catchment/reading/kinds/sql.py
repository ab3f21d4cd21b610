"""Tables of databases: what every table may say, and databases that SQLAlchemy knows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.durations import seconds
from catchment.reading.kinds.keys import SourceKeys, StreamKeys
from catchment.settings import has_references


class TableStream(StreamKeys):
    """A table or a view, landing in one bronze table: whole, or what is new by a cursor column."""

    table: Annotated[
        str, Field(min_length=1, description="The table or view, with its schema where it has one: `public.users`.")
    ]
    cursor: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The column that grows with every insert and update: only rows from its highest value on are"
            " read. By default the table is read whole each time.",
        ),
    ] = None
    lookback: Annotated[
        str | int,
        Field(
            description="How far behind the highest value of the cursor rows may still appear, such as `5 minutes`, or"
            " a number for a cursor that counts: they are looked at again, and those that landed are left out."
        ),
    ] = 0
    key: Annotated[
        list[str] | None,
        Field(min_length=1, description="The columns that name a row; by default the primary key."),
    ] = None
    columns: Annotated[
        list[str] | None, Field(min_length=1, description="The columns to bring; by default all of them.")
    ] = None
    where: Annotated[str | None, Field(min_length=1, description="An SQL condition, in the database's own words.")] = (
        None
    )
    as_text: Annotated[
        list[str],
        Field(description="Columns that land as the database's exact text, whatever their type: infinite times, say."),
    ] = []

    @field_validator("lookback")
    @classmethod
    def _length(cls, value: str | int) -> str | int:
        if isinstance(value, str) and seconds(value) is None and not has_references(value):
            message = f"`{value}` is no length of time"
            raise ValueError(message, "write one such as 5 minutes, or a number for a cursor that counts")
        if isinstance(value, int) and value < 0:
            message = "lookback is below zero"
            raise ValueError(message, "write how far to look back as a number above zero")
        return value

    @model_validator(mode="after")
    def _agree(self) -> TableStream:
        if self.cursor is None and self.lookback != 0:
            message = "lookback is for a table with a cursor"
            raise ValueError(message, "name the cursor column, or remove lookback")
        absent = [name for name in self._needed() if self.columns is not None and name not in self.columns]
        if absent:
            message = f"columns leaves out `{absent[0]}`, which is needed"
            raise ValueError(message, f"add {absent[0]} to columns")
        return self

    def _needed(self) -> list[str]:
        return [*([] if self.cursor is None else [self.cursor]), *self.as_text]

    @property
    def is_whole(self) -> bool:
        return self.cursor is None


def address(value: Any, schemes: tuple[str, ...], example: str) -> Any:
    """Whether a URL has one of these schemes, as far as it stands in the project itself. Never shows what follows."""
    scheme, separator, _ = str(value).partition("://")
    if has_references(str(value)) or (separator and (not schemes or scheme in schemes)):
        return value
    shown = f"`{scheme}://…`" if separator else "the text"
    message = f"{shown} is no address of such a database"
    raise ValueError(message, f"write one such as {example}, or a reference to it: ${{env:DB_URL}}")


class SqlSource(SourceKeys):
    """Tables of any database that SQLAlchemy knows; SQLite needs nothing but its file."""

    example: ClassVar[str] = """\
legacy:
  type: sql
  url: sqlite:///data/legacy.db
  streams:
    orders: {table: orders, cursor: updated_at, lookback: 5 minutes}
    countries: {table: countries}
"""

    type: Literal["sql"]
    url: Annotated[
        str,
        Field(
            description="An SQLAlchemy address; `sqlite:///data/legacy.db` is relative to the project. Keep passwords"
            " in a reference: `${env:DB_URL}`."
        ),
    ]
    streams: Annotated[dict[str, TableStream], Field(min_length=1, description="What it gives, by name.")]

    @field_validator("url")
    @classmethod
    def _address(cls, value: str) -> Any:
        return address(value, (), "sqlite:///data/legacy.db")
