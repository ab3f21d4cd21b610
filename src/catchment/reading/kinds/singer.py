"""Taps that write Singer messages."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.durations import seconds
from catchment.reading.kinds.keys import SourceKeys, StreamKeys


class SingerStream(StreamKeys):
    """One stream of the tap, landing in one bronze table as documents; the tap runs for it alone."""

    stream: Annotated[
        str | None,
        Field(min_length=1, description="What the tap calls it, or its `tap_stream_id`; by default the stream's name."),
    ] = None
    full: Annotated[
        bool,
        Field(
            description="Each run of the tap brings the whole table: it is given no state, and a key that is not in the"
            " newest one was deleted."
        ),
    ] = False
    method: Annotated[
        Literal["FULL_TABLE", "INCREMENTAL", "LOG_BASED"] | None,
        Field(description="The replication method that is written into the catalog; by default what stands there."),
    ] = None
    replication_key: Annotated[
        str | None, Field(min_length=1, description="The replication key that is written into the catalog.")
    ] = None
    along: Annotated[
        list[str],
        Field(description="Streams of the tap that have to be selected with it, such as its parent; they do not land."),
    ] = []

    @property
    def is_whole(self) -> bool:
        return self.full

    @property
    def brings_documents(self) -> bool:
        return True


class SingerSource(SourceKeys):
    """Taps that write Singer messages, as documents."""

    example: ClassVar[str] = """\
crm:
  type: singer
  command: tap-crm
  config: {api_key: "${env:CRM_KEY}"}
  streams:
    contacts: {}
"""

    type: Literal["singer"]
    command: Annotated[
        str,
        Field(
            min_length=1,
            description="The tap, with arguments if need be; with a `/` in it a path, relative to the project.",
        ),
    ]
    config: Annotated[
        dict[str, Any],
        Field(
            description="What the tap reads as `--config`, secrets as references; kept in a private file while it runs."
        ),
    ] = {}
    catalog: Annotated[
        str | None,
        Field(
            min_length=1, description="A catalog file of the project; by default the tap is asked with `--discover`."
        ),
    ] = None
    discover: Annotated[
        bool, Field(description="`false` for a tap that knows no catalog: it runs without, and gives what it gives.")
    ] = True
    silence: Annotated[
        str, Field(description="How long the tap may say nothing at all before it is taken for hung.")
    ] = "1 hour"
    streams: Annotated[dict[str, SingerStream], Field(min_length=1, description="What it gives, by name.")]

    @field_validator("silence")
    @classmethod
    def _silence(cls, text: str) -> str:
        if "${" not in text and not seconds(text):
            message = f"`{text}` is no length of time"
            raise ValueError(message, "write silence: 1 hour, for example")
        return text

    @model_validator(mode="after")
    def _no_catalog(self) -> SingerSource:
        if self.discover:
            return self
        if self.catalog is not None:
            message = "`catalog` names one, and `discover: false` says that the tap knows none"
            raise ValueError(message, "remove one of them: a tap with a catalog file is not asked with --discover")
        for name, stream in self.streams.items():
            if stream.method or stream.replication_key or stream.along:
                message = f"`{name}` says what is written into a catalog, and `discover: false` says that there is none"
                raise ValueError(message, "remove method, replication_key and along, or discover: false")
        return self
