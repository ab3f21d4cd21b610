"""Configurations of connectors that take messages out of topics."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from catchment.reading.durations import seconds
from catchment.reading.kinds.connectors import IcebergSink, S3Sink, Snowflake
from catchment.reading.kinds.iceberg import IcebergCatalog

_BYTES = "org.apache.kafka.connect.converters.ByteArrayConverter"
_TEXT = "org.apache.kafka.connect.storage.StringConverter"
_JSON = "org.apache.kafka.connect.json.JsonConverter"
_TRANSFORMS = "org.apache.kafka.connect.transforms"

# An object is closed after so long at the latest, where its connector lets itself be told.
_ROTATE_MS = "60000"


def s3(keys: S3Sink, topics: Sequence[str]) -> dict[str, str]:
    """Each message a line of JSON in `prefix/topic/partition=0/00000000000000012345.jsonl.gz`, named by its first one.

    Two transforms that every Kafka Connect has put a message's bytes and its place into the line, whatever the message
    holds: the place is what makes it land once, however often the connector writes it.
    """
    config = {
        **_taken(topics),
        "key.converter": _BYTES,
        "value.converter": _BYTES,
        "transforms": "message,place",
        "transforms.message.type": f"{_TRANSFORMS}.HoistField$Value",
        "transforms.message.field": "value",
        "transforms.place.type": f"{_TRANSFORMS}.InsertField$Value",
        "transforms.place.partition.field": "partition",
        "transforms.place.offset.field": "offset",
        "transforms.place.timestamp.field": "at",
    }
    return {**config, **(_aiven(keys) if keys.flavor == "aiven" else _confluent(keys))}


def _aiven(keys: S3Sink) -> dict[str, str]:
    """https://github.com/Aiven-Open/cloud-storage-connectors-for-apache-kafka, `s3-sink-connector`."""
    folder = f"{keys.prefix}/" if keys.prefix else ""
    name = f"{folder}{{{{topic}}}}/partition={{{{partition}}}}/{{{{start_offset:padding=true}}}}.jsonl.gz"
    told = {
        "connector.class": "io.aiven.kafka.connect.s3.AivenKafkaConnectS3SinkConnector",
        "aws.s3.bucket.name": keys.bucket,
        "file.name.template": name,
        "file.compression.type": "gzip",
        "file.max.records": str(keys.records),
        "format.output.type": "jsonl",
        "format.output.fields": "key,value",
        "format.output.envelope": "true",
    }
    beside = {
        "aws.s3.region": keys.region,
        "aws.s3.endpoint": keys.endpoint,
        "aws.access.key.id": keys.access_key,
        "aws.secret.access.key": keys.secret_key,
    }
    return told | _known(beside)


def _confluent(keys: S3Sink) -> dict[str, str]:
    """https://docs.confluent.io/kafka-connectors/s3-sink/current/configuration_options.html"""
    told = {
        "connector.class": "io.confluent.connect.s3.S3SinkConnector",
        "storage.class": "io.confluent.connect.s3.storage.S3Storage",
        "format.class": "io.confluent.connect.s3.format.json.JsonFormat",
        "partitioner.class": "io.confluent.connect.storage.partitioner.DefaultPartitioner",
        "schema.compatibility": "NONE",
        "s3.bucket.name": keys.bucket,
        "s3.compression.type": "gzip",
        "topics.dir": keys.prefix or ".",
        "filename.offset.zero.pad.width": "20",
        "flush.size": str(keys.records),
        "rotate.schedule.interval.ms": _ROTATE_MS,
        "timezone": "UTC",
        "behavior.on.null.values": "write",
    }
    beside = {
        "s3.region": keys.region,
        "store.url": keys.endpoint,
        "s3.path.style.access.enabled": None if keys.endpoint is None else "true",
        "aws.access.key.id": keys.access_key,
        "aws.secret.access.key": keys.secret_key,
    }
    return told | _known(beside)


def iceberg(keys: IcebergSink, catalog: IcebergCatalog, tables: Mapping[str, str], control: str) -> dict[str, str]:
    """Each message, a JSON object, a row of its topic's table: its members are columns, beside those of its place.

    `tables` names the topic of each. https://iceberg.apache.org/docs/latest/kafka-connect/
    """
    routes = {f"iceberg.table.{table}.route-regex": f"^{re.escape(topic)}$" for table, topic in tables.items()}
    return {
        **_taken(list(tables.values())),
        "connector.class": "org.apache.iceberg.connect.IcebergSinkConnector",
        "key.converter": _TEXT,
        "value.converter": _JSON,
        "value.converter.schemas.enable": "false",
        "transforms": "place",
        "transforms.place.type": f"{_TRANSFORMS}.InsertField$Value",
        "transforms.place.topic.field": "kafka_topic",
        "transforms.place.partition.field": "kafka_partition",
        "transforms.place.offset.field": "kafka_offset",
        "transforms.place.timestamp.field": "kafka_at",
        "iceberg.tables": ",".join(tables),
        "iceberg.tables.auto-create-enabled": "true",
        "iceberg.tables.evolve-schema-enabled": "true",
        "iceberg.control.topic": control,
        "iceberg.control.commit.interval-ms": str((seconds(keys.commit_every) or 60) * 1000),
        # Its coordinator begins at the end of the control topic unless told otherwise: what its tasks announced before
        # it committed for the first time would never be in the table. https://github.com/apache/iceberg/pull/18006
        "iceberg.kafka.auto.offset.reset": "earliest",
        # As for the sink's own consumer: after a kill nothing is committed until the old session has ended.
        "iceberg.kafka.session.timeout.ms": "10000",
        **({"iceberg.tables.route-field": "kafka_topic", **routes} if len(tables) > 1 else {}),
        **_catalog(catalog),
    }


def _catalog(keys: IcebergCatalog) -> dict[str, str]:
    """In the words of Iceberg's Java, under the names that the sink has for them."""
    in_bucket = (keys.warehouse or "").startswith("s3://") or keys.endpoint is not None
    beside = {
        "iceberg.catalog": keys.name if keys.type == "jdbc" else None,
        "iceberg.catalog.uri": f"jdbc:{keys.uri}" if keys.type == "jdbc" else keys.uri,
        "iceberg.catalog.jdbc.schema-version": "V1" if keys.type == "jdbc" else None,
        "iceberg.catalog.jdbc.user": keys.username,
        "iceberg.catalog.jdbc.password": keys.password,
        "iceberg.catalog.token": keys.token,
        "iceberg.catalog.credential": keys.credential,
        "iceberg.catalog.warehouse": keys.warehouse,
        "iceberg.catalog.io-impl": "org.apache.iceberg.aws.s3.S3FileIO" if in_bucket else None,
        "iceberg.catalog.s3.endpoint": keys.endpoint,
        "iceberg.catalog.s3.path-style-access": None if keys.endpoint is None else "true",
        "iceberg.catalog.s3.access-key-id": keys.access_key,
        "iceberg.catalog.s3.secret-access-key": keys.secret_key,
        "iceberg.catalog.client.region": keys.region,
    }
    return {"iceberg.catalog.type": keys.type, **_known(beside)}


def snowflake(keys: Snowflake, topics: Sequence[str]) -> dict[str, str]:
    """Each topic a table of its name. https://docs.snowflake.com/en/user-guide/kafka-connector-install

    Never run by us: the connector's own documents are what it was written from.
    """
    tables = ",".join(f"{topic}:{re.sub(r'[^A-Za-z0-9_]', '_', topic)}" for topic in topics)
    told = {
        **_taken(topics),
        "connector.class": "com.snowflake.kafka.connector.SnowflakeSinkConnector",
        "key.converter": _TEXT,
        "value.converter": _JSON,
        "value.converter.schemas.enable": "false",
        "snowflake.ingestion.method": "SNOWPIPE_STREAMING",
        "snowflake.url.name": keys.url,
        "snowflake.user.name": keys.user,
        "snowflake.private.key": keys.private_key,
        "snowflake.database.name": keys.database,
        "snowflake.schema.name": keys.schema_,
        "snowflake.role.name": keys.role,
        "snowflake.topic2table.map": tables,
    }
    return told | _known({"snowflake.private.key.passphrase": keys.passphrase})


def _taken(topics: Sequence[str]) -> dict[str, str]:
    """What every sink is told of its consumer: from the beginning, nothing that was taken back, and not long waits.

    After a worker was killed its partitions wait for its session to end: 45 seconds unless told otherwise.
    """
    return {
        "topics": ",".join(topics),
        "consumer.override.auto.offset.reset": "earliest",
        "consumer.override.isolation.level": "read_committed",
        "consumer.override.session.timeout.ms": "10000",
        "errors.tolerance": "none",
    }


def _known(told: Mapping[str, str | None]) -> dict[str, str]:
    return {key: value for key, value in told.items() if value is not None}
