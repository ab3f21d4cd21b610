"""`catchment live` on a project of files: what people see, and what machines get."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment as root

YAML = """
name: small
sources: {src: {type: files, streams: {rows: {path: "rows/*.csv"}}}}
silver:
  orders: {from: src.rows, mode: merge, latest_by: at, contract: orders.yaml}
live:
  sold:
    from: orders
    every: 1 minute
    by: [country]
    measures: {orders: count(*), revenue: sum(total)}
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
      - {name: id, logicalType: string, primaryKey: true, required: true}
      - {name: total, logicalType: number}
      - {name: at, logicalType: timestamp}
      - {name: country, logicalType: string}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "catchment.yaml").write_text(YAML, encoding="utf-8")
    (tmp_path / "orders.yaml").write_text(CONTRACT, encoding="utf-8")
    (tmp_path / "rows").mkdir()
    arrive(tmp_path, 1, "a,10,2026-11-01T10:00:05Z,PT", "b,5,2026-11-01T10:00:50Z,PT")
    return tmp_path


def arrive(shop: Path, number: int, *rows: str) -> None:
    lines = "\n".join(["id,total,at,country", *rows])
    (shop / f"rows/{number}.csv").write_text(f"{lines}\n", encoding="utf-8")
    assert call(shop, "run", "--select", "bronze", "--select", "silver").exit_code == 0


def call(shop: Path, *words: str) -> Result:
    return CliRunner().invoke(root, ["--project", str(shop), *words], catch_exceptions=True)


def edit(shop: Path, one: str, other: str) -> None:
    file = shop / "catchment.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace(one, other), encoding="utf-8")


def figures(shop: Path, sql: str = "select * from live.sold") -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(call(shop, "live", "query", sql, "--json").stdout)
    return found


def test_figures_follow_silver_from_run_to_run(shop: Path) -> None:
    assert "live.sold  silver.orders  never fed" in call(shop, "live", "status").stdout
    assert call(shop, "live", "feed").stdout.startswith("silver.orders   2 rows   version 1   all of them")
    window = {"window_start": "2026-11-01T10:00:00+00:00", "country": "PT"}
    assert figures(shop) == [{**window, "orders": 2, "revenue": 15.0}]
    assert "Nothing new." in call(shop, "live", "feed").stderr
    arrive(shop, 2, "b,7,2026-11-01T10:00:55Z,PT")
    assert "live.sold  silver.orders  1 commit" in call(shop, "live", "status").stdout
    assert json.loads(call(shop, "live", "feed", "--json").stdout) == {
        "table": "silver.orders",
        "rows": 1,
        "version": 2,
        "anew": None,
    }
    assert figures(shop) == [{**window, "orders": 2, "revenue": 17.0}]
    assert json.loads(call(shop, "live", "status", "--json").stdout) == [
        {"metric": "sold", "table": "silver.orders", "behind": 0, "differences": [], "reset": False, "declared": True}
    ]


def test_a_query_joins_figures_with_every_layer(shop: Path) -> None:
    call(shop, "live", "feed")
    sql = "select s.orders, o.id from live.sold s join silver.orders o using (country) order by id"
    assert json.loads(call(shop, "query", sql, "--json").stdout) == [{"orders": 2, "id": "a"}, {"orders": 2, "id": "b"}]
    wrong = call(shop, "query", "select * from live.sol")
    assert "did you mean live.sold?" in str(wrong.exception)
    assert not list((shop / ".catchment").glob("live-*/"))


def test_status_says_how_far_figures_are(shop: Path) -> None:
    assert "never fed" in call(shop, "status").stdout
    call(shop, "live", "feed")
    arrive(shop, 2, "c,1,2026-11-01T10:01:00Z,BR")
    metric = {"metric": "sold", "table": "silver.orders", "behind": 1, "differences": [], "reset": False}
    metric["declared"] = True
    live = json.loads(call(shop, "status", "--json").stdout)["live"]
    assert live == {"store": "duckdb", "metrics": [metric], "problem": None}


def test_figures_through_a_topic_need_a_broker_of_their_own(shop: Path) -> None:
    edit(shop, "latest_by: at,", "latest_by: at, publish: orders.refined,")
    target = "targets:\n  local:\n    live: {type: clickhouse, url: 'http://h:8123/live', through: topic}\n"
    edit(shop, "live:\n  sold", f"{target}live:\n  sold")
    found = CliRunner().invoke(root, ["--project", str(shop), "check", "--json"])
    problems = json.loads(found.stdout)["problems"]
    (told,) = [one for one in problems if one["key"] == "targets.local.live.through"]
    assert (told["severity"], told["line"]) == ("error", 8)
    assert "this target's is embedded" in told["message"]
    assert "type: kafka" in told["cure"]


def test_a_changed_metric_is_shown_before_it_is_applied(shop: Path) -> None:
    call(shop, "live", "feed")
    edit(shop, "1 minute", "1 hour")
    planned = call(shop, "plan").stdout
    assert "stopped: live.sold: every: 1 minute -> 1 hour" in planned
    assert "choose: catchment" in planned
    assert "live apply --yes" in planned
    assert "not as the project says: catchment" in call(shop, "status").stdout
    refused = call(shop, "live", "feed")
    assert "live.sold: every: 1 minute -> 1 hour" in str(refused.exception)
    shown = call(shop, "live", "apply")
    assert shown.stdout == "~ live.sold   every: 1 minute -> 1 hour\n"
    assert "Nothing was changed" in shown.stderr
    assert json.loads(call(shop, "live", "apply", "--json").stdout)[0]["kind"] == "change"
    assert call(shop, "live", "apply", "--yes").exit_code == 0
    assert "as the project says" in call(shop, "live", "apply").stderr
    edit(shop, "sum(total)", "sum(total * 2)")
    assert "* silver.orders   other columns or keys" in call(shop, "live", "apply", "--yes").stdout
    assert figures(shop)[0]["revenue"] == 30.0


def test_the_sql_of_the_store_is_told_before_anything_is_applied(shop: Path) -> None:
    import duckdb

    said = call(shop, "live", "apply", "--sql")
    assert said.stdout.startswith("-- + live.sold   from: orders, ")
    with duckdb.connect() as nowhere:
        nowhere.execute(said.stdout)
        assert nowhere.execute("select * from live.sold").fetchall() == []
    found = json.loads(call(shop, "live", "apply", "--sql", "--json").stdout)
    assert [one["kind"] for one in found["differences"]] == ["add", "anew"]
    assert all(f"{statement};" in said.stdout for statement in found["statements"])
    assert not (shop / "warehouse").exists()
    call(shop, "live", "feed")
    assert call(shop, "live", "apply", "--sql").stdout.strip() == said.stdout.partition("\n\n")[2].strip()
    edit(shop, "1 minute", "1 hour")
    edited = call(shop, "live", "apply", "--sql").stdout
    assert edited.startswith("-- ~ live.sold   every: 1 minute -> 1 hour\n")
    assert "INTERVAL 3600 SECOND" in edited
    edit(shop, "sum(total)", "sum(total  * 2)")
    assert "\n--   _sold__revenue: total * 2\n" in call(shop, "live", "apply", "--sql").stdout


def test_a_metric_that_is_to_be_fed_anew_was_fed(shop: Path) -> None:
    from catchment.connected import Connected
    from catchment.project import load_project

    call(shop, "live", "feed")
    edit(shop, "sum(total)", "sum(total * 2)")
    there = Connected.of(load_project(shop))
    there.live_store.apply(there.live, "do")
    assert "live.sold  silver.orders  to be fed anew" in call(shop, "live", "status").stdout
    assert json.loads(call(shop, "live", "status", "--json").stdout)[0]["reset"] is True
    assert "to be fed anew" in call(shop, "status").stdout
    assert "to be fed anew" in call(shop, "plan").stdout
    refused = str(call(shop, "compare", "live").exception)
    assert "live.sold has to be fed anew, and serves the figures of before" in refused
    call(shop, "live", "feed")
    assert "live.sold  silver.orders  -" in call(shop, "live", "status").stdout


def test_every_figure_is_held_against_a_recount(shop: Path) -> None:
    assert "has never been fed" in str(call(shop, "compare", "live").exception)
    call(shop, "live", "feed")
    found = call(shop, "compare", "live")
    assert (found.exit_code, found.stdout) == (0, "equal   live.sold   1 figure\n")
    assert json.loads(call(shop, "compare", "live", "--json").stdout)["metrics"][0]["is_equal"] is True


def test_a_figure_that_is_wrong_is_found(shop: Path) -> None:
    import duckdb

    call(shop, "live", "feed")
    with duckdb.connect(str(shop / "warehouse/local/live/live_store.duckdb")) as store:
        store.execute("UPDATE feeds.orders__1 SET total = 99 WHERE id = 'a'")
    found = CliRunner().invoke(root, ["--project", str(shop), "compare", "live"], standalone_mode=False)
    assert found.return_value == 1
    assert "differ  live.sold   1 figure of 1 recounted" in found.stdout
    assert "revenue 104.0" in found.stdout
    assert "revenue 15.0" in found.stdout


def test_a_project_without_figures_says_where_they_would_stand(shop: Path) -> None:
    edit(shop, "live:\n", "")
    text = (shop / "catchment.yaml").read_text(encoding="utf-8").split("  sold:")[0]
    (shop / "catchment.yaml").write_text(text, encoding="utf-8")
    for words in (["feed"], ["status"], ["apply"], ["query", "select 1"]):
        assert "declares no live figures" in str(call(shop, "live", *words).exception)


def test_a_metric_that_is_only_in_the_store_is_told_and_taken_away(shop: Path) -> None:
    edit(shop, "  sold:", "  ever: {from: orders, measures: {n: count(*)}}\n  sold:")
    call(shop, "live", "feed")
    edit(shop, "  ever: {from: orders, measures: {n: count(*)}}\n", "")
    told = call(shop, "live", "status")
    assert "live.ever  silver.orders  no longer declared" in told.stdout
    assert "not as the project says: catchment" in told.stderr
    assert "catchment live feed" not in told.stderr
    one = json.loads(call(shop, "live", "status", "--json").stdout)[1]
    assert (one["metric"], one["declared"], one["differences"]) == ("ever", False, ["is no longer declared"])
    assert re.search(r"live\.ever +silver\.orders +no longer declared", call(shop, "status").stdout)
    assert call(shop, "live", "apply", "--yes").stdout.startswith("- live.ever   is no longer declared\n")
    assert "ever" not in call(shop, "live", "status").stdout


def test_the_last_metrics_are_taken_away_too(shop: Path) -> None:
    call(shop, "live", "feed")
    text = (shop / "catchment.yaml").read_text(encoding="utf-8")
    (shop / "catchment.yaml").write_text(text.split("live:\n")[0], encoding="utf-8")
    assert "live.sold  silver.orders  no longer declared" in call(shop, "live", "status").stdout
    shown = call(shop, "live", "apply")
    assert shown.stdout == "- live.sold   is no longer declared\n"
    assert "Nothing was changed" in shown.stderr
    assert call(shop, "live", "apply", "--yes").stdout == shown.stdout
    import duckdb

    with duckdb.connect(str(shop / "warehouse/local/live/live_store.duckdb"), read_only=True) as store:
        assert store.execute("SELECT name FROM feeds.state").fetchall() == []
        left = "SELECT table_name FROM information_schema.tables WHERE table_name <> 'state'"
        assert store.execute(left).fetchall() == []
    for words in (["apply"], ["apply", "--yes"], ["status"]):
        assert "declares no live figures" in str(call(shop, "live", *words).exception)


def test_a_project_that_was_renamed_is_told_how_it_goes_on(shop: Path) -> None:
    call(shop, "live", "feed")
    edit(shop, "name: small", "name: large")
    for words in (["feed"], ["status"], ["apply", "--yes"], ["query", "select * from live.sold"], ["apply", "--sql"]):
        error = call(shop, "live", *words).exception
        assert "figures of target local of project small, and this is target local of project large" in str(error)
    assert "target local of project small" in call(shop, "status").stdout
    assert "target local of project small" in call(shop, "plan").stdout
    file = shop / "warehouse/local/live/live_store.duckdb"
    assert f"remove {file}: catchment" in getattr(error, "hint", "")
    file.unlink()
    call(shop, "live", "feed")
    assert figures(shop)[0]["orders"] == 2


def test_following_takes_what_comes_and_ends_when_asked(shop: Path) -> None:
    words = [sys.executable, "-m", "catchment", "--project", str(shop), "live", "feed", "--follow", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as going:
        try:
            assert going.stdout is not None
            assert json.loads(going.stdout.readline())["rows"] == 2
            arrive(shop, 2, "c,1,2026-11-01T10:01:00Z,BR")
            assert json.loads(going.stdout.readline())["rows"] == 1
            time.sleep(0.1)
            going.send_signal(signal.SIGTERM)
            assert going.wait(20) == 0
        finally:
            going.kill()


def test_the_page_follows_silver_and_ends_when_asked(shop: Path) -> None:
    words = [sys.executable, "-m", "catchment", "--project", str(shop), "live", "serve", "--feed", "--listen"]
    words.append("127.0.0.1:0")
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ) as going:
        try:
            assert going.stderr is not None
            found = re.search(r"http://127\.0\.0\.1:\d+/", going.stderr.readline())
            assert found is not None
            assert _until(found[0], lambda metric: [row[2] for row in metric["rows"]] == [2])
            arrive(shop, 2, "c,1,2026-11-01T10:01:00Z,BR")
            assert _until(found[0], lambda metric: [row[2] for row in metric["rows"]] == [1, 2])
            going.send_signal(signal.SIGTERM)
            assert going.wait(20) == 0
        finally:
            going.kill()


def _until(page: str, holds: Callable[[dict[str, Any]], bool]) -> bool:
    """Whether the first metric of the page comes to that."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with urllib.request.urlopen(f"{page}figures.json", timeout=10) as answer:
            if holds(json.load(answer)["metrics"][0]):
                return True
        time.sleep(0.1)
    return False
