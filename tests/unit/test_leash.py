"""A command on a leash ends when we do, however we do, and takes its folder with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catchment import leash

_PARENT = """\
import pathlib, subprocess, sys, time
from catchment import leash
held = leash.started(sys.argv[1:], stderr=subprocess.PIPE, remove=pathlib.Path("secrets"))
print(held.stdout.readline().decode().strip(), flush=True)
time.sleep(60)
"""
_CHILD = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def _is_alive(pid: int) -> bool:
    """Not gone, and no process that has ended and waits for who asks how."""
    told = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(told.strip()) and not told.strip().startswith("Z")


def _ends(pid: int) -> bool:
    until = time.monotonic() + 10
    while _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not _is_alive(pid)


def test_it_ends_with_who_started_it_even_when_that_one_is_killed(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("an-open-secret", encoding="utf-8")
    words = [sys.executable, "-c", _PARENT, sys.executable, "-c", _CHILD]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _is_alive(child)
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait()
    assert _ends(child)
    assert not (tmp_path / "secrets").exists()


@pytest.mark.parametrize(
    ("code", "ends"), [("pass", 0), ("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", 137)]
)
def test_its_code_is_the_commands(tmp_path: Path, code: str, ends: int) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    held = leash.started([sys.executable, "-c", code], stderr=subprocess.PIPE, within=tmp_path, remove=folder)
    assert held.wait(30) == ends
    leash.end(held)
    assert not folder.exists()


def test_what_cannot_be_started_says_so(tmp_path: Path) -> None:
    held = leash.started([str(tmp_path / "nothing")], stderr=subprocess.PIPE)
    assert held.stderr is not None
    assert held.wait(30) == 127
    assert b"nothing: No such file or directory" in held.stderr.read()
    leash.end(held)


def test_who_does_not_want_to_end_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leash, "_PATIENCE_S", 0.3)
    deaf = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(os.getpid(), flush=True)"
    held = leash.started([sys.executable, "-c", f"{deaf}; time.sleep(60)"], stderr=subprocess.PIPE)
    assert held.stdout is not None
    child = int(held.stdout.readline())
    leash.end(held)
    leash.end(held)
    assert _ends(child)
