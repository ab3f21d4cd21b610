"""`catchment receive`: what it says, what `check` says of it, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest

from catchment.cli import main
from catchment.cli.receive import _said
from catchment.events import DeliveriesCounted, Noticed, ReceiverStarted, ReceiverStopped

PROJECT = """\
name: shop
sources:
  hooks:
    type: webhooks
    streams:
      internal: {path: /internal, scheme: none}
      pushes: {path: /github, scheme: github, secret: "${env:PUSHES_SECRET}", topic: code.pushes}
"""
AT = datetime(2026, 11, 21, 12, 4, 10, tzinfo=UTC)

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUSHES_SECRET", "a secret of ours")
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    return tmp_path


def test_check_says_aloud_that_nobody_signs(folder: Path, capsys: Captured) -> None:
    assert main(["check"]) == 0
    told = capsys.readouterr()
    assert "catchment.yaml:6:" in told.out + told.err
    assert "hooks.streams.internal.scheme: nobody signs these deliveries" in told.out + told.err
    assert "1 warning" in told.out + told.err


def test_it_takes_what_comes_and_ends_in_peace_when_it_is_asked_to(folder: Path) -> None:
    command = [str(Path(sys.executable).with_name("catchment")), "receive", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        said = [process.stderr.readline() for _ in range(4)]
        address = said[1].split()[3].rstrip(",")
        with urllib.request.urlopen(f"{address}/internal", data=b'{"a": 1}') as answer:
            assert answer.read() == b'{"status": "taken"}\n'
        process.send_signal(signal.SIGINT)
        err, out = process.stderr.read(), process.stdout.read()
    assert (process.returncode, out) == (0, "")
    assert said == [
        "warning: hooks.internal takes from anybody who reaches /internal (scheme: none)\n",
        f"taking webhooks at {address}, 2 endpoints   (Ctrl-C stops cleanly)\n",
        "  /internal  hooks.internal  topic internal\n",
        "  /github    hooks.pushes    topic code.pushes\n",
    ]
    assert "hooks.internal  1 taken   p99 " in err
    assert ": 1 taken, 0 repeated\n" in err


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--source", "hook"], "no source `hook` of type webhooks", "did you mean `hooks`?"),
        (["--target", "cloud"], "no target `cloud`", "there are local"),
    ],
)
def test_what_it_cannot_do_is_said_with_a_cure(
    folder: Path, capsys: Captured, words: list[str], message: str, hint: str
) -> None:
    assert main(["receive", *words]) == 1
    assert capsys.readouterr().err == f"error: {message}\nhint: {hint}\n"


def test_a_secret_that_is_missing_is_named_by_its_reference(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUSHES_SECRET")
    assert main(["receive"]) == 1
    told = capsys.readouterr().err
    assert "sources.hooks.streams.pushes.secret: environment variable `PUSHES_SECRET` is not set" in told


def test_without_its_packages_the_extra_is_named(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in ("catchment.receive.serving", "catchment.receive.guarding"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert main(["receive"]) == 1
    assert capsys.readouterr().err == (
        "error: cannot take webhooks: package `uvicorn` is not installed\nhint: pip install 'catchment[webhooks]'\n"
    )


def test_what_came_is_one_calm_line_a_stream(capsys: Captured) -> None:
    _said(
        DeliveriesCounted(
            at=AT, stream="hooks.pushes", taken=1204, repeated=3, refused={"forged": 1, "stale": 1}, p99_ms=9.1
        )
    )
    _said(DeliveriesCounted(at=AT, stream="", taken=0, repeated=0, refused={"unknown_path": 2}))
    _said(DeliveriesCounted(at=AT, stream="hooks.pushes", taken=0, repeated=0, refused={"busy": 7}))
    _said(Noticed(at=AT, step="receive", kind="unwritten", message="nothing can be written: the disk is full"))
    _said(ReceiverStopped(at=AT, taken=1204, repeated=3, refused={"forged": 1}, seconds=61.2))
    _said(ReceiverStarted(at=AT, address="http://127.0.0.1:8080", endpoints=[("/a", "b.c", "c")]))
    assert capsys.readouterr().err.splitlines() == [
        "12:04:10  hooks.pushes  1,204 taken   3 repeated   2 refused (1 forged, 1 stale)   p99 9.1 ms",
        "12:04:10  (no endpoint)  2 refused (2 unknown path)",
        "12:04:10  hooks.pushes  7 refused (7 busy)",
        "12:04:10  note: nothing can be written: the disk is full",
        "stopped after 1 min 1 s: 1,204 taken, 3 repeated, 1 refused (1 forged)",
        "taking webhooks at http://127.0.0.1:8080, 1 endpoint   (Ctrl-C stops cleanly)",
        "  /a  b.c  topic c",
    ]
