"""What catchment.yaml may say of live figures; every mistake has its place and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.metric import parsed
from catchment.project import Project, load_project, read_project

CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string, primaryKey: true, required: true}
      - {name: status, logicalType: string}
      - {name: total, logicalType: number}
      - {name: at, logicalType: timestamp}
      - {name: day, logicalType: date}
"""
PROJECT = """
name: small
sources: {{src: {{type: files, streams: {{rows: {{path: "rows/*.csv"}}}}}}}}
silver:
  orders: {{from: src.rows{table}}}
live:
  sold: {{{keys}}}
{more}
"""
GOOD = "from: orders, time: at, every: 1 minute, measures: {n: count(*)}"


def write(folder: Path, keys: str = GOOD, *, table: str = "", more: str = "") -> Path:
    (folder / "contracts").mkdir(exist_ok=True)
    (folder / "contracts/orders.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    (folder / "catchment.yaml").write_text(PROJECT.format(keys=keys, table=table, more=more), encoding="utf-8")
    return folder


def problems(folder: Path, keys: str, **rest: str) -> list[str]:
    return [str(problem) for problem in read_project(write(folder, keys, **rest))[1]]


def loaded(folder: Path, **rest: str) -> Project:
    return load_project(write(folder, **rest))


def test_a_metric_says_what_is_counted(tmp_path: Path) -> None:
    keys = (
        "from: orders, time: at, where: \"status = 'paid'\", every: 1 hour, by: [status], keep: 2 days,"
        ' measures: {n: count(*), q: "quantile(total, 0.9)", s: "share(total > 1, total > 0)", t: "top(id, 3)"}'
    )
    metric = loaded(tmp_path, keys=keys).live["sold"]
    assert (metric.from_, metric.every, metric.keep, metric.by) == ("orders", "1 hour", "2 days", ["status"])


def test_without_a_live_store_of_its_own_a_target_has_duckdb(tmp_path: Path) -> None:
    assert loaded(tmp_path).targets["local"].live is None
    more = 'targets: {a: {default: true, live: duckdb}, b: {live: {type: clickhouse, url: "${env:URL}"}}}'
    targets = loaded(tmp_path, more=more).targets
    assert targets["a"].live == "duckdb"
    assert getattr(targets["b"].live, "url", None) == "${env:URL}"


@pytest.mark.parametrize(
    ("store", "told"),
    [
        ("clickhouse", "`clickhouse` does not tell where it is; write live: {type: clickhouse, url:"),
        ("{type: clickhouse}", "url is missing"),
        ("{type: clickhouse, url: host}", "begins with neither http:// nor https://"),
        ("{type: clickhous, url: 'http://host'}", "did you mean `clickhouse`?"),
        ("duckdbb", "did you mean `duckdb`?"),
    ],
)
def test_a_store_that_cannot_be_is_told_with_its_cure(tmp_path: Path, store: str, told: str) -> None:
    (found,) = problems(tmp_path, GOOD, more=f"targets: {{local: {{live: {store}}}}}")
    assert told in found


def test_the_time_is_what_the_table_says_where_nobody_names_one(tmp_path: Path) -> None:
    keys = "from: orders, every: 1 minute, measures: {n: count(*)}"
    assert problems(tmp_path, keys) == [
        "catchment.yaml:7:3  live.sold.time: silver.orders does not tell which of its columns is the time of a row;"
        " write time: at"
    ]
    assert not problems(tmp_path, keys, table=", mode: merge, latest_by: at")
    assert problems(tmp_path, keys, table=", mode: merge, latest_by: day")


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("from: order, measures: {n: count(*)}", "no silver table `order`; did you mean `orders`?"),
        ("from: silver.orders, measures: {n: count(*)}", "no silver table `silver.orders`; write from: orders"),
        ("from: orders", "measures is missing"),
        ("from: orders, measures: {}", "is empty"),
        (
            "from: orders, time: day, measures: {n: count(*)}",
            "`day` is date, and this must be a timestamp; write time: at",
        ),
        ("from: orders, time: att, measures: {n: count(*)}", "silver.orders has no column `att`; did you mean `at`?"),
        (GOOD.replace("1 minute", "soon"), "is not a length of time; write every: 1 minute"),
        (GOOD.replace("1 minute", "7 minutes"), "windows of 7 minutes would begin at another time each day"),
        (f"{GOOD}, keep: 30s", "rows would go before their window is over"),
        (f"{GOOD}, where: statu = 'x'", "condition names `statu`"),
        (f"{GOOD}, where: count(*) > 1", "condition holds an aggregate"),
        (f"{GOOD}, by: [id, id]", "`id` is listed twice"),
        (f"{GOOD}, by: [idd]", "silver.orders has no column `idd`; did you mean `id`?"),
        ("from: orders, by: [id], measures: {id: count(*)}", "`id` is a column of the figures already"),
        ("from: orders, measures: {N: count(*)}", "`N` is not a name"),
        ("from: orders, measures: {n: sum(status)}", "sum of `status`, which is string and no number"),
        ("from: orders, measures: {n: sum(totl)}", "measure names `totl`"),
        ("from: orders, measures: {n: sum(random())}", "which changes by itself"),
        ("from: orders, measures: {n: 'count(*) over ()'}", "a measure is no window function"),
        ("from: orders, measures: {n: median(total)}", "write quantile(x, 0.5)"),
        ("from: orders, measures: {n: sum(a) / sum(b)}", "is none of the measures"),
        ("from: orders, measures: {n: smu(total)}", "did you mean `sum`?"),
        ("from: orders, measures: {n: 'count(*) filter (where total > 1)'}", "has no filter of its own"),
        ("from: orders, measures: {n: 'quantile(total, 2)'}", "quantile needs a share between 0 and 1"),
        ("from: orders, measures: {n: top(id)}", "write top(x, 5)"),
        ("from: orders, measures: {n: 'top(id, 0)'}", "top needs an expression"),
        ("from: orders, measures: {n: 'share()'}", "share needs the condition that counts"),
        ("from: orders, measures: {n: 'count('}", "the measure cannot be read"),
        ("from: orders, measures: {n: 'count(distinct id, status)'}", "takes one expression"),
        (f"{GOOD}, where: '${{env:WHERE}}'", "where is part of the project and cannot come from outside"),
        (f"{GOOD}, wher: x", "unknown key `wher`; did you mean `where`?"),
    ],
)
def test_a_mistake_is_told_with_its_cure(tmp_path: Path, keys: str, told: str) -> None:
    found = problems(tmp_path, keys)
    assert any(told in problem for problem in found), found
    assert all(problem.startswith("catchment.yaml:7:") for problem in found), found


def test_a_name_that_is_none_is_told(tmp_path: Path) -> None:
    text = (write(tmp_path) / "catchment.yaml").read_text(encoding="utf-8").replace("sold:", "Sold-out:")
    (tmp_path / "catchment.yaml").write_text(text, encoding="utf-8")
    assert any("`Sold-out` is not a name" in str(problem) for problem in read_project(tmp_path)[1])


def test_a_measure_is_read_whatever_its_spelling() -> None:
    assert parsed("COUNT(*)").kind == "count"
    assert parsed("count(DISTINCT lower(x))").over == ("LOWER(x)",)
    assert parsed("Top(x, 5)").number == 5
    assert parsed("share(a = 'b')").over == ("a = 'b'",)


THROUGH = """
targets:
  local: {default: true}
  cluster:
    broker: {type: kafka, servers: "k:9092"}
    live: {type: clickhouse, url: "http://ch:8123/live", through: topic}
"""
PUBLISHED = ", publish: orders.refined"


def test_figures_that_a_store_can_read_from_a_topic_are_taken(tmp_path: Path) -> None:
    keys = "from: orders, time: at, where: \"total > 1 and status <> 'gone'\", measures: {n: sum(total * 2)}"
    assert problems(tmp_path, keys, table=PUBLISHED, more=THROUGH) == []
    published = ", publish: {topic: orders.refined, key: status}"
    assert problems(tmp_path, keys, table=published, more=THROUGH) == []


@pytest.mark.parametrize(
    ("keys", "table", "words"),
    [
        (GOOD, "", "it is not published; write publish: orders.refined at the table, or write through: insert"),
        (GOOD, ", publish: {topic: t, format: avro}", "it is published as avro"),
        (GOOD, ", mode: merge, latest_by: at, publish: {topic: t, deletes: tombstone}", "a tombstone does not tell"),
        (GOOD, ", mode: window, event_time: at, lateness: 1 day, publish: t", "of mode window do not tell all"),
        ("from: orders, where: \"lower(status) = 'a'\", measures: {n: count(*)}", PUBLISHED, "is not computed alike"),
        ('from: orders, measures: {n: "sum(total / 2)"}', PUBLISHED, "`total / 2` is not computed alike"),
    ],
)
def test_figures_that_a_store_cannot_read_from_a_topic_are_refused(
    tmp_path: Path, keys: str, table: str, words: str
) -> None:
    found = problems(tmp_path, keys, table=table, more=THROUGH)
    assert any(words in problem and "through: insert" in problem for problem in found), found
    assert not any("through" in one for one in problems(tmp_path, keys, table=table))
