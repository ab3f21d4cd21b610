from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from catchment.errors import RetryableError
from catchment.reading.kinds.http import ApiKey, Basic, Bearer, OAuth2, per_second
from catchment.reading.selectors import steps
from catchment.sources.http.credentials import credentials, scrubbed
from catchment.sources.http.pages import Page, page
from catchment.sources.http.paging import Addressed, Named, Numbered, Offset, link
from catchment.sources.http.requests import Again, Answer, Request, place, shown
from catchment.sources.http.waits import LONGEST_WAIT_S, Clock, Pace, Patience, asked_to_wait

DATE = "Sat, 21 Nov 2026 10:00:00 GMT"
NOW = 1795255200.0


class _Time:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def clock(self) -> Clock:
        return Clock(lambda: sum(self.slept), self.slept.append, lambda: NOW)


@pytest.mark.parametrize(
    ("status", "headers", "wait"),
    [
        (429, {"retry-after": "7"}, 7.0),
        (503, {"retry-after": "7"}, 7.0),
        (429, {"retry-after": "Sat, 21 Nov 2026 10:00:30 GMT", "date": DATE}, 30.0),
        (429, {"retry-after": "Sat, 21 Nov 2026 09:00:00 GMT", "date": DATE}, 0.0),
        (429, {"retry-after": "soon"}, None),
        (429, {"x-ratelimit-reset": str(NOW + 12), "date": DATE}, 12.0),
        (429, {"ratelimit-reset": "12"}, 12.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 5)}, 5.0),
        (200, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW + 5)}, 5.0),
        (200, {"x-ratelimit-remaining": "3", "x-ratelimit-reset": str(NOW + 5)}, None),
        (403, {}, None),
        (500, {"retry-after": "7"}, None),
    ],
)
def test_what_servers_say_of_waiting_is_understood(status: int, headers: Mapping[str, str], wait: float | None) -> None:
    assert asked_to_wait(status, headers, NOW) == wait


def _tried(time: _Time, waits: list[float | None]) -> int:
    """How often it was tried where answers ask for these waits, one after the other."""
    tried: list[None] = []

    def ask() -> None:
        tried.append(None)
        raise Again(RetryableError("busy"), waits.pop(0) if waits else None)

    with pytest.raises(Again):
        Patience(time.clock()).trying()(ask)
    return len(tried)


def test_three_tries_with_longer_and_longer_pauses_that_are_never_the_same() -> None:
    time, other = _Time(), _Time()
    assert _tried(time, []) == _tried(other, []) == 3
    assert 0.25 <= time.slept[0] <= 0.75 <= 2 * time.slept[1]
    assert time.slept != other.slept


def test_pauses_that_the_server_asks_for_are_no_tries_as_long_as_they_are_short_together() -> None:
    time = _Time()
    assert _tried(time, [20.0] * 10) == 13
    assert time.slept[:10] == [20.0] * 10
    assert sum(time.slept) < LONGEST_WAIT_S
    assert _tried(_Time(), [LONGEST_WAIT_S + 1]) == 1
    assert _tried(_Time(), [0.0] * 10_000) < 2_000


def test_a_pace_is_kept_from_the_second_request_on() -> None:
    time = _Time()
    pace = Pace(per_second("30/min"))
    for _ in range(3):
        pace.take(time.clock())
    assert time.slept == [2.0, 2.0]


@pytest.mark.parametrize("rate", ["10", "0/s", "10/day", "fast", "-1/s"])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        per_second(rate)


def test_each_way_to_say_who_asks_stands_where_servers_look_for_it() -> None:
    def fetch(url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, Any]:
        raise AssertionError

    def made(auth: Any) -> Any:
        return credentials(auth, fetch, Clock())

    assert made(None).headers() == {}
    assert made(Bearer(type="bearer", token="t0ken")).headers() == {"Authorization": "Bearer t0ken"}
    assert made(Basic(type="basic", user="a", password="b")).headers() == {"Authorization": "Basic YTpi"}
    assert made(ApiKey(type="api_key", value="k", header="X-Key")).headers() == {"X-Key": "k"}
    assert made(ApiKey(type="api_key", value="k", query="key")).params() == {"key": "k"}
    assert not made(Bearer(type="bearer", token="t0ken")).renewed()


@pytest.mark.parametrize("send", ["body", "header"])
def test_tokens_are_fetched_once_and_again_before_they_end_or_when_one_is_refused(send: Any) -> None:
    time, asked = _Time(), list[tuple[Mapping[str, str], Mapping[str, str]]]()

    def fetch(url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, Any]:
        asked.append((form, headers))
        return {"access_token": f"token-{len(asked)}", "expires_in": 100}

    auth = OAuth2(type="oauth2", token_url="http://t", client_id="me", client_secret="hidden", scope="all", send=send)
    made = credentials(auth, fetch, time.clock())
    assert made.headers() == made.headers() == {"Authorization": "Bearer token-1"}
    time.slept.append(89.0)
    assert made.headers() == {"Authorization": "Bearer token-1"}
    time.slept.append(1.5)
    assert made.headers() == {"Authorization": "Bearer token-2"}
    assert made.renewed()
    assert made.headers() == {"Authorization": "Bearer token-3"}
    form, headers = asked[0]
    assert form["grant_type"] == "client_credentials"
    assert ("client_secret" in form, "Authorization" in headers) == (send == "body", send == "header")
    assert "hidden" in made.secrets()


def test_secrets_are_taken_out_of_words_in_every_form() -> None:
    assert scrubbed("bad p@ss word and p%40ss%20word and p%40ss+word", ["p@ss word"]) == "bad … and … and …"
    assert scrubbed("a cat", ["a"]) == "a cat"


def test_addresses_are_shown_without_their_query_and_without_names() -> None:
    assert shown("https://me:secret@api.test:8443/v1/items?api_key=secret#x") == "https://api.test:8443/v1/items"


def test_rows_are_from_a_host_and_a_path_of_the_project() -> None:
    assert place("https://me:secret@api.test:8443/bot-secret/v1?key=secret") == "https://api.test:8443"
    assert place("https://api.test/v1/", "/items/{id}?key=secret") == "https://api.test/items/{id}"


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('<https://a/?page=2>; rel="next", <https://a/?page=9>; rel="last"', "https://a/?page=2"),
        ('<https://a/?page=1>; rel="prev", <https://a/?a,b;c>; title="x, y"; rel=next', "https://a/?a,b;c"),
        ('<https://a/2>; rel="last next"', "https://a/2"),
        ("<https://a/2>", None),
        ("", None),
        ("nonsense; rel=next", None),
    ],
)
def test_the_link_to_the_next_page_is_found(header: str, found: str | None) -> None:
    assert link(header, "next") == found


def _page(text: str, records: str = "$.items[*]", headers: Mapping[str, str] | None = None) -> Page:
    answer = Answer("https://api.test/v1/items?page=1", 200, headers or {}, text.encode())
    return page(answer, steps(records), "api.items", Request("https://api.test/v1/items"))


def test_pages_are_numbered_until_one_is_empty_or_the_answer_says_so() -> None:
    way = Numbered("page", 1, ("per_page", 2))
    assert way.ask(Request("u"), way.first()).params == {"per_page": 2, "page": 1}
    second = way.next(way.first(), _page('{"items": [1, 2]}'))
    assert second == {"page": 2, "read": 2}
    assert way.next(second, _page('{"items": []}')) is None
    assert Numbered("page", 0, until=steps("$.total")).next(second, _page('{"items": [3], "total": 3}')) is None
    assert Numbered("page", 1, pages=steps("$.pages")).next(second, _page('{"items": [3], "pages": "2"}')) is None


def test_offsets_overlap_by_a_record_and_go_back_where_it_is_gone() -> None:
    way = Offset("offset", ("limit", 3), known=lambda page: [record.text for record in page.records])
    second = way.next({"offset": 0}, _page('{"items": [1, 2, 3]}'))
    assert second == {"offset": 2, "last": ["1", "2", "3"]}
    assert way.next(second, _page('{"items": [3, 4, 5]}')) == {"offset": 4, "last": ["3", "4", "5"]}
    assert way.next(second, _page('{"items": [5, 6, 7]}')) == {"offset": 0, "last": ["1", "2", "3"]}
    assert way.next(second, _page('{"items": [3]}')) is None
    assert way.next({"offset": 0}, _page('{"items": [1]}')) == {"offset": 1}
    assert way.next({"offset": 1}, _page('{"items": []}')) is None


def test_a_named_next_page_ends_where_nothing_is_named() -> None:
    way = Named("after", steps("$.next"), steps("$.more"))
    assert way.next({}, _page('{"items": [1], "next": 0, "more": true}')) == {"after": 0}
    assert way.next({}, _page('{"items": [1], "next": "x", "more": false}')) is None
    assert way.next({}, _page('{"items": [1], "next": null, "more": true}')) is None
    assert way.ask(Request("u"), {"after": 0}).params == {"after": 0}


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("/v1/items?page=2&key=secret", "https://api.test/v1/items?page=2"),
        ("http://api.test/v1/items?page=2", "https://api.test/v1/items?page=2"),
        ("https://other.test/v1/items?page=2", "https://other.test/v1/items?page=2"),
        ("http://api.test:8080/v1/items", "http://api.test:8080/v1/items"),
    ],
)
def test_the_address_of_a_next_page_keeps_to_our_host_and_no_secret(named: str, kept: str) -> None:
    way = Addressed(steps("$.next"), hidden="key")
    assert way.next({}, _page(json.dumps({"items": [1], "next": named}))) == {"url": kept}


def test_parameters_go_into_the_body_of_a_search() -> None:
    asked = (
        Request("u", "POST", {"v": 1}, {"page": {"size": 5}, "q": "x"}).saying("page.number", 2).saying("since", "t")
    )
    assert asked.body == {"page": {"size": 5, "number": 2}, "q": "x", "since": "t"}
    assert asked.params == {"v": 1}
