"""What lands of a collection that lives: hard documents, late ones, changes while it is read, every kind of fault."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import bson
import pytest
from bson import Binary, Code, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp, json_util
from bson.datetime_ms import DatetimeMS
from pymongo.collection import Collection
from pymongo.database import Database
from tests.services.mongodb.conftest import Asking
from tests.services.servers import Server, free_port

from catchment.errors import ConfigError, DataError, RetryableError, SchemaDrift
from catchment.records import Batch, Budget, Cursor
from catchment.sources.mongodb.documents import OPTIONS, documents
from catchment.sources.mongodb.source import MongoSource, find
from catchment.testing.proxy import FaultProxy
from catchment.testing.sources import committed

Documents = Database[dict[str, Any]]
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

HARD: dict[str, Any] = {
    "text": 'Kettle \u00d6k\u00f6 \U0001f375 "quoted" \\ \n\t\u2028',
    "nul": "a\0b",
    "empty": "",
    "dotted.name": {"$dollar": 1},
    "int": 2**31 - 1,
    "least_int": -(2**31),
    "long": Int64(5),
    "longest": Int64(2**63 - 1),
    "double": 0.1,
    "tiny": 5e-324,
    "whole_double": 3.0,
    "minus_zero": -0.0,
    "nan": float("nan"),
    "infinity": float("inf"),
    "decimal": Decimal128("12.50"),
    "great_decimal": Decimal128("9.999999999999999999999999999999999E+6144"),
    "no_decimal": Decimal128("NaN"),
    "date": DatetimeMS(1_767_225_600_123),
    "before_christ": DatetimeMS(-100_000_000_000_000),
    "after_the_year_9999": DatetimeMS(300_000_000_000_000),
    "timestamp": Timestamp(1_700_000_000, 7),
    "id": ObjectId("65a000000000000000000001"),
    "binary": Binary(b"\x00\xff", 0),
    "uuid": Binary(bytes(range(16)), 4),
    "regex": Regex("^a.*b$", "im"),
    "code": Code("function () { return 1 }"),
    "yes": True,
    "nothing": None,
    "least": MinKey(),
    "most": MaxKey(),
    "nested": {"list": [1, Int64(1), 1.0, {"deep": [[], {}]}], "object": {}},
}


def read(source: MongoSource, since: Cursor | None, budget: int = 1) -> Iterator[Batch]:
    yield from source.read(source.feeds()[0], since, Budget(bytes=budget))


def landed(batches: list[Batch]) -> list[dict[str, Any]]:
    """Documents of a read, as they are in MongoDB."""
    texts = [text for batch in batches for text in batch.rows.column("document").to_pylist()]
    return [json_util.loads(text) for text in texts if text is not None]


def after(since: Cursor | None, batches: list[Batch]) -> Cursor | None:
    return committed(since, [batch.cursor for batch in batches if batch.cursor is not None])


def test_every_type_comes_back_from_its_text_as_it_was(asking: Asking, database: Documents) -> None:
    database.products.insert_many([{"_id": name, name: value} for name, value in HARD.items()])
    sent: Any = database.products.find_raw_batches()
    stored = {bson.decode(raw, OPTIONS)["_id"]: raw for block in sent for raw in documents(block)}
    batches = list(read(asking.source(), None))
    assert [defect for batch in batches for defect in batch.rows.column("_defect").to_pylist() if defect] == []
    options = json_util.JSONOptions(datetime_conversion=OPTIONS.datetime_conversion)
    texts = [text for batch in batches for text in batch.rows.column("document").to_pylist()]
    back = {(found := json_util.loads(text, json_options=options))["_id"]: bson.encode(found) for text in texts}
    assert back == stored
    assert all(back[name] == bson.encode({"_id": name, name: value}) for name, value in HARD.items())


def test_relaxed_documents_hold_numbers_and_dates_as_text(asking: Asking, database: Documents) -> None:
    database.products.insert_one({"_id": 1, "stock": Int64(7), "price": Decimal128("1.50"), "at": NOW, "weight": 0.5})
    (batch, _) = read(asking.source(extended_json="relaxed"), None)
    assert json.loads(batch.rows.column("document")[0].as_py()) == {
        "_id": 1,
        "stock": 7,
        "price": {"$numberDecimal": "1.50"},
        "at": {"$date": "2026-03-01T12:00:00Z"},
        "weight": 0.5,
    }


def test_filters_and_projections_are_those_of_mongodb(asking: Asking, database: Documents) -> None:
    database.products.insert_many(
        [{"_id": n, "at": NOW + timedelta(days=n), "price": Decimal128(f"{n}.5"), "picture": b"x"} for n in range(6)]
    )
    since = {"$and": [{"at": {"$gte": {"$date": "2026-03-03T12:00:00Z"}}}, {"price": {"$lt": {"$numberDecimal": "5"}}}]}
    without = landed(list(read(asking.source(filter=since, projection=["-picture"]), None)))
    assert [(one["_id"], sorted(one)) for one in without] == [(n, ["_id", "at", "price"]) for n in (2, 3, 4)]
    only = landed(list(read(asking.source(filter=since, projection=["price"], cursor="at"), None)))
    assert [(one["_id"], sorted(one)) for one in only] == [(n, ["_id", "at", "price"]) for n in (2, 3, 4)]


def test_a_document_that_is_written_late_is_found_in_the_lookback(asking: Asking, database: Documents) -> None:
    products, keys = database.products, {"cursor": "updated_at", "lookback": "5 minutes"}
    products.insert_many([{"_id": n, "updated_at": NOW + timedelta(minutes=n)} for n in range(10)])
    first = list(read(asking.source(**keys), None))
    cursor = after(None, first)
    assert list(read(asking.source(**keys), cursor)) == []
    products.insert_one({"_id": "late", "updated_at": NOW + timedelta(minutes=5)})
    products.insert_one({"_id": "too late", "updated_at": NOW + timedelta(minutes=3)})
    products.insert_one({"_id": "equal", "updated_at": NOW + timedelta(minutes=9)})
    second = list(read(asking.source(**keys), cursor))
    assert [one["_id"] for one in landed(second)] == ["late", "equal"]
    assert list(read(asking.source(**keys), after(cursor, second))) == []


def test_an_object_id_of_a_slow_client_is_found_without_asking_for_it(asking: Asking, database: Documents) -> None:
    now = int(time.time())
    made = [ObjectId((now - age).to_bytes(4, "big") + bytes(8)) for age in (700, 300, 0)]
    database.products.insert_one({"_id": made[2]})
    cursor = after(None, list(read(asking.source(cursor="_id"), None)))
    database.products.insert_many([{"_id": made[0]}, {"_id": made[1]}])
    assert [one["_id"] for one in landed(list(read(asking.source(cursor="_id"), cursor)))] == [made[1]]


def test_a_document_from_the_future_does_not_hide_those_of_today(asking: Asking, database: Documents) -> None:
    products, keys = database.products, {"cursor": "updated_at", "lookback": "1 minute"}
    today = datetime.now(UTC)
    products.insert_many([{"_id": 1, "updated_at": today}, {"_id": 2, "updated_at": today + timedelta(days=400)}])
    first = list(read(asking.source(**keys), None))
    assert len(landed(first)) == 2
    cursor = after(None, first)
    assert list(read(asking.source(**keys), cursor)) == []
    assert not asking.source(**keys).describe(asking.source(**keys).feeds()[0], cursor).is_new
    products.insert_many([{"_id": n, "updated_at": today + timedelta(seconds=n)} for n in range(3, 6)])
    for budget in (1, 1 << 30):
        second = list(read(asking.source(**keys), cursor, budget))
        assert [one["_id"] for one in landed(second)] == [3, 4, 5]
        assert list(read(asking.source(**keys), after(cursor, second))) == []


def test_equal_values_of_the_cursor_are_never_torn_apart(asking: Asking, database: Documents) -> None:
    products, keys = database.products, {"cursor": "updated_at"}
    products.insert_many([{"_id": n, "updated_at": NOW + timedelta(seconds=n // 7)} for n in range(30)])
    batches = list(read(asking.source(**keys), None))
    sizes = [len(landed([batch])) for batch in batches]
    assert sizes == [7, 7, 7, 7, 2]
    for stop in range(1, len(batches) + 1):
        cursor = after(None, batches[:stop])
        products.insert_one({"_id": 100 + stop, "updated_at": NOW + timedelta(seconds=stop - 1)})
        rest = landed(list(read(asking.source(**keys), cursor)))
        assert 100 + stop in [one["_id"] for one in rest]
        assert len(rest) == 30 - sum(sizes[:stop]) + 1
        products.delete_one({"_id": 100 + stop})


def test_documents_that_change_while_they_are_read_land_in_each_version_once(
    asking: Asking, database: Documents
) -> None:
    products, keys = database.products, {"cursor": "updated_at", "lookback": "2 s"}
    products.insert_many([{"_id": n, "version": 0, "updated_at": datetime.now(UTC)} for n in range(300)])
    over, chance = threading.Event(), random.Random(20261121)

    def change() -> None:
        version = 0
        while not over.is_set():
            version += 1
            # Clocks of writers differ, and what they write comes a little later.
            at = datetime.now(UTC) - timedelta(milliseconds=chance.randint(0, 500))
            products.replace_one({"_id": chance.randint(0, 400)}, {"version": version, "updated_at": at}, upsert=True)

    writer = threading.Thread(target=change)
    writer.start()
    got: list[dict[str, Any]] = []
    cursor: Cursor | None = None
    until = time.monotonic() + 4
    try:
        while time.monotonic() < until:
            batches = _some(asking.source(**keys), cursor, chance)
            got, cursor = got + landed(batches), after(cursor, batches)
    finally:
        over.set()
        writer.join()
    batches = list(read(asking.source(**keys), cursor))
    got, cursor = got + landed(batches), after(cursor, batches)
    assert list(read(asking.source(**keys), cursor)) == []
    times = Counter((one["_id"], one["version"]) for one in got)
    assert {one for one, count in times.items() if count > 1} == set()
    assert {(one["_id"], one["version"]) for one in products.find()} <= times.keys()
    assert max(one["version"] for one in got) > 300


def _some(source: MongoSource, since: Cursor | None, chance: random.Random) -> list[Batch]:
    """Whole loads of a read that may be given up between two of them."""
    taken, wanted = [], chance.choice([1, 5, 1 << 30])
    with closing(read(source, since, chance.choice([1, 4000]))) as batches:
        for batch in batches:
            taken.append(batch)
            wanted -= batch.cursor is not None
            if not wanted:
                break
    return taken


def test_a_collection_read_whole_lands_again_only_where_it_changed(asking: Asking, database: Documents) -> None:
    products = database.products
    products.insert_many([{"_id": n, "name": "a"} for n in range(5)])
    first = list(read(asking.source(), None))
    assert [batch.unchanged for batch in first] == [False, False]
    cursor = after(None, first)
    second = list(read(asking.source(), cursor))
    assert [(batch.cursor is not None, batch.unchanged) for batch in second] == [(False, False), (True, True)]
    products.update_one({"_id": 3}, {"$set": {"name": "b"}})
    third = list(read(asking.source(), cursor))
    assert not third[-1].unchanged
    assert third[0].rows.column("_position").to_pylist() == [5, 6, 7, 8, 9]


def test_an_emptied_collection_is_told_once(asking: Asking, database: Documents) -> None:
    database.products.insert_one({"_id": 1})
    cursor = after(None, list(read(asking.source(), None)))
    database.products.delete_many({})
    (emptied,) = read(asking.source(), cursor)
    assert emptied.rows.num_rows == 0
    assert [notice.kind for notice in emptied.notices] == ["empty_file"]
    assert list(read(asking.source(), after(cursor, [emptied]))) == []


def test_documents_without_a_cursor_are_told_of(asking: Asking, database: Documents) -> None:
    products = database.products
    products.insert_many([{"_id": 1, "updated_at": NOW}, {"_id": 2}, {"_id": 3, "updated_at": "yesterday"}])
    source = asking.source(cursor="updated_at")
    batches = list(read(source, None))
    assert [one["_id"] for one in landed(batches)] == [1]
    assert [notice.kind for batch in batches for notice in batch.notices] == ["left_out"]
    warned = source.probe(source.feeds()[0])
    assert [one.severity for one in warned] == ["warning", "warning"]
    assert "no index" in warned[0].message
    assert "2 documents" in warned[1].message
    with pytest.raises(ConfigError, match="has a `changed` to go by"):
        list(read(asking.source(cursor="changed"), None))
    products.insert_one({"_id": 4, "updated_at": [NOW, NOW]})
    with pytest.raises(DataError, match="inside of an array"):
        list(read(asking.source(cursor="updated_at"), None))


def test_another_cursor_than_before_stops_with_words(asking: Asking, database: Documents) -> None:
    database.products.insert_one({"_id": 1, "updated_at": NOW})
    by_date = after(None, list(read(asking.source(cursor="updated_at"), None)))
    whole = after(None, list(read(asking.source(), None)))
    for keys, cursor in (({"cursor": "_id"}, by_date), ({}, by_date), ({"cursor": "_id"}, whole)):
        with pytest.raises(SchemaDrift) as stopped:
            list(read(asking.source(**keys), cursor))
        assert "new stream" in str(stopped.value.hint)


def test_a_wrong_project_is_told_what_to_mend(asking: Asking, database: Documents) -> None:
    database.products.insert_one({"_id": 1, "n": 1, "name": "x"})
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"collection": "product"}, "there is no collection `product`"),
        ({"filter": {"n": {"$foo": 1}}}, "does not take the query"),
        ({"filter": {"at": {"$date": "yesterday"}}}, "is not extended JSON"),
        ({"cursor": "n", "lookback": "5 minutes"}, "does not fit it"),
        ({"cursor": "name", "lookback": "5 minutes"}, "its cursor is text"),
    ]
    for keys, words in wrong:
        source = asking.source(**keys)
        (finding,) = source.probe(source.feeds()[0])
        assert (finding.severity, words in finding.message) == ("error", True), finding
        assert finding.hint is not None
        with pytest.raises(ConfigError, match=words) as stopped:
            list(read(source, None))
        assert stopped.value.hint is not None


def test_a_server_that_is_not_there_is_told_by_what_may_pass(asking: Asking, database: Documents) -> None:
    options = "?serverSelectionTimeoutMS=300"
    with pytest.raises(RetryableError, match=r"cannot reach 127\.0\.0\.1"):
        list(read(asking.source(port=free_port(), options=options), None))
    database.products.insert_one({"_id": 1})
    source = asking.source()
    nowhere = MongoSource("shop", source._streams, None, url="mongodb://u:secret@nowhere.invalid/shop" + options)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"the name of nowhere.invalid does not resolve") as stopped:
        list(read(nowhere, None))
    assert "secret" not in str(stopped.value)
    nameless = MongoSource("shop", source._streams, None, url=f"mongodb://127.0.0.1:{asking.port}")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="no database is named"):
        list(read(nameless, None))


def _fill(products: Collection[dict[str, Any]], count: int = 9000) -> None:
    products.insert_many([{"_id": n, "n": n, "text": "x" * 500} for n in range(count)])


def _until_done(source: MongoSource, tries: int = 20) -> tuple[list[dict[str, Any]], int]:
    """Read as a run does, from the last load on after an error that may pass; and how many errors there were."""
    got: list[dict[str, Any]] = []
    cursor: Cursor | None = None
    for errors in range(tries):
        load: list[Batch] = []
        try:
            for batch in read(source, cursor, 50_000):
                load.append(batch)
                if batch.cursor is not None:
                    got, cursor, load = got + landed(load), after(cursor, load), []
        except RetryableError:
            continue
        return got, errors
    raise AssertionError(f"not done after {tries} tries")


def test_a_connection_that_breaks_costs_a_load_and_no_row(asking: Asking, database: Documents) -> None:
    _fill(database.products)
    with FaultProxy(("127.0.0.1", asking.port), cut_after=1_500_000, cuts=3) as proxy:
        source = asking.source(port=proxy.port, cursor="n")
        got, errors = _until_done(source)
        source.close()
    assert [one["_id"] for one in got] == list(range(9000))
    assert errors >= 1


def test_a_slow_connection_brings_the_same(asking: Asking, database: Documents) -> None:
    _fill(database.products, 400)
    with FaultProxy(("127.0.0.1", asking.port), delay_s=0.02) as proxy:
        source = asking.source(port=proxy.port, cursor="n")
        got, errors = _until_done(source)
        source.close()
    assert ([one["_id"] for one in got], errors) == (list(range(400)), 0)


def test_a_connection_that_hangs_is_given_up(asking: Asking, database: Documents) -> None:
    _fill(database.products, 10)
    with FaultProxy(("127.0.0.1", asking.port), delay_s=1.5) as proxy:
        options = "?socketTimeoutMS=300&serverSelectionTimeoutMS=600&connectTimeoutMS=300"
        source = asking.source(port=proxy.port, cursor="n", options=options)
        with pytest.raises(RetryableError):
            list(read(source, None))
        source.close()


def test_a_server_that_is_started_again_in_mid_read_costs_no_row(
    mongodb: Server, asking: Asking, database: Documents
) -> None:
    _fill(database.products)
    source = asking.source(cursor="n")
    begun = read(source, None, 50_000)
    taken = [next(begun)]
    mongodb.restart()
    with pytest.raises(RetryableError):
        taken.extend(begun)
    assert 0 < len(landed(taken)) < 9000
    rest = list(read(source, after(None, taken), 50_000))
    assert [one["_id"] for one in landed(taken) + landed(rest)] == list(range(9000))
    source.close()


def test_find_tells_collections_and_guesses_their_columns(asking: Asking, database: Documents) -> None:
    database.products.insert_many(
        [
            {"_id": ObjectId(), "name": "x", "price": Decimal128("1.5"), "updated_at": NOW, "tags": ["a"], "n": n}
            for n in range(20)
        ]
    )
    database.products.create_index("updated_at")
    database.settings.insert_many([{"_id": "a", "value": 1}, {"_id": "b", "value": "two"}])
    products, settings = find(asking.url, None)  # type: ignore[arg-type]
    assert (products.name, products.rows, products.key) == ("products", 20, ("_id",))
    assert products.keys == {"collection": "products", "cursor": "updated_at", "extended_json": "relaxed"}
    columns = {column.name: (column.type, column.physical, column.path) for column in products.columns}
    assert columns["_id"] == ("string", "objectId", '$."_id"."$oid"')
    assert columns["price"] == ("number", "decimal", '$."price"."$numberDecimal"')
    assert columns["updated_at"] == ("timestamp", "date", '$."updated_at"."$date"')
    assert columns["tags"] == ("array", "array", "")
    assert "decimal in 20 of 20 sampled documents" in products.evidence["price"]
    assert "with an index" in products.evidence["cursor"]
    assert settings.keys == {"collection": "settings", "extended_json": "relaxed"}
    assert {column.name: column.type for column in settings.columns} == {"_id": "string", "value": "string"}
