"""From a whole database to a project that runs without being touched, and without its address in any file."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from catchment.cli import main
from catchment.errors import ConfigError
from catchment.outside import address, find
from catchment.records import FoundColumn, FoundStream
from catchment.settings import redact

TABLES = """\
CREATE TABLE users (
    user_id INTEGER PRIMARY KEY, email TEXT NOT NULL, "Full Name" VARCHAR(80), "order" TEXT,
    active BOOLEAN NOT NULL, balance DECIMAL(10, 2), boss INTEGER REFERENCES users(user_id),
    updated_at DATETIME NOT NULL
);
CREATE INDEX by_update ON users(updated_at);
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY NOT NULL, user_id INTEGER NOT NULL REFERENCES users(user_id), ordered_on DATE NOT NULL
);
CREATE TABLE lines (
    order_id TEXT NOT NULL REFERENCES orders(order_id), line INTEGER NOT NULL, price REAL, PRIMARY KEY (order_id, line)
);
CREATE TABLE parcels (
    order_id TEXT, line INTEGER, weight NUMERIC, FOREIGN KEY (order_id, line) REFERENCES lines(order_id, line)
);
CREATE TABLE refunds (refund_id INTEGER PRIMARY KEY, why TEXT);
CREATE VIEW rich AS SELECT * FROM users WHERE balance > 100;
INSERT INTO users VALUES
    (1, 'a@x', 'Ann', '1', 1, 10.5, NULL, '2026-01-01 10:00:00'),
    (2, 'b@x', NULL, '2', 0, 200.25, 1, '2026-01-02 10:00:00');
INSERT INTO orders VALUES ('o1', 1, '2026-01-03'), ('o2', 2, '2026-01-04');
INSERT INTO lines VALUES ('o1', 1, 1.5), ('o1', 2, 2.5), ('o2', 1, 1.5);
INSERT INTO parcels VALUES ('o1', 1, 1.25);
"""

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect(tmp_path / "legacy.db")) as database:
        database.executescript(TABLES)
    return tmp_path


def change(folder: Path, *statements: str) -> None:
    with closing(sqlite3.connect(folder / "legacy.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


def test_init_says_what_it_found_and_what_to_export(folder: Path, capsys: Captured) -> None:
    assert main(["init", "--from", "sqlite:///legacy.db", "mine"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == f"Found 6 tables in sqlite:///{folder}/legacy.db."
    assert re.search(
        r"^  users .* key user_id, the newest by updated_at +new by updated_at ", captured.out, re.MULTILINE
    )
    assert re.search(r"^  rich .* no key is declared: read whole +read whole each time ", captured.out, re.MULTILINE)
    assert "Wrote mine/: 6 streams, 6 contracts (as the database declares them), 6 stg models." in captured.out
    assert captured.err.splitlines() == [
        f"Next: export LEGACY_DB_URL=sqlite:///{folder}/legacy.db",
        "Next: cd mine && catchment check --connect && catchment run",
    ]


def test_the_declarations_become_sources_contracts_and_tables(folder: Path) -> None:
    assert main(["init", "--from", "sqlite:///legacy.db", "mine"]) == 0
    project = (folder / "mine/catchment.yaml").read_text(encoding="utf-8")
    assert 'url: "${env:LEGACY_DB_URL}"' in project
    assert '      users: {table: users, cursor: updated_at, lookback: "5 minutes"}\n' in project
    assert "users: {from: legacy_db.users, mode: merge, latest_by: updated_at}" in project
    assert "orders: {from: legacy_db.orders, mode: merge}" in project
    # Without a key a cursor would bring a changed row a second time.
    assert "      rich: {table: rich}\n" in project
    assert "rich: {from: legacy_db.rich, mode: replace}" in project
    users = (folder / "mine/contracts/users.odcs.yaml").read_text(encoding="utf-8")
    assert "      - name: balance\n        logicalType: number\n        physicalType: decimal(10,2)\n" in users
    assert '        transformSourceObjects: ["Full Name"]\n' in users
    assert "          - {type: foreignKey, to: users.user_id}\n" in users
    assert (
        "      # TEXT, never null\n      - name: email\n        logicalType: string\n        required: true\n" in users
    )
    parcels = (folder / "mine/contracts/parcels.odcs.yaml").read_text(encoding="utf-8")
    related = "from: [parcels.order_id, parcels.line], to: [lines.order_id, lines.line]"
    assert f"      - {{type: foreignKey, {related}}}\n" in parcels
    assert "enum" not in users + parcels
    assert "pattern" not in users + parcels


def test_a_drafted_database_runs_untouched_and_follows_its_changes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert main(["init", "--from", "sqlite:///legacy.db", "mine"]) == 0
    monkeypatch.setenv("LEGACY_DB_URL", f"sqlite:///{folder}/legacy.db")
    assert main(["--project", "mine", "check", "--connect"]) == 0
    capsys.readouterr()
    assert main(["--project", "mine", "run"]) == 0
    told = capsys.readouterr().err
    assert "9 rows landed, 9 in silver" in told
    assert "6 models" in told
    assert "silver.refunds: no row has come yet, so gold is built as if empty" in told
    assert main(["--project", "mine", "run"]) == 0
    assert "nothing new" in capsys.readouterr().err

    change(
        folder,
        "UPDATE users SET balance = 1, updated_at = '2026-01-03 10:00:00' WHERE user_id = 2",
        "DELETE FROM lines WHERE line = 2",
    )
    assert main(["--project", "mine", "run", "--select", "bronze", "--select", "silver"]) == 0
    capsys.readouterr()
    asked = "select user_id, balance from silver.users order by 1"
    assert main(["--project", "mine", "query", asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [
        {"user_id": 1, "balance": "10.50"},
        {"user_id": 2, "balance": "1.00"},
    ]
    assert main(["--project", "mine", "query", "select count(*) as n from silver.lines", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 2}]


def test_a_cursor_that_would_pass_over_rows_is_not_proposed(folder: Path, capsys: Captured) -> None:
    table = "(id INTEGER PRIMARY KEY, updated_at DATETIME)"
    change(
        folder,
        f"CREATE TABLE some_null {table}",
        f"CREATE TABLE none_null {table}",
        "INSERT INTO some_null VALUES (1, '2026-01-01 10:00:00'), (2, NULL)",
        "INSERT INTO none_null VALUES (1, '2026-01-01 10:00:00')",
    )
    assert main(["init", "--from", "sqlite:///legacy.db", "--tables", "*_null", "mine"]) == 0
    project = (folder / "mine/catchment.yaml").read_text(encoding="utf-8")
    assert (
        "# rows where `updated_at` is null would never be taken, and there are such, so it is read whole\n"
        "      some_null: {table: some_null}\n"
    ) in project
    assert '      none_null: {table: none_null, cursor: updated_at, lookback: "5 minutes"}\n' in project
    assert re.search(r"^  some_null .* read whole each time ", capsys.readouterr().out, re.MULTILINE)


def test_tables_are_chosen_by_pattern_and_references_to_others_left_out(folder: Path, capsys: Captured) -> None:
    assert main(["init", "--from", "sqlite:///legacy.db", "--tables", "ord*", "--tables", "parcels", "mine"]) == 0
    assert sorted(path.name for path in (folder / "mine/contracts").glob("*.yaml")) == [
        "orders.odcs.yaml",
        "parcels.odcs.yaml",
    ]
    assert "relationships" not in (folder / "mine/contracts/orders.odcs.yaml").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["init", "--from", "sqlite:///legacy.db", "--tables", "ordres", "second"]) == 1
    assert capsys.readouterr().err == "error: no table is called `ordres`\nhint: did you mean `orders`?\n"
    assert not (folder / "second").exists()


def test_an_address_may_be_a_reference_which_the_project_keeps(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("OLD_SHOP", f"sqlite:///{folder}/legacy.db")
    assert main(["init", "--from", "${env:OLD_SHOP}", "--tables", "users", "mine"]) == 0
    assert 'url: "${env:OLD_SHOP}"' in (folder / "mine/catchment.yaml").read_text(encoding="utf-8")
    assert "export" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--from", "sqlite:///nowhere.db"], 1, "there is no file"),
        (["--from", "ftp://h/x"], 1, "there is no way to find tables at ftp://…"),
        (["--from", "https://api.example/v1"], 1, "hint: an API is declared by hand: catchment sources rest"),
        (["--from", "${env:NOT_SET_ANYWHERE}"], 1, "`NOT_SET_ANYWHERE` is not set"),
        (["--tables", "x"], 2, "--tables is for a database"),
        (["--from", "*.csv", "--tables", "x"], 2, "--tables is for a database"),
        (["--from", "sqlite:///legacy.db", "--template", "shop"], 2, "exclude each other"),
    ],
)
def test_what_cannot_be_drafted_is_told_and_nothing_written(
    folder: Path, arguments: list[str], code: int, words: str, capsys: Captured
) -> None:
    assert main(["init", *arguments, "mine"]) == code
    assert words in capsys.readouterr().err
    assert not (folder / "mine").exists()


def test_a_project_that_is_there_is_left_alone(folder: Path, capsys: Captured) -> None:
    assert main(["init", "--from", "sqlite:///legacy.db", "mine"]) == 0
    assert main(["init", "--from", "sqlite:///legacy.db", "mine"]) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:s3cr3t-word@127.0.0.1:9/shop",
        "postgresql://app:s3cr3t-word@127.0.0.1:9/shop?sslmode=disable",
        "postgresql://app:s3cr3t-word?/@127.0.0.1:9/shop",
        "postgresql://127.0.0.1:9/shop?user=app&password=s3cr3t-word",
        "mongodb://app:s3cr3t-word@127.0.0.1:9/shop?serverSelectionTimeoutMS=200",
        "mysql+nodriver://app:s3cr3t-word@127.0.0.1:9/shop",
    ],
)
def test_a_password_is_shown_nowhere(folder: Path, url: str, capsys: Captured) -> None:
    assert main(["--debug", "init", "--from", url, "mine"]) == 1
    captured = capsys.readouterr()
    assert "s3cr3t-word" not in captured.out + captured.err
    assert "error: " in captured.err
    found = address(url, folder)
    assert "s3cr3t-word" not in found.shown + repr(found) + redact(f"failed at {url}")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://app@h:5432/shop", "shop_db"),
        ("postgresql://app@h/Web-Shop?x=/y", "web_shop_db"),
        ("postgresql://app@h", "postgres_db"),
        ("mongodb://h/crm_db", "crm_db"),
        ("redis://h:6379/0", "redis_db"),
        ("sqlite:////var/lib/legacy.sqlite3", "legacy_db"),
    ],
)
def test_a_source_is_called_as_its_database(url: str, name: str, tmp_path: Path) -> None:
    found = address(url, tmp_path)
    assert (found.source, found.reference) == (name, f"${{env:{name.upper()}_URL}}")


def test_a_reference_to_nothing_is_no_address(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not set"):
        address("${env:CATCHMENT_NOT_SET}", tmp_path)


@pytest.fixture
def found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Sequence[FoundStream]:
    """A database of another kind, as its source would find it."""
    columns = (
        FoundColumn("_id", "string", "objectId", True, path='$."_id"."$oid"'),
        FoundColumn("name", "string", "string"),
    )
    streams = (
        FoundStream("products", {"collection": "products"}, columns, ("_id",), rows=3),
        FoundStream("unknown", {"collection": "unknown"}, rows=9),
    )
    monkeypatch.setattr("catchment.outside.find", lambda place, folder: streams)
    return streams


def test_documents_are_drafted_by_their_paths_and_what_nobody_knows_lands_only(
    folder: Path, found: Sequence[FoundStream], monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert main(["init", "--from", "mongodb://127.0.0.1:9/shop", "mine"]) == 0
    assert "Wrote mine/: 2 streams, 1 contract" in capsys.readouterr().out
    contract = (folder / "mine/contracts/products.odcs.yaml").read_text(encoding="utf-8")
    assert (
        '      - name: id\n        logicalType: string\n        transformSourceObjects: ["$.\\"_id\\".\\"$oid\\""]'
        in contract
    )
    monkeypatch.setenv("SHOP_DB_URL", "mongodb://127.0.0.1:9/shop")
    assert main(["--project", "mine", "check"]) == 0


def test_streams_get_names_that_a_project_can_have_no_two_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = [FoundStream(name, {"keys": f"{name}:*"}) for name in ("a", "A", "User-Agent", "9", "a_2")]
    monkeypatch.setattr("catchment.registry.implementation", lambda role, name: lambda url, folder: told)
    found = find(address("redis://127.0.0.1:9/0", tmp_path), tmp_path)
    assert [one.name for one in found] == ["a", "a_2", "user_agent", "table_9", "a_2_2"]
