"""What lands of a database that lives: every kind of change, gaps, added streams, and every kind of fault."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.errors import AutoReconnect
from tests.services.mongodb.server import MongoServer, started
from tests.services.mongodb_changes.conftest import Following
from tests.services.mongodb_changes.workload import COLLECTIONS, Workload, replayed, standing
from tests.services.servers import free_port

from catchment.errors import ConfigError, Passed, RetryableError
from catchment.reading.kinds.mongodb_changes import MongoChangesStream
from catchment.records import Batch, Budget, Cursor
from catchment.sources.mongodb_changes import reading
from catchment.sources.mongodb_changes.source import MongoChangesSource
from catchment.testing.proxy import FaultProxy

Documents = Database[dict[str, Any]]


class Log:
    """What a bronze table would hold: rows of the loads that were committed, and the cursor after them."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.cursor: Cursor | None = None
        self.notices: list[str] = []
        self.loads = 0

    def read(
        self, source: MongoChangesSource, budget: int = 1 << 30, *, loads: int | None = None
    ) -> list[tuple[Any, ...]]:
        """Commit what is new, at most so many loads; the new rows as (stream, op, _id)."""
        first, load = len(self.rows), list[Batch]()
        batches = source.read(source.feeds()[0], self.cursor, Budget(bytes=budget))
        for batch in batches:
            load.append(batch)
            self.notices += [notice.message for notice in batch.notices]
            if batch.cursor is not None:
                self.rows += [row for one in load for row in one.rows.to_pylist()]
                self.cursor = Cursor(json.loads(json.dumps(dict(batch.cursor.value))))
                load, self.loads = [], self.loads + 1
                loads = None if loads is None else loads - 1
                if loads == 0:
                    batches.close()  # type: ignore[attr-defined]
                    break
        assert not load
        return told(self.rows[first:])

    def assert_ordered(self) -> None:
        """By time as by place, and each place once."""
        times = [row["committed_at"] for row in self.rows]
        assert times == sorted(times)
        assert [row["_position"] for row in self.rows] == list(range(len(self.rows)))


def told(rows: Sequence[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["stream"], row["op"], row["document"] and identity(row["document"])) for row in rows]


def identity(document: str) -> Any:
    found = json.loads(document)["_id"]
    return int(found["$numberInt"]) if isinstance(found, dict) and "$numberInt" in found else found


@pytest.fixture
def log() -> Log:
    return Log()


def test_what_happens_to_documents_lands_in_its_order(following: Following, database: Documents, log: Log) -> None:
    source = following.source("products", "stock")
    database.products.insert_one({"_id": 1, "name": "cup"})
    assert log.read(source) == [("products", "snapshot", 1)]
    database.stock.insert_one({"_id": 7})
    database.products.update_one({"_id": 1}, {"$set": {"name": "mug"}})
    database.reviews.insert_one({"_id": 99})
    database.stock.replace_one({"_id": 7}, {"count": 3})
    database.products.update_one({"_id": 2}, {"$set": {"name": "pan"}}, upsert=True)
    database.products.delete_one({"_id": 1})
    # The first update is left out: its document was gone when it was looked up.
    assert log.read(source) == [
        *(("stock", "insert", 7), ("stock", "update", 7)),
        *(("products", "insert", 2), ("products", "delete", 1)),
    ]
    assert [json.loads(row["document"]) for row in log.rows[-4:]] == [
        {"_id": {"$numberInt": "7"}},
        {"_id": {"$numberInt": "7"}, "count": {"$numberInt": "3"}},
        {"_id": {"$numberInt": "2"}, "name": "pan"},
        {"_id": {"$numberInt": "1"}},
    ]
    assert log.notices == ["an update was left out, of what was gone when the server looked for the document"]
    assert {row["_origin"] for row in log.rows} == {f"127.0.0.1:{following.port}/{following.name}"}
    log.assert_ordered()
    assert log.read(source) == []


def test_changes_have_the_time_of_their_commit_and_one_order(
    following: Following, database: Documents, log: Log
) -> None:
    log.read(following.source())
    before = datetime.now(UTC) - timedelta(seconds=1)
    for number in range(50):
        database.products.insert_one({"_id": number})
    log.read(following.source())
    times = [row["committed_at"] for row in log.rows]
    assert len(set(times)) == 50
    assert times == sorted(times)
    assert before <= times[0] <= times[-1] <= datetime.now(UTC) + timedelta(seconds=1)


def test_a_collection_that_is_dropped_takes_its_rows_along(following: Following, database: Documents, log: Log) -> None:
    source = following.source("products", "stock")
    database.products.insert_many([{"_id": 1}, {"_id": 2}])
    database.stock.insert_one({"_id": 3})
    log.read(source)
    database.products.drop()
    database.products.insert_one({"_id": 4})
    assert log.read(source) == [("products", "truncate", None), ("products", "insert", 4)]
    assert log.notices == [f"{log.rows[0]['_origin']}.products was dropped: all rows of shop.products go"]
    assert replayed(log.rows) == standing(database)


def test_a_dropped_database_goes_on_where_it_is_made_again(following: Following, database: Documents, log: Log) -> None:
    source = following.source("products", "stock")
    database.products.insert_one({"_id": 1})
    database.stock.insert_one({"_id": 2})
    log.read(source)
    database.client.drop_database(database.name)
    database.products.insert_one({"_id": 3})
    found = log.read(source)
    assert sorted(found[:-1]) == [("products", "truncate", None), ("stock", "truncate", None)]
    assert found[-1] == ("products", "insert", 3)
    database.products.insert_one({"_id": 4})
    assert log.read(following.source("products", "stock")) == [("products", "insert", 4)]
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()


def test_a_renamed_collection_goes_under_its_old_name_and_is_read_under_its_new_one(
    following: Following, database: Documents, log: Log
) -> None:
    source = following.source("products", "stock")
    database.products.insert_one({"_id": 1})
    database.draft.insert_many([{"_id": 5}, {"_id": 6}])
    log.read(source)
    database.products.rename("retired")
    database.draft.rename("products")
    database.products.insert_one({"_id": 7})
    database.stock.insert_one({"_id": 2})
    found = log.read(source)
    assert found[0] == ("products", "truncate", None)
    assert found[-2:] == [("products", "insert", 7), ("stock", "insert", 2)]
    assert ("products", "snapshot", 5) in found
    assert "renamed to products, which is read anew for shop.products" in log.notices[-1]
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()


def test_a_stream_that_is_added_is_read_whole_and_then_followed(
    following: Following, database: Documents, log: Log
) -> None:
    database.products.insert_one({"_id": 1})
    database.stock.insert_one({"_id": 2})
    log.read(following.source())
    database.products.insert_one({"_id": 3})
    database.stock.insert_one({"_id": 4})
    both = following.source("products", "stock")
    assert both.describe(both.feeds()[0], log.cursor).is_new
    # What came to it since the last load comes twice: read whole, and in the log.
    assert log.read(both) == [
        *(("stock", "snapshot", 2), ("stock", "snapshot", 4)),
        *(("products", "insert", 3), ("stock", "insert", 4)),
    ]
    database.stock.delete_one({"_id": 2})
    assert log.read(following.source("products", "stock")) == [("stock", "delete", 2)]
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()


def test_a_stream_that_was_left_out_for_a_while_is_read_anew(
    following: Following, database: Documents, log: Log
) -> None:
    database.products.insert_one({"_id": 1})
    database.stock.insert_many([{"_id": 2}, {"_id": 3}])
    log.read(following.source("products", "stock"))
    database.stock.delete_one({"_id": 2})
    log.read(following.source("products", "stock"))
    # The token is that of an event which the server would not give any more.
    database.products.insert_one({"_id": 4})
    assert log.read(following.source("products")) == [("products", "insert", 4)]
    database.stock.delete_one({"_id": 3})
    assert log.read(following.source("products")) == []
    database.stock.insert_one({"_id": 5})
    found = log.read(following.source("products", "stock"))
    assert found[:2] == [("stock", "truncate", None), ("stock", "snapshot", 5)]
    assert replayed(log.rows) == standing(database)


def test_a_stream_that_names_another_collection_or_database_is_read_anew(
    following: Following, database: Documents, log: Log
) -> None:
    database.products.insert_one({"_id": 1})
    database.stock.insert_one({"_id": 2})
    log.read(following.source("products"))
    streams = {"products": MongoChangesStream(collection="stock")}
    assert log.read(MongoChangesSource("shop", streams, Path(), url=following.url)) == [
        *(("products", "truncate", None), ("products", "snapshot", 2)),
    ]
    other = database.client[f"{database.name}_other"]
    other.stock.insert_one({"_id": 3})
    try:
        elsewhere = MongoChangesSource("shop", streams, Path(), url=following.url, database=other.name)
        # It was made after the last load, so that the log has it too.
        assert log.read(elsewhere) == [
            *(("products", "truncate", None), ("products", "snapshot", 3), ("products", "insert", 3)),
        ]
        database.stock.insert_one({"_id": 4})
        other.stock.insert_one({"_id": 5})
        assert log.read(elsewhere) == [("products", "insert", 5)]
    finally:
        database.client.drop_database(other.name)


def test_loads_cut_anywhere_can_be_gone_on_from_with_fewer_streams(
    following: Following, database: Documents, log: Log
) -> None:
    log.read(following.source("products", "stock"))
    for number in range(3):
        database.stock.insert_one({"_id": number})
        database.products.insert_one({"_id": number})
    assert log.read(following.source("products", "stock"), 1, loads=1) == [("stock", "insert", 0)]
    assert log.read(following.source("products"), 1) == [("products", "insert", number) for number in range(3)]


def test_one_source_reads_on_and_on_over_one_change_stream(
    following: Following, database: Documents, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = following.source()
    opened = _count_streams(monkeypatch)
    log.read(source)
    for number in range(5):
        assert log.read(source) == []
        database.products.insert_one({"_id": number})
        assert log.read(source, 1) == [("products", "insert", number)]
    assert len(opened) == 1
    earlier = log.cursor
    database.products.insert_one({"_id": 5})
    assert log.read(source) == [("products", "insert", 5)]
    log.cursor = earlier  # as after a commit that did not come off
    assert log.read(source) == [("products", "insert", 5)]
    assert len(opened) == 2
    source.close()


def _count_streams(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    opened: list[Any] = []

    class Counted(reading.Tail):
        def __init__(self, *words: Any, **more: Any) -> None:
            opened.append(words)
            super().__init__(*words, **more)

    monkeypatch.setattr(reading, "Tail", Counted)
    return opened


def test_a_read_ends_while_others_go_on_writing(following: Following, database: Documents, log: Log) -> None:
    source = following.source()
    log.read(source)
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            database.products.insert_one({"_id": number})

    writing = threading.Thread(target=write)
    writing.start()
    try:
        for _ in range(5):
            log.read(source, 1)
    finally:
        ended.set()
        writing.join()
    log.read(source)
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()


def test_a_place_that_grows_old_without_a_change_is_kept_now_and_then(
    following: Following, database: Documents, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = following.source()
    log.read(source)
    database.reviews.insert_one({"_id": 1})
    assert log.read(source) == []
    loads = log.loads
    monkeypatch.setattr(reading, "REFRESH_S", 0)
    assert log.read(source) == []
    assert log.loads == loads + 1
    monkeypatch.undo()
    following.forget()
    database.products.insert_one({"_id": 2})
    assert log.read(following.source()) == [("products", "insert", 2)]


def test_a_gap_is_said_and_nothing_lands(following: Following, database: Documents, log: Log) -> None:
    log.read(following.source())
    database.products.insert_one({"_id": 1})
    log.read(following.source())
    database.products.insert_one({"_id": 2})
    following.forget()
    for what in ("read", "describe"):
        source = following.source()
        with pytest.raises(Passed, match=r"cannot give the changes after the last one in shop, of 20.* UTC") as stopped:
            log.read(source) if what == "read" else source.describe(source.feeds()[0], log.cursor)
        assert "on_gap: snapshot" in str(stopped.value.hint)
    assert told(log.rows) == [("products", "insert", 1)]


def test_a_gap_is_closed_by_reading_everything_anew(following: Following, database: Documents, log: Log) -> None:
    names = ("products", "stock")
    database.products.insert_many([{"_id": 1}, {"_id": 2}])
    database.stock.insert_one({"_id": 3})
    log.read(following.source(*names))
    database.products.delete_one({"_id": 1})
    database.stock.drop()
    following.forget()
    source = following.source(*names, on_gap="snapshot")
    assert source.describe(source.feeds()[0], log.cursor).is_new
    found = log.read(source)
    assert found == [("products", "truncate", None), ("products", "snapshot", 2), ("stock", "truncate", None)]
    assert "every collection is read anew" in log.notices[-1]
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()
    database.stock.insert_one({"_id": 4})
    assert log.read(following.source(*names)) == [("stock", "insert", 4)]


def test_a_log_that_is_lost_while_it_is_read_costs_no_change(
    following: Following, database: Documents, log: Log
) -> None:
    log.read(following.source())
    database.products.insert_many([{"_id": n} for n in range(3000)])
    source = following.source(on_gap="snapshot")
    batches = source.read(source.feeds()[0], log.cursor, Budget(bytes=1))
    taken = [next(batches)]
    database.products.delete_many({"_id": {"$gte": 2500}})
    following.forget()
    taken += list(batches)
    rows = [row for batch in taken for row in batch.rows.to_pylist()]
    assert {row["op"] for row in rows} == {"insert", "truncate", "snapshot"}
    assert replayed(rows) == standing(database)
    assert [row["_position"] for row in rows] == list(range(len(rows)))


def test_a_place_of_another_server_is_a_gap(following: Following, database: Documents, log: Log) -> None:
    log.read(following.source())
    assert log.cursor is not None
    log.cursor = Cursor({**log.cursor.value, "token": {"_data": "8263"}})
    with pytest.raises(Passed):
        log.read(following.source())


def test_kills_between_collections_read_no_collection_twice(
    following: Following, database: Documents, log: Log
) -> None:
    for name in COLLECTIONS:
        database[name].insert_many([{"_id": n} for n in range(3)])
    for number, name in enumerate(COLLECTIONS):
        assert log.read(following.source(*COLLECTIONS), loads=1) == [(name, "snapshot", n) for n in range(3)]
        database[COLLECTIONS[0]].insert_one({"_id": 10 + number})
        database[COLLECTIONS[0]].delete_one({"_id": number})
    log.read(following.source(*COLLECTIONS))
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()


def test_a_server_alone_has_no_change_streams_and_can_be_looked_at(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        source = MongoChangesSource(
            "shop",
            {"products": MongoChangesStream(collection="products")},
            tmp_path,
            url=f"mongodb://127.0.0.1:{server.port}/shop",
        )
        feed = source.feeds()[0]
        source._server.client["shop"]["products"].insert_many([{"_id": n} for n in range(9)])
        with pytest.raises(ConfigError, match="replica set") as stopped:
            list(source.read(feed, None, Budget()))
        assert "rs.initiate()" in str(stopped.value.hint)
        (finding,) = source.probe(feed)
        assert (finding.severity, "replica set" in finding.message) == ("error", True)
        (batch,) = source.read(feed, None, Budget(rows=4))
        assert [row[1:] for row in told(batch.rows.to_pylist())] == [("snapshot", n) for n in range(4)]
        source.close()


def test_a_slip_of_the_pen_is_told_before_anything_lands(following: Following, database: Documents, log: Log) -> None:
    source = following.source("products", "stok")
    for read in (lambda: log.read(source), lambda: list(source.read(source.feeds()[0], None, Budget(rows=5)))):
        with pytest.raises(ConfigError, match="there is no collection `stok`") as stopped:
            read()
        assert "did you mean `stock`" in str(stopped.value.hint)
    (finding,) = source.probe(source.feeds()[0])
    assert (finding.severity, "stok" in finding.message) == ("error", True)


def test_describing_counts_up_to_a_thousand(following: Following, database: Documents, log: Log) -> None:
    source = following.source("products", "stock")
    feed = source.feeds()[0]
    database.products.insert_many([{"_id": n} for n in range(5)])
    first = source.describe(feed, None)
    assert (first.items, first.item, first.at_least) == (5, "change", True)
    log.read(source)
    database.stock.insert_many([{"_id": n} for n in range(7)])
    new = source.describe(feed, log.cursor)
    assert (new.items, new.at_least) == (7, False)
    database.stock.insert_many([{"_id": n} for n in range(10, 1500)])
    new = source.describe(feed, log.cursor)
    assert (new.items, new.at_least) == (1000, True)


def test_an_oplog_that_is_short_is_warned_of(following: Following, database: Documents) -> None:
    from bson import Timestamp

    source = following.source()
    oplog = database.client["local"]["oplog.rs"]
    oplog.insert_many([{"ts": Timestamp(1_700_000_000 + 600 * n, 1)} for n in range(3)])
    try:
        (finding,) = source.probe(source.feeds()[0])
        assert (finding.severity, "reaches back 20 minutes only" in finding.message) == ("warning", True)
        oplog.insert_one({"ts": Timestamp(1_700_400_000, 1)})
        (finding,) = source.probe(source.feeds()[0])
        assert (finding.severity, "the oplog reaches back 111 hours" in finding.message) == ("ok", True)
    finally:
        oplog.drop()


def test_a_server_that_is_not_there_is_tried_again(following: Following, log: Log) -> None:
    with pytest.raises(RetryableError, match=r"cannot reach 127\.0\.0\.1"):
        log.read(following.source(port=free_port(), options="?serverSelectionTimeoutMS=300"))


def _until_read(log: Log, sources: Iterator[MongoChangesSource], budget: int, tries: int = 60) -> int:
    """Read as runs do, from the last load on after an error that may pass; how many errors there were."""
    errors = 0
    for source in sources:
        try:
            log.read(source, budget)
        except RetryableError:
            errors += 1
        else:
            return errors
        finally:
            source.close()
        assert errors < tries
    raise AssertionError


def test_connections_that_break_cost_a_load_and_no_change(following: Following, database: Documents, log: Log) -> None:
    log.read(following.source(*COLLECTIONS))
    work = Workload(database, 11)
    work.run(4000)
    with FaultProxy(("127.0.0.1", following.port), cut_after=300_000, cuts=6) as proxy:
        sources = iter(lambda: following.source(*COLLECTIONS, port=proxy.port), None)
        _until_read(log, sources, 20_000)
        assert proxy.cuts < 6
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()


def test_servers_that_are_started_again_in_mid_read_cost_no_change(
    replica: MongoServer, following: Following, database: Documents, log: Log
) -> None:
    work = Workload(database, 12)
    work.run(1000)
    for _ in range(3):
        source = following.source(*COLLECTIONS)
        log.read(source, 5_000, loads=2)
        work.run(500)
        batches = source.read(source.feeds()[0], log.cursor, Budget(bytes=5_000))
        next(batches)
        replica.restart()
        with suppress(AutoReconnect):
            database.command("ping")  # our own connection is gone as well
        batches.close()  # type: ignore[attr-defined]
        source.close()
    sources = iter(lambda: following.source(*COLLECTIONS), None)
    _until_read(log, sources, 5_000)
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()


@pytest.mark.timeout(180)
def test_twenty_thousand_changes_of_five_collections_are_followed_exactly(
    following: Following, database: Documents, log: Log
) -> None:
    work = Workload(database, 7)
    work.run(500)
    writing = threading.Thread(target=lambda: work.run(20_000))
    chance = random.Random(7)
    writing.start()
    source = following.source(*COLLECTIONS)
    try:
        while writing.is_alive():
            log.read(source, chance.choice([1_000, 50_000, 1 << 30]), loads=chance.choice([1, 5, None]))
            if chance.random() < 0.3:
                source.close()
                source = following.source(*COLLECTIONS)
    finally:
        writing.join()
    log.read(source)
    source.close()
    assert work.done.total() == 20_500
    assert replayed(log.rows) == standing(database)
    log.assert_ordered()
