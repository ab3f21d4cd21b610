"""Every source asked at once: what is told per stream, what once, and that nobody waits for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from catchment import probing
from catchment.connected import Connected
from catchment.errors import ConfigError, RetryableError
from catchment.probing import probe_sources
from catchment.project import load_project
from catchment.records import Feed, Finding
from catchment.sources.files.source import FilesSource

PROJECT = """\
name: shop
sources:
  one: {type: files, streams: {a: {path: in/a.csv}, b: {path: in/b.csv}}}
  two: {type: files, streams: {c: {path: in/c.csv}}}
"""

Probe = Callable[[FilesSource, Feed], Sequence[Finding]]


@pytest.fixture
def connected(tmp_path: Path) -> Connected:
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    return Connected.of(load_project(tmp_path))


@pytest.fixture
def probed(connected: Connected, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Finding]]:
    def by(probe: Probe, within_s: float = 30.0) -> list[Finding]:
        monkeypatch.setattr(FilesSource, "probe", probe)
        return probe_sources(connected, within_s=within_s)

    return by


Probed = Callable[..., list[Finding]]


def good(_: FilesSource, feed: Feed) -> list[Finding]:
    return [Finding(feed.name, "ok", "can be read")]


def test_every_stream_is_told_in_the_order_of_the_project(probed: Probed) -> None:
    assert [one.feed for one in probed(good)] == ["one.a", "one.b", "two.c"]


def test_a_source_that_nobody_reaches_is_told_once_and_asked_once(probed: Probed) -> None:
    asked = []

    def refuse(source: FilesSource, feed: Feed) -> list[Finding]:
        asked.append(feed.name)
        if source.name == "two":
            return good(source, feed)
        message = f"{feed.name}: connection refused"
        raise RetryableError(message, hint="is it running?")

    assert probed(refuse) == [
        Finding("one", "error", "connection refused", "is it running?"),
        Finding("two.c", "ok", "can be read"),
    ]
    assert sorted(asked) == ["one.a", "two.c"]


def test_what_is_wrong_with_all_streams_alike_is_told_once(probed: Probed) -> None:
    def wrong_password(_: FilesSource, feed: Feed) -> list[Finding]:
        return [Finding(feed.name, "error", f"{feed.name}: wrong password", "look at the url")]

    assert probed(wrong_password) == [
        Finding("one", "error", "wrong password", "look at the url"),
        Finding("two.c", "error", "wrong password", "look at the url"),
    ]


def test_what_is_wrong_with_one_stream_leaves_the_others(probed: Probed) -> None:
    def no_such_table(source: FilesSource, feed: Feed) -> list[Finding]:
        if feed.name == "one.a":
            message = f"{feed.name}: there is no table `a`"
            raise ConfigError(message)
        return good(source, feed)

    assert [(one.feed, one.severity) for one in probed(no_such_table)] == [
        ("one.a", "error"),
        ("one.b", "ok"),
        ("two.c", "ok"),
    ]


def test_nobody_waits_longer_than_that_and_what_came_is_kept(probed: Probed) -> None:
    def hang(source: FilesSource, feed: Feed) -> list[Finding]:
        if feed.name == "one.b":
            time.sleep(10)
        return good(source, feed)

    began = time.monotonic()
    found = probed(hang, within_s=0.5)
    assert time.monotonic() - began < 8
    assert [(one.feed, one.severity) for one in found] == [("one.a", "ok"), ("one", "error"), ("two.c", "ok")]
    assert found[1].message.startswith("no answer within")


def test_a_reference_that_gives_nothing_is_the_sources_fault(tmp_path: Path) -> None:
    url = "${env:CATCHMENT_NOT_SET_ANYWHERE}"
    text = f'name: x\nsources: {{db: {{type: sql, url: "{url}", streams: {{a: {{table: a}}, b: {{table: b}}}}}}}}\n'
    (tmp_path / "catchment.yaml").write_text(text)
    (found,) = probe_sources(Connected.of(load_project(tmp_path)))
    assert (found.feed, found.severity) == ("db", "error")
    assert "`CATCHMENT_NOT_SET_ANYWHERE` is not set" in found.message


def test_a_bug_of_a_source_is_one(probed: Probed) -> None:
    def bug(_: FilesSource, feed: Feed) -> list[Finding]:
        raise KeyError(feed.name)

    with pytest.raises(KeyError):
        probed(bug)


def test_there_is_patience() -> None:
    assert probing.PATIENCE_S >= 10
