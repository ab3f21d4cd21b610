"""`catchment generate` as far as it needs no server; tests/services/shop has the rest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment
from catchment.errors import ConfigError
from catchment.generate.server import ApiServer
from catchment.topics.embedded import EmbeddedBroker


@pytest.mark.parametrize(
    ("url", "message", "hint"),
    [
        ("sqlite:///shop.db", "nothing puts the shop into sqlite", "there are postgres, mongodb, redis"),
        ("http://0.0.0.0:8099", "served on this machine only", "write http://127.0.0.1:8099"),
        ("http://127.0.0.1:8099/shop", "served on this machine only", "write http://127.0.0.1:8099"),
        ("http://127.0.0.1:99999", "is no address: port out of range", "write http://127.0.0.1:8099"),
        ("http://localhost:abc", "is no address", "write http://127.0.0.1:8099"),
        ("http://[::1", "is no address", "write http://127.0.0.1:8099"),
        ("ftp://me:secret@somewhere", "nothing puts the shop into ftp://…", "write topics, postgresql://"),
        ("topic", "nothing puts the shop into topic", "did you mean `topics`?"),
        ("nowhere", "nothing puts the shop into nowhere", "write topics, postgresql://"),
        ("postgresql://127.0.0.1:1/shop", "the database refused: .*refused", "does it run there"),
        ("redis://127.0.0.1:1/0", "the server refused: .*refused", "does it run there"),
        ("${env:NOT_SET_ANYWHERE}", "NOT_SET_ANYWHERE", ""),
    ],
)
def test_a_place_that_does_not_do_is_told_with_what_does(url: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        CliRunner().invoke(catchment, ["generate", "--into", url], catch_exceptions=False)
    assert hint in (raised.value.hint or "")
    if "${" in url or url.startswith("http"):
        return
    with pytest.raises(ConfigError) as raised:
        CliRunner().invoke(catchment, ["generate", "--into", url, "--rate", "1/s"], catch_exceptions=False)
    assert "secret" not in str(raised.value)


def test_an_ordinal_has_a_last_one() -> None:
    found = CliRunner().invoke(catchment, ["generate", "--from-ordinal", "9223372036854775807"])
    assert (found.exit_code, "not in the range" in found.output) == (2, True)


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


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that declares one of the two topics."""
    (tmp_path / "catchment.yaml").write_text(
        "name: g\ntopics: {user_events: {partitions: 2}}\ntargets: {local: {default: true}}\n"
    )
    return tmp_path


def go_on(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(catchment, ["--project", str(folder), "generate", *words], catch_exceptions=False)


def test_a_shop_goes_on_in_topics_and_goes_on_again_where_it_was(project: Path) -> None:
    told = json.loads(go_on(project, "--rate", "max", "--count", "300", "--json").stdout)
    assert (told["first"], told["next"], told["rows"]["user_events"]) == (0, 300, 300)
    assert told["rows"]["transactions"] >= 30
    with pytest.raises(ConfigError, match="goes up to ordinal 299") as raised:
        go_on(project, "--count", "1")
    assert "--resume" in (raised.value.hint or "")
    again = json.loads(go_on(project, "--rate", "1000/s", "--count", "200", "--resume", "--json").stdout)
    assert (again["first"], again["next"], again["rows"]["user_events"]) == (300, 500, 200)
    broker = EmbeddedBroker(project / "topics")
    assert len(broker.bounds("user_events")) == 2
    assert sum(end for _, end in broker.bounds("user_events").values()) == 500
    whole = go_on(project, "--only", "user_events", "--count", "2", "--from-ordinal", "9000", "--rate", "max")
    assert whole.stdout.startswith("Sent 2 clicks, 0 changes of orders to user_events of target local in ")
    assert "the next ordinal is 9,002." in whole.stdout


def test_a_shop_of_now_has_the_time_of_day(project: Path) -> None:
    go_on(project, "--now", "--count", "3", "--rate", "1000/s")
    broker = EmbeddedBroker(project / "topics")
    ends = {partition: end for partition, (_, end) in broker.bounds("user_events").items()}
    rows = [row for batch in broker.read("user_events", {}, ends) for row in batch.to_pylist()]
    assert len(rows) == 3
    for row in rows:
        clicked = datetime.fromisoformat(json.loads(row["value"])["timestamp"])
        assert abs((clicked - row["at"]).total_seconds()) < 20
        sent = {one["name"]: one["value"] for one in row["headers"]}["sent-at"]
        assert abs(int(sent) / 1e6 - row["at"].timestamp()) < 20


def test_a_shop_that_goes_on_stops_cleanly(project: Path) -> None:
    words = [sys.executable, "-m", "catchment", "--project", str(project), "generate", "--rate", "200/s"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as going:
        try:
            assert going.stderr is not None
            while "Sending" not in going.stderr.readline():
                pass
            time.sleep(0.7)
            going.send_signal(signal.SIGINT)
            out, _ = going.communicate(timeout=20)
        finally:
            going.kill()
    assert going.returncode == 0
    sent = int(out.split("the next ordinal is ")[1].rstrip(".\n"))
    broker = EmbeddedBroker(project / "topics")
    assert sum(end for _, end in broker.bounds("user_events").values()) == sent > 20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--now", "--from-ordinal", "1000000000000"], "would lie before the year 1"),
        (["--into", "redis://127.0.0.1:1/0", "--rate", "1/s"], "does not go on in redis"),
    ],
)
def test_what_cannot_go_on_is_told(project: Path, words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        go_on(project, "--count", "1", *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--again"], "--resume goes on"),
        (["--now", "--start", "2026-01-01"], "--now and --start exclude each other"),
        (["--resume", "--from-ordinal", "5"], "--resume and --from-ordinal exclude each other"),
        (["--into", "redis://127.0.0.1:1/0", "--for", "5s"], "--for is for a shop that goes on"),
    ],
)
def test_options_that_contradict_one_another_are_wrong_use(project: Path, words: list[str], message: str) -> None:
    refused = CliRunner().invoke(catchment, ["--project", str(project), "generate", *words])
    assert refused.exit_code == 2
    assert message in " ".join(refused.output.split())
