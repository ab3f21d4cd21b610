"""`catchment publish`: by hand, how it stands, and how it goes on after an order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment as root
from catchment.errors import ConfigError
from catchment.topics.embedded import EmbeddedBroker

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


def test_going_forward_stops_it_only_where_rows_become_other_ones(shop: Path) -> None:
    call(shop, "publish")
    contract = shop / "contracts/orders.odcs.yaml"
    told = contract.read_text()
    contract.write_text(told.replace("logicalType: string", "logicalType: string, required: true"))
    (shop / "rows/2.csv").write_text("id\nc\n", encoding="utf-8")
    run = call(shop, "run", "--forward", "silver.orders")
    assert "publishing stops" not in run.stderr
    assert "failed" not in run.stderr
    shown = json.loads(call(shop, "publish", "--show", "--json").stdout)
    assert (shown[0]["behind"], shown[0]["stopped"], shown[0]["messages"]) == (0, None, 3)
    contract.write_text(told.replace("name: id", "name: number").replace("string", "string, physicalName: id"))
    run = call(shop, "run", "--forward", "silver.orders")
    assert "publishing stops" in run.stderr
    assert "rows of older commits were changed (forward)" in run.stderr


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


def test_who_cannot_publish_ends_nobody_who_can(shop: Path) -> None:
    """The same project elsewhere, with a lake of its own: a stream of it would try again and again."""
    call(shop, "publish")
    other = shop / "elsewhere"
    shutil.copytree(shop / "contracts", other / "contracts")
    for name in ("rows", "others"):
        (other / name).mkdir()
    (other / "catchment.yaml").write_text(f"{PROJECT}targets: {{local: {{topics: ../topics}}}}\n", encoding="utf-8")
    arrive(other, 1, "x")
    arrive(other, 2, "y")
    publication = EmbeddedBroker(shop / "topics").publication("orders.refined", "shop.local.silver.orders")
    assert "its ids name other rows" in refused(other).message
    publication.write([], dict(publication.progress() or {}))


def test_a_table_that_we_put_back_has_the_same_ids(shop: Path) -> None:
    call(shop, "publish")
    arrive(shop, 2, "c")
    call(shop, "publish")
    call(shop, "restore", "silver.orders", "--to-version", "1", "--yes")
    error = refused(shop)
    assert error.message.endswith("any further: the table was put back")
    assert "under the same ids" in (error.hint or "")


@pytest.fixture
def store(shop: Path) -> Path:
    """Another project whose table goes into the same topic; the one of the shop is published."""
    call(shop, "publish")
    other = shop / "store"
    shutil.copytree(shop / "contracts", other / "contracts")
    for name in ("rows", "others"):
        (other / name).mkdir()
    told = PROJECT.replace("name: shop", "name: store") + "targets: {local: {topics: ../topics}}\n"
    (other / "catchment.yaml").write_text(told, encoding="utf-8")
    arrive(other, 1, "x", "y", "z")
    return other


def test_a_topic_that_has_what_another_table_publishes_is_refused(shop: Path, store: Path) -> None:
    why = "it has what shop.local.silver.orders publishes, and the ids of both would name different rows"
    for _ in range(2):
        error = refused(store)
        assert error.message == f"silver.orders cannot be published into topic orders.refined: {why}"
        assert "give it a topic of its own" in (error.hint or "")
    assert why in call(store, "publish", "--show").stderr
    assert f"stopped: topic orders.refined: {why}" in call(store, "plan").stdout
    assert why in call(store, "status").stdout
    assert why in call(store, "run").stderr
    # Whoever was there first goes on.
    arrive(shop, 2, "c")
    assert call(shop, "publish").stdout == "silver.orders   1 row into orders.refined\n"


@pytest.mark.parametrize(("order", "rows"), [("--again", 3), ("--from-now", 0)])
def test_somebody_may_say_that_it_goes_on_under_another_name(store: Path, order: str, rows: int) -> None:
    told = call(store, "publish", "silver.orders", order)
    assert told.exit_code == 0
    assert told.stdout == (f"silver.orders   {rows} rows into orders.refined\n" if rows else "")
    arrive(store, 2, "w")
    assert call(store, "publish").stdout == "silver.orders   1 row into orders.refined\n"


def test_two_tables_that_come_to_name_one_topic_are_told(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a value from outside, which the project's own check cannot know."""
    monkeypatch.setenv("TOPIC", "from.outside")
    (shop / "others/1.csv").write_text("id\na\n", encoding="utf-8")
    told = PROJECT.replace("orders.refined", "from.outside")
    told = told.replace("drops.others}", 'drops.others, publish: "${env:TOPIC}"}')
    (shop / "catchment.yaml").write_text(told, encoding="utf-8")
    assert call(shop, "run", "--select", "bronze", "--select", "silver").exit_code == 0
    error = refused(shop)
    assert error.message.startswith("silver.others cannot be published")
    assert "it has what shop.local.silver.orders publishes" in error.message


def test_rejects_of_another_table_stop_rows_that_begin_in_a_new_topic(shop: Path) -> None:
    """What the topic of rejects has counts from the lake that was there before: nothing would come for long."""

    def publishes(topic: str) -> None:
        told = PROJECT.replace("publish: orders.refined", f"publish: {{topic: {topic}, rejects: orders.dead}}")
        (shop / "catchment.yaml").write_text(told, encoding="utf-8")

    contract = shop / "contracts/orders.odcs.yaml"
    contract.write_text(contract.read_text().replace("logicalType: string", "logicalType: integer, required: true"))
    shutil.rmtree(shop / "lake")
    (shop / "rows/1.csv").unlink()
    publishes("orders.first")
    for number in range(2, 5):
        arrive(shop, number, "1", "poison")
    assert "rows into orders.dead" in call(shop, "publish").stdout
    shutil.rmtree(shop / "lake")
    publishes("orders.anew")
    arrive(shop, 5, "2", "poison")
    error = refused(shop)
    assert error.message.startswith("silver.orders cannot be published into orders.dead any further: the table was put")
    told = call(shop, "publish", "silver.orders", "--again").stdout
    assert "4 rows into orders.dead" in told
    assert "4 rows into orders.anew" in told


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


def test_one_that_stops_keeps_no_other_from_being_published(shop: Path) -> None:
    told = PROJECT.replace("drops.others}", "drops.others, publish: others.refined}")
    (shop / "catchment.yaml").write_text(told, encoding="utf-8")
    (shop / "others/1.csv").write_text("id\na\n", encoding="utf-8")
    assert call(shop, "run").exit_code == 0
    (shop / "others/2.csv").write_text("id\nb\n", encoding="utf-8")
    call(shop, "run", "--rebuild", "silver.orders", "--select", "bronze", "--select", "silver.orders")
    call(shop, "run", "--select", "silver.others", "--select", "bronze")
    (shop / "topics/others.refined").rename(shop / "topics/kept")
    found = call(shop, "publish")
    assert "rebuild" in str(found.exception)
    assert found.stdout == "silver.others   2 rows into others.refined\n"
    assert refused(shop, "silver.others", "silver.other").message == "no silver table `other`"


def test_a_project_without_publications_says_so(shop: Path) -> None:
    (shop / "catchment.yaml").write_text(PROJECT.replace(", publish: orders.refined", ""), encoding="utf-8")
    assert "no silver table of this project is published" in refused(shop).message
