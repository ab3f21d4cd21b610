"""A shop that goes on: the same whoever sends it when, in whatever pieces, and nothing twice or never."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from catchment.errors import ConfigError, RetryableError
from catchment.generate.endless import Endless
from catchment.generate.going import Pace, Standing, go
from catchment.generate.into_topics import EVENTS, MOST, ORDERS, IntoTopics
from catchment.generate.sequence import AGAIN, LATE, Clock, Sent, Shares, stretch
from catchment.generate.shop import make_shop
from catchment.records import Message, Offsets, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

START = datetime(2026, 11, 21, tzinfo=UTC)
DIRT = Shares(late=0.05, out_of_order=0.02, duplicates=0.02, broken=0.01)


@pytest.fixture(scope="module")
def shop() -> Endless:
    return Endless.of(1, 128, Clock(START, Fraction(2)), Shares())


def clicks(shop: Endless, first: int, end: int) -> list[dict[str, object]]:
    numbers = np.arange(first, end, dtype=np.int64)
    lines, users = shop.clicks.lines(numbers, shop.clock.seconds(numbers))
    found = [json.loads(line) for line in lines.to_pylist()]
    assert [one["user_id"] for one in found] == users.to_pylist()
    return found


def test_a_click_is_the_same_whatever_is_made_with_it(shop: Endless) -> None:
    whole = clicks(shop, 0, 3000)
    assert [one for first in range(0, 3000, 777) for one in clicks(shop, first, min(first + 777, 3000))] == whole
    assert len({one["event_id"] for one in whole}) == 3000
    assert whole != clicks(Endless.of(2, 128, shop.clock, Shares()), 0, 3000)
    # Golden, so that no version of NumPy or Arrow makes another shop of it unseen.
    assert whole[0] == {
        "event_id": "1e75ddf5-dbc3-8729-7830-35d736ad7c86",
        "user_id": "9b0ec055-c8db-4a86-af4e-cb902ff89bfc",
        "session_id": "s-bc9e486413c6dc2a",
        "event_type": "login",
        "timestamp": "2026-11-21T00:00:00Z",
        "device_type": "mobile",
        "browser": "safari",
        "ip_address": "203.0.113.168",
        "properties": {},
    }


def test_the_pace_changes_when_clicks_are_and_nothing_else(shop: Endless) -> None:
    quick = Endless.of(1, 128, Clock(START + timedelta(days=1), Fraction(1000)), Shares())
    for slow, fast in zip(clicks(shop, 0, 500), clicks(quick, 0, 500), strict=True):
        assert {**slow, "timestamp": ""} == {**fast, "timestamp": ""}
    assert clicks(shop, 240, 241)[0]["timestamp"] == "2026-11-21T00:02:00Z"


def test_visits_are_as_long_as_in_the_files_and_go_through_the_shop_alike(shop: Endless) -> None:
    visits = defaultdict(list)
    for one in clicks(shop, 0, 60_000):
        visits[one["session_id"]].append(one)
    assert all(len({one["user_id"] for one in visit}) == 1 for visit in visits.values())
    assert all(len({one["device_type"] for one in visit}) == 1 for visit in visits.values())
    # Those that were going on at the beginning or still are at the end are not whole.
    whole = [visit for visit in visits.values() if len(visit) >= 3]
    assert len(whole) > 0.95 * len(visits)
    assert max(map(len, whole)) == 20
    assert 11 < sum(map(len, whole)) / len(whole) < 12
    seconds = [_at(visit[-1]) - _at(visit[0]) for visit in whole]
    assert 2 * 60 < sum(seconds) / len(seconds) < 15 * 60
    assert max(seconds) < 30 * 60
    follows = Counter(
        (one["event_type"], two["event_type"])
        for visit in whole
        for one, two in itertools.pairwise(visit)
        if two["event_type"] != "logout"
    )
    for before, after, share in (
        ("search", "product_view", 0.50),
        ("product_view", "add_to_cart", 0.30),
        ("add_to_cart", "checkout_start", 0.60),
        ("checkout_start", "purchase", 0.70),
    ):
        everything = sum(count for (one, _), count in follows.items() if one == before)
        assert follows[before, after] / everything == pytest.approx(share, abs=0.03)


def _at(click: dict[str, object]) -> float:
    return datetime.fromisoformat(str(click["timestamp"])).timestamp()


def test_users_and_products_are_those_of_the_files(shop: Endless) -> None:
    with make_shop(days=1) as files:
        users, products = files.rows("users"), files.rows("products")
    assert {one["user_id"] for one in clicks(shop, 0, 2000)} <= set(shop.company.users.to_pylist())
    assert set(users["user_id"].to_pylist()) <= set(shop.company.users.to_pylist())
    prices = dict(zip(products["product_id"].to_pylist(), products["price"].to_pylist(), strict=True))
    carts = [one for one in clicks(shop, 0, 5000) if one["event_type"] == "add_to_cart"]
    assert len(carts) > 100
    assert all(f"{one['properties']['amount']:.2f}" == prices[one["product_id"]] for one in carts)  # type: ignore[index]


def test_an_order_is_placed_settled_and_sometimes_sent_back(shop: Endless) -> None:
    whole = shop.orders.changes(0, 60_000)
    pieces = [shop.orders.changes(first, min(first + 7777, 60_000)) for first in range(0, 60_000, 7777)]
    rows = whole.rows.to_pylist()
    assert [row for piece in pieces for row in piece.rows.to_pylist()] == rows
    assert [json.loads(text)["total"] for text in whole.documents().to_pylist()] == [float(r["total"]) for r in rows]
    orders = defaultdict(list)
    for row in rows:
        orders[row["transaction_id"]].append(row)
    assert len(orders) == 6000
    ways = Counter(tuple(row["status"] for row in order) for order in orders.values())
    assert set(ways) == {
        ("pending",),
        ("pending", "completed"),
        ("pending", "failed"),
        ("pending", "completed", "refunded"),
    }
    for order in orders.values():
        assert [row["updated_at"] for row in order] == sorted(row["updated_at"] for row in order)
        assert len({(row["created_at"], row["total"], row["user_id"]) for row in order}) == 1
        cents = {name: round(float(order[0][name]) * 100) for name in ("unit_price", "discount", "tax", "total")}
        assert cents["total"] == cents["unit_price"] * int(order[0]["quantity"]) - cents["discount"] + cents["tax"]


def test_what_goes_wrong_does_so_alike_in_any_pieces() -> None:
    whole = stretch(1, DIRT, 0, 40_000)
    pieces = [stretch(1, DIRT, first, min(first + 999, 40_000)) for first in range(0, 40_000, 999)]
    for name in ("ordinals", "clicks", "broken"):
        assert np.array_equal(np.concatenate([getattr(piece, name) for piece in pieces]), getattr(whole, name))
    delays = whole.ordinals - whole.clicks
    seen = Counter(whole.clicks.tolist())
    # All but the last ones, some of which are late, are there once or twice.
    done = 40_000 - LATE[1] - AGAIN[1]
    assert min(seen[click] for click in range(done)) == 1
    assert sum(seen[click] == 2 for click in range(done)) == pytest.approx(0.02 * done, rel=0.15)
    assert (delays > AGAIN[1] + 50).sum() == pytest.approx(0.05 * 40_000, rel=0.2)
    assert delays.min() >= 0
    assert delays.max() <= LATE[1] + AGAIN[1]
    assert (whole.broken > 0).mean() == pytest.approx(0.01, rel=0.2)
    assert (np.diff(whole.ordinals) >= 0).all()


@pytest.mark.parametrize(
    ("shares", "words"), [({"late": 1.5}, "--late is 1.5"), ({"late": 0.6, "out_of_order": 0.6}, "more than 1")]
)
def test_shares_that_cannot_be_are_refused(shares: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Shares(**shares)


@pytest.fixture
def broker(tmp_path: Path) -> EmbeddedBroker:
    broker = EmbeddedBroker(tmp_path)
    broker.declare([TopicSpec(EVENTS), TopicSpec(ORDERS)])
    return broker


def sink(broker: EmbeddedBroker, shop: Endless, shares: Shares = DIRT) -> IntoTopics:
    return IntoTopics(broker, Endless.of(shop.seed, shop.visits, shop.clock, shares), now=lambda: 1_234_567)


def messages(broker: EmbeddedBroker, topic: str) -> list[tuple[int, bytes, bytes]]:
    """Ordinal, key and value of each, by ordinal."""
    found = []
    ends = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
    for batch in broker.read(topic, {}, ends):
        for row in batch.to_pylist():
            headers = {one["name"]: one["value"] for one in row["headers"]}
            assert headers["sent-at"] == b"1234567"
            found.append((int(headers["ordinal"]), row["key"], row["value"]))
    return sorted(found)


def test_what_is_sent_in_pieces_is_what_is_sent_at_once(broker: EmbeddedBroker, shop: Endless, tmp_path: Path) -> None:
    pieces = sink(broker, shop)
    assert pieces.next() is None
    for first, end in ((0, 1), (1, 500), (500, 4000)):
        pieces.send(first, end)
        assert end - 60 < (pieces.next() or 0) <= end  # the last ordinals may send nothing
    other = EmbeddedBroker(tmp_path / "other")
    other.declare([TopicSpec(EVENTS), TopicSpec(ORDERS)])
    sent = sink(other, shop).send(0, 4000)
    for topic, count in ((EVENTS, sent.events), (ORDERS, sent.changes)):
        assert len(messages(broker, topic)) == count
        assert messages(broker, topic) == messages(other, topic)
    broken = 0
    for _, _, value in messages(broker, EVENTS):
        try:
            one = json.loads(value)
            broken += one["event_id"] is None or isinstance(one["properties"], str)
        except ValueError:
            broken += 1
    assert broken == pytest.approx(0.01 * 4000, rel=0.4)


class Forgetful(EmbeddedBroker):
    """Fails in the middle of a write: one partition has its part of it, the others nothing."""

    def write(self, topic: str, messages: Sequence[Message]) -> Offsets:
        from catchment.topics.partitioning import partition_of

        if len(messages) < 100:
            return super().write(topic, messages)
        kept = [one for one in messages if partition_of(one.key or b"", 3) == 1]
        super().write(topic, kept[: len(kept) // 2])
        message = "gone"
        raise RetryableError(message)


def test_what_a_write_left_out_is_sent_again_and_nothing_else(tmp_path: Path, shop: Endless) -> None:
    broker = Forgetful(tmp_path)
    broker.declare([TopicSpec(EVENTS), TopicSpec(ORDERS)])
    EmbeddedBroker(tmp_path).write(EVENTS, [Message(b"{}", b"of somebody else")])
    whole = sink(EmbeddedBroker(tmp_path), shop)
    whole.send(0, 1000)
    with pytest.raises(RetryableError):
        sink(broker, shop).send(1000, 3000)
    reached = whole.next()
    assert reached is not None
    assert 1000 < reached < 3000
    assert whole.mend(3000).events > 500
    assert whole.mend(3000) == Sent()
    other = EmbeddedBroker(tmp_path / "other")
    other.declare([TopicSpec(EVENTS), TopicSpec(ORDERS)])
    sink(other, shop).send(0, 3000)
    EmbeddedBroker(tmp_path).close()
    assert _ours(tmp_path) == Counter(messages(other, EVENTS))
    with pytest.raises(ConfigError, match="another shop"):
        IntoTopics(broker, Endless.of(2, 128, shop.clock, DIRT), now=lambda: 0).mend(3000)


def _ours(folder: Path) -> Counter[tuple[int, bytes, bytes]]:
    broker = EmbeddedBroker(folder)
    ends = {partition: end for partition, (_, end) in broker.bounds(EVENTS).items()}
    return Counter(
        (int(row["headers"][0]["value"]), row["key"], row["value"])
        for batch in broker.read(EVENTS, {}, ends)
        for row in batch.to_pylist()
        if row["headers"]
    )


class Clockwork:
    """Time that goes on only where somebody waits, or by what sending takes."""

    def __init__(self, takes_s: float = 0.0, fails: int = 0) -> None:
        self.time, self.takes_s, self.fails = 0.0, takes_s, fails
        self.sent: list[tuple[int, int]] = []
        self.told: list[Standing] = []
        self.troubles: list[str] = []
        self.shop: Endless = None  # type: ignore[assignment]

    def next(self) -> int | None:
        return None

    def mend(self, upto: int) -> Sent:
        return self.send(self.sent[-1][1] if self.sent else 0, upto)

    def send(self, first: int, end: int) -> Sent:
        if self.fails:
            self.fails -= 1
            message = "nobody answers"
            raise RetryableError(message)
        self.time += self.takes_s
        self.sent.append((first, end))
        return Sent(end - first)

    def close(self) -> None:
        pass

    def stopped(self, seconds: float) -> bool:
        self.time += seconds
        return self.time > 1000

    def go(self, pace: Pace, first: int = 0) -> Standing:
        return go(
            self,
            pace,
            first,
            now=lambda: self.time,
            stopped=self.stopped,
            tell=self.told.append,
            trouble=self.troubles.append,
        )


@pytest.mark.parametrize("rate", [Fraction(2), Fraction(1, 7), Fraction(1000), Fraction(50_000)])
def test_a_pace_is_kept_and_each_ordinal_sent_once(rate: Fraction) -> None:
    clockwork = Clockwork()
    standing = clockwork.go(Pace(rate, seconds=60), first=10)
    assert clockwork.sent[0][0] == 10
    assert all(one[1] == two[0] for one, two in zip(clockwork.sent, clockwork.sent[1:], strict=False))
    assert all(end - first <= MOST for first, end in clockwork.sent)
    assert standing.next - 10 == standing.sent.events
    assert abs(standing.sent.events - 60 * rate) <= 1
    assert standing.seconds == pytest.approx(60)


def test_a_count_is_sent_to_the_last_one_and_a_slow_place_is_told_behind() -> None:
    clockwork = Clockwork(takes_s=1.0)
    standing = clockwork.go(Pace(Fraction(1000), count=10_001))
    assert standing.next == 10_001
    assert Clockwork().go(Pace(None, count=25_000)).sent.events == 25_000
    late = Clockwork(takes_s=30.0)
    assert late.go(Pace(Fraction(10_000), count=200_000)).behind_s > 10
    assert Clockwork().go(Pace(None, count=0)).sent == Sent()


def test_a_place_that_does_not_answer_is_tried_again_and_told_once() -> None:
    clockwork = Clockwork(fails=5)
    standing = clockwork.go(Pace(Fraction(100), count=50))
    assert standing.next == 50
    assert clockwork.troubles == ["nobody answers; trying again"]
    assert sum(end - first for first, end in clockwork.sent) == 50
    given_up = Clockwork(fails=10_000).go(Pace(Fraction(100), count=50))
    assert given_up.next == 0
