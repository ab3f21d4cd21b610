from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from catchment.generate.routes import Collection
from catchment.generate.server import ApiServer
from catchment.interfaces import Source
from catchment.testing.sources import SourcePromises
from tests.services.http.api import REVIEWS, collection, no_text, record, reviews, source

SINCE = {"field": "$.updated_at", "param": "since"}


class _OverHttp(SourcePromises):
    """Pages of three records."""

    forgetful = True
    way: ClassVar[str] = "page"
    stream: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path) -> Iterator[None]:
        self.folder = tmp_path
        self.held = self.collection()
        with ApiServer(self.routes()) as self.server:
            yield

    def collection(self) -> Collection:
        return collection(self.way)

    def routes(self) -> dict[str, Any]:
        return {"/items": self.held}

    def source(self) -> Source:
        return source(self.server, self.folder, streams={"items": {"path": "/items", **self.stream}})

    def add_rows(self, count: int) -> None:
        begin = len(self.held.records)
        self.held.records += [record(begin + number) for number in range(count)]

    def add_unreadable(self) -> None:
        self.held.records.append(no_text(len(self.held.records)))


class TestNumberedPagesKeepThePromises(_OverHttp):
    stream: ClassVar[dict[str, Any]] = {
        "records": "$.items[*]",
        "paging": {"type": "page", "size_param": "per_page", "size": 3},
        "cursor": SINCE,
        "key": "$.id",
    }


class TestPagesWithATotalKeepThePromises(_OverHttp):
    stream: ClassVar[dict[str, Any]] = {
        "records": "$.items[*]",
        "paging": {"type": "page", "pages": "$.pages"},
        "cursor": SINCE,
    }


class TestOffsetsKeepThePromises(_OverHttp):
    way = "offset"
    stream: ClassVar[dict[str, Any]] = {
        "records": "$.items[*]",
        "paging": {"type": "offset", "size": 3},
        "cursor": {**SINCE, "lookback": "5 minutes"},
        "key": "$.id",
    }


class TestOffsetsWithoutAKeyKeepThePromises(_OverHttp):
    way = "offset"
    stream: ClassVar[dict[str, Any]] = {
        "records": "$.items[*]",
        "paging": {"type": "offset", "size": 3, "until": "$.total"},
        "cursor": SINCE,
    }


class TestCursorsKeepThePromises(_OverHttp):
    way = "cursor"
    stream: ClassVar[dict[str, Any]] = {
        "records": "$.items[*]",
        "paging": {"type": "cursor", "param": "after", "next": "$.meta.next"},
        "cursor": SINCE,
    }


class TestLinksKeepThePromises(_OverHttp):
    way = "link"
    stream: ClassVar[dict[str, Any]] = {"paging": {"type": "link"}, "cursor": SINCE, "key": "$.id"}


class TestSortedPagesKeepThePromises(_OverHttp):
    way = "link"
    stream: ClassVar[dict[str, Any]] = {
        "paging": {"type": "link"},
        "params": {"order": "asc"},
        "cursor": {**SINCE, "order": "ascending"},
        "key": "$.id",
    }


class TestNextAddressesKeepThePromises(_OverHttp):
    way = "next_url"
    stream: ClassVar[dict[str, Any]] = {
        "records": "$.items[*]",
        "paging": {"type": "next_url", "next": "$.next"},
        "cursor": SINCE,
    }


class TestWholeStreamsKeepThePromises(_OverHttp):
    whole = True
    stream: ClassVar[dict[str, Any]] = {"records": "$.items[*]", "paging": {"type": "page"}, "key": "$.id"}


class TestOneAnswerKeepsThePromises(_OverHttp):
    whole = True
    way = "all"
    stream: ClassVar[dict[str, Any]] = {"records": "$.items[*]"}


class TestChildrenOfOtherRecordsKeepThePromises(_OverHttp):
    """Each box holds every third record; a box more comes with each record."""

    way = "cursor"

    def routes(self) -> dict[str, Any]:
        boxes = Collection("boxes", [{"name": f"box {number}"} for number in range(3)])
        return {"/boxes": boxes, "/boxes/{box}/items": self.held}

    def source(self) -> Source:
        items = {
            "path": "/boxes/{box}/items",
            "parent": {"stream": "boxes", "as": {"box": "$.name"}},
            "records": "$.items[*]",
            "paging": {"type": "cursor", "param": "after", "next": "$.meta.next"},
            "cursor": SINCE,
            "key": "$.id",
        }
        boxes = {"path": "/boxes", "records": "$.boxes[*]"}
        return source(self.server, self.folder, streams={"items": items, "boxes": boxes})

    def add_rows(self, count: int) -> None:
        begin = len(self.held.records)
        self.held.records += [record(at, box=f"box {at % 3}") for at in range(begin, begin + count)]


class TestRelayConnectionsKeepThePromises(_OverHttp):
    def collection(self) -> Collection:
        self.connection = reviews()
        return self.connection.collection

    def routes(self) -> dict[str, Any]:
        return {"/graphql": self.connection}

    def source(self) -> Source:
        stream = {
            "query": REVIEWS,
            "variables": {"first": 3},
            "records": "$.data.reviews.edges[*].node",
            "paging": {"type": "relay", "connection": "$.data.reviews"},
            **self.more(),
        }
        return source(self.server, self.folder, kind="graphql", streams={"reviews": stream})

    def more(self) -> dict[str, Any]:
        return {"cursor": {"field": "$.updated_at", "variable": "since"}, "key": "$.id"}


class TestWholeQueriesKeepThePromises(TestRelayConnectionsKeepThePromises):
    whole = True

    def more(self) -> dict[str, Any]:
        return {
            "paging": {
                "type": "cursor",
                "variable": "after",
                "next": "$.data.reviews.pageInfo.endCursor",
                "more": "$.data.reviews.pageInfo.hasNextPage",
            }
        }
