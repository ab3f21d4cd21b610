"""ClickHouse's SQL for rows that a topic brings: readable, of the right parts, without secrets."""

from __future__ import annotations

from dataclasses import replace

import pytest

from catchment.errors import ConfigError
from catchment.metric import LiveFeed, Through
from catchment.naming import IDENTITY
from catchment.plain import Type
from catchment.stores.clickhouse_topic import group, queue_sql, read_columns, taking_sql, without_secrets

THROUGH = Through(
    "orders.refined",
    "k:9092",
    {"id": Type("string"), "total": Type("number"), "at": Type("timestamp"), "unused": Type("string")},
    {"security.protocol": "SASL_SSL", "sasl.password": "hush", "ssl.ca.location": "/ca.pem"},
)
FEED = LiveFeed(
    name="orders",
    key=("id",),
    columns={"at": '"at"', "_sold__where": "CAST((total > 2.5) AS BOOLEAN)"},
    latest="_judged",
    traces=True,
    moment='"at"',
    keep_s=3600,
    through=THROUGH,
)


def test_the_queue_has_the_columns_that_are_needed_as_text() -> None:
    assert read_columns(FEED, THROUGH) == ["id", "total", "at"]
    sql = queue_sql("`live`.`q`", THROUGH, read_columns(FEED, THROUGH), group("live", "orders__1"))
    first = "CREATE TABLE IF NOT EXISTS `live`.`q` ( `id` Nullable(String), `total` Nullable(String),"
    assert " ".join(sql.split()).startswith(first)
    assert "kafka_topic_list = 'orders.refined'" in sql
    assert "kafka_group_name = 'catchment.live.orders__1'" in sql
    assert "kafka_security_protocol = 'SASL_SSL'" in sql
    assert "ssl" not in sql


def test_people_are_shown_no_password() -> None:
    shown = queue_sql("q", without_secrets(THROUGH), ["id"], "g")
    assert "hush" in queue_sql("q", THROUGH, ["id"], "g")
    assert "hush" not in shown
    assert "kafka_sasl_password = '[hidden]'" in shown


def test_the_view_tells_versions_and_when_rows_expire() -> None:
    sql = " ".join(taking_sql("v", "rows", "queue", FEED, THROUGH).split())
    assert sql.startswith("CREATE MATERIALIZED VIEW IF NOT EXISTS v TO rows AS SELECT `id`, ")
    assert "(`total` > toFloat64(2.5) OR isNaN(`total`)) AS `_sold__where`" in sql
    assert "indexOf(m.`_headers.name`, 'catchment-latest')" in sql
    assert "INTERVAL 3600 SECOND" in sql


def test_a_table_without_a_key_has_the_identity_of_its_rows() -> None:
    counted = replace(FEED, key=IDENTITY, columns={}, moment=None, keep_s=None)
    assert read_columns(counted, THROUGH) == ["id"]
    sql = " ".join(taking_sql("v", "rows", "queue", counted, THROUGH).split())
    assert "SELECT `_stream`, `_shard`, `_load`, `_row`, `_latest`, `_rank`, `_deleted`" in sql


def test_what_would_be_computed_otherwise_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot come through a topic") as refused:
        taking_sql("v", "rows", "queue", replace(FEED, columns={"x": "total / 2"}), THROUGH)
    assert refused.value.hint == "write through: insert at live of the target"


def test_a_feed_through_a_topic_is_another_one_and_those_of_before_stay_the_same() -> None:
    inserted = replace(FEED, through=None)
    assert FEED.fingerprint != inserted.fingerprint
    assert replace(FEED, through=replace(THROUGH, topic="other")).fingerprint != FEED.fingerprint
