"""Taps made with singer-sdk and with singer-python: every promise of a source, and their children."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from tests.services.singer.conftest import Outside, Stream

from catchment.errors import ConfigError
from catchment.interfaces import Source
from catchment.records import Budget
from catchment.testing.sources import SourcePromises, rows_in


class TapPromises(SourcePromises):
    forgetful = True
    unsure = True
    library: ClassVar[str]
    stream = Stream()

    @pytest.fixture(autouse=True)
    def _tap(self, outside: Outside) -> None:
        self.outside = outside
        (outside.folder / "pages").mkdir()

    def source(self) -> Source:
        return self.outside.source(self.library, self.stream)

    def add_rows(self, count: int) -> None:
        self.outside.add(count)

    def add_unreadable(self) -> None:
        """A tap made with a library writes what can be read."""

    def test_what_cannot_be_read_is_a_row_with_its_raw_form_and_a_reason(self) -> None:
        """See tests/unit/sources/test_singer.py, with a tap that writes rubbish."""


class TestSdk(TapPromises):
    library = "sdk"


class TestPython(TapPromises):
    library = "python"


def _documents(outside: Outside, library: str, stream: Stream, **config: Any) -> list[Any]:
    source = outside.source(library, stream, **config)
    rows = rows_in(source.read(source.feeds()[0], None, Budget()))
    return [json.loads(row["document"]) for row in rows]


def test_children_come_with_their_parent_selected_or_not(outside: Outside) -> None:
    outside.add(2)
    expected = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for stream in (Stream("orders"), Stream("orders", along=["users"])):
        found = _documents(outside, "sdk", stream)
        assert [(one["user"], one["number"]) for one in found] == expected


def test_what_a_tap_misses_is_told_with_its_own_words(outside: Outside) -> None:
    outside.add(1)
    for library in ("sdk", "python"):
        source = outside.source(library, Stream())
        source._config = {}
        with pytest.raises(ConfigError, match="folder"):
            list(source.read(source.feeds()[0], None, Budget()))
