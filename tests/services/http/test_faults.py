from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError
from catchment.generate.routes import Answered, Asked, Collection
from catchment.generate.server import ApiServer, Fault, Limit, Tokens
from catchment.interfaces import Source
from catchment.records import Batch, Budget, Cursor
from catchment.testing.proxy import FaultProxy
from tests.services.http.api import REVIEWS, collection, ids, land, record, reviews, source

SINCE = {"field": "$.updated_at", "param": "since"}
PAGED = {
    "path": "/items",
    "records": "$.items[*]",
    "paging": {"type": "cursor", "param": "after", "next": "$.meta.next"},
    "cursor": SINCE,
    "key": "$.id",
}
Made = Callable[..., Source]


@pytest.fixture
def held() -> Collection:
    return collection("cursor", [record(number) for number in range(12)])


@pytest.fixture
def server(held: Collection) -> Iterator[ApiServer]:
    with ApiServer({"/items": held}) as server:
        yield server


@pytest.fixture
def made(server: ApiServer, tmp_path: Path) -> Made:
    def make(stream: dict[str, Any] = PAGED, **keys: Any) -> Source:
        return source(server, tmp_path, streams={"items": stream}, **keys)

    return make


@pytest.mark.parametrize("kind", ["status", "cut", "gone", "broken", "packed"])
def test_an_answer_that_is_damaged_once_is_asked_for_again(server: ApiServer, made: Made, kind: Any) -> None:
    server.faults.extend([None, Fault(kind), None, Fault(kind)])
    assert ids(land(made())[0]) == list(range(12))


@pytest.mark.parametrize("kind", ["status", "cut", "gone", "broken", "packed"])
def test_an_answer_that_stays_damaged_stops_after_three_tries_with_what_and_where(
    server: ApiServer, made: Made, kind: Any
) -> None:
    server.faults.extend([Fault(kind)] * 3)
    with pytest.raises(CatchmentError, match=r"api(\.items)?: .*GET http://127.0.0.1:\d+/items"):
        land(made())
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_never_asked_for_again(server: ApiServer, made: Made, status: int) -> None:
    server.faults.append(Fault("status", status=status))
    with pytest.raises(ConfigError, match=rf"answers {status} .*as scripted") as refused:
        land(made())
    assert refused.value.hint is not None
    assert len(server.asked) == 1


def test_a_page_for_people_is_no_answer(server: ApiServer, made: Made) -> None:
    server.faults.append(Fault("html"))
    with pytest.raises(DataError, match="not JSON: <!doctype html>") as stopped:
        land(made())
    assert "login" in (stopped.value.hint or "")


def test_what_was_read_before_a_server_died_lands_and_the_next_read_goes_on_from_there(
    server: ApiServer, made: Made
) -> None:
    server.faults.extend([None, None, *[Fault("gone")] * 3])
    got: list[Batch] = []
    with pytest.raises(RetryableError):
        got.extend(made().read(made().feeds()[0], None, Budget()))
    assert ids(got) == list(range(6))
    cursor = got[-1].cursor
    assert cursor is not None
    server.asked.clear()
    assert ids(land(made(), cursor)[0]) == list(range(6, 12))
    assert server.asked[0].params["after"] == "5"


def test_a_server_that_is_restarted_while_pages_are_read_is_waited_for(server: ApiServer, made: Made) -> None:
    def restart(count: int) -> None:
        if count == 2:
            threading.Thread(target=server.restart).start()
            time.sleep(0.1)

    server.before = restart
    assert ids(land(made())[0]) == list(range(12))


def test_connections_that_are_dropped_and_slow_lose_nothing(server: ApiServer, made: Made) -> None:
    with FaultProxy(("127.0.0.1", server.port), cut_after=500, cuts=3, delay_s=0.01) as proxy:
        batches, cursor = land(made(url=f"http://127.0.0.1:{proxy.port}"))
        assert ids(batches) == list(range(12))
        assert proxy.connections >= 3
        proxy.shut()
        with pytest.raises(RetryableError) as stopped:
            land(made(url=f"http://127.0.0.1:{proxy.port}"), cursor)
        assert "running" in (stopped.value.hint or "")


def test_a_plan_says_at_least_so_many_pages_where_more_may_follow(
    made: Made, server: ApiServer, held: Collection
) -> None:
    def told(since: Cursor | None, **keys: Any) -> tuple[int, bool]:
        found = made({**PAGED, **keys})
        described = found.describe(found.feeds()[0], since)
        return described.items, described.at_least

    assert told(None) == (1, True)
    _, cursor = land(made())
    assert told(cursor) == (0, False)
    held.records.append(record(12))
    assert told(cursor) == (1, False)
    assert told(None, cursor=None) == (1, True)


def test_an_answer_that_keeps_silent_too_long_is_told(server: ApiServer, made: Made) -> None:
    server.faults.extend([Fault("slow", seconds=1.6)] * 3)
    with pytest.raises(RetryableError, match="no answer within 1 s") as stopped:
        land(made(timeout="1 s"))
    assert "timeout" in (stopped.value.hint or "")


@pytest.mark.parametrize("way", ["page", "offset", "cursor", "link", "next_url"])
def test_answers_that_come_in_another_order_lose_and_double_nothing(
    server: ApiServer, made: Made, held: Collection, way: Any
) -> None:
    held.way = way
    paging: Any = {
        "page": {"type": "page"},
        "offset": {"type": "offset", "size": 3},
        "cursor": PAGED["paging"],
        "link": {"type": "link"},
        "next_url": {"type": "next_url", "next": "$.next"},
    }
    stream = {**PAGED, "paging": paging[way], "records": "$[*]" if way == "link" else "$.items[*]"}
    server.faults.extend([Fault("turned"), None] * 12)
    batches, cursor = land(made(stream))
    assert sorted(ids(batches)) == list(range(12))
    server.faults.clear()
    assert land(made(stream), cursor)[0] == []


@pytest.mark.parametrize("paging", [PAGED["paging"], {"type": "page"}])
def test_an_answer_that_is_given_twice_is_noticed_and_nothing_doubles(
    server: ApiServer, made: Made, held: Collection, paging: Any
) -> None:
    held.way = "page" if paging["type"] == "page" else "cursor"
    stream = {**PAGED, "paging": paging}
    server.faults.extend([None, None, Fault("repeat")])
    got: list[Batch] = []
    with pytest.raises(RetryableError, match=r"once more|read already"):
        got.extend(made(stream).read(made(stream).feeds()[0], None, Budget()))
    rest, _ = land(made(stream), got[-1].cursor)
    assert ids([*got, *rest]) == list(range(12))


def test_paging_that_never_ends_is_noticed(tmp_path: Path) -> None:
    def ring(asked: Asked) -> Answered:
        here = int(asked.params.get("after", 0))
        return Answered({"items": [record(here)], "meta": {"next": (here + 1) % 3}})

    with ApiServer({"/items": ring}) as server:
        made = source(server, tmp_path, streams={"items": {**PAGED, "key": "$.id"}})
        with pytest.raises(RetryableError, match="it would never end"):
            land(made)
        assert len(server.asked) < 8


def test_a_server_that_does_not_know_the_page_parameter_is_told_of(tmp_path: Path) -> None:
    with ApiServer({"/items": collection("all", [record(1), record(2)])}) as server:
        stream = {**PAGED, "paging": {"type": "page", "param": "p"}}
        with pytest.raises(RetryableError, match="the page before once more") as stopped:
            land(source(server, tmp_path, streams={"items": stream}))
        assert "paging" in (stopped.value.hint or "")


def test_records_that_go_while_offsets_are_read_do_not_take_others_with_them(
    server: ApiServer, made: Made, held: Collection
) -> None:
    held.way = "offset"

    def busy(count: int) -> None:
        if count == 2:
            del held.records[:4]
        if count == 4:
            held.records.insert(0, record(50))

    server.before = busy
    for stream in (
        {**PAGED, "paging": {"type": "offset", "size": 3}},
        {"path": "/items", "records": "$.items[*]", "paging": {"type": "offset", "size": 3}, "key": "$.id"},
    ):
        held.records[:] = [record(number) for number in range(16)]
        server.asked.clear()
        found = ids(land(made(stream))[0])
        assert len(found) == len(set(found))
        assert set(found) >= set(range(16)) - {3}


def test_an_error_in_the_middle_of_a_whole_read_lands_nothing(server: ApiServer, made: Made) -> None:
    stream = {key: value for key, value in PAGED.items() if key != "cursor"}
    server.faults.extend([None, None, *[Fault("gone")] * 3])
    got: list[Batch] = []
    with pytest.raises(RetryableError):
        got.extend(made(stream).read(made(stream).feeds()[0], None, Budget()))
    assert all(batch.cursor is None for batch in got)
    batches, cursor = land(made(stream))
    assert ids(batches) == list(range(12))
    server.faults.extend([Fault("turned"), None])
    assert land(made(stream), cursor)[0] == []


def test_a_whole_stream_that_changed_lands_whole_again_and_an_empty_one_is_told(made: Made, held: Collection) -> None:
    stream = {key: value for key, value in PAGED.items() if key != "cursor"}
    _, cursor = land(made(stream))
    held.records[3] = record(3, words="changed")
    batches, cursor = land(made(stream), cursor)
    assert sorted(ids(batches)) == list(range(12))
    held.records.clear()
    batches, cursor = land(made(stream), cursor)
    assert [batch.rows.num_rows for batch in batches] == [0]
    assert [notice.kind for batch in batches for notice in batch.notices] == ["empty_file"]
    assert land(made(stream), cursor)[0] == []


def test_a_storm_of_429_is_sat_out_as_long_as_the_server_says_how_long(server: ApiServer, made: Made) -> None:
    server.faults.extend([Fault("status", status=429, headers={"Retry-After": "0.1"})] * 8)
    assert ids(land(made())[0]) == list(range(12))
    server.faults.extend([Fault("status", status=429)] * 3)
    with pytest.raises(RetryableError, match="too many requests") as stopped:
        land(made())
    assert "rate" in (stopped.value.hint or "")


def test_a_wait_that_is_too_long_is_told_and_not_waited(server: ApiServer, made: Made) -> None:
    server.faults.append(Fault("status", status=429, headers={"Retry-After": "3600"}))
    began = time.monotonic()
    with pytest.raises(RetryableError, match="asks to wait 60 minutes"):
        land(made())
    assert time.monotonic() - began < 5


def test_a_declared_limit_is_kept_on_both_sides(server: ApiServer, made: Made) -> None:
    server.limit = Limit(3, 0.6)
    began = time.monotonic()
    assert ids(land(made())[0]) == list(range(12))
    assert time.monotonic() - began > 0.3
    server.limit = None
    began = time.monotonic()
    assert ids(land(made(rate="10/s", name="slow"))[0]) == list(range(12))
    assert time.monotonic() - began > 0.25


@pytest.mark.parametrize("ahead_s", [-86_400.0, 86_400.0])
def test_a_server_whose_clock_is_a_day_off_is_waited_for_on_its_own_clock(
    server: ApiServer, made: Made, ahead_s: float
) -> None:
    from email.utils import formatdate

    server.clock_ahead_s = ahead_s
    at = formatdate(time.time() + ahead_s + 2, usegmt=True)
    server.faults.append(Fault("status", status=429, headers={"Retry-After": at}))
    began = time.monotonic()
    assert ids(land(made())[0]) == list(range(12))
    assert 0.2 < time.monotonic() - began < 5


def test_a_record_from_the_future_does_not_hide_those_that_come_before_it(
    server: ApiServer, made: Made, held: Collection
) -> None:
    held.records.append({**record(99), "updated_at": "2099-01-01T00:00:00Z"})
    _, cursor = land(made())
    held.records.append({**record(100), "updated_at": "2098-01-01T00:00:00Z"})
    assert ids(land(made(), cursor)[0]) == [100]


def test_a_record_that_shows_up_late_is_found_within_the_lookback(made: Made, held: Collection) -> None:
    stream = {**PAGED, "cursor": {**SINCE, "lookback": "5 minutes"}}
    _, cursor = land(made(stream))
    held.records.insert(0, {**record(50), "updated_at": record(8)["updated_at"]})
    held.records.insert(0, {**record(51), "updated_at": record(2)["updated_at"]})
    batches, cursor = land(made(stream), cursor)
    assert ids(batches) == [50]
    assert land(made(stream), cursor)[0] == []


def test_tokens_that_end_in_the_middle_are_fetched_again(server: ApiServer, made: Made) -> None:
    server.tokens = Tokens("shop", "very-secret", uses=2)
    auth = {"type": "oauth2", "token_url": f"{server.url}/oauth/token", "client_id": "shop"}
    assert ids(land(made(auth={**auth, "client_secret": "very-secret"}))[0]) == list(range(12))
    assert server.tokens.given >= 2
    with pytest.raises(ConfigError, match="invalid_client") as refused:
        land(made(auth={**auth, "client_secret": "quite-wrong"}))
    assert "quite-wrong" not in f"{refused.value}{refused.value.hint}"


def test_tokens_are_fetched_again_before_they_end(server: ApiServer, made: Made) -> None:
    server.tokens = Tokens("shop", "very-secret", lasts_s=0.4)
    server.faults.extend([None, Fault("slow", seconds=0.5)] * 3)
    auth = {"type": "oauth2", "token_url": f"{server.url}/oauth/token", "client_id": "shop"}
    assert ids(land(made(auth={**auth, "client_secret": "very-secret"}))[0]) == list(range(12))
    answered = [one for one in server.asked if one.path == "/items"]
    assert server.tokens.given >= 3
    assert len(answered) <= 8


def test_credentials_stay_on_their_own_host(tmp_path: Path, held: Collection) -> None:
    auth = {"type": "api_key", "header": "X-Api-Key", "value": "key-of-ours"}
    with ApiServer({"/items": held}) as other:
        moved = Answered({}, 307, {"Location": f"{other.url}/items?after=8"})
        with ApiServer({"/items": lambda _: moved}) as server:
            made = source(server, tmp_path, auth=auth, headers={"X-Tenant": "ours"}, streams={"items": PAGED})
            assert ids(land(made)[0]) == [9, 10, 11]
            assert server.asked[0].headers["x-api-key"] == "key-of-ours"
        assert not {"x-api-key", "x-tenant"} & other.asked[0].headers.keys()
        away = Answered([record(1)], headers={"Link": f'<{other.url}/items>; rel="next"'})
        with ApiServer({"/items": lambda _: away}) as server:
            stream = {"path": "/items", "paging": {"type": "link"}}
            with pytest.raises(ConfigError, match="another host"):
                land(source(server, tmp_path, auth=auth, streams={"items": stream}))
        assert len(other.asked) == 1


def test_a_key_in_the_query_is_in_no_message_no_origin_and_no_cursor(tmp_path: Path, held: Collection) -> None:
    held.way = "link"
    auth = {"type": "api_key", "query": "api_key", "value": "s3cr3t-of-ours"}
    with ApiServer({"/items": held}) as server:
        made = source(server, tmp_path, auth=auth, streams={"items": {"path": "/items", "paging": {"type": "link"}}})
        stream = {"path": "/items", "paging": {"type": "link"}, "cursor": SINCE}
        paged = source(server, tmp_path, auth=auth, streams={"items": stream})
        batches = list(paged.read(paged.feeds()[0], None, Budget(bytes=1)))
        told = "".join(str(batch.cursor) + str(batch.rows["_origin"].to_pylist()) for batch in batches)
        assert "going" in told
        assert "s3cr3t" not in told
        assert {one.params["api_key"] for one in server.asked} == {"s3cr3t-of-ours"}
        server.faults.extend([Fault("gone")] * 3)
        with pytest.raises(RetryableError) as stopped:
            land(made)
        error: BaseException | None = stopped.value
        while error is not None:
            assert "s3cr3t" not in str(error)
            error = error.__cause__


def test_a_server_that_repeats_a_secret_in_its_words_gives_it_to_nobody(tmp_path: Path) -> None:
    def repeats(asked: Asked) -> Answered:
        return Answered({"message": f"bad {asked.headers['authorization']}"}, 400)

    with ApiServer({"/items": repeats}) as server:
        auth = {"type": "bearer", "token": "token-of-ours"}
        with pytest.raises(ConfigError, match="bad Bearer …") as refused:
            land(source(server, tmp_path, auth=auth, streams={"items": PAGED}))
        assert "token-of-ours" not in str(refused.value)


def test_what_connecting_cannot_reach_is_told_in_words(server: ApiServer, made: Made, tmp_path: Path) -> None:
    server.stop()
    with pytest.raises(RetryableError, match="connection refused"):
        land(made())
    with pytest.raises(CatchmentError, match=r"no such host|no connection"):
        land(made(url="http://no-such-host.invalid"))
    with pytest.raises(ConfigError, match="no certificates"):
        land(made(verify="not-there.pem"))


def test_probing_tells_what_a_run_would_meet(server: ApiServer, made: Made, held: Collection) -> None:
    feed = made().feeds()[0]
    assert [(one.severity, one.message.split(" answers")[1]) for one in made().probe(feed)] == [
        ("ok", " with 3 records")
    ]
    wrong = {**PAGED, "cursor": {**SINCE, "field": "$.changed_at"}, "key": "$.number"}
    found = made(wrong).probe(feed)
    assert [one.severity for one in found] == ["error", "error"]
    assert all(one.hint for one in found)
    with pytest.raises(DataError, match=r"has no \$\.things; it has `items`, `meta`"):
        made({**PAGED, "records": "$.things[*]"}).probe(feed)
    held.way = "link"
    found = made({"path": "/items"}).probe(feed)
    assert [(one.severity, one.hint) for one in found] == [("error", "write paging: {type: link}")]


def test_an_answer_that_is_too_large_is_told_before_it_fills_the_memory(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_one: Any = made()
    made_one._client.longest = 100
    with pytest.raises(DataError, match="larger than") as stopped:
        land(made_one)
    assert "size" in (stopped.value.hint or "")


def test_searches_are_posted_with_paging_and_cursor_in_the_body(tmp_path: Path) -> None:
    held = collection("page", [record(number) for number in range(7)])

    def search(asked: Asked) -> Answered:
        body = asked.body
        params = {"page": str(body["page"]["number"]), "per_page": str(body["page"]["size"])}
        if "since" in body:
            params["since"] = body["since"]
        assert body["query"] == {"state": "open"}
        return held(Asked("GET", asked.url, asked.path, params, {}, None))

    with ApiServer({"/search": search}) as server:
        stream = {
            "path": "/search",
            "method": "POST",
            "body": {"query": {"state": "open"}},
            "records": "$.items[*]",
            "paging": {
                "type": "page",
                "param": "page.number",
                "size_param": "page.size",
                "size": 3,
                "until": "$.total",
            },
            "cursor": SINCE,
        }
        made = source(server, tmp_path, streams={"items": stream})
        batches, cursor = land(made)
        assert ids(batches) == list(range(7))
        assert len(server.asked) == 3
        held.records.append(record(7))
        assert ids(land(made, cursor)[0]) == [7]


@pytest.mark.parametrize(
    ("code", "kind", "tries"),
    [("UNAUTHENTICATED", ConfigError, 1), ("INTERNAL_SERVER_ERROR", RetryableError, 3), ("OTHER", ConfigError, 1)],
)
def test_errors_of_a_query_are_told_by_what_they_mean(
    tmp_path: Path, code: str, kind: type[CatchmentError], tries: int
) -> None:
    wrong = Answered({"data": None, "errors": [{"message": "it went wrong", "extensions": {"code": code}}]})
    with ApiServer({"/graphql": lambda _: wrong}) as server:
        stream = {"query": "{ reviews }", "records": "$.data.reviews[*]"}
        with pytest.raises(kind, match=r"api\.reviews: .*it went wrong"):
            land(source(server, tmp_path, kind="graphql", streams={"reviews": stream}))
        assert len(server.asked) == tries


def test_a_connection_that_is_damaged_on_the_way_loses_nothing(tmp_path: Path) -> None:
    kinds: Any = ("cut", "status", "turned", "broken", "turned")
    with ApiServer({"/graphql": reviews([record(number) for number in range(12)])}) as server:
        server.faults.extend(fault for kind in kinds for fault in (None, Fault(kind)))
        stream = {
            "query": REVIEWS,
            "records": "$.data.reviews.edges[*].node",
            "paging": {"type": "relay", "connection": "$.data.reviews"},
            "cursor": {"field": "$.updated_at", "variable": "since"},
            "key": "$.id",
        }
        made = source(server, tmp_path, kind="graphql", streams={"reviews": stream})
        batches, cursor = land(made)
        assert sorted(ids(batches)) == list(range(12))
        assert land(made, cursor)[0] == []
