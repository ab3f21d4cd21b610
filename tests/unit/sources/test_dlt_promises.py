"""The bridge to dlt keeps what every source promises: documents and Arrow tables, by state, by key and whole."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from catchment.interfaces import Source
from catchment.sources.dlt.source import DltSource
from catchment.testing.sources import SourcePromises

CODE = """
import json
from pathlib import Path

import dlt

HERE = Path(__file__).parent


def rows():
    for page in sorted(HERE.glob("*.json")):
        for row in json.loads(page.read_text()):
            yield {**row, "odd": object()} if row["odd"] else row


@dlt.resource(primary_key="id")
def numbers(at=dlt.sources.incremental("id", initial_value=-1, row_order="asc")):
    for row in rows():
        yield row


@dlt.resource
def pages():
    done = dlt.current.resource_state().setdefault("done", [])
    for page in sorted(HERE.glob("*.json")):
        if page.name not in done:
            yield [{**row, "odd": object()} if row["odd"] else row for row in json.loads(page.read_text())]
            done.append(page.name)


@dlt.resource(write_disposition="merge", primary_key="id")
def keyed():
    yield list(rows())


@dlt.resource(write_disposition="replace")
def whole():
    yield from rows()


@dlt.source
def api(only: str = ""):
    return numbers, pages, keyed, whole


@dlt.resource(name="numbers")
def tables(at=dlt.sources.incremental("id", initial_value=-1)):
    import pyarrow as pa

    found = list(rows())
    if found:
        yield pa.table({"id": [row["id"] for row in found], "name": [row["name"] for row in found]})


@dlt.source(name="typed")
def typed():
    return tables
"""


@dataclass(frozen=True)
class Stream:
    resource: str | None = None
    full: bool | None = None


class DltPromises(SourcePromises):
    forgetful = True
    unsure = True
    place = "in/api.py:api"
    stream = Stream("numbers")

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.project = tmp_path
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "api.py").write_text(CODE)
        self.rows = 0

    def source(self) -> Source:
        return DltSource("api", {"things": self.stream, "others": Stream("pages")}, self.project, source=self.place)

    def put(self, *odd: bool) -> None:
        found = [{"id": self.rows + n, "name": f"n {self.rows + n}", "odd": is_odd} for n, is_odd in enumerate(odd)]
        self.rows += len(odd)
        page = len(list((self.project / "in").glob("*.json")))
        (self.project / "in" / f"{page:03}.json").write_text(json.dumps(found))

    def add_rows(self, count: int) -> None:
        self.put(*[False] * count)

    def add_unreadable(self) -> None:
        self.put(False, True)


class TestIncrementalResources(DltPromises):
    pass


class TestResourcesWithAStateOfTheirOwn(DltPromises):
    stream = Stream("pages")


class TestResourcesThatMergeByKey(DltPromises):
    stream = Stream("keyed")


class TestResourcesReadWhole(DltPromises):
    stream = Stream("whole", full=True)
    whole = True


class TestArrowTables(DltPromises):
    place = "in/api.py:typed"
    whole = False

    def source(self) -> Source:
        return DltSource("api", {"things": self.stream}, self.project, source=self.place)

    def test_what_cannot_be_read_is_a_row_with_its_raw_form_and_a_reason(self) -> None:
        """An Arrow table has no such rows."""
