"""What stands behind options: what is none there is wrong use, told before a project is looked at."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from catchment.cli import main
from catchment.cli.values import ADDRESS, LOADS, MOMENT, RETENTION, TIME


def test_what_is_read() -> None:
    first = datetime(2026, 11, 1, tzinfo=UTC)
    assert ADDRESS("127.0.0.1:8080") == ("127.0.0.1", 8080)
    assert ADDRESS("[::1]:80") == ("::1", 80)
    assert ADDRESS(":8080") == ("", 8080)
    assert LOADS("2-5") == (1, 5)
    assert LOADS(" 7 ") == (6, 7)
    assert (MOMENT("5"), MOMENT("2026-11-01"), TIME("2026-11-01T01:00+01:00")) == (5, first, first)
    assert RETENTION("36 hours") == timedelta(hours=36)


LENGTH = "`{}` is no length of time; write 30s, 10m or 2 hours"
TIME_OF = "`{}` is no time; write 2026-11-01T08:30Z, or 2026-11-01 for its start in UTC"
ADDRESS_OF = "`{}` is no address to listen on; write one such as 127.0.0.1:8080"


@pytest.mark.parametrize(
    ("words", "option", "told"),
    [
        (["stream", "--for", "soon"], "--for", LENGTH),
        (["stream", "--for", "0s"], "--for", LENGTH),
        (["generate", "--for", ""], "--for", LENGTH),
        (["stream", "--health", "8090"], "--health", ADDRESS_OF),
        (["stream", "--health", "127.0.0.1:99999"], "--health", ADDRESS_OF),
        (["live", "serve", "--listen", "here:http"], "--listen", ADDRESS_OF),
        (["receive", "--listen", "here"], "--listen", ADDRESS_OF),
        (["stream", "--share", "3/2"], "--share", "`{}` is no share; write 1/3, 2/3 and 3/3 for three processes"),
        (["maintain", "--retention", "soon"], "--retention", LENGTH),
        (
            ["maintain", "--retention", "5 minutes"],
            "--retention",
            "a retention of {} is too short: a run that goes on now could lose its files; keep an hour at least",
        ),
        (["restore", "silver.users", "--to-time", "5"], "--to-time", TIME_OF),
        (["restore", "silver.users", "--to-time", "yesterday"], "--to-time", TIME_OF),
        (["rewind", "drops.users", "--to-time", "5"], "--to-time", TIME_OF),
        (["backfill", "silver.users", "--since", "5"], "--since", TIME_OF),
        (["backfill", "silver.users", "--until", "then"], "--until", TIME_OF),
        (
            ["backfill", "silver.users", "--loads", "5-"],
            "--loads",
            "`{}` is no span of loads; write two numbers, such as 2-5, or one",
        ),
        (
            ["query", "select 1", "--as-of", "then"],
            "--as-of",
            "`{}` is neither a version nor a time; write 5, 2026-11-01T08:30Z or 2026-11-01 (its start, in UTC)",
        ),
        (["generate", "--start", "tomorrow"], "--start", TIME_OF),
        (["generate", "--rate", "fast"], "--rate", "`{}` is no rate; write 120/min, 1000/s, 10/hour or max"),
        (["generate", "--rate", "0/s"], "--rate", "`{}` is no rate; write 120/min, 1000/s, 10/hour or max"),
        (
            ["generate", "--rate", "99999999999999999999999/s"],
            "--rate",
            "{} is too fast; write max for as fast as it goes",
        ),
        (["generate", "--rate", "0.00000000000000000000001/h"], "--rate", "{} is too slow; write 10/hour, for example"),
        (["generate", "--late", "2"], "--late", "2.0 is not in the range 0<=x<=1."),
    ],
)
def test_what_is_none_is_wrong_use(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    option: str,
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # where no project is
    assert main(words) == 2
    command = " ".join(word for word in words[:2] if word in {words[0], "serve"})
    said = f"error: Invalid value for '{option}': {told.format(words[-1])}\nhint: catchment {command} --help\n"
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["backfill", "silver.users", "--loads", "2", "--since", "2026-11-01"], "--loads and times both name the span"),
        (["run", "--rebuild", "silver.users", "--forward", "silver.users"], "cannot go forward and be rebuilt"),
    ],
)
def test_options_that_exclude_each_other_are_wrong_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert told in capsys.readouterr().err
