"""Documents of MongoDB as JSON text, cursors and words, without a server."""

from __future__ import annotations

import json
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, ObjectId, Regex, Timestamp, json_util
from bson.datetime_ms import DatetimeMS
from hypothesis import given, settings
from hypothesis import strategies as st
from pymongo.errors import AutoReconnect, InvalidURI, OperationFailure, ServerSelectionTimeoutError

from catchment.errors import CatchmentError, ConfigError, RetryableError
from catchment.records import Cursor
from catchment.sources.mongodb.cursor import Position, Window, comparable, kind_of, lookback_of
from catchment.sources.mongodb.documents import OPTIONS, Form, Rendering, Unrepresentable, documents, value_of
from catchment.sources.mongodb.server import Server, in_words
from catchment.sources.places import hosts

_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(1 << 31), (1 << 31) - 1),
    st.integers(-(1 << 63), (1 << 63) - 1).map(Int64),
    st.floats(),
    st.text(),
    st.binary(),
    st.integers(-(1 << 62), 1 << 62).map(DatetimeMS),
    st.binary(min_size=12, max_size=12).map(ObjectId),
    st.decimals(-(10**20), 10**20, places=4).map(Decimal128),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "-0E-6176", "9E+6144"]).map(Decimal128),
    st.binary().map(lambda value: Binary(value, 128)),
    st.binary(min_size=16, max_size=16).map(lambda value: Binary(value, 4)),
    st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1)).map(lambda pair: Timestamp(*pair)),
    st.just(Regex("a.*", "im")),
    st.just(Code("f()", {"a": 1})),
    st.just(DBRef("users", 1)),
)
_names = st.text(min_size=1).filter(lambda name: "\0" not in name and not name.startswith("$"))
_values = st.recursive(_leaves, lambda inner: st.lists(inner) | st.dictionaries(_names, inner), max_leaves=12)
_BACK = json_util.JSONOptions(datetime_conversion=OPTIONS.datetime_conversion)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_names, _values))
def test_canonical_text_is_the_librarys_and_comes_back_as_the_same_bytes(document: dict[str, Any]) -> None:
    raw = bson.encode(document)
    text = Rendering("canonical")(raw)
    theirs = json_util.dumps(bson.decode(raw, OPTIONS), json_options=json_util.CANONICAL_JSON_OPTIONS)
    assert json.loads(text) == json.loads(theirs)
    back = bson.decode(bson.encode(json_util.loads(text, json_options=_BACK)), OPTIONS)
    assert repr(back) == repr(bson.decode(raw, OPTIONS))


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(_names, _values))
def test_relaxed_text_is_the_librarys(document: dict[str, Any]) -> None:
    raw = bson.encode(document)
    theirs = json_util.dumps(bson.decode(raw, OPTIONS), json_options=json_util.RELAXED_JSON_OPTIONS)
    assert json.loads(Rendering("relaxed")(raw)) == json.loads(theirs)


@pytest.mark.parametrize("form", ["canonical", "relaxed"])
@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"\x12\x00\x00\x00\x02a\x00\x03\x00\x00\x00\xff\xfe\x00\x00", "not valid BSON"),
        (b"\x13\x00\x00\x00\x10a\x00\x01\x00\x00\x00\x10a\x00\x02\x00\x00\x00\x00", "a name stands twice"),
        (b"\x0c\x00\x00\x00\x63a\x00\x01\x00\x00\x00\x00", "not valid BSON"),
        (b"\x05\x00\x00\x00", "not valid BSON"),
    ],
)
def test_what_cannot_be_told_says_why(raw: bytes, why: str, form: Form) -> None:
    with pytest.raises(Unrepresentable, match=why):
        Rendering(form)(raw)


def test_the_cursor_of_a_document_that_is_no_text_is_found_all_the_same() -> None:
    raw = bytearray(bson.encode({"a": "xy", "at": {"deep": Int64(5)}}))
    raw[raw.index(b"xy")] = 0xFF
    assert value_of(bytes(raw), ["at", "deep"]) == 5
    assert value_of(bytes(raw), ["at", "deeper"]) is None
    assert value_of(bytes(raw), ["a", "deep"]) is None


def test_a_batch_is_taken_apart_where_documents_end() -> None:
    found = [bson.encode({"n": number, "text": "x" * number}) for number in range(5)]
    assert list(documents(b"".join(found))) == found
    assert list(documents(b"")) == []


@pytest.mark.parametrize(
    ("at", "lookback", "low"),
    [
        (DatetimeMS(100_000), 60, DatetimeMS(40_000)),
        (DatetimeMS(-(1 << 63)), 60, DatetimeMS(-(1 << 63))),
        (ObjectId("0000006400000000000000ff"), 60, ObjectId("000000280000000000000000")),
        (ObjectId("0000000a00000000000000ff"), 60, ObjectId("000000000000000000000000")),
        (Timestamp(100, 7), 60, Timestamp(40, 0)),
        (Int64(5), 10, -5),
        (Int64(-(1 << 63)), 10, -(1 << 63)),
        (Decimal128("5.5"), 10, Decimal128("-4.5")),
        (2.5, 1, 1.5),
        ("name", 0, "name"),
        (DatetimeMS(100_000), 0, DatetimeMS(100_000)),
    ],
)
def test_a_read_begins_so_much_before_the_last_value(at: Any, lookback: int, low: Any) -> None:
    position = Position("at", str(kind_of(at)), at)
    assert position.low(lookback) == low
    back = Position.of("shop.x", "at", Cursor(position.value()))
    assert back == position


def test_a_value_after_the_servers_clock_is_not_taken_as_far() -> None:
    position = Position("at", "date")
    assert position.after(DatetimeMS(5000), 1, 4000).at == DatetimeMS(4000)
    assert position.after(DatetimeMS(3000), 1, 4000).at == DatetimeMS(3000)
    assert position.after(DatetimeMS(5000), 1, 4000).after(DatetimeMS(3000), 2, 4000).at == DatetimeMS(4000)
    assert comparable(Position("at", "timestamp").after(Timestamp(9, 1), 1, 4000).at) == (4, (1 << 32) - 1)
    assert Position("at", "objectId").after(ObjectId("f" * 24), 1, 4000).at == ObjectId("00000004" + "f" * 16)


def test_what_is_no_value_to_go_by_is_none() -> None:
    strange = [None, True, [1], {"a": 1}, float("nan"), Decimal128("NaN"), b"x", Regex("a")]
    assert [kind_of(value) for value in strange] == [None] * len(strange)


@pytest.mark.parametrize(
    ("said", "kind", "found"),
    [(None, "objectId", 600), (None, "date", 0), ("5 minutes", "date", 300), (7, "number", 7), ("7", "number", 7)],
)
def test_a_lookback_fits_its_cursor(said: str | int | None, kind: str, found: int) -> None:
    assert lookback_of("shop.x", said, kind) == found


@pytest.mark.parametrize(("said", "kind"), [("5 minutes", "number"), (7, "date"), ("5 minutes", "string")])
def test_a_lookback_that_does_not_fit_is_told(said: str | int, kind: str) -> None:
    with pytest.raises(ConfigError) as refused:
        lookback_of("shop.x", said, kind)
    assert refused.value.hint is not None


def test_a_window_keeps_what_was_not_met_until_it_falls_out() -> None:
    first = Window("shop.x", None)
    for number in range(10_000):
        first.add(Int64(number), number.to_bytes(16, "big"))
    assert len(first) == 10_000
    first.drop(5000)
    assert 5000 <= len(first) <= 5000 + 4096
    seen = first.seen(5000)
    assert 5000 <= seen.num_rows <= 5000 + 4096
    second = Window("shop.x", Cursor({}, seen))
    assert len(second.known) == seen.num_rows
    for number in range(7000, 10_000):
        second.add(Int64(number), number.to_bytes(16, "big"))
    assert second.seen(5000).num_rows == seen.num_rows
    assert second.seen(20_000).num_rows == 0
    assert len(Window("shop.x", Cursor({}, second.seen(20_000))).known) == 0


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OperationFailure("x", 18), ConfigError, "does not let us in"),
        (OperationFailure("not authorized on shop", 13), ConfigError, "no right to read"),
        (OperationFailure("unknown operator: $foo", 2), ConfigError, "does not take the query"),
        (OperationFailure("node is shutting down", 91), RetryableError, "broke off"),
        (OperationFailure("cursor id 5 not found", 43), RetryableError, "broke off"),
        (AutoReconnect("connection closed"), RetryableError, "lost the connection"),
        (ServerSelectionTimeoutError("h:1: [Errno 111] Connection refused"), RetryableError, "cannot reach"),
        (ServerSelectionTimeoutError("h:1: [Errno -2] Name or service not known"), ConfigError, "does not resolve"),
        (AutoReconnect("SSL handshake failed: certificate verify failed"), ConfigError, "no secure connection"),
        (InvalidURI("secret"), ConfigError, "no URL of MongoDB"),
    ],
)
def test_errors_are_told_by_what_is_to_be_done(error: Exception, kind: type[CatchmentError], words: str) -> None:
    told = in_words(error, "shop.products", "h:27017")
    assert type(told) is kind
    assert words in told.message
    assert told.hint is not None
    assert "secret" not in told.message


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mongodb://user:pass@h1:27017,h2:27018/shop?tls=true", "h1:27017,h2:27018"),
        ("mongodb+srv://u:p@cluster.example/shop", "cluster.example"),
        ("redis://:p@h:6379/0", "h:6379"),
        ("redis://h", "h"),
        ("mongodb://u:p/w@h/shop", "the server"),
        ("mongodb://u:p?w@h/shop", "the server"),
        ("mongodb://u:p@w@h/shop", "the server"),
        ("unix:///run/redis.sock", "the server"),
    ],
)
def test_no_more_of_a_url_is_shown_than_hosts(url: str, shown: str) -> None:
    assert hosts(url) == shown


def test_a_url_with_a_mistake_is_told_without_the_password() -> None:
    server = Server("mongodb://user:sec/ret@h:99999999/shop", None)
    with pytest.raises(ConfigError, match="no URL of MongoDB") as refused, server.told("shop.products"):
        server.client.admin.command("ping")
    assert "ret@" not in str(refused.value)


def test_a_document_that_a_scan_gives_twice_is_met_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catchment.sources.mongodb.cursor._MOST_MET", 2)
    window = Window("db.products", None)
    assert [window.meets(one) for one in (b"a", b"b", b"a", b"c", b"b")] == [True, True, False, True, False]
    assert window.meets(b"a")  # of so many the oldest is forgotten
