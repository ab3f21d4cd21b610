"""The shop in real systems gives the tables that its files give: target `services` of the template beside `local`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from adbc_driver_postgresql import dbapi
from click.testing import CliRunner, Result
from tests.services.mongodb import server as mongodb
from tests.services.postgres import server as postgres
from tests.services.redis import server as redis_server

from catchment.answers import Compared
from catchment.cli.group import catchment
from catchment.compare import compare
from catchment.generate import generate_shop
from catchment.generate.faces import shop_server
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.templates import write_template

DAYS = 4


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The template over a few days, servers filled with the same days, both targets run."""
    folder = tmp_path_factory.mktemp("both") / "shop"
    write_template("shop", folder, project_name="shop")
    shutil.rmtree(folder / "data")
    generate_shop(folder, days=DAYS)
    with (
        postgres.started() as database,
        mongodb.started(tmp_path_factory.mktemp("mongodb")) as documents,
        redis_server.started(tmp_path_factory.mktemp("redis")) as keys,
        shop_server(folder) as api,
        pytest.MonkeyPatch.context() as patch,
    ):
        places = {
            "SHOP_DB_URL": database.url(),
            "SHOP_MONGO_URL": f"mongodb://127.0.0.1:{documents.port}/shop",
            "SHOP_REDIS_URL": f"redis://127.0.0.1:{keys.port}/0",
            "SHOP_API_URL": api.url,
        }
        for name, url in places.items():
            patch.setenv(name, url)
            if name != "SHOP_API_URL":
                done(fill(f"${{env:{name}}}"))
        for target in ("local", "services"):
            done(call(folder, "run", "--target", target))
        yield folder


def call(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(catchment, ["--project", str(folder), *words], catch_exceptions=False)


def fill(reference: str, *words: str) -> Result:
    return CliRunner().invoke(catchment, ["generate", "--into", reference, "--days", str(DAYS), *words])


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.output


def compared(folder: Path, *tables: str) -> list[Compared]:
    return list(compare(load_project(folder), "local", "services", tables, tolerance=1e-9))


def test_every_table_of_silver_and_gold_is_the_same_from_files_and_from_real_systems(shop: Path) -> None:
    found = compared(shop, "silver", "gold")
    assert [one.table for one in found if not one.is_equal] == []
    rows = {one.table: one.rows[0] for one in found}
    assert len([name for name in rows if name.startswith("silver.")]) == 7
    assert len([name for name in rows if name.startswith("gold.")]) == 17
    assert rows["silver.users"] > 2000  # every version of a user
    assert all(count > 0 for count in rows.values())


def test_targets_land_from_where_they_say(shop: Path) -> None:
    def origin(target: str, table: str) -> str:
        rows = OpenProject(load_project(shop), target).query(f"select any_value(_origin) as x from {table}").read_all()
        found: str = rows.column(0)[0].as_py()
        return found

    for table in ("drops__transactions", "catalogue__products", "visits__sessions", "feedback__reviews", "api__rates"):
        assert origin("local", f"bronze.{table}").startswith("data/")
        assert not origin("services", f"bronze.{table}").startswith("data/")
    assert origin("services", "bronze.clicks__user_events").startswith("data/")  # no other one there


def test_a_second_run_of_either_finds_nothing_new(shop: Path) -> None:
    for target in ("local", "services"):
        assert "nothing new" in done(call(shop, "run", "--target", target))
        planned = json.loads(done(call(shop, "plan", "--target", target, "--json")))
        new = {step["name"] for step in planned["steps"] if step["kind"] == "land" and step["is_new"]}
        # Whether keys of Redis have changed only reading them tells.
        assert new == (set() if target == "local" else {"visits.sessions"})


def test_every_look_at_a_target_sees_its_sources(shop: Path) -> None:
    checked = done(call(shop, "check", "--connect", "--target", "services"))
    assert "drops.transactions" in checked
    assert "feedback.reviews" in checked
    assert "No problems" in checked
    peeked = json.loads(done(call(shop, "peek", "visits.sessions", "--target", "services", "--limit", "1", "--json")))
    assert "ttl_ms" in json.dumps(peeked)
    assert "ttl_ms" not in done(call(shop, "peek", "visits.sessions", "--limit", "1", "--json"))
    assert "silver.sessions" in done(call(shop, "status", "--target", "services"))


def test_what_changes_in_the_systems_arrives(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    with dbapi.connect(os.environ["SHOP_DB_URL"], autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT user_id FROM users WHERE tier <> 'platinum' ORDER BY user_id LIMIT 1")
        user = cursor.fetchone()[0]
        cursor.execute(f"UPDATE users SET tier = 'platinum', updated_at = now() WHERE user_id = '{user}'")
        cursor.execute("SELECT transaction_id FROM transactions WHERE status = 'pending' ORDER BY 1 LIMIT 1")
        order = cursor.fetchone()[0]
        cursor.execute(
            f"UPDATE transactions SET status = 'failed', updated_at = now() WHERE transaction_id = '{order}'"
        )
    with redis.Redis.from_url(os.environ["SHOP_REDIS_URL"]) as client:
        gone = next(client.scan_iter("session:*")).decode()
        client.delete(gone)
    done(call(shop, "run", "--target", "services"))
    there = OpenProject(load_project(shop), "services")

    def value(sql: str) -> object:
        return there.query(sql).read_all().column(0)[0].as_py()

    current = f"select tier from silver.users where user_id = '{user}' and _valid_to is null"
    assert value(current) == "platinum"
    assert value(f"select count(*) from silver.users where user_id = '{user}'") > 1  # type: ignore[operator]
    assert value(f"select status from silver.transactions where transaction_id = '{order}'") == "failed"
    assert value(f"select count(*) from silver.sessions where session_key = '{gone}'") == 0
    differing = {one.table for one in compared(shop, "silver") if not one.is_equal}
    assert differing == {"silver.users", "silver.transactions", "silver.sessions"}


def test_a_system_that_holds_rows_is_filled_when_it_is_told_to_only(shop: Path) -> None:
    for name, words in (
        ("SHOP_DB_URL", "table users holds rows already"),
        ("SHOP_MONGO_URL", "collection catalogue holds documents already"),
        ("SHOP_REDIS_URL", "there are keys session:* already"),
    ):
        refused = fill(f"${{env:{name}}}")
        assert refused.exit_code == 1
        assert words in str(refused.exception)
        told = json.loads(fill(f"${{env:{name}}}", "--again", "--json").stdout)
        assert sum(told["rows"].values()) > 100
        assert postgres.PASSWORD not in json.dumps(told)


def test_an_address_where_nobody_listens_is_told_in_words() -> None:
    from tests.services.servers import free_port

    for scheme, name in (("postgresql://shop@", "database"), ("mongodb://", "server"), ("redis://", "server")):
        refused = fill(f"{scheme}127.0.0.1:{free_port()}/0")
        assert refused.exit_code == 1
        assert f"the {name} refused" in str(refused.exception)
