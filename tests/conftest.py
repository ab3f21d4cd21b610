"""One process is one call of the command line, and a test may make many."""

from __future__ import annotations

import pytest

from catchment.cli import hints


@pytest.fixture(autouse=True)
def no_call_before() -> None:
    hints.begin(None, None)
