"""Who is at work is known for as long as he is, also of processes that are killed."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from catchment.lake.at_work import at_work, since

WORKING = """
import sys, time
from pathlib import Path
from catchment.lake.at_work import at_work
with at_work(Path(sys.argv[1])):
    print("at work", flush=True)
    time.sleep(60)
"""


def test_the_first_who_is_still_at_work_is_the_one_that_counts(tmp_path: Path) -> None:
    assert since(tmp_path) is None
    with at_work(tmp_path):
        first = since(tmp_path)
        assert first is not None
        assert datetime.now(UTC) - first < timedelta(seconds=5)
        time.sleep(0.05)
        with at_work(tmp_path):
            assert since(tmp_path) == first
    assert since(tmp_path) is None
    assert not list((tmp_path / "_progress" / "_at_work").iterdir())


def test_who_was_killed_is_at_work_no_more(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", WORKING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "at work\n"
    assert since(tmp_path) is not None
    child.kill()
    child.communicate()
    assert since(tmp_path) is None


def test_a_folder_that_cannot_be_written_keeps_nobody_from_reading(tmp_path: Path) -> None:
    (tmp_path / "_progress").write_text("a file where a folder should be")
    with at_work(tmp_path):
        assert since(tmp_path) is None
