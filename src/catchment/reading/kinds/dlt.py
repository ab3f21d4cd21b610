"""Sources and resources of dlt."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from catchment.reading.kinds.keys import SourceKeys, StreamKeys

_PLACE = re.compile(r"[^:]+:[A-Za-z_]\w*")


class DltStream(StreamKeys):
    """One resource, landing in one bronze table."""

    resource: Annotated[
        str | None, Field(min_length=1, description="The resource's name; by default the stream's own.")
    ] = None
    full: Annotated[
        bool | None,
        Field(
            description="Each read brings the whole table: it begins from nothing, without the resource's state, and a"
            " key that is not in the newest one was deleted. To be said of a resource whose write disposition is"
            " `replace`."
        ),
    ] = None

    @property
    def is_whole(self) -> bool:
        return bool(self.full)


class DltSource(SourceKeys):
    """Sources and resources of dlt: documents, or typed columns where they yield Arrow tables."""

    example: ClassVar[str] = """\
tickets:
  type: dlt
  source: sources/tickets.py:tickets
  with: {token: "${env:TICKETS_TOKEN}"}
  streams:
    open_tickets: {}
"""

    type: Literal["dlt"]
    source: Annotated[
        str,
        Field(
            min_length=1,
            description="The function that makes it: `package.module:function`, or a file or folder of the project"
            " (`sources/my_api.py:fetch`).",
        ),
    ]
    with_: Annotated[
        dict[str, Any],
        Field(alias="with", description="What it is called with, secrets as references: `token: ${env:API_TOKEN}`."),
    ] = {}
    streams: Annotated[dict[str, DltStream], Field(min_length=1, description="What it gives, by name.")]

    @field_validator("source")
    @classmethod
    def _place(cls, place: str) -> str:
        if "${" not in place and not _PLACE.fullmatch(place):
            message = f"`{place}` does not say which function"
            raise ValueError(message, "write package.module:function, or sources/my_api.py:fetch")
        return place
