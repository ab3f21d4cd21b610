"""Live figures whose rows ClickHouse reads from refined topics itself, on a real Kafka: messages that come again, late
or not at all for a while, servers that are killed, orders that change what was published."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.services.clickhouse.server import ClickHouseServer
from tests.services.clickhouse.test_clickhouse_figures import CONTRACT, call, holds
from tests.services.clickhouse.test_clickhouse_figures import arrive as arrived
from tests.services.kafka.server import Kafka
from tests.services.servers import free_port

from catchment.errors import ConfigError
from catchment.live import taking
from catchment.naming import ROW_LATEST
from catchment.records import Message
from catchment.topics.kafka.broker import KafkaBroker

YAML = """
name: {name}
sources: {{src: {{type: files, streams: {{rows: {{path: "rows/*.csv"}}}}}}}}
silver:
  orders: {{from: src.rows, mode: merge, latest_by: at, deleted_when: status = 'gone', publish: {name}.orders}}
  events: {{from: src.rows, contract: contracts/events.odcs.yaml, publish: {name}.events}}
live:
  sold:
    from: orders
    every: 1 minute
    by: [country]
    where: "total > 2.5 and status is not null"
    measures:
      orders: count(*)
      buyers: count(distinct buyer)
      revenue: sum(total)
      more: sum(total * 2 + 1)
      p95: quantile(total, 0.95)
      top: top(buyer, 3)
      paid: share(status = 'completed', status <> 'pending')
  ever: {{from: orders, where: "status <> 'pending'", measures: {{orders: count(*), revenue: sum(total)}}}}
  seen: {{from: events, time: at, every: 1 hour, by: [status], measures: {{n: count(*), most: max(total)}}}}
targets:
  local:
    default: true
    memory: 256MB
    threads: 1
    broker: {{type: kafka, servers: "{kafka}"}}
    live: {{type: clickhouse, url: "${{env:CLICKHOUSE_URL}}", through: topic{more}}}
"""


@pytest.fixture
def shop(tmp_path: Path, server: ClickHouseServer, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLICKHOUSE_URL", server.url(_name(tmp_path)))
    declare(tmp_path, kafka)
    (tmp_path / "contracts").mkdir()
    for name, key in (("orders", ", primaryKey: true, required: true"), ("events", "")):
        file = tmp_path / f"contracts/{name}.odcs.yaml"
        file.write_text(CONTRACT.format(name=name, key=key), encoding="utf-8")
    (tmp_path / "rows").mkdir()
    return tmp_path


def arrive(shop: Path, number: int) -> None:
    """Versions of few orders, refined, published and fed by one run."""
    arrived(shop, number, 60, "--jobs", "1")


def declare(shop: Path, kafka: Kafka, more: str = "", **edits: str) -> None:
    text = YAML.format(name=_name(shop), kafka=kafka.address, more=more)
    for one, other in edits.items():
        text = text.replace(one.replace("__", ": "), other)
    (shop / "catchment.yaml").write_text(text, encoding="utf-8")


def _name(shop: Path) -> str:
    return (
        "".join(letter if letter.isalnum() else "_" for letter in f"t_{shop.parent.name[-4:]}_{shop.name[-16:]}")
        .replace("__", "_")
        .rstrip("_")
    )


def status(shop: Path) -> Sequence[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = json.loads(call(shop, "live", "status", "--json").stdout)
    return found


def taken(shop: Path) -> None:
    """Wait until the store has every message."""
    until = time.monotonic() + 40
    while any(one["lag"] for one in status(shop)):
        assert time.monotonic() < until, status(shop)
        time.sleep(0.2)


def messages(kafka: Kafka, topic: str) -> list[Message]:
    """Everything in a topic, as it can be written again."""
    broker = KafkaBroker(kafka.address)
    ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
    rows = [row for batch in broker.read(topic, {}, ends) for row in batch.to_pylist()]
    broker.close()
    return [
        Message(
            value=row["value"],
            key=row["key"],
            headers=[(header["name"], header["value"]) for header in row["headers"]],
            partition=row["partition"],
        )
        for row in rows
    ]


def write(kafka: Kafka, topic: str, again: Sequence[Message]) -> None:
    broker = KafkaBroker(kafka.address)
    broker.write(topic, again)
    broker.close()


def test_figures_follow_silver_through_the_topic(shop: Path) -> None:
    for number in range(4):
        arrive(shop, number)
        holds(shop)
    taken(shop)
    assert [(one["behind"], one["lag"], one["trouble"]) for one in status(shop)] == [(0, 0, None)] * 3
    # What was inserted was all there was at first; the rest came by the topic alone.
    sql = call(shop, "live", "apply", "--sql").stdout
    assert "ENGINE = Kafka" in sql
    assert "CREATE MATERIALIZED VIEW" in sql
    assert "orders__1__queue" in sql


def test_messages_that_come_again_and_late_change_no_figure(shop: Path, kafka: Kafka) -> None:
    for number in range(3):
        arrive(shop, number)
    holds(shop)
    chance = random.Random(11)
    for table in ("orders", "events"):
        topic = f"{_name(shop)}.{table}"
        there = messages(kafka, topic)
        assert len(there) > 40
        write(kafka, topic, there)
        late = chance.sample(there, len(there) // 2)
        for part in (late[::2], late[1::2]):
            write(kafka, topic, part)
    taken(shop)
    holds(shop)
    arrive(shop, 3)
    holds(shop)


def test_a_change_that_only_the_topic_tells_is_in_the_figures(shop: Path, kafka: Kafka) -> None:
    """That rows come through the topic, and by no other way."""
    arrive(shop, 1)
    call(shop, "live", "feed")
    before = _orders(shop)
    broker, topic = KafkaBroker(kafka.address), f"{_name(shop)}.orders"
    (one, *_) = [message for message in messages(kafka, topic) if _header(message, "catchment-deleted") == b"false"]
    broker.close()
    newer = [(name, b"9000000000000000" if name == ROW_LATEST else value) for name, value in one.headers]
    other = json.loads(one.value or b"") | {"id": "another", "status": "completed"}
    write(kafka, topic, [Message(json.dumps(other).encode(), one.key, newer)])
    taken(shop)
    assert _orders(shop) == before + 1
    gone = [(name, b"true" if name == "catchment-deleted" else value) for name, value in newer]
    later = [(name, b"9000000000000001" if name == ROW_LATEST else value) for name, value in gone]
    write(kafka, topic, [Message(json.dumps(other).encode(), one.key, later)])
    taken(shop)
    assert _orders(shop) == before


def _header(message: Message, name: str) -> bytes:
    return dict(message.headers)[name]


def _orders(shop: Path) -> int:
    (row,) = json.loads(call(shop, "live", "query", "select orders from live.ever", "--json").stdout)
    return int(row["orders"])


def test_a_server_that_is_killed_again_and_again_counts_nothing_twice(shop: Path, server: ClickHouseServer) -> None:
    arrive(shop, 0)
    holds(shop)
    chance = random.Random(5)
    for number in range(1, 6):
        # Steps of live figures fail while it is away: the next run makes up for them.
        _arrive(shop, number)
        time.sleep(chance.uniform(0, 0.8))
        server.kill()
        _arrive(shop, number + 10)
        server.start()
        if number % 2:
            holds(shop)
    holds(shop)


def _arrive(shop: Path, number: int) -> None:
    try:
        arrive(shop, number)
    except AssertionError:
        assert call(shop, "publish").exception is None


def test_after_an_order_all_rows_are_taken_anew(shop: Path) -> None:
    for number in range(2):
        arrive(shop, number)
    holds(shop)
    assert call(shop, "run", "--rebuild", "silver.orders") is not None
    fed = call(shop, "live", "feed")
    assert fed.exception is None, fed.exception
    holds(shop)
    assert call(shop, "publish", "silver.orders", "--again").exception is None
    taken(shop)
    holds(shop)
    arrive(shop, 2)
    holds(shop)


def test_rows_that_publishing_passed_over_are_in_the_figures(shop: Path) -> None:
    arrive(shop, 0)
    holds(shop)
    arrived(shop, 1, 60, "--select", "bronze", "--select", "silver")
    assert "passed over: 1 commit" in call(shop, "publish", "silver.orders", "--from-now").stderr
    assert call(shop, "publish", "silver.events").exception is None
    fed = [json.loads(line) for line in call(shop, "live", "feed", "--json").stdout.splitlines()]
    (orders,) = [one for one in fed if one["table"] == "silver.orders"]
    assert orders["anew"] == "rows were passed over when silver was published"
    holds(shop)
    # From then on the topic brings all of it.
    arrived(shop, 2, 60, "--select", "bronze", "--select", "silver")
    call(shop, "publish")
    fed = [json.loads(line) for line in call(shop, "live", "feed", "--json").stdout.splitlines()]
    assert [one["anew"] for one in fed] == [None, None]
    holds(shop)


def test_an_edited_metric_is_applied_and_the_topic_goes_on(shop: Path, kafka: Kafka) -> None:
    arrive(shop, 1)
    declare(shop, kafka, **{"p95__quantile(total, 0.95)": "least: min(total + 1)"})
    assert "measures.least" in call(shop, "live", "apply").stdout
    assert call(shop, "live", "apply", "--yes").exception is None
    holds(shop)
    arrive(shop, 2)
    holds(shop)


def test_an_address_that_the_server_does_not_reach_is_told(
    shop: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare(shop, kafka, more=f', broker: "127.0.0.1:{free_port()}"')
    monkeypatch.setattr(taking, "_PROBED_S", 3.0)
    _arrive(shop, 1)
    failed = call(shop, "live", "feed")
    assert isinstance(failed.exception, ConfigError)
    assert "does not reach the broker at 127.0.0.1:" in failed.exception.message
    assert "live.broker" in (failed.exception.hint or "")
    assert "through: insert" in (failed.exception.hint or "")


def test_a_broker_that_was_away_is_no_trouble_any_more(shop: Path, kafka: Kafka) -> None:
    arrive(shop, 1)
    taken(shop)
    kafka.server.kill()
    time.sleep(5)
    kafka.server.start()
    assert any(one["trouble"] for one in status(shop))
    arrive(shop, 2)
    taken(shop)
    until = time.monotonic() + 20
    while any(one["trouble"] for one in status(shop)):
        assert time.monotonic() < until, status(shop)
        time.sleep(0.2)
    holds(shop)


def test_all_that_the_server_is_told_is_told_to_people(shop: Path, kafka: Kafka) -> None:
    first = call(shop, "live", "apply", "--sql").stdout
    arrive(shop, 1)
    statements = json.loads(call(shop, "live", "apply", "--sql", "--json").stdout)["statements"]
    heads = [one.partition("\n")[0].partition(",")[0] for one in statements]
    rows = [f"-- rows of silver.{name}" for name in ("orders", "events") for _ in range(4)]
    assert heads[2:] == [*rows, "-- live.sold", "-- live.ever", "-- live.seen"]
    assert sum("ENGINE = Kafka" in one for one in statements) == 2
    for one in statements:
        if "ENGINE = Kafka" not in one:
            assert f"{one};" in first.replace(f"{_name(shop)}-[given by the first feeding]", "")


def test_messages_that_nobody_could_read_are_told_and_nothing_is_counted_wrong(shop: Path, kafka: Kafka) -> None:
    arrive(shop, 1)
    holds(shop)
    before = _orders(shop)
    write(kafka, f"{_name(shop)}.orders", [Message(b"{broken", b"k", [])])
    until = time.monotonic() + 20
    while not any(one["trouble"] for one in status(shop)):
        assert time.monotonic() < until
        time.sleep(0.2)
    assert any(one["lag"] for one in status(shop))
    (told, *_) = [one["trouble"] for one in status(shop) if one["trouble"]]
    at = re.search(r" \((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC\)$", told)
    assert at is not None, told
    assert abs(datetime.now(UTC) - datetime.fromisoformat(f"{at[1]}+00:00")) < timedelta(seconds=60)
    assert _orders(shop) == before
