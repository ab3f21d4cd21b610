"""`catchment publish`: by hand, how it stands, and how it goes on after an order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment as root
from catchment.errors import ConfigError

PROJECT = """\
name: shop
sources: {drops: {type: files, streams: {rows: {path: "rows/*.csv"}, others: {path: "others/*.csv"}}}}
silver:
  orders: {from: drops.rows, publish: orders.refined}
  others: {from: drops.others}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {0}
version: 1.0.0
schema:
  - name: {0}
    properties:
      - {{name: id, logicalType: string}}
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    for name in ("rows", "others", "contracts"):
        (tmp_path / name).mkdir()
    (tmp_path / "catchment.yaml").write_text(PROJECT, encoding="utf-8")
    for name in ("orders", "others"):
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(CONTRACT.format(name), encoding="utf-8")
    arrive(tmp_path, 1, "a", "b")
    return tmp_path


def arrive(shop: Path, number: int, *ids: str) -> None:
    (shop / f"rows/{number}.csv").write_text("\n".join(["id", *ids]) + "\n", encoding="utf-8")
    assert call(shop, "run", "--select", "bronze", "--select", "silver").exit_code == 0


def call(shop: Path, *words: str) -> Result:
    return CliRunner().invoke(root, ["--project", str(shop), *words])


def refused(shop: Path, *words: str) -> ConfigError:
    found = call(shop, "publish", *words).exception
    assert isinstance(found, ConfigError)
    return found


def test_what_is_new_is_published_once(shop: Path) -> None:
    assert "never published" in call(shop, "publish", "--show").stdout
    told = call(shop, "publish")
    assert told.stdout == "silver.orders   2 rows into orders.refined\n"
    assert "topic orders.refined: new" in told.stderr
    assert "Nothing new." in call(shop, "publish", "silver.orders").stderr
    arrive(shop, 2, "c")
    assert "1 commit" in call(shop, "publish", "--show").stdout
    assert json.loads(call(shop, "publish", "--json").stdout) == [
        {"table": "silver.orders", "topic": "orders.refined", "rows": 1, "generation": 2}
    ]
    assert json.loads(call(shop, "publish", "--show", "--json").stdout) == [
        {
            "table": "silver.orders",
            "topic": "orders.refined",
            "behind": 0,
            "is_new": False,
            "order": None,
            "stopped": None,
            "choices": [],
            "messages": 3,
        }
    ]


def test_after_an_order_somebody_says_how_it_goes_on(shop: Path) -> None:
    call(shop, "publish")
    told = call(shop, "run", "--rebuild", "silver.orders").stderr
    assert "1 step failed" in told
    assert "rebuild changes rows of silver.orders that topic orders.refined has" in told
    assert told.index("publishing stops until") < told.index("rows of older commits were changed")
    _says_that_it_stopped(shop)
    assert "rebuild" in refused(shop).message
    assert "Nothing new." in call(shop, "publish", "orders", "--from-now").stderr
    assert call(shop, "publish", "silver.orders", "--again").stdout == "silver.orders   2 rows into orders.refined\n"
    assert "Nothing new" in call(shop, "run").stderr


def _says_that_it_stopped(shop: Path) -> None:
    """Whoever asks before the next run is told why and what to do."""
    why = "rows of older commits were changed (rebuild)"
    choices = [f"catchment --project {shop} publish silver.orders {order}" for order in ("--from-now", "--again")]
    shown = call(shop, "publish", "--show")
    assert "stopped" in shown.stdout
    assert why in shown.stderr
    (told,) = json.loads(call(shop, "publish", "--show", "--json").stdout)
    assert (told["stopped"], told["choices"]) == (why, choices)
    planned = call(shop, "plan")
    assert f"stopped: {why}" in planned.stdout
    assert f"choose: {choices[0]}  or  {choices[1]}" in planned.stdout
    steps = json.loads(call(shop, "plan", "--json").stdout)["steps"]
    (step,) = [one for one in steps if one["kind"] == "publish"]
    assert (step["words"], step["choices"]) == (f"stopped: {why}", choices)
    assert f"not published any further: {why}" in call(shop, "status").stdout


@pytest.mark.parametrize(
    ("commits", "why"),
    [
        (1, "the table was put back or made anew, and its ids name other rows now"),
        (2, "it is another table, and its ids name other rows"),
        (3, "it is another table, and its ids name other rows"),
    ],
)
def test_ids_of_a_table_that_was_made_anew_name_other_rows(shop: Path, commits: int, why: str) -> None:
    arrive(shop, 2, "c")
    call(shop, "publish")
    shutil.rmtree(shop / "lake")
    for number in range(3, 3 + commits - 1):
        call(shop, "run", "--select", "bronze", "--select", "silver.orders")
        (shop / f"rows/{number}.csv").write_text("id\nd\n", encoding="utf-8")
    call(shop, "run", "--select", "bronze", "--select", "silver.orders")
    error = refused(shop)
    assert error.message.endswith(f"any further: {why}")
    assert "under the same ids" not in (error.hint or "")
    assert "begin anew, or give them a new topic" in (error.hint or "")
    assert why in call(shop, "publish", "--show").stderr
    assert "passed over: all of silver" in call(shop, "publish", "orders", "--from-now").stderr


def test_a_table_that_we_put_back_has_the_same_ids(shop: Path) -> None:
    call(shop, "publish")
    arrive(shop, 2, "c")
    call(shop, "publish")
    call(shop, "restore", "silver.orders", "--to-version", "1", "--yes")
    error = refused(shop)
    assert error.message.endswith("any further: the table was put back")
    assert "under the same ids" in (error.hint or "")


def test_an_order_on_a_table_of_which_nothing_is_published_is_no_matter(shop: Path) -> None:
    told = call(shop, "run", "--select", "silver.orders", "--rebuild", "silver.orders")
    assert "publishing stops" not in told.stderr


def test_status_says_how_far_a_topic_is(shop: Path) -> None:
    call(shop, "publish")
    arrive(shop, 2, "c")
    assert json.loads(call(shop, "status", "--json").stdout)["topics"] == [
        {
            "table": "silver.orders",
            "topic": "orders.refined",
            "messages": 2,
            "behind": 1,
            "stopped": None,
            "choices": [],
            "problem": None,
        }
    ]
    (row,) = [line for line in call(shop, "status").stdout.splitlines() if line.startswith("orders.refined")]
    assert row.split() == ["orders.refined", "silver.orders", "2", "1", "commit"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["silver.order"], "no silver table `order`"),
        (["silver.others"], "silver.others is not published"),
        (["--env", "me"], "an environment publishes nothing"),
    ],
)
def test_what_cannot_be_published_is_refused(shop: Path, words: list[str], told: str) -> None:
    error = refused(shop, *words)
    assert told in error.message
    assert error.hint is not None


@pytest.mark.parametrize("words", [["--again"], ["--from-now"], ["silver.orders", "--again", "--from-now"]])
def test_orders_are_about_tables_and_exclude_each_other(shop: Path, words: list[str]) -> None:
    assert call(shop, "publish", *words).exit_code == 2


def test_a_project_without_publications_says_so(shop: Path) -> None:
    (shop / "catchment.yaml").write_text(PROJECT.replace(", publish: orders.refined", ""), encoding="utf-8")
    assert "no silver table of this project is published" in refused(shop).message
