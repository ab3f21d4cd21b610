"""One process is one call of the command line, and a test may make many."""

from __future__ import annotations

import signal

import pytest

from catchment.cli import hints

# A shell starts what it puts into the background deaf to Ctrl-C, and children inherit that: those of the tests are sent
# one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_call_before() -> None:
    hints.begin(None, None)
