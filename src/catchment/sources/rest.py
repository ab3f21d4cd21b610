"""REST: endpoints that answer with JSON, declared in catchment.yaml."""

from __future__ import annotations

from typing import Any

from catchment.reading.kinds.http import ApiKey
from catchment.reading.kinds.rest import (
    CursorPaging,
    LinkPaging,
    NextUrlPaging,
    OffsetPaging,
    PagePaging,
    Parent,
    RestStream,
)
from catchment.reading.selectors import Steps, steps
from catchment.sources.http.endpoint import Above, Endpoint, Since
from catchment.sources.http.paging import Addressed, Named, Numbered, Offset, Once, Paging
from catchment.sources.http.requests import Request, place
from catchment.sources.http.rows import Identity
from catchment.sources.http.source import HttpSource


class RestSource(HttpSource[RestStream]):
    """Streams of a REST API."""

    def endpoint(self, stream: str) -> Endpoint:
        keys = self._streams[stream]
        url = f"{self._address.url.rstrip('/')}/{keys.path.lstrip('/')}"
        body = keys.body or {} if keys.method == "POST" else None
        identity = Identity([steps(text) for text in keys.keys])
        cursor = keys.cursor
        return Endpoint(
            feed=f"{self.name}.{stream}",
            origin=place(self._address.url, keys.path),
            request=Request(url, keys.method, dict(keys.params), body),
            records=steps(keys.records),
            paging=self._paging(keys.paging, identity),
            identity=identity,
            since=None if cursor is None else Since.of(cursor, cursor.param, ascending=cursor.order == "ascending"),
            above=None if keys.parent is None else self._above(keys.parent),
        )

    def _above(self, parent: Parent) -> Above:
        return Above(self.endpoint(parent.stream), {name: steps(text) for name, text in parent.as_.items()})

    def _paging(self, keys: Any, identity: Identity) -> Paging:
        if isinstance(keys, PagePaging):
            until = None if keys.until == "empty" else steps(keys.until)
            return Numbered(keys.param, keys.start, _size(keys.size_param, keys.size), until, _steps(keys.pages))
        if isinstance(keys, OffsetPaging):
            until = None if keys.until == "empty" else steps(keys.until)
            overlaps = bool(identity.key) and keys.size > 1
            known = (lambda page: [identity.named(record) for record in page.records]) if overlaps else None
            return Offset(keys.param, (keys.size_param, keys.size), until, known)
        if isinstance(keys, CursorPaging):
            return Named(keys.param, steps(keys.next), _steps(keys.more), _size(keys.size_param, keys.size))
        if isinstance(keys, LinkPaging | NextUrlPaging):
            hidden = self._address.auth.query if isinstance(self._address.auth, ApiKey) else None
            if isinstance(keys, LinkPaging):
                return Addressed(rel=keys.rel, hidden=hidden)
            return Addressed(steps(keys.next), hidden=hidden)
        return Once()


def _size(param: str | None, size: int | None) -> tuple[str, int] | None:
    return None if param is None or size is None else (param, size)


def _steps(text: str | None) -> Steps | None:
    return None if text is None else steps(text)
