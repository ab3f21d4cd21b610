"""One stream of an API: what to ask, where its records stand, how the next page is found, and what is new."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from catchment.reading.kinds.http import HttpCursor
from catchment.reading.selectors import Steps, steps
from catchment.sources.http.order import Order, Place
from catchment.sources.http.paging import Paging
from catchment.sources.http.requests import Answer, Request
from catchment.sources.http.rows import Identity


@dataclass(frozen=True)
class Since:
    """How a request says from where on."""

    param: str
    field: Steps
    order: Order
    template: str = "{cursor}"
    start: str | None = None
    ascending: bool = False

    @classmethod
    def of(cls, keys: HttpCursor, param: str, *, ascending: bool = False) -> Since:
        order = Order(keys.format, keys.send or keys.format, keys.lookback)
        return cls(param, steps(keys.field), order, keys.template, keys.start, ascending)

    def ask(self, request: Request, place: Place | None) -> Request:
        """From a place on; from the declared start where there is none."""
        written = self.start if place is None else self.order.written(place)
        return request if written is None else request.saying(self.param, self.template.replace("{cursor}", written))


@dataclass(frozen=True)
class Part:
    """The stream, or what it holds for one record of its parent."""

    name: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Part:
        return cls(json.dumps(given, sort_keys=True, ensure_ascii=False), given)


@dataclass(frozen=True)
class Above:
    """The parent, and where its records hold what is filled in."""

    endpoint: Endpoint
    given: Mapping[str, Steps]


@dataclass(frozen=True)
class Endpoint:
    """`origin` is where its records are from, `{names}` of a parent not yet filled in.

    `judge` looks at an answer before it is read and raises what is wrong with it.
    """

    feed: str
    origin: str
    request: Request
    records: Steps
    paging: Paging
    identity: Identity
    since: Since | None = None
    above: Above | None = None
    judge: Callable[[Answer], None] | None = None

    def asked(self, part: Part) -> Request:
        """The request for a part, what its parent gave filled in."""
        if not part.given:
            return self.request
        fill = _Fill(part.given)
        url = fill.path(self.request.url)
        return replace(
            self.request, url=url, params=fill.within(self.request.params), body=fill.within(self.request.body)
        )

    def origin_of(self, part: Part) -> str:
        """Where the records of a part are from."""
        return _Fill(part.given).path(self.origin)


_PLACE = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True)
class _Fill:
    given: Mapping[str, Any]

    def text(self, found: re.Match[str]) -> str:
        value = self.given.get(found[1])
        return found[0] if value is None else str(value)

    def path(self, text: str) -> str:
        return _PLACE.sub(lambda found: quote(self.text(found), safe="/"), text)

    def within(self, value: Any) -> Any:
        """A value with every `{name}` in it filled."""
        if isinstance(value, str):
            return _PLACE.sub(self.text, value)
        if isinstance(value, Mapping):
            return {key: self.within(item) for key, item in value.items()}
        if isinstance(value, Sequence):
            return [self.within(item) for item in value]
        return value
