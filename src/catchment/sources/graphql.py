"""GraphQL: queries that answer with JSON. An answer with errors is an error, whatever else it holds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from catchment.errors import ConfigError, DataError, RetryableError
from catchment.reading.kinds.graphql import GraphQLStream, RelayPaging, VariablePaging
from catchment.reading.selectors import steps
from catchment.sources.http.client import Client
from catchment.sources.http.endpoint import Endpoint, Since
from catchment.sources.http.paging import Named, Once, Paging
from catchment.sources.http.requests import Again, Answer, Request, place
from catchment.sources.http.rows import Identity
from catchment.sources.http.source import HttpSource

# `extensions.code` of errors, as Apollo, Shopify and others name them.
_THROTTLED = frozenset({"THROTTLED", "RATE_LIMITED", "TOO_MANY_REQUESTS"})
_PASSING = frozenset({"INTERNAL_SERVER_ERROR", "SERVICE_UNAVAILABLE", "TIMEOUT", "DOWNSTREAM_SERVICE_ERROR"})
_REFUSED = frozenset({"UNAUTHENTICATED", "FORBIDDEN", "ACCESS_DENIED", "UNAUTHORIZED"})
_SHOWN = 300


class GraphQLSource(HttpSource[GraphQLStream]):
    """Streams of a GraphQL API."""

    def endpoint(self, stream: str) -> Endpoint:
        keys, feed = self._streams[stream], f"{self.name}.{stream}"
        cursor = keys.cursor
        return Endpoint(
            feed=feed,
            origin=place(self._address.url),
            request=Request(self._address.url, "POST", {}, {"query": keys.query, "variables": dict(keys.variables)}),
            records=steps(keys.records),
            paging=_paging(keys.paging),
            identity=Identity([steps(text) for text in keys.keys]),
            since=None if cursor is None else Since.of(cursor, f"variables.{cursor.variable}"),
            judge=partial(_judge, self._client, feed),
        )


def _paging(keys: Any) -> Paging:
    if isinstance(keys, RelayPaging):
        info = (*steps(keys.connection), "pageInfo")
        return Named(f"variables.{keys.variable}", (*info, "endCursor"), (*info, "hasNextPage"))
    if isinstance(keys, VariablePaging):
        more = None if keys.more is None else steps(keys.more)
        return Named(f"variables.{keys.variable}", steps(keys.next), more)
    return Once()


def _judge(client: Client, feed: str, answer: Answer) -> None:
    """Raises what an answer of errors means; waits where little is left to spend."""
    try:
        told = json.loads(answer.content)
    except (ValueError, RecursionError):
        return  # whoever reads it says so
    if not isinstance(told, Mapping):
        return
    errors, wait = told.get("errors"), _wait(told)
    if not errors:
        if wait is not None:
            client.wait(wait)
        return
    listed = [error for error in errors if isinstance(error, Mapping)] if isinstance(errors, Sequence) else []
    codes = {str(_inside(error, "extensions", "code")).upper() for error in listed}
    first = str(listed[0].get("message", "")) if listed else str(errors)
    more = f", and {len(listed) - 1} more" if len(listed) > 1 else ""
    message = f"{feed}: the query is answered with an error: {client.scrubbed(first[:_SHOWN])}{more}"
    if codes & _THROTTLED or first.strip().lower() == "throttled":
        hint = "ask for fewer records a page, or less often: `rate`"
        raise Again(RetryableError(message, hint=hint), wait)
    if codes & _PASSING:
        raise Again(RetryableError(message, hint="the server is not well; run again"))
    if codes & _REFUSED:
        raise ConfigError(message, hint="look at `auth`, and at what its credentials may read")
    if told.get("data") is None:
        raise ConfigError(message, hint="correct `query` and `variables`")
    raise DataError(message, hint="half an answer is not taken; ask for less, or correct `query`")


def _wait(told: Mapping[str, Any]) -> float | None:
    """Seconds until there is enough to spend on the same query again, None where that is now or not told."""
    cost = _inside(told, "extensions", "cost")
    wanted, left = _inside(cost, "requestedQueryCost"), _inside(cost, "throttleStatus", "currentlyAvailable")
    rate = _inside(cost, "throttleStatus", "restoreRate")
    if not all(isinstance(value, int | float) for value in (wanted, left, rate)) or rate <= 0 or left >= wanted:
        return None
    return float((wanted - left) / rate)


def _inside(value: Any, *path: str) -> Any:
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value
