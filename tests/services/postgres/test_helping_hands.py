"""From a PostgreSQL address to a project that runs; what `check --connect` and `peek` say of a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.services.postgres.conftest import Database
from tests.services.servers import free_port

from catchment.cli import main

TABLES = (
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE TABLE users (user_id bigint PRIMARY KEY, email text NOT NULL, feels mood, balance numeric(12, 2),"
    " tags text[], about jsonb, ref uuid, boss bigint REFERENCES users, updated_at timestamptz NOT NULL)",
    "COMMENT ON COLUMN users.email IS 'Where letters go.'",
    "CREATE INDEX ON users (updated_at)",
    'CREATE TABLE "Orders" ("Order Id" uuid PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, placed date)',
    "CREATE TABLE empty (id int PRIMARY KEY)",
    "CREATE SCHEMA audit",
    "CREATE TABLE audit.log (said text, at timestamptz)",
    "INSERT INTO users SELECT i, 'u' || i || '@x', 'good', i / 4.0, ARRAY['a', 'b'], '{\"a\": 1}',"
    " '00000000-0000-0000-0000-000000000001', NULL, timestamptz '2026-01-01' + i * interval '1 hour'"
    " FROM generate_series(1, 50) i",
    "INSERT INTO \"Orders\" SELECT ('00000000-0000-0000-0000-0000000000' || i)::uuid, i, '2026-01-02'"
    " FROM generate_series(10, 29) i",
    "INSERT INTO audit.log VALUES ('hello', now())",
)

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def shop(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    database.run("DROP SCHEMA IF EXISTS audit CASCADE", *TABLES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOP_URL", database.url)
    return database


def test_a_whole_database_becomes_a_project_that_runs_untouched(shop: Database, capsys: Captured) -> None:
    assert main(["init", "--from", "${env:SHOP_URL}", "mine"]) == 0
    told = capsys.readouterr()
    assert "Found 4 tables in postgresql://postgres:***@127.0.0.1:" in told.out
    assert "4 stg models" in told.out
    project = Path("mine/catchment.yaml").read_text(encoding="utf-8")
    assert 'url: "${env:SHOP_URL}"' in project
    assert "mode: merge, latest_by: updated_at" in project
    written = "".join(path.read_text(encoding="utf-8") for path in Path("mine").rglob("*") if path.is_file())
    assert shop.postgres.url(user="x").split(":")[2].split("@")[0] not in written
    contract = Path("mine/contracts/users.odcs.yaml").read_text(encoding="utf-8")
    assert "physicalType: decimal(12,2)" in contract
    assert 'description: "Where letters go."' in contract
    orders = Path("mine/contracts/orders.odcs.yaml").read_text(encoding="utf-8")
    assert "- {type: foreignKey, to: users.user_id}" in orders

    assert main(["--project", "mine", "check", "--connect"]) == 0
    assert "All 4 streams can be read." in capsys.readouterr().out
    assert main(["--project", "mine", "run"]) == 0
    assert "71 rows landed, 71 in silver" in capsys.readouterr().err
    assert main(["--project", "mine", "run"]) == 0
    assert "nothing new" in capsys.readouterr().err
    asked = "select user_id, balance, tags, about, feels from gold.stg_users where user_id = 2"
    assert main(["--project", "mine", "query", asked, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["balance"], json.loads(row["tags"]), json.loads(row["about"])) == ("0.50", ["a", "b"], {"a": 1})


def test_tables_are_chosen_by_schema(shop: Database, capsys: Captured) -> None:
    assert main(["init", "--from", "${env:SHOP_URL}", "--tables", "audit.*", "mine"]) == 0
    assert [path.name for path in Path("mine/contracts").glob("*.yaml")] == ["audit_log.odcs.yaml"]
    assert main(["--project", "mine", "run", "--select", "bronze", "--select", "silver"]) == 0


def test_peek_shows_rows_and_the_contract_that_init_would_write(shop: Database, capsys: Captured) -> None:
    assert main(["peek", "public.users", "--from", "${env:SHOP_URL}", "--limit", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["user_id"] for row in found["rows"]] == [1]
    assert main(["peek", "public.Orders", "--from", "${env:SHOP_URL}", "--contract"]) == 0
    assert 'transformSourceObjects: ["Order Id"]' in capsys.readouterr().out
    assert not list(Path().iterdir())


PROJECT = """\
name: shop
sources:
  good:
    type: postgres
    url: ${env:SHOP_URL}
    streams:
      users: {table: public.users, cursor: updated_at}
      log: {table: audit.log, cursor: at}
      none: {table: nono}
  stranger: {type: postgres, url: "${env:STRANGER}", streams: {a: {table: users}, b: {table: audit.log}}}
  wrong: {type: postgres, url: "${env:WRONG}", streams: {a: {table: users}, b: {table: audit.log}}}
  refused: {type: postgres, url: "${env:REFUSED}", streams: {a: {table: users}, b: {table: audit.log}}}
  nowhere: {type: postgres, url: "${env:NOWHERE}", streams: {a: {table: users}, b: {table: audit.log}}}
  absent: {type: postgres, url: "${env:ABSENT}", streams: {a: {table: users}, b: {table: audit.log}}}
"""


def test_check_says_in_words_what_is_wrong_outside(
    shop: Database, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    shop.run(
        "DROP ROLE IF EXISTS stranger",
        "CREATE ROLE stranger LOGIN PASSWORD 'strange-word'",
        "GRANT USAGE ON SCHEMA public TO stranger",
        "GRANT SELECT ON users TO stranger",
    )
    server = shop.postgres
    monkeypatch.setenv("STRANGER", server.url(user="stranger", password="strange-word"))
    monkeypatch.setenv("WRONG", server.url(password="wrong-word"))
    monkeypatch.setenv("REFUSED", server.url(port=free_port()))
    monkeypatch.setenv("NOWHERE", "postgresql://app@no-such-host.invalid:5432/shop")
    monkeypatch.setenv("ABSENT", server.url("no_such_database"))
    Path("catchment.yaml").write_text(PROJECT)
    assert main(["check", "--connect", "--json"]) == 1
    told = capsys.readouterr()
    found = {one["feed"]: one for one in json.loads(told.out)["findings"]}
    shop.run("DROP OWNED BY stranger", "DROP ROLE stranger")

    assert {feed: one["severity"] for feed, one in found.items()} == {
        "good.users": "ok",
        "good.log": "warning",
        "good.none": "error",
        "stranger.a": "ok",
        "stranger.b": "error",
        **dict.fromkeys(("wrong", "refused", "nowhere", "absent"), "error"),
    }
    assert "has no index" in found["good.log"]["message"]
    assert "there is no table `nono`" in found["good.none"]["message"]
    assert "denied" in found["stranger.b"]["message"]
    assert "password" in found["wrong"]["message"]
    assert "refused" in found["refused"]["message"]
    assert "no_such_database" in found["absent"]["message"]
    assert "strange-word" not in told.out
    assert "wrong-word" not in told.out
