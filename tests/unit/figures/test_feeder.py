"""A feeder is called often: nothing new costs nothing, and what others do to the store meanwhile is noticed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from catchment.cli.group import catchment as root
from catchment.connected import Connected
from catchment.errors import ConfigError, DataError
from catchment.figures.applied import live_of
from catchment.figures.feeder import Feeder, apply, feed_once, feed_table
from catchment.figures.recounted import recounted
from catchment.figures.standing import query, status
from catchment.project import load_project

YAML = """
name: small
sources: {src: {type: files, streams: {rows: {path: "rows/*.csv"}}}}
silver:
  orders: {from: src.rows, contract: orders.yaml}
  others: {from: src.rows, contract: orders.yaml}
live:
  sold: {from: orders, measures: {orders: count(*), revenue: sum(total)}}
"""
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string}
      - {name: total, logicalType: number}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "catchment.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "orders.yaml").write_text(CONTRACT, encoding="utf-8")
    (tmp_path / "rows").mkdir()
    return tmp_path


def arrive(shop: Path, number: int, *rows: str) -> None:
    (shop / f"rows/{number}.csv").write_text("\n".join(["id,total", *rows, ""]), encoding="utf-8")
    done = CliRunner().invoke(root, ["--project", str(shop), "run", "--select", "+silver.orders"])
    assert done.exit_code == 0, done.output


def connected(shop: Path) -> Connected:
    return Connected.of(load_project(shop))


def counted(shop: Path) -> tuple[int, float]:
    (row,) = query(connected(shop), "select * from live.sold").read_all().to_pylist()
    return row["orders"], row["revenue"]


def test_a_feeder_takes_each_commit_once_and_nothing_where_nothing_is_new(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feeder = Feeder(connected(shop), "orders")
    assert feeder.once() is None
    for number in range(1, 4):
        arrive(shop, number, f"a{number},{number}", "b,10")
        fed = feeder.once()
        assert fed is not None
        assert (fed.rows, fed.anew is None) == (2, number > 1)
    assert counted(shop) == (6, 36.0)
    opened: list[object] = []
    monkeypatch.setattr("catchment.lake.delta.DeltaLake.open", lambda *given: opened.append(given))
    assert [feeder.once() for _ in range(3)] == [None, None, None]
    assert not opened
    feeder.close()


def test_a_feeder_that_was_closed_goes_on(shop: Path) -> None:
    arrive(shop, 1, "a,1")
    feeder = Feeder(connected(shop), "orders")
    assert feeder.once() is not None
    feeder.close()
    arrive(shop, 2, "b,2")
    fed = feeder.once()
    assert fed is not None
    assert fed.rows == 1
    feeder.close()


def test_what_another_process_fed_meanwhile_is_not_counted_twice(shop: Path) -> None:
    arrive(shop, 1, "a,1")
    feeder = Feeder(connected(shop), "orders")
    assert feeder.once() is not None
    arrive(shop, 2, "b,2")
    assert feed_table(connected(shop), "orders") is not None
    assert feeder.once() is None
    arrive(shop, 3, "c,3")
    assert feeder.once() is not None
    assert counted(shop) == (3, 6.0)
    feeder.close()


def test_a_store_that_was_lost_meanwhile_is_fed_anew(shop: Path) -> None:
    arrive(shop, 1, "a,1")
    feeder = Feeder(connected(shop), "orders")
    assert feeder.once() is not None
    (shop / "warehouse/local/live/live_store.duckdb").unlink()
    arrive(shop, 2, "b,2")
    with pytest.raises(ConfigError):
        feeder.once()
    fed = feeder.once()
    assert fed is not None
    assert fed.anew is not None
    assert counted(shop) == (2, 3.0)
    feeder.close()


def test_an_engine_is_given_back_before_it_has_too_many_names(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchment.figures.feeder._FED_BY_ONE_ENGINE", 2)
    feeder, engines = Feeder(connected(shop), "orders"), set()
    for number in range(4):
        arrive(shop, number, f"a{number},1")
        assert feeder.once() is not None
        engines.add(feeder._engine)
    assert len(engines) == 2
    assert counted(shop) == (4, 4.0)
    feeder.close()


def test_a_table_that_no_metric_reads_is_told(shop: Path) -> None:
    with pytest.raises(ConfigError, match=r"no live figure reads silver\.others") as refused:
        Feeder(connected(shop), "others")
    assert refused.value.hint == "they read orders"


def test_a_feed_names_its_topic_where_the_store_reads_topics(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = """
targets:
  local:
    broker: {type: kafka, servers: "broker:9092", settings: {sasl.username: "${env:WHO}"}}
    live: {type: clickhouse, url: "http://ch:8123/live", through: topic, broker: "inside:9094"}
"""
    monkeypatch.setenv("WHO", "reader-of-topics")
    text = YAML.replace("contract: orders.yaml}\n  others", "contract: orders.yaml, publish: o.refined}\n  others")
    (shop / "catchment.yaml").write_text(text + told, encoding="utf-8")
    through = live_of(connected(shop)).feeds["orders"].through
    assert through is not None
    assert (through.topic, through.servers) == ("o.refined", "inside:9094")
    assert through.settings == {"sasl.username": "reader-of-topics"}
    assert set(through.columns) == {"id", "total"}
    (shop / "catchment.yaml").write_text(
        text
        + told.replace('{type: kafka, servers: "broker:9092", settings: {sasl.username: "${env:WHO}"}}', "embedded"),
        encoding="utf-8",
    )
    with pytest.raises(ConfigError, match="needs a broker that ClickHouse can read from"):
        live_of(connected(shop))


def also(shop: Path, metric: str) -> None:
    text = (shop / "catchment.yaml").read_text(encoding="utf-8").rstrip("\n")
    (shop / "catchment.yaml").write_text(f"{text}\n  {metric}\n", encoding="utf-8")


def test_a_metric_that_does_not_fit_its_columns_is_not_applied(shop: Path) -> None:
    arrive(shop, 1, "a,10")
    feed_once(connected(shop))
    also(shop, "bad: {from: orders, where: \"total > 'abc'\", measures: {n: count(*)}}")
    for attempt in (lambda: feed_once(connected(shop)), lambda: apply(connected(shop), do=True)):
        with pytest.raises(ConfigError, match=r"live\.bad\.where: `total > 'abc'` does not fit") as refused:
            attempt()
        assert "total is number" in str(refused.value.hint)
    assert [one.name for one in apply(connected(shop), do=False)] == ["bad", "silver.orders"]
    assert counted(shop) == (1, 10.0)


def test_a_row_that_stops_all_figures_names_the_metric_that_cannot_be_computed(shop: Path) -> None:
    also(shop, 'ids: {from: orders, measures: {n: "sum(cast(id as integer))"}}')
    arrive(shop, 1, "1,10")
    feed_once(connected(shop))
    arrive(shop, 2, "a,5")
    with pytest.raises(DataError, match=r"^live\.ids: `CAST\(id AS INT\)` stops all figures .*'a'") as stopped:
        feed_once(connected(shop))
    assert "try_cast" in str(stopped.value.hint)
    assert counted(shop) == (1, 10.0)


def test_a_metric_that_was_fed_and_is_to_be_fed_anew_is_told_from_one_that_never_was(shop: Path) -> None:
    arrive(shop, 1, "a,10")
    feed_once(connected(shop))
    also(shop, 'more: {from: orders, measures: {n: "sum(total + 1)"}}')
    there = connected(shop)
    there.live_store.apply(there.live, "do")
    assert {one.metric: (one.behind, one.reset) for one in status(there)} == {
        "sold": (None, True),
        "more": (None, False),
    }
    with pytest.raises(ConfigError, match="sold has to be fed anew"):
        list(recounted(there))
    feed_once(there)
    assert {(one.behind, one.reset) for one in status(there)} == {(0, False)}


def test_a_measure_may_be_called_as_another_key(shop: Path) -> None:
    also(shop, 'named: {from: orders, where: "total > 1", measures: {where: "sum(total + 1)"}}')
    arrive(shop, 1, "a,10", "b,1")
    feed_once(connected(shop))
    (row,) = query(connected(shop), "select * from live.named").read_all().to_pylist()
    assert row == {"where": 11.0}
