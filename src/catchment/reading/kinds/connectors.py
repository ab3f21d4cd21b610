"""Connectors of Kafka Connect that a source may have: what moves its messages, and where they then lie."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.kinds.keys import Keys, length
from catchment.settings import has_references

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_FOLDER = re.compile(r"[A-Za-z0-9_./=-]*")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}")

# What only `catchment connect` asks for, so that a run needs no value for it.
_FOR_CONNECT = frozenset({"name", "tasks", "settings"})


class Connector(Keys):
    """A connector of any type. `is_sink` says that it takes messages out of topics, and not into them."""

    is_sink: ClassVar[bool] = False
    late: ClassVar[frozenset[str]] = _FOR_CONNECT

    name: Annotated[
        str | None, Field(description="Its name in Connect; by default those of the project and of the source.")
    ] = None
    tasks: Annotated[int, Field(ge=1, description="Into how many tasks Connect may split it at most.")] = 1
    settings: Annotated[
        dict[str, str],
        Field(
            description="Settings of the connector by their own names, over those that are generated, such as"
            ' `errors.retry.timeout: "60000"`.'
        ),
    ] = {}

    @field_validator("name")
    @classmethod
    def _named(cls, name: str | None) -> str | None:
        if name is not None and not has_references(name) and _NAME.fullmatch(name) is None:
            message = f"`{name[:40]}` is no name of a connector"
            raise ValueError(message, "write letters, digits, `.`, `_` and `-`")
        return name


class Bucket(Keys):
    """How a bucket is reached, by Connect and by us."""

    endpoint: Annotated[
        str | None, Field(min_length=1, description="Of a bucket that is not on AWS, such as `https://minio:9000`.")
    ] = None
    region: Annotated[str | None, Field(min_length=1, description="Of the bucket, such as `eu-central-1`.")] = None
    access_key: Annotated[
        str | None,
        Field(min_length=1, description="Whose key, such as `${env:S3_KEY}`; by default what AWS finds by itself."),
    ] = None
    secret_key: Annotated[
        str | None, Field(min_length=1, description="The secret that goes with it, such as `${env:S3_SECRET}`.")
    ] = None

    @model_validator(mode="after")
    def _both(self) -> Bucket:
        if (self.access_key is None) != (self.secret_key is None):
            missing = "access_key" if self.access_key is None else "secret_key"
            message = f"{missing} is missing"
            raise ValueError(message, "write access_key and secret_key, or neither")
        return self


class S3Sink(Connector, Bucket):
    """Messages become lines of objects in a bucket, and land from there as if they were read from the topic."""

    is_sink: ClassVar[bool] = True
    late: ClassVar[frozenset[str]] = _FOR_CONNECT | {"flavor", "records"}

    type: Literal["s3"]
    flavor: Annotated[
        Literal["aiven", "confluent"],
        Field(description="Whose connector is installed in Connect: Aiven's, or Confluent's, which keeps no keys."),
    ] = "aiven"
    bucket: Annotated[str, Field(description="The bucket's name.")]
    prefix: Annotated[str, Field(description="The folder in the bucket below which each topic has one.")] = "topics"
    records: Annotated[int, Field(ge=1, description="So many messages an object holds at most.")] = 10_000

    @field_validator("bucket")
    @classmethod
    def _bucket(cls, name: str) -> str:
        if not has_references(name) and _BUCKET.fullmatch(name) is None:
            message = f"`{name[:60]}` is no name of a bucket"
            raise ValueError(message, "write its name alone, without s3:// and folders")
        return name

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, folder: str) -> str:
        if not has_references(folder) and (_FOLDER.fullmatch(folder) is None or folder.startswith("/")):
            message = f"`{folder[:60]}` is no folder of a bucket"
            raise ValueError(message, "write one such as landing/topics")
        return folder.rstrip("/")


class DebeziumPostgres(Connector):
    """Debezium for PostgreSQL: changes of tables become messages, each a topic `prefix.schema.table`."""

    late: ClassVar[frozenset[str]] = _FOR_CONNECT | {
        *("host", "port", "database", "user", "password", "slot", "publication", "snapshot")
    }

    type: Literal["debezium-postgres"]
    prefix: Annotated[str, Field(description="What its topics begin with, unlike those of all other connectors.")]
    host: Annotated[str, Field(min_length=1, description="Where the database is, as Connect reaches it.")]
    port: Annotated[str, Field(description="The port that it listens on.")] = "5432"
    database: Annotated[str, Field(min_length=1, description="The database.")]
    user: Annotated[str, Field(min_length=1, description="A role that may replicate.")]
    password: Annotated[str | None, Field(description="Its password, such as `${env:SHOP_DB_PASSWORD}`.")] = None
    slot: Annotated[
        str | None, Field(description="The replication slot; by default the prefix, with `_` for what is no letter.")
    ] = None
    publication: Annotated[
        str | None,
        Field(description="A publication that is there; by default one of the slot's name, made for these tables."),
    ] = None
    snapshot: Annotated[
        Literal["initial", "no_data", "when_needed"],
        Field(description="Whether it begins with the rows that are there, as Debezium calls it."),
    ] = "initial"


class DebeziumMongo(Connector):
    """Debezium for MongoDB: changes of collections become messages, each a topic `prefix.database.collection`."""

    late: ClassVar[frozenset[str]] = _FOR_CONNECT | {"url", "user", "password", "snapshot"}

    type: Literal["debezium-mongodb"]
    prefix: Annotated[str, Field(description="What its topics begin with, unlike those of all other connectors.")]
    url: Annotated[str, Field(min_length=1, description="The replica set: `mongodb://host:27017/?replicaSet=rs0`.")]
    user: Annotated[str | None, Field(description="Who asks.")] = None
    password: Annotated[str | None, Field(description="The password, such as `${env:MONGO_PASSWORD}`.")] = None
    snapshot: Annotated[
        Literal["initial", "no_data", "when_needed"],
        Field(description="Whether it begins with the documents that are there, as Debezium calls it."),
    ] = "initial"


class Jdbc(Connector):
    """The JDBC source: tables are asked again and again for rows that are new, each a topic `prefix` + table."""

    late: ClassVar[frozenset[str]] = _FOR_CONNECT | {
        *("flavor", "url", "user", "password", "mode", "incrementing", "timestamp", "every")
    }

    type: Literal["jdbc"]
    flavor: Annotated[Literal["aiven", "confluent"], Field(description="Whose connector is installed in Connect.")] = (
        "aiven"
    )
    prefix: Annotated[str, Field(description="What its topics begin with; the table's name follows: `shop.`.")]
    url: Annotated[str, Field(min_length=1, description="As JDBC has it: `jdbc:postgresql://host:5432/shop`.")]
    user: Annotated[str | None, Field(description="Who asks.")] = None
    password: Annotated[str | None, Field(description="The password, such as `${env:SHOP_DB_PASSWORD}`.")] = None
    mode: Annotated[
        Literal["bulk", "incrementing", "timestamp", "timestamp+incrementing"],
        Field(description="How it finds what is new, as the connector calls it."),
    ] = "timestamp+incrementing"
    incrementing: Annotated[str | None, Field(description="The column that only grows.")] = None
    timestamp: Annotated[str | None, Field(description="The column that tells when a row changed last.")] = None
    every: Annotated[str, Field(description="How often it asks.")] = "5s"

    @field_validator("every")
    @classmethod
    def _every(cls, text: str) -> str:
        return length(text, "every: 5s")

    @model_validator(mode="after")
    def _columns(self) -> Jdbc:
        for column in ("incrementing", "timestamp"):
            if (column in self.mode.split("+")) != (getattr(self, column) is not None):
                wanted = column in self.mode.split("+")
                message = f"mode {self.mode} {'needs the column' if wanted else 'has no use for'} `{column}`"
                raise ValueError(message, f"write {column}: and the column's name" if wanted else "remove it")
        return self


class Snowflake(Connector):
    """The Snowflake sink: each topic into a table of Snowflake. Nothing of it lands in bronze."""

    is_sink: ClassVar[bool] = True
    late: ClassVar[frozenset[str]] = _FOR_CONNECT | {
        *("url", "user", "private_key", "passphrase", "database", "schema_", "role")
    }

    type: Literal["snowflake"]
    url: Annotated[str, Field(min_length=1, description="The account: `myorg-account.snowflakecomputing.com`.")]
    user: Annotated[str, Field(min_length=1, description="Who writes.")]
    private_key: Annotated[
        str, Field(min_length=1, description="The user's private key without its first and last line, as a reference.")
    ]
    passphrase: Annotated[str | None, Field(description="What the key is locked with, as a reference.")] = None
    database: Annotated[str, Field(min_length=1, description="The database.")]
    schema_: Annotated[str, Field(alias="schema", min_length=1, description="The schema.")]
    role: Annotated[str, Field(min_length=1, description="The role that it takes.")]


class IcebergSink(Connector):
    """The Iceberg sink: each topic's messages become rows of a table, which lands from there."""

    is_sink: ClassVar[bool] = True

    type: Literal["iceberg"]
    commit_every: Annotated[
        str, Field(description="How often rows become visible: each time is a snapshot of the table.")
    ] = "1 minute"
    control: Annotated[
        str | None,
        Field(description="The topic by which its tasks agree; by default `control-` and the connector's name."),
    ] = None

    @field_validator("commit_every")
    @classmethod
    def _every(cls, text: str) -> str:
        return length(text, "commit_every: 1 minute")


# What the streams of a source of topics may come by.
OfTopics = Annotated[S3Sink | DebeziumPostgres | DebeziumMongo | Jdbc | Snowflake, Field(discriminator="type")]
