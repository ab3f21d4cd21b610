"""Iceberg tables of others, or of Kafka Connect."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.kinds.connectors import Bucket, IcebergSink
from catchment.reading.kinds.keys import SourceKeys, StreamKeys


class IcebergCatalog(Bucket):
    """Where tables are found, and how their files are reached."""

    type: Annotated[
        Literal["rest", "glue", "jdbc"],
        Field(description="A REST catalog, AWS Glue, or a catalog in a database, as Iceberg's `JdbcCatalog` keeps it."),
    ]
    name: Annotated[
        str, Field(min_length=1, description="`jdbc`: the catalog's name, which its rows are found by.")
    ] = "iceberg"
    uri: Annotated[
        str | None,
        Field(min_length=1, description="`rest`: its address. `jdbc`: `postgresql://host:5432/catalog`."),
    ] = None
    warehouse: Annotated[
        str | None, Field(min_length=1, description="Where new tables lie, such as `s3://shop-lake/raw`.")
    ] = None
    username: Annotated[str | None, Field(description="`jdbc`: who asks.")] = None
    password: Annotated[str | None, Field(description="`jdbc`: the password, such as `${env:CATALOG_PASSWORD}`.")] = (
        None
    )
    token: Annotated[str | None, Field(description="`rest`: a token that lasts.")] = None
    credential: Annotated[str | None, Field(description="`rest`: `id:secret`, for which tokens are given.")] = None

    @model_validator(mode="after")
    def _address(self) -> IcebergCatalog:
        if (self.uri is None) != (self.type == "glue"):
            message = "Glue is found without `uri`" if self.type == "glue" else f"a {self.type} catalog needs `uri`"
            raise ValueError(message, "remove it" if self.type == "glue" else "write where it is")
        return self


class IcebergStream(StreamKeys):
    """A table that others append to, landing in one bronze table, each appended row once."""

    table: Annotated[str, Field(description="The table with its namespace: `raw.events`.")]
    via: Annotated[
        Literal["connect"] | None,
        Field(description="`connect`: the source's `connector` makes the table of a topic."),
    ] = None
    topic: Annotated[
        str | None,
        Field(description="`via: connect`: the topic that the table is made of; by default the stream's name."),
    ] = None

    @field_validator("table")
    @classmethod
    def _named(cls, table: str) -> str:
        if not all(table.split(".")) or "." not in table:
            message = f"`{table[:60]}` is no table in a namespace"
            raise ValueError(message, "write namespace.table")
        return table

    @model_validator(mode="after")
    def _topic(self) -> IcebergStream:
        if self.topic is not None and self.via is None:
            message = "`topic` says nothing of a table that nobody makes of a topic"
            raise ValueError(message, "remove it, or write via: connect")
        return self


class IcebergSource(SourceKeys):
    """Iceberg tables that others, or Kafka Connect, append to: each appended row lands once."""

    example: ClassVar[str] = """\
lakehouse:
  type: iceberg
  catalog: {type: rest, uri: "${env:CATALOG_URL}"}
  streams:
    events: {table: raw.events}
"""

    type: Literal["iceberg"]
    catalog: Annotated[IcebergCatalog, Field(description="Where the tables are found.")]
    connector: Annotated[
        IcebergSink | None, Field(description="What makes tables of topics, for the streams that say `via: connect`.")
    ] = None
    streams: Annotated[dict[str, IcebergStream], Field(min_length=1, description="What it gives, by name.")]

    @model_validator(mode="after")
    def _by_connect(self) -> IcebergSource:
        by_connect = [name for name, stream in self.streams.items() if stream.via is not None]
        if self.connector is None and by_connect:
            message = f"stream `{by_connect[0]}` comes via connect, and the source has no connector"
            raise ValueError(message, "write connector: {type: iceberg} at the source")
        if self.connector is not None and not by_connect:
            message = "there is a connector, and no stream comes by it"
            raise ValueError(message, "write via: connect at the streams that do, or remove the connector")
        return self
