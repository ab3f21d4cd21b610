"""pgoutput's messages, values, lines of COPY and places of the log, from bytes and without a server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from struct import pack
from typing import Any, cast

import pytest
from pydantic import ValidationError

from catchment.errors import ConfigError, RetryableError
from catchment.reading.kinds.postgres_changes import PostgresChangesSource as Keys
from catchment.records import Batch, Budget
from catchment.sources.postgres_changes import deferred, messages, snapshot, values
from catchment.sources.postgres_changes.deferred import Deferred
from catchment.sources.postgres_changes.following import Following
from catchment.sources.postgres_changes.forms import Form, Gathered
from catchment.sources.postgres_changes.place import Place, Taken, instant_of, number, shown
from catchment.sources.postgres_changes.session import Link, Session
from catchment.sources.postgres_changes.tables import Table, Types

_INT4, _TEXT = 23, 25
_OID = 16385


def _message(body: bytes) -> bytes:
    return messages.padded(b"w" + pack(">QQq", 0, 0, 0) + body)


def _begin(lsn: int, at_us: int = 1) -> bytes:
    return _message(b"B" + pack(">QqI", lsn, at_us, 7))


def _commit(lsn: int, end: int) -> bytes:
    return _message(b"C" + pack(">BQQq", 0, lsn, end, 1))


def _relation(columns: Sequence[tuple[str, int, bool]], identity: bytes = b"d", oid: int = _OID) -> bytes:
    told = b"".join(pack(">B", key) + name.encode() + b"\0" + pack(">Ii", kind, -1) for name, kind, key in columns)
    return _message(b"R" + pack(">I", oid) + b"public\0rows\0" + identity + pack(">H", len(columns)) + told)


def _row(*given: bytes | None) -> bytes:
    said = (
        b"n" if one is None else b"u" if one is messages.UNCHANGED else b"t" + pack(">I", len(one)) + one
        for one in given
    )
    return pack(">H", len(given)) + b"".join(said)


def _change(kind: bytes, *parts: bytes, oid: int = _OID) -> bytes:
    return _message(kind + pack(">I", oid) + b"".join(parts))


_TABLE = Table("rows", _OID, "public.rows", "public.rows", "r", "d", "p", True, False, 0, 0, ("id",))
_COLUMNS = [("id", _INT4, True), ("name", _TEXT, False)]


class _Recorded(Link):
    """A link that gives what it was given."""

    def __init__(self, items: Sequence[bytes | int | None]) -> None:
        self.reached = 0
        self._items = items

    def items(self, upto: int, other: Session) -> Iterator[bytes | int | None]:
        yield from self._items


def _read(
    *items: bytes | int | None, place: Place | None = None, upto: int = 1000, budget: int = 1 << 30
) -> list[Batch]:
    begun = place or Place("slot", 100, tables={"rows": Taken(_OID, 100, 0)})
    following = Following(_Recorded(items), cast("Session", None), Types(), "origin", {_OID: _TABLE})
    return list(following.read(begun, upto, Budget(bytes=budget)))


def _said(batches: Sequence[Batch]) -> list[tuple[Any, ...]]:
    return [(row["op"], row["document"], row["before"]) for batch in batches for row in batch.rows.to_pylist()]


def test_inserts_updates_and_deletes_are_read_from_their_bytes() -> None:
    batches = _read(
        _begin(200),
        _relation(_COLUMNS),
        _change(b"I", b"N", _row(b"1", 'zwölf "'.encode())),
        _change(b"U", b"N", _row(b"1", None)),
        _change(b"U", b"K", _row(b"1", None), b"N", _row(b"2", b"x")),
        _change(b"D", b"K", _row(b"2", None)),
        _commit(200, 210),
        1000,
    )
    assert _said(batches) == [
        ("insert", '{"id":1,"name":"zwölf \\""}', None),
        ("update", '{"id":1,"name":null}', None),
        ("delete", '{"id":1}', None),
        ("update", '{"id":2,"name":"x"}', None),
        ("delete", '{"id":2}', None),
    ]
    (batch,) = batches
    assert batch.cursor is not None
    assert (batch.cursor.value["lsn"], batch.cursor.value["rows"]) == ("0/D2", 5)
    assert batch.rows.column("_position").to_pylist() == [0, 1, 2, 3, 4]


def test_an_old_key_that_is_the_new_one_is_no_change_of_it() -> None:
    update = _change(b"U", b"K", _row(b"1", None), b"N", _row(messages.UNCHANGED, b"x"))
    batches = _read(_begin(200), _relation(_COLUMNS), update, _commit(200, 210), 1000)
    assert _said(batches) == [("update", '{"id":1,"name":"x"}', None)]


def test_what_is_not_in_the_new_row_comes_from_the_old_one_where_that_is_whole() -> None:
    update = _change(b"U", b"O", _row(b"1", b"long"), b"N", _row(b"1", messages.UNCHANGED))
    whole = [("id", _INT4, True), ("name", _TEXT, True)]
    batches = _read(_begin(200), _relation(whole, b"f"), update, _commit(200, 210), 1000)
    assert _said(batches) == [("update", '{"id":1,"name":"long"}', '{"id":1,"name":"long"}')]


def test_a_truncate_has_no_row_and_concerns_only_streams() -> None:
    truncate = _message(b"T" + pack(">IBII", 2, 0, 99, _OID))
    batches = _read(_begin(200), _relation(_COLUMNS), truncate, _commit(200, 210), 1000)
    assert _said(batches) == [("truncate", None, None)]


def test_transactions_that_have_landed_and_those_of_a_snapshot_are_left_out() -> None:
    one = _change(b"I", b"N", _row(b"1", b"x"))
    items = [item for lsn in (90, 150, 300) for item in (_begin(lsn), _relation(_COLUMNS), one, _commit(lsn, lsn + 5))]
    place = Place("slot", 100, tables={"rows": Taken(_OID, 200, 0)})
    (batch,) = _read(*items, 1000, place=place)
    assert batch.rows.num_rows == 1
    assert batch.cursor is not None
    assert batch.cursor.value["lsn"] == shown(305)


def test_tables_of_nobody_and_messages_of_no_kind_are_passed_over() -> None:
    other = _change(b"I", b"N", _row(b"1", b"x"), oid=77)
    batches = _read(_begin(200), _relation(_COLUMNS, oid=77), other, _message(b"Y"), _commit(200, 210), 1000)
    assert batches == []


def test_a_load_ends_with_a_transaction_and_never_within_one() -> None:
    one = _change(b"I", b"N", _row(b"1", b"x"))
    items: list[bytes | int | None] = [_relation(_COLUMNS)]
    for lsn in (200, 300, 400):
        items += [_begin(lsn), one, 150, None, one, _commit(lsn, lsn + 10)]
    batches = _read(*items, 1000, budget=1)
    assert [batch.rows.num_rows for batch in batches] == [1, 1] * 3
    assert [batch.cursor is not None for batch in batches] == [False, True] * 3
    assert [batch.cursor is not None for batch in _read(*items, 1000)] == [False] * 3 + [True]


def test_a_read_ends_at_the_place_that_it_was_told() -> None:
    one = _change(b"I", b"N", _row(b"1", b"x"))
    items = [_relation(_COLUMNS), *(item for lsn in (200, 300) for item in (_begin(lsn), one, _commit(lsn, lsn + 10)))]
    assert len(_said(_read(*items, upto=210))) == 1
    assert len(_said(_read(*items, upto=211))) == 2


def test_a_later_transaction_is_never_of_the_same_instant() -> None:
    assert instant_of(50, 49, 10, {}) == 50
    assert instant_of(50, 50, 10, {}) == 51
    assert instant_of(50, 70, 10, {}) == 71
    assert instant_of(50, 0, 10, {"rows": Taken(1, 10, 60)}) == 61
    assert instant_of(50, 0, 10, {"rows": Taken(1, 11, 60)}) == 50


@pytest.mark.parametrize("text", ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"])
def test_places_of_the_log_are_numbers(text: str) -> None:
    assert shown(number(text)) == text


@pytest.mark.parametrize(
    ("oid", "given", "wanted"),
    [
        (values.BOOL, b"t", True),
        (values.INT8, b"-9223372036854775808", -(2**63)),
        (values.FLOAT8, b"1e-05", 1e-05),
        (values.FLOAT8, b"NaN", "NaN"),
        (values.FLOAT8, b"-Infinity", "-Infinity"),
        (values.FLOAT4, b"0.1", 0.10000000149011612),
        (1700, b"1.50", "1.50"),
        (values.JSONB, b'{"a": [1, null]}', {"a": [1, None]}),
        (values.BYTEA, b"\\x00ff2741", "\\x00\\xFF\\x27A"),
        (values.MONEY, b"-$1,234.50", "-1234.50"),
        (values.MONEY, b"($0.05)", "-0.05"),
        (values.MONEY, b"1.234,50 \xe2\x82\xac", "1234.50"),
        (1007, b"{1,NULL,-3}", [1, None, -3]),
        (1007, b"{}", []),
        (1007, b"{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        (1007, b"[2:3]={1,2}", [1, 2]),
        (1009, b'{a,"b,c","d\\"\\\\e",NULL,"NULL",""}', ["a", "b,c", 'd"\\e', None, "NULL", ""]),
        (1000, b"{t,f}", [True, False]),
        (22, b"1 2 3", "1 2 3"),
        (99999, b"whatever it was", "whatever it was"),
    ],
)
def test_values_are_said_as_json(oid: int, given: bytes, wanted: Any) -> None:
    assert json.loads(values.renders(oid, {}, 2)(given)) == wanted


def test_a_row_that_cannot_be_said_costs_only_itself() -> None:
    form = Form([("id", bytes.decode), ("extra", values.renders(values.JSON, {}, 0)), ("name", values.text)])
    gathered = Gathered(7, "here")
    rows: list[messages.Fields] = [
        [b"1", b'"\\u00e4"', b"x"],
        [b"2", b'"\\ud800"', b"x"],
        [b"3", None, b"\xff"],
        [b"4", b"1", None],
    ]
    gathered.add_rows("rows", "snapshot", 0, form, rows)
    table = gathered.table()
    assert table.column("document").to_pylist()[0] == '{"id":1,"extra":"\\u00e4","name":"x"}'
    assert table.column("document").to_pylist()[3] == '{"id":4,"extra":1,"name":null}'
    assert table.column("_defect").to_pylist() == [
        None,
        "extra: JSON that no reader takes",
        "name: text that is no UTF-8",
        None,
    ]
    assert table.column("_raw").to_pylist()[2] == b'{"id":"3","extra":null,"name":"\xff"}'
    assert table.column("_position").to_pylist() == [7, 8, 9, 10]


def test_a_table_without_columns_has_empty_documents() -> None:
    gathered = Gathered(0, "here")
    gathered.add_rows("rows", "snapshot", 0, Form([]), [[], []])
    assert gathered.table().column("document").to_pylist() == ["{}", "{}"]


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (b"1\ta\n", [b"1", b"a"]),
        (b"\\N\t\n", [None, b""]),
        (b"a\\tb\\nc\\\\\\\\N\t\\\\N\n", [b"a\tb\nc\\\\N", b"\\N"]),
        (b"\n", [b""]),
    ],
)
def test_lines_of_copy_are_taken_apart(line: bytes, wanted: list[bytes | None]) -> None:
    assert snapshot.values(line) == wanted


@pytest.mark.parametrize(
    ("url", "kind", "why"),
    [
        ("postgresql://a:se%zzcret@h/d", ConfigError, "the address cannot be read"),
        ("postgresql://a:secret@h/d?bogus=1", ConfigError, "the address cannot be read"),
        ("postgresql://a:secret@no-such-host.invalid/d", ConfigError, "does not resolve"),
        ("postgresql://a:secret@127.0.0.1:1/d", RetryableError, "connection refused"),
    ],
)
def test_an_address_that_leads_nowhere_is_told_without_its_password(url: str, kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why) as refused:
        Session(url, "shop")
    assert "cret" not in str(refused.value)


_GIVEN: dict[str, Any] = {"type": "postgres_changes", "url": "postgresql://a/b", "streams": {"rows": {"table": "r"}}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"slot": "Capital"},
        {"slot": "x" * 64},
        {"url": "mysql://a/b"},
        {"streams": {}},
        {"streams": {"a": {"table": "r"}, "b": {"table": "r"}}},
        {"on_gap": "ignore"},
    ],
)
def test_keys_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    assert Keys(**_GIVEN).on_gap == "stop"
    with pytest.raises(ValidationError):
        Keys(**{**_GIVEN, **wrong})


def test_a_key_that_another_row_has_by_now_does_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Deferred()
    keys.comes(1, [b"2"], [b"2", b"a"])
    assert not keys.goes(1, [b"2"], [b"2", b"b"])  # the row that had it before
    assert keys.goes(2, [b"2"], [b"2", b"b"])  # of another table
    assert keys.goes(1, [b"2"], [b"2", b"a"])
    assert keys.goes(1, [b"2"], [b"2", b"b"])
    keys.comes(1, [b"2"], [b"2", b"a"])
    keys.begin()
    assert keys.goes(1, [b"2"], [b"2", b"b"])
    monkeypatch.setattr(deferred, "MOST_KEYS", 2)
    for key in (b"1", b"2", b"3"):
        keys.comes(1, [key], [key, b"new"])
    gone = [keys.goes(1, [key], [key, b"old"]) for key in (b"1", b"2", b"3")]
    assert gone == [True, False, False]  # the first was too long ago
