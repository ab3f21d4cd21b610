"""`catchment generate` as far as it needs no server; tests/services/shop has the rest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner

from catchment.cli.group import catchment
from catchment.errors import ConfigError
from catchment.generate.server import ApiServer


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("sqlite:///shop.db", "nothing puts the shop into sqlite", "there are postgres, mongodb, redis"),
        ("http://0.0.0.0:8099", "served on this machine only", "write http://127.0.0.1:8099"),
        ("http://127.0.0.1:8099/shop", "served on this machine only", "write http://127.0.0.1:8099"),
        ("ftp://somewhere", "no way to find tables at ftp", "write an address"),
        ("${env:NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE", ""),
    ],
)
def test_a_place_that_does_not_do_is_told_with_what_does(url: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        CliRunner().invoke(catchment, ["generate", "--into", url], catch_exceptions=False)
    assert hint in (raised.value.hint or "")


def test_a_port_that_is_taken_is_told() -> None:
    with ApiServer({}) as taken, pytest.raises(ConfigError, match="cannot listen at") as raised:
        CliRunner().invoke(catchment, ["generate", "--into", taken.url, "--days", "1"], catch_exceptions=False)
    assert raised.value.hint == "name another port"


def test_the_shop_is_served_until_somebody_stops_it(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "catchment", "generate", "--into", "http://127.0.0.1:0", "--days", "2", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path, text=True) as served:
        try:
            assert served.stdout is not None
            told = ""
            while "}" not in told:
                told += served.stdout.readline()
            url = json.loads(told)["url"]
            with urllib.request.urlopen(f"{url}/v1/rates?per_page=1") as answer:
                assert json.loads(answer.read())["total"] == 12
            served.send_signal(signal.SIGTERM)
            assert served.wait(20) == 0
        finally:
            served.kill()
    assert list(tmp_path.iterdir()) == []
