"""A project whose live figures are in ClickHouse: fed from the command line, over kills of feeder and server."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.services.clickhouse.server import ClickHouseServer

from catchment.cli.group import catchment as root
from catchment.errors import ConfigError

YAML = """
name: small
sources: {src: {type: files, streams: {rows: {path: "rows/*.csv"}}}}
silver:
  orders: {from: src.rows, mode: merge, latest_by: at, deleted_when: status = 'gone'}
  events: {from: src.rows, contract: contracts/events.odcs.yaml}
live:
  sold:
    from: orders
    every: 1 minute
    by: [country]
    measures:
      orders: count(*)
      buyers: count(distinct buyer)
      revenue: sum(total)
      p95: quantile(total, 0.95)
      top: top(buyer, 3)
      paid: share(status = 'completed', status <> 'pending')
  ever: {from: orders, where: "status <> 'pending'", measures: {orders: count(*), revenue: sum(total)}}
  seen: {from: events, time: at, every: 1 hour, by: [status], measures: {n: count(*), most: max(total)}}
targets:
  local: {default: true, memory: 256MB, threads: 1, live: {type: clickhouse, url: "${env:CLICKHOUSE_URL}"}}
"""
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: string{key}}}
      - {{name: buyer, logicalType: string}}
      - {{name: status, logicalType: string}}
      - {{name: total, logicalType: number, physicalType: "decimal(12,2)"}}
      - {{name: at, logicalType: timestamp}}
      - {{name: country, logicalType: string}}
"""
STATES = ("pending", "completed", "refunded", "gone")


@pytest.fixture
def shop(tmp_path: Path, server: ClickHouseServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLICKHOUSE_URL", server.url(f"shop_{tmp_path.name[-20:]}"))
    (tmp_path / "catchment.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "contracts").mkdir()
    for name, key in (("orders", ", primaryKey: true, required: true"), ("events", "")):
        file = tmp_path / f"contracts/{name}.odcs.yaml"
        file.write_text(CONTRACT.format(name=name, key=key), encoding="utf-8")
    (tmp_path / "rows").mkdir()
    return tmp_path


def call(shop: Path, *words: str) -> Result:
    return CliRunner().invoke(root, ["--project", str(shop), *words], standalone_mode=False)


def arrive(shop: Path, number: int, rows: int = 60, *words: str) -> None:
    """Versions of few orders, old ones among them, refined; without `words` of a run that does more, not fed."""
    chance = random.Random(number)
    lines = [
        f"o{chance.randrange(40)},u{chance.randrange(9)},{chance.choice(STATES)},{chance.randrange(9999) / 100:.2f},"
        f"2026-11-01T{chance.randrange(24):02d}:{chance.randrange(60):02d}:00Z,{chance.choice(('PT', 'BR', ''))}"
        for _ in range(rows)
    ]
    text = "\n".join(["id,buyer,status,total,at,country", *lines])
    (shop / f"rows/{number:03d}.csv").write_text(f"{text}\n", encoding="utf-8")
    told = words or ("--select", "+silver.orders", "--select", "+silver.events")
    assert call(shop, "run", *told).exception is None


def holds(shop: Path) -> None:
    found = call(shop, "compare", "live")
    assert found.exception is None, found.exception
    assert found.return_value == 0, found.stdout


def test_figures_are_those_of_a_recount_commit_by_commit(shop: Path) -> None:
    for number in range(4):
        arrive(shop, number)
        assert call(shop, "live", "feed").exception is None
        holds(shop)
    asked = "select orders, revenue from live.ever"
    (there,) = json.loads(call(shop, "live", "query", asked, "--json").stdout)
    counted = "select count(*) as orders, sum(total) as revenue from silver.orders where status <> 'pending'"
    assert json.loads(call(shop, "query", counted, "--json").stdout) == [there]
    counted = "select count(*) as n from silver.orders where status <> 'pending'"
    joined = f"select e.orders = s.n as same from live.ever e, ({counted}) s"
    assert json.loads(call(shop, "query", joined, "--json").stdout) == [{"same": True}]


def test_a_database_is_of_one_target_and_can_be_taken_over(shop: Path, server: ClickHouseServer) -> None:
    file = shop / "catchment.yaml"
    text = file.read_text(encoding="utf-8")
    beside = '  b: {lake: lake-b, memory: 256MB, threads: 1, live: {type: clickhouse, url: "${env:CLICKHOUSE_URL}"}}\n'
    file.write_text(text + beside, encoding="utf-8")
    arrive(shop, 1)
    assert call(shop, "live", "feed").exception is None
    before = call(shop, "live", "query", "select * from live.ever").stdout
    assert call(shop, "run", "--target", "b", "--jobs", "1").return_value == 1
    for words in (["feed"], ["status"], ["apply"], ["apply", "--yes"], ["query", "select * from live.ever"]):
        refused = call(shop, "live", *words, "--target", "b").exception
        assert isinstance(refused, ConfigError)
        assert "figures of target local of project small, and this is target b of project small" in str(refused)
    assert call(shop, "live", "query", "select * from live.ever").stdout == before
    holds(shop)
    assert isinstance(refused, ConfigError)  # the last one
    (told,) = [
        one for one in json.loads(call(shop, "check", "--json").stdout)["problems"] if one["severity"] == "error"
    ]
    assert told["key"] == "targets.b.live.url"
    drop = re.search(r"DROP DATABASE `\w+`", refused.hint or "")
    assert drop is not None
    urllib.request.urlopen(urllib.request.Request(server.url(""), drop[0].encode()), timeout=30).close()
    assert call(shop, "live", "feed", "--target", "b").exception is None
    assert "figures of target b of" in str(call(shop, "live", "feed").exception)


def test_an_edited_metric_is_applied_and_taken_anew(shop: Path) -> None:
    arrive(shop, 1)
    call(shop, "live", "feed")
    file = shop / "catchment.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(
        text.replace("quantile(total, 0.95)", "avg(total * 2)").replace("1 minute", "1 day"), encoding="utf-8"
    )
    assert "measures.p95: quantile(total, 0.95) -> avg(total * 2)" in call(shop, "live", "apply").stdout
    assert call(shop, "live", "apply", "--yes").exception is None
    holds(shop)
    told = call(shop, "live", "apply", "--sql").stdout
    assert "`orders__2`" in told, "rows were taken anew"
    assert "ENGINE = ReplacingMergeTree(`_version`, `_deleted`)" in told


def test_feeder_and_server_are_killed_at_any_moment_and_no_figure_is_wrong(
    shop: Path, server: ClickHouseServer
) -> None:
    arrive(shop, 0)
    assert call(shop, "live", "feed").exception is None
    words = [sys.executable, "-m", "catchment", "--project", str(shop), "live", "feed", "--follow"]
    chance = random.Random(4)
    for number in range(1, 6):
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as feeder:
            arrive(shop, number)
            time.sleep(chance.uniform(0.0, 1.2))
            if number % 2:
                server.kill()
            feeder.send_signal(signal.SIGKILL)
        if number % 2:
            server.start()
    assert call(shop, "live", "feed").exception is None
    holds(shop)


def test_who_follows_outlives_the_server(shop: Path, server: ClickHouseServer) -> None:
    arrive(shop, 0)
    words = [sys.executable, "-m", "catchment", "--project", str(shop), "live", "feed", "--follow", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as feeder:
        assert feeder.stdout is not None
        assert feeder.stderr is not None
        tables = {json.loads(feeder.stdout.readline())["table"] for _ in range(2)}
        assert tables == {"silver.orders", "silver.events"}
        server.kill()
        arrive(shop, 1)
        assert "does not answer" in feeder.stderr.readline()
        server.start()
        assert json.loads(feeder.stdout.readline())["version"] == 2
        feeder.send_signal(signal.SIGINT)
        assert feeder.wait(30) == 0
    assert call(shop, "live", "feed").exception is None
    holds(shop)
