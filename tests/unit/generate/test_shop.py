"""The generated shop, read again from its files by other means than it was made with."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import ConfigError
from catchment.generate import Dirt, Manifest, Traffic, generate_shop
from catchment.generate.dirt import KINDS_OF
from catchment.generate.shop import make_shop

START = date(2026, 10, 22)  # a Thursday
SMALL: dict[str, Any] = {"start": START, "days": 12, "users": 300, "traffic": Traffic(0.6, 0.3)}
DIRTY = Dirt(**dict.fromkeys([name for name in vars(Dirt()) if name != "orphans"], 0.02), orphans=0.02)

Shop = tuple[Path, Manifest]
Piece = tuple[str, str, str, int]


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("dirty")
    return folder, generate_shop(folder, dirt=DIRTY, **SMALL)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("clean")
    return folder, generate_shop(folder, dirt=Dirt.none(), **SMALL)


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def read(shop: Shop, table: str) -> Iterator[tuple[str, date, int, dict[str, Any]]]:
    """File, its day, row number from 1, row."""
    for path in sorted((shop[0] / "data" / table).iterdir()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = io.StringIO(content.decode(), newline="")
        day = date.fromisoformat(path.name.split(".")[0][-10:])
        rows = csv.DictReader(lines) if ".csv" in path.name else map(json.loads, lines)
        for number, row in enumerate(rows, start=1):
            yield f"data/{table}/{path.name}", day, number, row


def instant(text: str) -> datetime:
    for pattern in ("%Y-%m-%dT%H:%M:%SZ", "%d/%m/%Y %H:%M:%S"):
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    message = f"{text} is no instant"
    raise ValueError(message)


def possible(text: str) -> bool:
    try:
        instant(text if ":" in text else f"{text}T00:00:00Z")
    except ValueError:
        return False
    return True


def adds_up(row: dict[str, str]) -> bool:
    price, quantity = Decimal(row["unit_price"]), int(row["quantity"])
    return Decimal(row["total"]) == price * quantity - Decimal(row["discount"]) + Decimal(row["tax"])


def kind_of_user(row: dict[str, Any]) -> str | None:
    if not row["user_id"]:
        return "missing_keys"
    if not possible(row["birth_date"]):
        return "impossible_dates"
    if row["updated_at"] < row["created_at"]:
        return "updated_before_created"
    return "mixed_case_emails" if row["email"] != row["email"].lower() else None


def kind_of_product(row: dict[str, Any]) -> str | None:
    if not row["product_id"]:
        return "missing_keys"
    return "negative_amounts" if Decimal(row["price"]) < 0 else None


def kind_of_transaction(row: dict[str, Any], users: set[str], products: set[str]) -> str | None:
    if not row["transaction_id"]:
        return "missing_keys"
    if not possible(row["created_at"]):
        return "impossible_dates"
    if instant(row["updated_at"]) < instant(row["created_at"]):
        return "updated_before_created"
    if Decimal(row["unit_price"]) <= 0:
        return "zero_amounts" if Decimal(row["unit_price"]) == 0 else "negative_amounts"
    if not adds_up(row):
        return "wrong_totals"
    if row["user_id"] not in users or row["product_id"] not in products:
        return "orphans"
    return "second_date_format" if "/" in row["created_at"] else None


def kind_of_event(row: dict[str, Any]) -> str | None:
    if row["event_id"] is None:
        return "missing_keys"
    return "bad_properties" if isinstance(row["properties"], str) else None


def found(shop: Shop, table: str) -> set[Piece]:
    users = {row["user_id"] for _, _, _, row in read(shop, "users")}
    products = {row["product_id"] for _, _, _, row in read(shop, "products")}
    judge = {
        "users": kind_of_user,
        "products": kind_of_product,
        "transactions": lambda row: kind_of_transaction(row, users, products),
        "user_events": kind_of_event,
    }[table]
    when = "timestamp" if table == "user_events" else "updated_at"
    pieces, seen, newest = set(), set(), ("", "")
    for file, day, number, row in read(shop, table):
        words = (file, json.dumps(row))
        kind = "duplicates" if words in seen else judge(row)
        seen.add(words)
        if kind is None and "late" in KINDS_OF[table]:
            if instant(row[when]).date() < day:
                kind = "late"
            elif (file, row[when]) < newest:
                kind = "out_of_order"
            else:
                newest = (file, row[when])
        if kind:
            pieces.add((table, kind, file, number))
    return pieces


def told(shop: Shop, table: str) -> set[Piece]:
    rows = shop[1].pieces.to_pylist()
    return {(row["table"], row["kind"], row["file"], row["row"]) for row in rows if row["table"] == table}


@pytest.mark.parametrize("table", KINDS_OF)
def test_the_manifest_names_exactly_the_dirt_that_a_reader_finds(dirty: Shop, table: str) -> None:
    assert found(dirty, table) == told(dirty, table)


@pytest.mark.parametrize("table", ["transactions", "user_events"])
def test_every_declared_kind_occurs(dirty: Shop, table: str) -> None:
    assert {kind for at, kind in dirty[1].dirt() if at == table} == set(KINDS_OF[table])


@pytest.mark.parametrize("table", KINDS_OF)
def test_the_manifest_counts_the_rows_of_every_file(dirty: Shop, table: str) -> None:
    counted = Counter(file for file, _, _, _ in read(dirty, table))
    assert counted == {file.path: file.rows for file in dirty[1].files if file.table == table}
    assert dirty[1].rows(table) == counted.total()


@pytest.mark.parametrize("table", KINDS_OF)
def test_a_shop_without_dirt_has_none(clean: Shop, table: str) -> None:
    assert clean[1].pieces.num_rows == 0
    assert found(clean, table) == set()


@pytest.mark.parametrize("kind", ["late", "missing_keys", "wrong_totals", "second_date_format", "out_of_order"])
def test_dirt_comes_about_as_often_as_declared(dirty: Shop, kind: str) -> None:
    rows = dirty[1].rows("transactions")
    assert rows > 5_000
    expected = rows * 0.02
    # four standard deviations, and rows of the last days cannot be late any more
    slack = 4 * expected**0.5 + (0.25 * expected if kind == "late" else 0)
    assert abs(dirty[1].count(kind, "transactions") - expected) < slack


def test_rejects_are_the_kinds_that_break_a_contract(dirty: Shop) -> None:
    manifest = dirty[1]
    assert manifest.rejects("user_events") == sum(
        manifest.count(kind, "user_events") for kind in ("missing_keys", "bad_properties")
    )
    assert manifest.rejects() == sum(manifest.rejects(table) for table in manifest.tables)


def test_every_user_and_product_has_a_first_row_that_is_good(dirty: Shop) -> None:
    for table, key, judge in (("users", "user_id", kind_of_user), ("products", "product_id", kind_of_product)):
        rejected = ("missing_keys", "impossible_dates", "updated_before_created", "negative_amounts")
        good = {row[key] for _, _, _, row in read(dirty, table) if judge(row) not in rejected}
        assert good == {row[key] for _, _, _, row in read(dirty, table)} - {""}


def test_the_same_arguments_give_the_same_bytes_on_another_day_and_machine(dirty: Shop, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from datetime import date; from catchment.generate import *;"
        "names = [name for name in vars(Dirt())];"
        "generate_shop(Path(sys.argv[1]), start=date(2026, 10, 22), days=12, users=300, traffic=Traffic(0.6, 0.3),"
        " dirt=Dirt(**dict.fromkeys(names, 0.02)))"
    )
    env = {**os.environ, "PYTHONHASHSEED": "123", "TZ": "Pacific/Auckland", "LC_ALL": "C"}
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, env=env, timeout=60)
    assert hashes(tmp_path) == hashes(dirty[0])


def test_another_seed_gives_another_shop(clean: Shop, tmp_path: Path) -> None:
    generate_shop(tmp_path, dirt=Dirt.none(), seed=2, **SMALL)
    ours, theirs = hashes(clean[0]), hashes(tmp_path)
    assert all(ours[path] != theirs[path] for path in ours.keys() & theirs.keys())


def sessions_of(shop: Shop) -> dict[str, list[dict[str, Any]]]:
    sessions: dict[str, list[dict[str, Any]]] = {}
    for _, _, _, row in read(shop, "user_events"):
        sessions.setdefault(row["session_id"], []).append(row)
    return sessions


def test_sessions_have_3_to_20_events_in_2_to_30_minutes(clean: Shop) -> None:
    last_day = START + timedelta(days=11)  # its sessions may be cut off at midnight
    whole = [s for s in sessions_of(clean).values() if instant(s[0]["timestamp"]).date() < last_day]
    assert len(whole) > 500
    for events in whole:
        lasted = instant(events[-1]["timestamp"]) - instant(events[0]["timestamp"])
        assert 3 <= len(events) <= 20
        assert timedelta(minutes=2) <= lasted <= timedelta(minutes=30)


@pytest.mark.parametrize(
    ("past", "following", "chance"),
    [
        ("search", "product_view", 0.5),
        ("product_view", "add_to_cart", 0.3),
        ("add_to_cart", "checkout_start", 0.6),
        ("checkout_start", "purchase", 0.7),
    ],
)
def test_one_event_follows_another_as_often_as_in_the_shop(
    clean: Shop, past: str, following: str, chance: float
) -> None:
    pairs = Counter(
        (a["event_type"], b["event_type"])
        for events in sessions_of(clean).values()
        for a, b in itertools.pairwise(events)
        if b["event_type"] != "logout"
    )
    cases = sum(number for (first, _), number in pairs.items() if first == past)
    assert cases > 300
    assert abs(pairs[past, following] / cases - chance) < 4 * (chance * (1 - chance) / cases) ** 0.5


def test_weekends_bring_a_third_more(clean: Shop) -> None:
    begun = Counter(instant(events[0]["timestamp"]).date() for events in sessions_of(clean).values())
    weekday, weekend = begun[START], begun[START + timedelta(days=2)]
    assert weekend / weekday == pytest.approx(1.3, abs=0.02)


def test_what_was_bought_in_a_session_is_an_order(clean: Shop) -> None:
    orders = {
        (row["user_id"], row["product_id"], row["created_at"], row["total"])
        for _, _, _, row in read(clean, "transactions")
    }
    purchases = [row for _, _, _, row in read(clean, "user_events") if row["event_type"] == "purchase"]
    assert len(purchases) > 100
    for row in purchases:
        amount = f"{row['properties']['amount']:.2f}"
        assert (row["user_id"], row["product_id"], row["timestamp"], amount) in orders


def test_nobody_acts_before_he_registered_and_nothing_after_the_last_day(clean: Shop) -> None:
    registered = {row["user_id"]: row["registered_at"] for _, _, _, row in read(clean, "users")}
    end = (START + timedelta(days=12)).isoformat()
    for table, when in (("transactions", "created_at"), ("user_events", "timestamp")):
        for _, _, _, row in read(clean, table):
            assert registered[row["user_id"]] <= row[when] < end
    for _, _, _, row in read(clean, "users"):
        assert not row["last_login_at"] or row["last_login_at"] >= row["registered_at"]


def test_an_order_goes_from_pending_to_its_end(clean: Shop) -> None:
    histories: dict[str, list[str]] = {}
    for _, _, _, row in sorted(read(clean, "transactions"), key=lambda item: item[3]["updated_at"]):
        histories.setdefault(row["transaction_id"], []).append(row["status"])
    assert {tuple(statuses) for statuses in histories.values()} == {
        ("pending",),
        ("pending", "failed"),
        ("pending", "completed"),
        ("pending", "completed", "refunded"),
    }


def test_scale_multiplies_the_traffic(clean: Shop, tmp_path: Path) -> None:
    more = generate_shop(tmp_path, dirt=Dirt.none(), scale=3, **SMALL)
    assert more.rows("transactions") / clean[1].rows("transactions") == pytest.approx(3, rel=0.05)
    assert more.rows("products") == clean[1].rows("products")


def test_only_transactions_can_be_asked_for(tmp_path: Path) -> None:
    manifest = generate_shop(tmp_path, start=START, days=1, users=10, traffic=Traffic(0, 1))
    assert "user_events" not in manifest.tables
    assert manifest.rows("transactions") > 1440


def test_files_that_are_there_stay_as_they_are(tmp_path: Path) -> None:
    kept = tmp_path / "data/transactions/transactions-2026-10-23.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(ConfigError, match=r"transactions-2026-10-23\.csv"):
        generate_shop(tmp_path, **SMALL)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert kept.read_text() == "mine"


@pytest.mark.parametrize(
    ("rates", "words"),
    [({"late": 1.5}, "late is 1.5"), ({"late": -0.1}, "late is -0.1"), ({"late": 0.6, "wrong_totals": 0.5}, "add up")],
)
def test_impossible_rates_are_refused(rates: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Dirt(**rates)


@pytest.mark.parametrize("wrong", [{"days": 0}, {"users": 0}, {"scale": -1.0}])
def test_a_shop_without_days_or_users_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="a shop needs"):
        generate_shop(tmp_path, **{**SMALL, **wrong})


@pytest.mark.parametrize(("table", "key"), [("users", "user_id"), ("products", "product_id"), ("transactions", None)])
def test_a_database_gets_the_rows_of_the_files_without_those_that_it_would_refuse(
    dirty: Shop, table: str, key: str | None
) -> None:
    key = key or "transaction_id"
    pieces = dirty[1].pieces.to_pylist()
    refused = {(p["file"], p["row"]) for p in pieces if p["table"] == table and p["kind"] in dirty[1].refused}
    good = [row for file, _, number, row in read(dirty, table) if (file, number) not in refused]
    with make_shop(dirt=DIRTY, **SMALL) as shop:
        rows = shop.rows(table).to_pylist()
    told = Counter((row[key], instant(row["updated_at"])) for row in rows)
    assert told == Counter((row[key], instant(row["updated_at"])) for row in good)
    assert all(row["updated_at"][-1] == "Z" for row in rows)
    assert [int(row["_day"]) for row in rows] == sorted(int(row["_day"]) for row in rows)


def test_what_lies_in_other_systems_tells_of_the_same_shop(clean: Shop) -> None:
    def lines(table: str) -> list[dict[str, Any]]:
        text = (clean[0] / f"data/{table}/{table}.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    catalogue, sessions, reviews = lines("catalogue"), lines("sessions"), lines("reviews")
    assert {one["_id"] for one in catalogue} == {row["product_id"] for _, _, _, row in read(clean, "products")}
    assert len({tuple(sorted(one["attributes"])) for one in catalogue}) >= 5  # of many shapes
    users = {row["user_id"] for _, _, _, row in read(clean, "users")}
    bought = {
        (row["user_id"], row["product_id"])
        for _, _, _, row in read(clean, "transactions")
        if row["status"] == "completed"
    }
    assert len(reviews) > 50
    assert {(one["userId"], one["productId"]) for one in reviews} <= bought
    assert len(sessions) > 50
    assert {one["value"]["user_id"] for one in sessions} <= users
    last = sessions_of(clean)
    for one in sessions:
        events = last[one["key"].removeprefix("session:")]
        assert one["value"]["began_at"] == events[0]["timestamp"]
        assert (one["value"]["seen_at"], one["value"]["pages"]) == (events[-1]["timestamp"], str(len(events)))
    assert len(lines("rates")) == 6 * SMALL["days"]


def test_the_guide_tells_the_figures_of_the_shop_that_init_writes(tmp_path: Path) -> None:
    manifest = generate_shop(tmp_path)
    guide = (Path(__file__).parents[3] / "docs/guides/shop.md").read_text(encoding="utf-8")
    assert f"{manifest.rows():,} rows in {len(manifest.files)} files" in guide
    assert f"So {manifest.rejects():,} rows are refused: {manifest.rejects('transactions')} of transactions" in guide
    others = ", ".join(f"{manifest.rejects(t)} of {n}" for t, n in (("user_events", "events"), ("users", "users")))
    assert f"{others} and {manifest.rejects('products')} of products" in guide
