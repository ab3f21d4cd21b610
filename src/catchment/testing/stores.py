"""What every live store promises. Subclass `LiveStorePromises`, say how yours is opened, and run pytest."""

from __future__ import annotations

import inspect
import random
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from catchment.errors import ConfigError, Conflict
from catchment.interfaces import LiveStore
from catchment.metric import TOLERANCE, WINDOW, Live, LiveFeed, Measure, Metric, Owner, figures
from catchment.records import Token

DAY = datetime(2026, 11, 1, 10, tzinfo=UTC)
NEVER = datetime(2100, 1, 1)  # noqa: DTZ001  seconds of UTC, as a store gets them

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("day", pa.date32()),
        ("status", pa.string()),
        ("total", pa.float64()),
        ("price", pa.decimal128(12, 2)),
        ("pieces", pa.int64()),
        ("_sales__paid", pa.bool_()),
        ("_sales__paid_of", pa.bool_()),
        ("_sales__where", pa.bool_()),
        ("_latest", pa.int64()),
        ("_load", pa.int64()),
        ("_row", pa.int64()),
        ("_rank", pa.int32()),
        ("_deleted", pa.bool_()),
        ("_expires", pa.timestamp("s")),
    ]
)
FEED = LiveFeed(
    name="orders", key=("id",), columns={name: name for name in SCHEMA.names[1:10]}, latest="_judged", traces=True
)
SALES = Metric(
    name="sales",
    feed="orders",
    measures=(
        Measure("n", "count"),
        Measure("known", "count", ("total",)),
        Measure("states", "count distinct", ("status",)),
        Measure("revenue", "sum", ("total",)),
        Measure("exact", "sum", ("price",)),
        Measure("pieces", "sum", ("pieces",)),
        Measure("mean", "avg", ("total",)),
        Measure("least", "min", ("day",)),
        Measure("most", "max", ("price",)),
        Measure("last", "max", ("id",)),
        Measure("median", "quantile", ("total",), 0.5),
        Measure("p95", "quantile", ("total",), 0.95),
        Measure("top", "top", ("status",), 2),
        Measure("top_pieces", "top", ("pieces",), 3),
        Measure("paid", "share", ("_sales__paid", "_sales__paid_of")),
        Measure("paid_of_all", "share", ("_sales__paid",)),
    ),
    by=("status",),
    time="at",
    every_s=60,
    told={"from": "orders", "every": "1 minute"},
)
WHOLE = replace(SALES, name="whole", by=(), every_s=None, told={"from": "orders"})
CHOSEN = replace(SALES, name="chosen", where="_sales__where", every_s=3600, told={"where": "total > 5"})
LIVE = Live({metric.name: metric for metric in (SALES, WHOLE, CHOSEN)}, {"orders": FEED})

OWNERS = (Owner("shop", "local"), Owner("shop", "local@mine"), Owner("other", "local"))

_STATES = ("completed", "pending", "refunded", None)

_DIE_AT = """
import os, pathlib, runpy, signal, sys
file, name, place, anew, point = sys.argv[1:]
def reached(here):
    if here == point:
        os.kill(os.getpid(), signal.SIGKILL)
suite = runpy.run_path(file)[name]()
suite.second_feed(suite.open(pathlib.Path(place), reached), anew == "anew")
"""


@dataclass(frozen=True)
class Order:
    """One version of an order."""

    id: str
    latest: int
    status: str | None = "completed"
    total: float | None = 10.0
    at: datetime | None = DAY
    load: int = 1
    row: int = 0
    deleted: bool = False

    @property
    def version(self) -> tuple[int, int, int]:
        return self.latest, self.load, self.row

    def values(self) -> dict[str, Any]:
        """The row as a store is given it."""
        known, total = not self.deleted, self.total
        return {
            "id": self.id,
            "at": self.at if known else None,
            "day": date(2026, 11, 1 + self.latest % 20) if known else None,
            "status": self.status if known else None,
            "total": total if known else None,
            "price": None if total is None or not known else Decimal(f"{total:.2f}"),
            "pieces": self.latest % 4 if known else None,
            "_sales__paid": None if self.status is None or not known else self.status == "completed",
            "_sales__paid_of": None if self.status is None or not known else self.status != "pending",
            "_sales__where": None if total is None or not known else total > 5,
            "_latest": self.latest,
            "_load": self.load,
            "_row": self.row,
            "_rank": 0,
            "_deleted": self.deleted,
            "_expires": NEVER,
        }


def given(orders: Sequence[Order], batches: int = 1) -> pa.RecordBatchReader:
    """Orders as a feed brings them."""
    table = pa.Table.from_pylist([order.values() for order in orders], schema=SCHEMA)
    size = max(1, -(-len(orders) // batches))
    return pa.RecordBatchReader.from_batches(SCHEMA, table.to_batches(max_chunksize=size))


def standing(orders: Sequence[Order]) -> list[Order]:
    """The newest version of each, those that were deleted left out."""
    newest: dict[str, Order] = {}
    for order in orders:
        if order.id not in newest or order.version >= newest[order.id].version:
            newest[order.id] = order
    return [order for order in newest.values() if not order.deleted]


def token(number: int) -> Token:
    return Token(generation=number, version=number, at=f"2026-11-01T10:00:{number:02d}+00:00", definition="d", rows=0)


def some_orders(seed: int, count: int, *, first: int = 1) -> list[Order]:
    """Versions of few orders, deletes among them; the same for a seed."""
    chance = random.Random(seed)
    return [
        Order(
            id=f"o{chance.randrange(count // 3 + 1)}",
            latest=chance.choice((chance.randrange(50), first + place)),
            status=chance.choice(_STATES),
            total=chance.choice((None, round(chance.uniform(-5, 50), 2))),
            at=chance.choice((None, DAY + timedelta(seconds=chance.randrange(400)))),
            load=first + place // 5,
            row=place,
            deleted=chance.random() < 0.15,
        )
        for place in range(count)
    ]


class LiveStorePromises(ABC):
    """One class per store. Its file is run once more in a process that dies, so it may need no conftest."""

    points: ClassVar[tuple[str, ...]] = ()
    """The named points that a feed goes by."""

    @abstractmethod
    def open(self, place: Path, reached: Callable[[str], None] | None = None, owner: Owner | None = None) -> LiveStore:
        """The store of `place`, which one test has to itself; every call is another process's view of the same one.
        Without an owner nobody is asked whose it is, as in stores that are older than owners."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LiveStore]:
        opened = self.open(tmp_path)
        yield opened
        opened.close()

    def rows(self, store: LiveStore, metric: str) -> list[Mapping[str, Any]]:
        """What a new reader sees, in an order of its own."""
        found = store.query(f"select * from live.{metric}").read_all().to_pylist()
        return sorted((_plain(row) for row in found), key=str)

    def recount(self, metric: Metric, orders: Sequence[Order]) -> list[Mapping[str, Any]]:
        """The same counted once more from the orders that stand."""
        import duckdb

        with duckdb.connect() as connection:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register("rows", given(standing(orders)).read_all())
            found = connection.execute(figures(metric, "rows", whole={"pieces"})).to_arrow_table().to_pylist()
        return sorted((_plain(row) for row in found), key=str)

    def holds(self, store: LiveStore, orders: Sequence[Order], live: Live = LIVE) -> None:
        """Every figure is what a recount gives."""
        for name, metric in live.metrics.items():
            live_rows, counted = self.rows(store, name), self.recount(metric, orders)
            assert len(live_rows) == len(counted), name
            for one, other in zip(live_rows, counted, strict=True):
                assert one == {key: _about(value) for key, value in other.items()}, name

    def fed(self, store: LiveStore, orders: Sequence[Order], number: int = 1) -> LiveStore:
        """The store with its first rows."""
        store.apply(LIVE, "do")
        store.feed(FEED, given(orders), token(number), anew=True)
        return store

    def second_feed(self, store: LiveStore, anew: bool) -> None:
        """What a process that is killed was about to do."""
        more = some_orders(2, 40, first=60)
        store.feed(FEED, given(more if not anew else [*some_orders(1, 60), *more], 3), token(2), anew=anew)

    def test_every_measure_says_what_a_recount_says(self, store: LiveStore) -> None:
        orders = some_orders(7, 90)
        self.holds(self.fed(store, orders), orders)

    def test_windows_lie_on_both_sides_of_1970_and_of_2106(self, store: LiveStore) -> None:
        at = [
            datetime(1931, 5, 6, 7, 8, 9, 5, UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC),
            datetime(2110, 2, 3, 4, 5, 6, tzinfo=UTC),
            datetime(2290, 1, 1, tzinfo=UTC),
        ]
        orders = [Order(f"o{place}", 1, at=one) for place, one in enumerate(at)]
        self.holds(self.fed(store, orders), orders)

    def test_figures_over_no_rows_are_there_and_say_so(self, store: LiveStore) -> None:
        self.holds(self.fed(store, []), [])
        only = [Order("a", 1, deleted=True)]
        store.feed(FEED, given(only), token(2))
        self.holds(store, only)

    def test_rows_that_come_again_change_no_figure(self, store: LiveStore) -> None:
        orders = some_orders(3, 60)
        self.fed(store, orders)
        for number in (1, 2, 3):
            store.feed(FEED, given(orders, number), token(number))
        self.holds(store, orders)

    def test_a_token_that_is_not_after_the_progress_is_nothing(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 1)], number=5)
        for number in (4, 5):
            assert store.feed(FEED, given([Order("b", 1)]), token(number)) == 0
        assert store.progress(FEED) == token(5)
        self.holds(store, [Order("a", 1)])

    def test_an_old_version_that_comes_late_does_not_win(self, store: LiveStore) -> None:
        newest, older = Order("a", 9, status="refunded"), Order("a", 3, status="completed", load=8)
        self.fed(store, [newest])
        store.feed(FEED, given([older]), token(2))
        self.holds(store, [newest, older])

    def test_of_versions_that_are_equally_old_the_later_arrival_counts(self, store: LiveStore) -> None:
        first, later, last = (
            Order("a", 5, total=t, load=load, row=row) for t, load, row in ((1, 1, 7), (2, 2, 0), (3, 2, 1))
        )
        self.fed(store, [last])
        store.feed(FEED, given([later, first]), token(2))
        self.holds(store, [last])

    def test_a_deleted_key_is_gone_and_an_old_version_does_not_raise_it(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 1), Order("b", 1)])
        store.feed(FEED, given([Order("a", 5, deleted=True)]), token(2))
        self.holds(store, [Order("b", 1)])
        store.feed(FEED, given([Order("a", 4, load=9)]), token(3))
        self.holds(store, [Order("b", 1)])
        back = Order("a", 6, status="pending")
        store.feed(FEED, given([back]), token(4))
        self.holds(store, [Order("b", 1), back])

    def test_an_order_that_is_refunded_counts_as_refunded_only(self, store: LiveStore) -> None:
        story = [Order("a", n, status=status) for n, status in enumerate(("pending", "completed", "refunded"))]
        self.fed(store, story[:1])
        for number, order in enumerate(story[1:], start=2):
            store.feed(FEED, given([order]), token(number))
            self.holds(store, [order])

    @pytest.mark.parametrize("seed", range(4))
    def test_any_order_of_rows_in_any_batches_leaves_the_same_figures(self, store: LiveStore, seed: int) -> None:
        orders = some_orders(seed, 80)
        chance = random.Random(seed)
        self.fed(store, [])
        number = 1
        for part in (orders[0::3], orders[1::3], orders[2::3], orders[10:50]):
            shuffled = chance.sample(part, len(part))
            number += 1
            store.feed(FEED, given(shuffled, chance.randrange(1, 5)), token(number))
        self.holds(store, orders)

    def test_progress_is_the_last_token_and_belongs_to_one_definition(self, store: LiveStore, tmp_path: Path) -> None:
        assert store.progress(FEED) is None
        self.fed(store, [Order("a", 1)], number=3)
        again = self.open(tmp_path)
        assert again.progress(FEED) == token(3)
        assert again.progress(replace(FEED, key=("id", "status"))) is None
        again.close()

    def test_rows_of_a_feed_that_has_none_to_go_on_from_are_refused(self, store: LiveStore) -> None:
        store.apply(LIVE, "do")
        with pytest.raises(ConfigError, match="go on from"):
            store.feed(FEED, given([Order("a", 1)]), token(1))

    def test_rows_that_go_on_from_another_progress_than_there_is_are_refused(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 1)], number=3)
        for since in (token(2), token(4)):
            with pytest.raises(Conflict, match="another process has fed"):
                store.feed(FEED, given([Order("b", 1)]), token(5), since=since)
            with pytest.raises(Conflict):
                store.feed(FEED, given([Order("b", 1)]), token(5), anew=True, since=since)
        assert store.progress(FEED) == token(3)
        store.feed(FEED, given([Order("b", 1)]), token(5), since=token(3))
        self.holds(store, [Order("a", 1), Order("b", 1)])

    def test_rows_taken_anew_stand_in_the_place_of_those_before(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 9), Order("b", 9)], number=7)
        store.feed(FEED, given([Order("a", 1, total=3)]), token(2), anew=True)
        self.holds(store, [Order("a", 1, total=3)])
        assert store.progress(FEED) == token(2)

    def test_figures_stand_while_rows_are_taken_anew(self, store: LiveStore, tmp_path: Path) -> None:
        self.fed(store, [Order("a", 1)])

        def broken() -> Iterator[pa.RecordBatch]:
            yield from given([Order("b", 1), Order("c", 1)])
            message = "the lake is away"
            raise OSError(message)

        with pytest.raises(OSError, match="the lake is away"):
            store.feed(FEED, pa.RecordBatchReader.from_batches(SCHEMA, broken()), token(2), anew=True)
        store.close()
        again = self.open(tmp_path)
        assert again.progress(FEED) == token(1)
        self.holds(again, [Order("a", 1)])
        again.close()

    def test_differences_are_shown_before_anything_is_changed(self, store: LiveStore) -> None:
        shown = store.apply(LIVE, "show")
        assert [(one.name, one.kind) for one in shown] == [
            *((name, "add") for name in LIVE.metrics),
            ("silver.orders", "anew"),
        ]
        assert store.apply(LIVE, "show") == shown
        self.fed(store, [Order("a", 1)])
        assert not store.apply(LIVE, "show")
        hourly = replace(SALES, every_s=3600, told={"from": "orders", "every": "1 hour"})
        edited = Live({"sales": hourly, "whole": WHOLE}, {"orders": FEED})
        assert [(one.name, one.kind, one.words) for one in store.apply(edited, "show")] == [
            ("sales", "change", "every: 1 minute -> 1 hour"),
            ("chosen", "remove", "is no longer declared"),
        ]
        self.holds(store, [Order("a", 1)])
        store.apply(edited, "do")
        assert not store.apply(edited, "show")
        self.holds(store, [Order("a", 1)], edited)
        with pytest.raises(ConfigError):
            store.query("select * from live.chosen")

    def test_a_store_is_of_who_came_first_and_nobody_else_is_let_in(self, tmp_path: Path) -> None:
        store = self.fed(self.open(tmp_path, owner=OWNERS[0]), [Order("a", 1)])
        for other in OWNERS[1:]:
            theirs = self.open(tmp_path, owner=other)
            refused: Sequence[Callable[[], object]] = (
                partial(theirs.apply, LIVE, "show"),
                partial(theirs.apply, Live({}, {}), "do"),
                partial(theirs.progress, FEED),
                partial(theirs.feed, FEED, given([Order("b", 1)]), token(2), anew=True),
                partial(theirs.query, "select * from live.sales"),
            )
            for asked in refused:
                with pytest.raises(ConfigError, match=f"figures of {OWNERS[0]}, and this is {other}") as told:
                    asked()
                assert "catchment live feed" in (told.value.hint or "")
            theirs.close()
        self.holds(store, [Order("a", 1)])
        again = self.open(tmp_path, owner=OWNERS[0])
        assert not again.apply(LIVE, "show")
        again.close()
        store.close()

    def test_a_store_of_before_there_were_owners_is_of_the_first_who_comes(self, tmp_path: Path) -> None:
        self.fed(self.open(tmp_path), [Order("a", 1)]).close()
        store = self.open(tmp_path, owner=OWNERS[1])
        assert not store.apply(LIVE, "show")
        store.feed(FEED, given([Order("b", 1)]), token(2))
        self.holds(store, [Order("a", 1), Order("b", 1)])
        store.close()
        theirs = self.open(tmp_path, owner=OWNERS[0])
        with pytest.raises(ConfigError, match=f"figures of {OWNERS[1]}"):
            theirs.progress(FEED)
        theirs.close()

    def test_where_no_metric_is_left_the_store_is_nobodys(self, tmp_path: Path) -> None:
        store = self.fed(self.open(tmp_path, owner=OWNERS[0]), [Order("a", 1)])
        assert {one.kind for one in store.apply(Live({}, {}), "do")} == {"remove"}
        assert not store.apply(Live({}, {}), "show")
        with pytest.raises(ConfigError):
            store.query("select * from live.sales")
        store.close()
        theirs = self.fed(self.open(tmp_path, owner=OWNERS[1]), [Order("b", 1)])
        self.holds(theirs, [Order("b", 1)])
        theirs.close()

    def test_a_changed_feed_serves_its_figures_until_it_is_fed_anew(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 1)])
        columns = {name: sql for name, sql in FEED.columns.items() if not name.startswith("_sales__")}
        other = replace(FEED, columns=columns)
        narrow = replace(SALES, measures=SALES.measures[:6], told={"from": "orders"})
        edited = Live({"sales": narrow}, {"orders": other})
        assert ("silver.orders", "anew") in [(one.name, one.kind) for one in store.apply(edited, "do")]
        self.holds(store, [Order("a", 1)], Live({"sales": SALES}, {"orders": FEED}))
        assert store.progress(other) is None
        left = given([Order("b", 2)]).read_all().drop_columns([n for n in FEED.columns if n not in columns])
        store.feed(other, left.to_reader(), token(2), anew=True)
        self.holds(store, [Order("b", 2)], edited)

    def test_windows_older_than_they_are_kept_are_not_shown(self, store: LiveStore) -> None:
        now = datetime.now(UTC)
        kept = replace(SALES, keep_s=3600)
        whole = replace(WHOLE, keep_s=3600)
        live = Live({"sales": kept, "whole": whole}, {"orders": FEED})
        store.apply(live, "do")
        orders = [Order("old", 1, at=now - timedelta(hours=2)), Order("new", 1, at=now - timedelta(minutes=10))]
        store.feed(FEED, given(orders), token(1), anew=True)
        self.holds(store, orders[1:], live)

    def test_rows_that_have_expired_are_taken_away(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 1)])
        gone = given([Order("b", 1)]).read_all().to_pylist()
        stale = [{**row, "_expires": datetime(2020, 1, 1)} for row in gone]  # noqa: DTZ001
        store.feed(FEED, pa.Table.from_pylist(stale, schema=SCHEMA).to_reader(), token(2))
        self.expired(store)
        self.holds(store, [Order("a", 1)])

    def expired(self, store: LiveStore) -> None:
        """Wait for what the store does now and then; by default a feed has done it."""
        assert store.progress(FEED) is not None

    def test_figures_come_with_types_that_keep_every_digit(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 1, total=0.1), Order("b", 1, total=0.2)])
        (row,) = store.query("select * from live.sales").read_all().to_pylist()
        assert row["exact"] == Decimal("0.30")
        assert row["n"] == 2
        assert isinstance(row["pieces"], int)
        assert row["least"] == date(2026, 11, 2)
        assert row[WINDOW] == DAY
        assert row["top"] == ["completed"]

    def test_a_query_only_reads(self, store: LiveStore) -> None:
        self.fed(store, [Order("a", 1)])
        for sql in ("drop view live.sales", "create table live.x (a int)", "select * from live.nothing", "selec 1"):
            with pytest.raises(ConfigError):
                store.query(sql)
        self.holds(store, [Order("a", 1)])

    def test_the_statements_are_told_before_and_are_those_of_the_store_after(self, store: LiveStore) -> None:
        before = store.statements(LIVE, {"orders": SCHEMA})
        assert store.apply(LIVE, "show"), "nothing was changed"
        self.fed(store, [Order("a", 1)])
        assert store.statements(LIVE, {"orders": SCHEMA}) == before
        for name, metric in LIVE.metrics.items():
            (view,) = [sql for sql in before if sql.startswith(f"-- live.{name}, version {metric.fingerprint}\n")]
            assert "count" in view
        rows = [sql for sql in before if sql.startswith(f"-- rows of silver.orders, version {FEED.fingerprint}\n")]
        assert any("CREATE TABLE" in sql and "orders__1" in sql for sql in rows)
        narrow = replace(FEED, columns=dict(list(FEED.columns.items())[:4]))
        told = store.statements(Live({}, {"orders": narrow}), {"orders": SCHEMA})
        assert any("CREATE TABLE" in sql and "orders__2" in sql for sql in told)

    @pytest.mark.parametrize("anew", [False, True])
    def test_a_feed_that_is_killed_anywhere_and_done_again_counts_nothing_twice(
        self, tmp_path: Path, anew: bool
    ) -> None:
        before, after = some_orders(1, 60), [*some_orders(1, 60), *some_orders(2, 40, first=60)]
        for place, point in enumerate(self.points):
            folder = tmp_path / str(place)
            folder.mkdir()
            store = self.fed(self.open(folder), before)
            store.close()
            file, name = inspect.getfile(type(self)), type(self).__name__
            words = [sys.executable, "-c", _DIE_AT, file, name, str(folder), "anew" if anew else "", point]
            died = subprocess.run(words, capture_output=True, text=True, check=False)
            assert died.returncode in (0, -signal.SIGKILL), died.stderr
            again = self.open(folder)
            known = again.progress(FEED)
            assert known in (token(1), token(2)), point
            # Serving goes on from the moment when the next feed has looked at the state.
            self.second_feed(again, anew and known == token(1))
            self.holds(again, after)
            again.close()


def _plain(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Numbers as one type, so that stores may count in others."""
    return {name: _number(value) for name, value in row.items()}


def _number(value: Any) -> Any:
    return float(value) if isinstance(value, int | Decimal) and not isinstance(value, bool) else value


def _about(value: Any) -> Any:
    return pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE) if isinstance(value, float) else value
