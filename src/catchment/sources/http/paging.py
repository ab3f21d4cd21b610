"""Ways from page to page. A way is a function of a position and a page: what to ask, and which position comes next.

Positions are small JSON values: they ride in the cursor, so that a read goes on where the last one was killed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from catchment.reading.selectors import Steps
from catchment.records import JSON
from catchment.sources.http.pages import Page
from catchment.sources.http.requests import Request

# So many records at the end of a page are known again on the next one.
_REMEMBERED = 20

Known = Callable[[Page], Sequence[str | None]]


class Paging(ABC):
    """One way."""

    @abstractmethod
    def first(self) -> JSON:
        """Where it begins."""

    @abstractmethod
    def ask(self, request: Request, position: JSON) -> Request:
        """The request for the page at a position."""

    @abstractmethod
    def next(self, position: JSON, page: Page) -> JSON | None:
        """The position after a page, None at the end."""


@dataclass(frozen=True)
class Once(Paging):
    """One answer holds everything."""

    def first(self) -> JSON:
        return {}

    def ask(self, request: Request, position: JSON) -> Request:
        return request

    def next(self, position: JSON, page: Page) -> JSON | None:
        return None


@dataclass(frozen=True)
class Numbered(Paging):
    """Pages by number. `until` and `pages` tell the end; without them it is the first page without a record."""

    param: str
    start: int
    size: tuple[str, int] | None = None
    until: Steps | None = None
    pages: Steps | None = None

    def first(self) -> JSON:
        return {"page": self.start, "read": 0}

    def ask(self, request: Request, position: JSON) -> Request:
        return _sized(request, self.size).saying(self.param, position["page"])

    def next(self, position: JSON, page: Page) -> JSON | None:
        read = position["read"] + len(page.records)
        total, pages = _count(page, self.until), _count(page, self.pages)
        done = position["page"] + 1 - self.start
        if not page.records or (total is not None and read >= total) or (pages is not None and done >= pages):
            return None
        return {"page": position["page"] + 1, "read": read}


@dataclass(frozen=True)
class Offset(Paging):
    """So many records left out. With `known` pages overlap by a record.

    Where the last record of a page is not on the next one, records went while they were read, and those that moved up
    would be missed: it goes a page back.
    """

    param: str
    size: tuple[str, int]
    until: Steps | None = None
    known: Known | None = None

    def first(self) -> JSON:
        return {"offset": 0}

    def ask(self, request: Request, position: JSON) -> Request:
        return _sized(request, self.size).saying(self.param, position["offset"])

    def next(self, position: JSON, page: Page) -> JSON | None:
        offset, last = position["offset"], position.get("last")
        keys = list(self.known(page)) if self.known is not None else []
        overlap = 0 if self.known is None else 1
        if last and offset and not set(last) & set(keys):
            return {"offset": max(0, offset - max(1, self.size[1] - overlap)), "last": last}
        end = offset + len(page.records)
        total = _count(page, self.until)
        if len(page.records) <= (overlap if offset else 0) or (total is not None and end >= total):
            return None
        if end - overlap <= offset:  # a page of one record has nothing to overlap with
            return {"offset": end}
        named = [key for key in keys[-_REMEMBERED:] if key is not None]
        return {"offset": end - overlap, "last": named} if overlap else {"offset": end}


@dataclass(frozen=True)
class Named(Paging):
    """An answer names what the next request says in a parameter, or a variable."""

    param: str
    path: Steps
    more: Steps | None = None
    size: tuple[str, int] | None = None

    def first(self) -> JSON:
        return {}

    def ask(self, request: Request, position: JSON) -> Request:
        sized = _sized(request, self.size)
        return sized.saying(self.param, position["after"]) if "after" in position else sized

    def next(self, position: JSON, page: Page) -> JSON | None:
        if self.more is not None and page.at(self.more) in (None, False, "", 0, "false"):
            return None
        after = page.at(self.path)
        return None if after is None or after is False or after == "" else {"after": after}


@dataclass(frozen=True)
class Addressed(Paging):
    """An answer holds the address of the next page: in the header `Link`, or at `path`.

    `hidden` is a parameter that carries a secret and is kept nowhere.
    """

    path: Steps | None = None
    rel: str = "next"
    hidden: str | None = None

    def first(self) -> JSON:
        return {}

    def ask(self, request: Request, position: JSON) -> Request:
        if "url" not in position:
            return request
        return Request(position["url"], request.method, {}, request.body)

    def next(self, position: JSON, page: Page) -> JSON | None:
        found = link(page.answer.headers.get("link", ""), self.rel) if self.path is None else page.at(self.path)
        if not isinstance(found, str) or not found:
            return None
        return {"url": self._ours(urljoin(page.answer.url, found), page.answer.url)}

    def _ours(self, url: str, of: str) -> str:
        """Without the secret; servers behind a proxy name themselves by http, or without their port."""
        parts, here = urlsplit(url), urlsplit(of)
        query = parts.query
        if self.hidden is not None:
            query = urlencode([pair for pair in parse_qsl(query, keep_blank_values=True) if pair[0] != self.hidden])
        same = parts.hostname == here.hostname and parts.port in (None, here.port)
        scheme, netloc = (here.scheme, here.netloc) if same else (parts.scheme, parts.netloc)
        return urlunsplit((scheme, netloc, parts.path, query, ""))


def link(header: str, rel: str) -> str | None:
    """The address that the header `Link` gives a name to."""
    for found in re.finditer(r"<([^<>]*)>((?:\s*;\s*[\w*!#$&+.^`|~-]+\s*=\s*(?:\"[^\"]*\"|[^\s,;\"]+))*)", header):
        for name, quoted, bare in re.findall(r";\s*([\w*-]+)\s*=\s*(?:\"([^\"]*)\"|([^\s,;\"]+))", found[2]):
            if name.lower() == "rel" and rel.lower() in (quoted or bare).lower().split():
                return found[1]
    return None


def _sized(request: Request, size: tuple[str, int] | None) -> Request:
    return request if size is None else request.saying(*size)


def _count(page: Page, path: Steps | None) -> int | None:
    value: Any = None if path is None else page.at(path)
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        return None
