"""The live page over HTTP: what it shows, what it tells when figures change, and what it says when there are none."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from catchment.errors import ConfigError, RetryableError
from catchment.live import serving
from catchment.live.serving import Newest, shown
from catchment.live.showing import document
from catchment.metric import Live
from catchment.stores.duckdb import DuckDBLiveStore
from catchment.testing.stores import CHOSEN, DAY, FEED, LIVE, SALES, WHOLE, Order, given, token


class Looked:
    """What the page is given; a test changes it."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {"metrics": []}
        self.trouble: ConfigError | RetryableError | None = None
        self.times = 0

    def __call__(self) -> Mapping[str, Any]:
        self.times += 1
        if self.trouble is not None:
            raise self.trouble
        return self.figures


@pytest.fixture
def looked() -> Looked:
    return Looked()


@pytest.fixture
def port(looked: Looked) -> Iterator[int]:
    with shown(("127.0.0.1", 0), Newest(looked, "shop · local", every_s=0.02)) as found:
        yield found


def get(port: int, path: str) -> tuple[int, Mapping[str, str], bytes]:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asked.request("GET", path)
        answer = asked.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        asked.close()


class Events:
    """A reader of events."""

    def __init__(self, port: int) -> None:
        self.asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        self.asked.request("GET", "/events")
        self.answer = self.asked.getresponse()

    def next(self) -> dict[str, Any]:
        while True:
            line = self.answer.readline()
            assert line, "the stream of events ended"
            if line.startswith(b"data: "):
                found: dict[str, Any] = json.loads(line[6:])
                return found


def test_the_page_has_everything_in_it_and_may_do_nothing_else(port: int) -> None:
    status, headers, body = get(port, "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    text = body.decode()
    assert not re.search(r"(src|href)=\"(https?:)?//", text)
    assert "innerHTML" not in text  # names and values of a project are never markup
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_events_tell_the_figures_at_once_and_every_change(port: int, looked: Looked) -> None:
    reader = Events(port)
    assert reader.answer.getheader("Content-Type") == "text/event-stream"
    assert reader.next() == {"title": "shop · local", "trouble": None, "metrics": []}
    looked.figures = {"metrics": [{"name": "sales"}]}
    assert reader.next()["metrics"] == [{"name": "sales"}]
    assert json.loads(get(port, "/figures.json")[2])["metrics"] == [{"name": "sales"}]
    reader.asked.close()


def test_a_store_that_does_not_answer_is_told_beside_the_figures_of_before(port: int, looked: Looked) -> None:
    looked.figures = {"metrics": [{"name": "sales"}]}
    reader = Events(port)
    assert reader.next()["trouble"] is None
    looked.trouble = RetryableError("ClickHouse does not answer", hint="is it running?")
    told = reader.next()
    assert told["trouble"] == "live figures: ClickHouse does not answer (is it running?)"
    assert told["metrics"] == [{"name": "sales"}]
    looked.trouble = None
    assert reader.next()["trouble"] is None
    reader.asked.close()


def test_nobody_looks_where_nobody_reads_and_one_looks_for_all(port: int, looked: Looked) -> None:
    assert looked.times == 0
    newest = Newest(looked, "t", every_s=60)
    assert newest.now() == newest.now()
    assert looked.times == 1


@pytest.mark.parametrize("path", ["/", "/figures.json", "/nothing", "/events"])
def test_head_is_answered_as_get_without_a_body(port: int, path: str) -> None:
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    asked.request("HEAD", path)
    answer = asked.getresponse()
    assert (answer.status, answer.read()) == (404 if path == "/nothing" else 200, b"")
    if path != "/events":
        assert answer.getheader("Content-Length") == get(port, path)[1]["Content-Length"]
    asked.close()


def test_other_paths_are_told_which_there_are(port: int) -> None:
    status, _, body = get(port, "/nothing")
    assert (status, json.loads(body)) == (404, {"error": "there are /, /figures.json and /events"})


def test_more_readers_than_it_has_threads_for_are_sent_away(looked: Looked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_READERS", 1)
    with shown(("127.0.0.1", 0), Newest(looked, "t", every_s=0.02)) as port:
        reader = Events(port)
        reader.next()
        assert get(port, "/events")[0] == 503
        reader.asked.close()


def test_an_address_that_is_taken_is_told(port: int, looked: Looked) -> None:
    with (
        pytest.raises(ConfigError, match="cannot listen to 127"),
        shown(("127.0.0.1", port), Newest(looked, "t")),
    ):
        pass


def test_a_metric_is_shown_with_its_newest_windows(tmp_path: Any) -> None:
    store = DuckDBLiveStore(tmp_path)
    store.apply(LIVE, "do")
    store.feed(FEED, given([Order("a", 1), Order("b", 1, total=2.5)]), token(1), anew=True)
    sales, whole, chosen = document(LIVE, store)["metrics"]
    names = [*sales["key"], *(one["name"] for one in sales["measures"])]
    (row,) = sales["rows"]
    found = dict(zip(names, row, strict=True))
    assert found["window_start"] == DAY.isoformat().replace("+00:00", "Z")
    assert (found["n"], found["exact"], found["top"], found["least"]) == (2, "12.50", ["completed"], "2026-11-02")
    assert json.loads(json.dumps(sales))["every_s"] == 60
    assert (whole["every_s"], whole["key"], len(whole["rows"])) == (None, (), 1)
    assert len(chosen["rows"]) == 1


def test_a_metric_without_figures_says_what_to_do(tmp_path: Any) -> None:
    store = DuckDBLiveStore(tmp_path)
    told = document(LIVE, store)["metrics"]
    assert [one["rows"] for one in told] == [[], [], []]
    assert "has not been fed to the live store yet: catchment live feed" in told[0]["missing"]
    store.apply(Live({"sales": SALES}, {"orders": FEED}), "do")
    store.feed(FEED, given([Order("a", 1)]), token(1), anew=True)
    sales, whole, chosen = document(Live({"sales": SALES, "whole": WHOLE, "chosen": CHOSEN}, LIVE.feeds), store)[
        "metrics"
    ]
    assert sales["missing"] is None
    assert "whole" in whole["missing"]
    assert "chosen" in chosen["missing"]
