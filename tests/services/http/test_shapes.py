"""Three well-known shapes of APIs; the answers are ours, after what their public descriptions say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import ConfigError, RetryableError
from catchment.generate.routes import Answered, Asked
from catchment.generate.server import ApiServer
from catchment.records import Budget
from tests.services.http.api import ids, instant, land, source


class GitHub:
    """Issues of repositories: Link header, `since`, sorted as asked for, 403 where the limit is used up."""

    def __init__(self) -> None:
        self.issues: dict[str, list[dict[str, Any]]] = {}

    def update(self, repo: str, number: int, at: int) -> None:
        issue = next(one for one in self.issues[repo] if one["number"] == number)
        issue.update(updated_at=instant(at), comments=issue["comments"] + 1)

    def repos(self, asked: Asked) -> Answered:
        return Answered([{"id": place, "full_name": name} for place, name in enumerate(self.issues)])

    def __call__(self, asked: Asked) -> Answered:
        size, number = int(asked.params.get("per_page", 30)), int(asked.params.get("page", 1))
        found = [one for one in self.issues[asked.given["repo"]] if one["updated_at"] >= asked.params.get("since", "")]
        sort = {"updated": "updated_at", "created": "created_at"}[asked.params.get("sort", "created")]
        found.sort(key=lambda one: one[sort], reverse=asked.params.get("direction", "desc") == "desc")
        links = []
        if number * size < len(found):
            last = -(-len(found) // size)
            links = [f'<{asked.page(page=number + 1)}>; rel="next"', f'<{asked.page(page=last)}>; rel="last"']
        return Answered(found[(number - 1) * size : number * size], headers={"Link": ", ".join(links)} if links else {})


def _issue(number: int, at: int | None = None) -> dict[str, Any]:
    made = instant(number)
    user = {"login": "octo", "id": 1}
    return {
        **{"id": 1000 + number, "number": number, "title": f"Issue {number}", "state": "open", "comments": 0},
        **{"user": user, "labels": [{"name": "bug"}], "created_at": made, "updated_at": instant(at or number)},
    }


_GITHUB = {
    "repos": {"path": "/orgs/acme/repos", "paging": {"type": "link"}},
    "issues": {
        "path": "/repos/{repo}/issues",
        "parent": {"stream": "repos", "as": {"repo": "$.full_name"}},
        "params": {"state": "all", "sort": "updated", "direction": "asc", "per_page": 5},
        "paging": {"type": "link"},
        "cursor": {"field": "$.updated_at", "param": "since", "order": "ascending"},
        "key": "$.id",
    },
}


@pytest.fixture
def github() -> Iterator[tuple[GitHub, ApiServer]]:
    api = GitHub()
    api.issues = {"acme/mill": [_issue(number) for number in range(12)], "acme/tide": [_issue(90)]}
    routes = {"/orgs/acme/repos": api.repos, "/repos/{repo}/issues": api}
    with ApiServer(routes, wants={"Authorization": "Bearer ghp_secret"}) as server:
        yield api, server


def _github(server: ApiServer, folder: Path) -> Any:
    streams = {name: _GITHUB[name] for name in ("issues", "repos")}
    return source(server, folder, auth={"type": "bearer", "token": "ghp_secret"}, streams=streams)


def test_issues_that_move_while_pages_are_read_are_neither_lost_nor_doubled(
    github: tuple[GitHub, ApiServer], tmp_path: Path
) -> None:
    api, server = github

    def busy(count: int) -> None:
        if count == 2:  # between the first page and the second
            api.update("acme/mill", 0, at=50)
            api.update("acme/mill", 1, at=51)

    server.before = busy
    batches, cursor = land(_github(server, tmp_path), budget=Budget(bytes=1))
    assert sorted(ids(batches)) == sorted([*range(1000, 1012), 1000, 1001, 1090])
    assert land(_github(server, tmp_path), cursor)[0] == []
    api.update("acme/mill", 7, at=120)
    api.issues["acme/late"] = [_issue(3)]
    batches, _ = land(_github(server, tmp_path), cursor)
    assert sorted(ids(batches)) == [1003, 1007]


def test_a_document_says_which_repository_it_was_asked_for(github: tuple[GitHub, ApiServer], tmp_path: Path) -> None:
    _, server = github
    batches, _ = land(_github(server, tmp_path))
    rows = [row for batch in batches for row in batch.rows.to_pylist()]
    assert {json.loads(row["document"])["_parent"]["repo"] for row in rows} == {"acme/mill", "acme/tide"}
    assert {row["_origin"] for row in rows} == {
        f"{server.url}/repos/acme/mill/issues",
        f"{server.url}/repos/acme/tide/issues",
    }


def test_a_limit_that_is_used_up_is_waited_for_until_it_is_reset(
    github: tuple[GitHub, ApiServer], tmp_path: Path
) -> None:
    _, server = github
    from catchment.generate.server import Fault

    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": f"{time.time() + 1.2:.2f}"}
    server.faults.extend([None, Fault("status", status=403, headers=spent)])
    began = time.monotonic()
    batches, _ = land(_github(server, tmp_path))
    assert len(ids(batches)) == 13
    assert time.monotonic() - began > 0.2


def test_a_token_that_is_refused_is_told_with_its_cure_and_not_shown(
    github: tuple[GitHub, ApiServer], tmp_path: Path
) -> None:
    _, server = github
    made = source(server, tmp_path, auth={"type": "bearer", "token": "ghp_wrong"}, streams={"repos": _GITHUB["repos"]})
    with pytest.raises(ConfigError, match=r"answers 401 .*Bad credentials") as refused:
        land(made)
    assert "auth" in (refused.value.hint or "")
    assert "ghp" not in str(refused.value)
    assert len(server.asked) == 1


class Stripe:
    """A list, newest first: `starting_after`, `has_more`, `created[gte]`."""

    def __init__(self, count: int) -> None:
        self.charges = [self.charge(number) for number in range(count)]

    @staticmethod
    def charge(number: int) -> dict[str, Any]:
        created = 1_790_000_000 + 60 * number
        return {"id": f"ch_{number:04d}", "object": "charge", "amount": 1000 + number, "created": created}

    def __call__(self, asked: Asked) -> Answered:
        least, size = int(asked.params.get("created[gte]", 0)), int(asked.params.get("limit", 10))
        found = [one for one in reversed(self.charges) if one["created"] >= least]
        after = asked.params.get("starting_after")
        begin = 0 if after is None else [one["id"] for one in found].index(after) + 1
        page = found[begin : begin + size]
        more = begin + size < len(found)
        return Answered({"object": "list", "url": "/v1/charges", "has_more": more, "data": page})


_STRIPE = {
    "path": "/v1/charges",
    "records": "$.data[*]",
    "params": {"limit": 4},
    "paging": {"type": "cursor", "param": "starting_after", "next": "$.data[-1].id", "more": "$.has_more"},
    "cursor": {"field": "$.created", "format": "epoch", "param": "created[gte]", "lookback": "2 minutes"},
    "key": "$.id",
}


def test_a_list_that_is_newest_first_is_read_on_from_its_newest_once_it_was_read_to_its_end(tmp_path: Path) -> None:
    api = Stripe(10)
    with ApiServer({"/v1/charges": api}, wants={"Authorization": "Basic c2tfdGVzdF94eXo6"}) as server:

        def made() -> Any:
            auth = {"type": "basic", "user": "sk_test_xyz", "password": ""}
            return source(server, tmp_path, auth=auth, streams={"charges": _STRIPE})

        def busy(count: int) -> None:
            if count == 1:
                api.charges.append(api.charge(10))

        server.before = busy
        reading = made().read(made().feeds()[0], None, Budget(bytes=1))
        first = next(reading)
        reading.close()
        assert first.cursor is not None
        rest, cursor = land(made(), first.cursor)
        found = [json.loads(text)["id"] for batch in (first, *rest) for text in batch.rows["document"].to_pylist()]
        assert sorted(found) == [f"ch_{number:04d}" for number in range(11)]
        assert land(made(), cursor)[0] == []
        api.charges.insert(0, {**api.charge(9), "id": "ch_late"})
        api.charges.append(api.charge(11))
        late = [
            json.loads(text)["id"] for batch in land(made(), cursor)[0] for text in batch.rows["document"].to_pylist()
        ]
        assert sorted(late) == ["ch_0011", "ch_late"]


class Shopify:
    """A connection whose queries cost points, which come back as time goes by; too little left is an error in a 200."""

    def __init__(self, count: int, most: float, rate: float) -> None:
        self.products = [
            {"id": f"gid://shop/Product/{number}", "updatedAt": instant(number)} for number in range(count)
        ]
        self.most, self.rate, self.left, self.at, self.throttled = most, rate, most, time.monotonic(), 0
        self.asked: list[dict[str, Any]] = []

    def __call__(self, asked: Asked) -> Answered:
        variables = asked.body["variables"]
        self.asked.append(variables)
        now = time.monotonic()
        self.left, self.at = min(self.most, self.left + (now - self.at) * self.rate), now
        cost = variables["first"] + 2
        status = {"maximumAvailable": self.most, "currentlyAvailable": self.left, "restoreRate": self.rate}
        extensions = {"cost": {"requestedQueryCost": cost, "actualQueryCost": None, "throttleStatus": status}}
        if self.left < cost:
            self.throttled += 1
            error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
            return Answered({"errors": [error], "extensions": extensions})
        self.left -= cost
        since = (variables.get("filter") or "updated_at:>=''").split("'")[1]
        found = [one for one in self.products if one["updatedAt"] >= since]
        begin = int(variables.get("after") or 0)
        page = found[begin : begin + variables["first"]]
        info = {"hasNextPage": begin + len(page) < len(found), "endCursor": str(begin + len(page))}
        extensions["cost"]["throttleStatus"] = {**status, "currentlyAvailable": self.left}
        nodes = [{"node": one} for one in page]
        return Answered({"data": {"products": {"edges": nodes, "pageInfo": info}}, "extensions": extensions})


def test_a_throttled_connection_is_asked_as_fast_as_it_lets_itself_be_asked(tmp_path: Path) -> None:
    api = Shopify(30, most=12, rate=40)
    stream = {
        "query": "query($first: Int!, $after: String, $filter: String) { products(first: $first) { edges { node } } }",
        "variables": {"first": 5},
        "records": "$.data.products.edges[*].node",
        "paging": {"type": "relay", "connection": "$.data.products"},
        "cursor": {"field": "$.updatedAt", "variable": "filter", "template": "updated_at:>='{cursor}'"},
        "key": "$.id",
    }
    with ApiServer({"/admin/api/graphql.json": api}, wants={"X-Shopify-Access-Token": "shpat_1"}) as server:
        auth = {"type": "api_key", "header": "X-Shopify-Access-Token", "value": "shpat_1"}
        url = f"{server.url}/admin/api/graphql.json"

        def made() -> Any:
            return source(server, tmp_path, kind="graphql", url=url, auth=auth, streams={"products": stream})

        batches, cursor = land(made())
        assert sum(batch.rows.num_rows for batch in batches) == 30
        assert api.throttled <= 1
        assert land(made(), cursor)[0] == []
        assert api.asked[-1]["filter"] == f"updated_at:>='{instant(29)}'"
        api.left, api.at = 0.0, time.monotonic()
        api.products.append({"id": "gid://shop/Product/99", "updatedAt": instant(99)})
        assert sum(batch.rows.num_rows for batch in land(made(), cursor)[0]) == 1
        assert api.throttled >= 1


def test_half_an_answer_beside_errors_is_not_taken(tmp_path: Path) -> None:
    half = {"data": {"reviews": {"edges": [{"node": {"id": 1}}]}}, "errors": [{"message": "price service is down"}]}
    with ApiServer({"/graphql": lambda _: Answered(half)}) as server:
        stream = {"query": "{ reviews { edges { node { id } } } }", "records": "$.data.reviews.edges[*].node"}
        made = source(server, tmp_path, kind="graphql", streams={"reviews": stream})
        with pytest.raises(Exception, match="price service is down") as stopped:
            land(made)
        assert not isinstance(stopped.value, RetryableError)
