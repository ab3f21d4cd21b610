"""Keys and values of Redis as they are told, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ConnectionError,
    NoPermissionError,
    ResponseError,
    TimeoutError,
)

from catchment.errors import CatchmentError, ConfigError, RetryableError
from catchment.sources.document_rows import Digest, Marks, mark, packed
from catchment.sources.redis.server import Server, in_words
from catchment.sources.redis.source import scan
from catchment.sources.redis.streams import order
from catchment.sources.redis.values import next_id, pairs, told


class _Steps:
    """What a server answers to SCAN, one step after the other."""

    def __init__(self, steps: Sequence[list[bytes]]) -> None:
        self._steps = list(steps)

    def scan(self, cursor: int, **_: Any) -> tuple[int, list[bytes]]:
        return (cursor + 1) % len(self._steps), self._steps[cursor]


def test_a_key_that_scan_gives_twice_is_told_once() -> None:
    steps = [[b"b", b"a", b"b"], [], [b"c", b"a"], [b"d"]]
    assert list(scan(_Steps(steps), "*")) == [[b"a", b"b"], [], [b"c"], [b"d"]]


def test_very_many_keys_are_each_told_once() -> None:
    steps = [[b"%d" % (number * 7919 % 30_000) for number in range(at, at + 100)] for at in range(0, 60_000, 100)]
    found = [key for keys in scan(_Steps(steps), "*") for key in keys]
    assert len(found) == len(set(found)) == 30_000


def test_a_field_that_stands_twice_and_bytes_are_not_lost() -> None:
    assert pairs([b"a", b"1", b"b", b"\xff"]) == {"a": "1", "b": {"base64": "/w=="}}
    assert pairs([b"a", b"1", b"a", b"2"]) == [["a", "1"], ["a", "2"]]
    assert pairs([b"\xff", b"1"]) == [[{"base64": "/w=="}, "1"]]
    assert pairs([]) == {}


def test_what_has_no_order_is_told_in_one() -> None:
    assert told("set", [b"b", b"a", b"b"]) == ["a", "b"]
    assert list(told("hash", [b"b", b"1", b"a", b"2"])) == ["a", "b"]
    assert told("list", [b"b", b"a", b"b"]) == ["b", "a", "b"]
    assert told("zset", [b"b", b"1e3", b"a", b"-inf"]) == [
        {"member": "a", "score": "-inf"},
        {"member": "b", "score": 1000.0},
    ]


@pytest.mark.parametrize(
    ("entry", "following"),
    [(b"5-1", b"5-2"), (b"0-0", b"0-1"), (b"5-18446744073709551615", b"6-0")],
)
def test_the_next_id_is_the_least_that_is_greater(entry: bytes, following: bytes) -> None:
    assert next_id(entry) == following
    assert order(entry) < order(following)


def test_ids_are_ordered_as_numbers() -> None:
    assert order(b"9-0") < order(b"10-0") < order(b"10-2") < order(b"10-11")


def test_a_set_of_marks_holds_what_was_put_in() -> None:
    marks, every = Marks(), [mark(b"%d" % number) for number in range(5000)]
    for at in range(0, 5000, 77):
        marks.add(packed(every[at : at + 77]))
    assert len(marks) == 5000
    assert marks.hold(packed(every)).all()
    assert not marks.hold(packed([mark(b"x%d" % number) for number in range(5000)])).any()
    assert not Marks().hold(packed(every)).any()


def test_a_digest_does_not_depend_on_order_but_on_number() -> None:
    one, other, more = Digest(), Digest(), Digest()
    for number in range(10):
        one.add(mark(b"%d" % number))
        other.add(mark(b"%d" % (9 - number)))
        more.add(mark(b"%d" % number))
    more.add(mark(b"9"))
    assert str(one) == str(other)
    assert str(one) != str(more)
    assert mark(b"a", b"bc") != mark(b"ab", b"c")


@pytest.mark.parametrize("url", ["http://user:secret@h/0", "redis://user:secret@h:port/0", "secret"])
def test_a_url_that_is_none_is_not_repeated(url: str) -> None:
    with pytest.raises(CatchmentError) as refused:
        _ = Server(url).client
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (BusyLoadingError("LOADING Redis is loading the dataset in memory"), RetryableError, "LOADING"),
        (ConnectionError("max number of clients reached"), RetryableError, "max number of clients"),
        (ResponseError("MASTERDOWN Link with MASTER is down"), RetryableError, "MASTERDOWN"),
        (TimeoutError("Timeout reading from h:1"), RetryableError, "Timeout"),
        (AuthenticationError("WRONGPASS invalid username-password pair"), ConfigError, "does not let us in"),
        (NoPermissionError("this user has no permissions to run 'get'"), ConfigError, "no right to read"),
        (ResponseError("DB index is out of range"), ConfigError, "there is no database"),
        (ResponseError("WRONGTYPE Operation against a key"), ConfigError, "holds no stream"),
        (ResponseError("unknown command 'XINFO'"), ConfigError, "refused"),
        (ConnectionError("Error -2 connecting to h:1. Name or service not known."), ConfigError, "does not resolve"),
    ],
)
def test_errors_are_told_by_what_is_to_be_done(error: Exception, kind: type[CatchmentError], words: str) -> None:
    found = in_words(error, "live.sessions", "h:1/0")
    assert type(found) is kind
    assert words in found.message
    assert found.hint is not None
