"""Configurations of connectors that write what happens in a database into topics."""

from __future__ import annotations

import re
from collections.abc import Sequence

from catchment.reading.durations import seconds
from catchment.reading.kinds.connectors import DebeziumMongo, DebeziumPostgres, Jdbc

_JSON = "org.apache.kafka.connect.json.JsonConverter"

# With its schema beside it a day, a time or a decimal of an envelope is known for what it is.
_WRITTEN = {
    "key.converter": _JSON,
    "key.converter.schemas.enable": "true",
    "value.converter": _JSON,
    "value.converter.schemas.enable": "true",
}

# Topics that are not there are made by Connect; those that the project declares are there before.
_TOPICS = {"topic.creation.default.partitions": "3", "topic.creation.default.replication.factor": "-1"}


def debezium_postgres(keys: DebeziumPostgres, topics: Sequence[str]) -> dict[str, str]:
    """https://debezium.io/documentation/reference/stable/connectors/postgresql.html"""
    slot = keys.slot or re.sub(r"[^a-z0-9]+", "_", keys.prefix.lower()).strip("_")
    told = {
        **_WRITTEN,
        **_TOPICS,
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "database.hostname": keys.host,
        "database.port": keys.port,
        "database.dbname": keys.database,
        "database.user": keys.user,
        "topic.prefix": keys.prefix,
        "table.include.list": _behind(keys.prefix, topics),
        "plugin.name": "pgoutput",
        "slot.name": slot,
        "publication.name": keys.publication or slot,
        "publication.autocreate.mode": "filtered" if keys.publication is None else "disabled",
        "snapshot.mode": keys.snapshot,
        "decimal.handling.mode": "string",
        "heartbeat.interval.ms": "10000",
        "exactly.once.support": "requested",
    }
    return told if keys.password is None else {**told, "database.password": keys.password}


def debezium_mongo(keys: DebeziumMongo, topics: Sequence[str]) -> dict[str, str]:
    """https://debezium.io/documentation/reference/stable/connectors/mongodb.html"""
    told = {
        **_WRITTEN,
        **_TOPICS,
        "connector.class": "io.debezium.connector.mongodb.MongoDbConnector",
        "mongodb.connection.string": keys.url,
        "topic.prefix": keys.prefix,
        "collection.include.list": _behind(keys.prefix, topics),
        "capture.mode": "change_streams_update_full_with_pre_image",
        "snapshot.mode": keys.snapshot,
        "heartbeat.interval.ms": "10000",
        "exactly.once.support": "requested",
    }
    named = {"mongodb.user": keys.user, "mongodb.password": keys.password}
    return {**told, **{key: value for key, value in named.items() if value is not None}}


def jdbc(keys: Jdbc, topics: Sequence[str]) -> dict[str, str]:
    """Aiven's and Confluent's have the same keys. https://github.com/Aiven-Open/jdbc-connector-for-apache-kafka"""
    whose = {"aiven": "io.aiven.connect.jdbc", "confluent": "io.confluent.connect.jdbc"}[keys.flavor]
    told = {
        "key.converter": _JSON,
        "key.converter.schemas.enable": "false",
        "value.converter": _JSON,
        "value.converter.schemas.enable": "false",
        **_TOPICS,
        "connector.class": f"{whose}.JdbcSourceConnector",
        "connection.url": keys.url,
        "mode": keys.mode,
        "poll.interval.ms": str((seconds(keys.every) or 5) * 1000),
        "topic.prefix": keys.prefix,
        "table.whitelist": ",".join(topic.removeprefix(keys.prefix) for topic in topics),
        "numeric.mapping": "best_fit",
    }
    beside = {
        "connection.user": keys.user,
        "connection.password": keys.password,
        "incrementing.column.name": keys.incrementing,
        "timestamp.column.name": keys.timestamp,
    }
    return {**told, **{key: value for key, value in beside.items() if value is not None}}


def _behind(prefix: str, topics: Sequence[str]) -> str:
    """What Debezium calls the tables or collections of these topics: it takes regular expressions."""
    return ",".join(re.escape(topic.removeprefix(f"{prefix}.")).replace(r"\-", "-") for topic in topics)
