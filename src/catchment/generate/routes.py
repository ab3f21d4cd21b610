"""What APIs answer: records page by page in every way that APIs have, over REST and GraphQL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, urlencode

Way = Literal["all", "page", "offset", "cursor", "link", "next_url"]


@dataclass(frozen=True)
class Asked:
    """A request. `given` is what the route's path names, `turned` asks for a page's records in another order."""

    method: str
    url: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    given: Mapping[str, str] = field(default_factory=dict)
    turned: bool = False

    def page(self, **params: object) -> str:
        """The address of another page of the same."""
        return f"{self.url}{quote(self.path)}?{urlencode({**self.params, **params})}"


@dataclass(frozen=True)
class Answered:
    """An answer; a `body` that is no bytes is written as JSON."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else written(self.body)


Route = Callable[[Asked], Answered]


@dataclass(frozen=True)
class Record:
    """A record as it is written, for those that no JSON library would write."""

    text: bytes
    key: Any = None
    time: Any = None


@dataclass
class Collection:
    """Records that are given page by page. Those at or after `since` by their member `time`, where that is asked for.

    A member that the route's path names must be the record's own.
    """

    name: str
    records: list[Any]
    way: Way = "all"
    size: int = 50
    time: str = "updated_at"
    key: str = "id"

    def __call__(self, asked: Asked) -> Answered:
        found = self.chosen(asked)
        return getattr(self, f"_{self.way}")(asked, found)  # type: ignore[no-any-return]

    def chosen(self, asked: Asked) -> list[Any]:
        """The records that are asked for, in the order that is asked for."""
        found = [one for one in self.records if self._belongs(one, asked)]
        since = asked.params.get("since")
        if since is not None:
            found = [one for one in found if not _before(self._of(one, self.time), since)]
        if asked.params.get("order") in ("asc", "desc"):
            newest_first = asked.params["order"] == "desc"
            found.sort(key=lambda one: str(self._of(one, self.time) or ""), reverse=newest_first)
        return found

    def _belongs(self, one: Any, asked: Asked) -> bool:
        return isinstance(one, Record) or all(str(one.get(name)) == value for name, value in asked.given.items())

    def _of(self, one: Any, member: str) -> Any:
        if isinstance(one, Record):
            return one.key if member == self.key else one.time
        return one.get(member)

    def _all(self, asked: Asked, found: list[Any]) -> Answered:
        return Answered({self.name: self._turned(asked, found)})

    def _page(self, asked: Asked, found: list[Any]) -> Answered:
        size, number = int(asked.params.get("per_page", self.size)), int(asked.params.get("page", 1))
        records = found[(number - 1) * size : number * size]
        told = {"total": len(found), "pages": -(-len(found) // size)}
        return Answered({self.name: self._turned(asked, records), **told})

    def _offset(self, asked: Asked, found: list[Any]) -> Answered:
        size, begin = int(asked.params.get("limit", self.size)), int(asked.params.get("offset", 0))
        return Answered({self.name: self._turned(asked, found[begin : begin + size]), "total": len(found)})

    def _cursor(self, asked: Asked, found: list[Any]) -> Answered:
        size, after = int(asked.params.get("limit", self.size)), asked.params.get("after")
        begin = self.place(found, after)
        records = found[begin : begin + size]
        more = begin + size < len(found)
        following = str(self._of(records[-1], self.key)) if more else None
        return Answered({self.name: self._turned(asked, records), "meta": {"next": following}})

    def _link(self, asked: Asked, found: list[Any]) -> Answered:
        number, size = int(asked.params.get("page", 1)), int(asked.params.get("per_page", self.size))
        records = found[(number - 1) * size : number * size]
        links = [f'<{asked.page(page=1)}>; rel="first"']
        if number * size < len(found):
            links.insert(0, f'<{asked.page(page=number + 1)}>; rel="next"')
        return Answered(self._turned(asked, records), headers={"Link": ", ".join(links)})

    def _next_url(self, asked: Asked, found: list[Any]) -> Answered:
        number, size = int(asked.params.get("page", 1)), int(asked.params.get("per_page", self.size))
        records = found[(number - 1) * size : number * size]
        following = asked.page(page=number + 1) if number * size < len(found) else None
        return Answered({self.name: self._turned(asked, records), "next": following})

    def place(self, found: Sequence[Any], after: str | None) -> int:
        """Where the records after a key begin; where it is gone, at the first."""
        keys = [str(self._of(one, self.key)) for one in found]
        return 0 if after is None or after not in keys else keys.index(after) + 1

    def _turned(self, asked: Asked, records: list[Any]) -> list[Any]:
        return records[::-1] if asked.turned else records


@dataclass
class Connection:
    """A Relay connection over a collection, by the name of its field in a query; variables `first`, `after`, `since`.

    The query itself is not read: it must only name the field. With `points` a query costs what it asks for, and more is
    there to spend as time goes by: (all, back a second).
    """

    collection: Collection
    points: tuple[float, float] | None = None
    _left: float | None = None
    _at: float = 0.0

    def __call__(self, asked: Asked) -> Answered:
        body = asked.body if isinstance(asked.body, Mapping) else {}
        variables = body.get("variables") or {}
        name = self.collection.name
        if name not in str(body.get("query", "")):
            message = f"Field must be one of: {name}"
            return Answered({"errors": [{"message": message, "extensions": {"code": "GRAPHQL_VALIDATION_FAILED"}}]})
        size = int(variables.get("first") or self.collection.size)
        throttled, cost = self._spend(size)
        if throttled:
            errors = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
            return Answered({"errors": errors, "extensions": cost})
        params = {} if variables.get("since") is None else {"since": str(variables["since"])}
        found = self.collection.chosen(Asked("GET", "", "", params, {}, None))
        begin = self.collection.place(found, variables.get("after"))
        records = found[begin : begin + size]
        edges = [{"node": one, "cursor": str(self.collection._of(one, self.collection.key))} for one in records]
        edges = edges[::-1] if asked.turned else edges
        last = str(self.collection._of(records[-1], self.collection.key)) if records else None
        info = {"hasNextPage": begin + size < len(found), "endCursor": last}
        return Answered({"data": {name: {"edges": edges, "pageInfo": info}}, "extensions": cost})

    def _spend(self, wanted: float) -> tuple[bool, dict[str, Any]]:
        if self.points is None:
            return False, {}
        most, rate = self.points
        now = time.monotonic()
        left = most if self._left is None else min(most, self._left + (now - self._at) * rate)
        throttled = left < wanted
        self._left, self._at = (left if throttled else left - wanted), now
        status = {"maximumAvailable": most, "currentlyAvailable": self._left, "restoreRate": rate}
        return throttled, {"cost": {"requestedQueryCost": wanted, "throttleStatus": status}}


def written(value: Any) -> bytes:
    """JSON, in which records may stand as they are written."""
    if isinstance(value, Record):
        return value.text
    if isinstance(value, Mapping):
        return (
            b"{" + b",".join(json.dumps(str(key)).encode() + b":" + written(one) for key, one in value.items()) + b"}"
        )
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(written, value)) + b"]"
    return json.dumps(value, ensure_ascii=False).encode()


def _before(value: Any, since: str) -> bool:
    return value is not None and (value < int(since) if isinstance(value, int) else str(value) < since)
