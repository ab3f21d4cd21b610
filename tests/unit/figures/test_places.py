"""A live store is of one target: who names another's is told before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from catchment.cli.group import catchment as root
from catchment.figures.places import shared
from catchment.project import load_project

YAML = """
name: shop
sources: {{src: {{type: files, streams: {{rows: {{path: "rows/*.csv"}}}}}}}}
silver:
  orders: {{from: src.rows, contract: orders.yaml}}
{live}
targets:
  local: {{default: true, live: {{type: clickhouse, url: "{one}"}}}}
  b: {{lake: b, live: {{type: clickhouse, url: "{other}"}}}}
  c: {{lake: c}}
  d: {{lake: d}}
"""
LIVE = "live: {sold: {from: orders, measures: {n: count(*)}}}"
CONTRACT = """
apiVersion: v3.1.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - {name: orders, properties: [{name: id, logicalType: string}]}
"""


def project(folder: Path, one: str, other: str, live: str = LIVE) -> Path:
    (folder / "catchment.yaml").write_text(YAML.format(live=live, one=one, other=other), encoding="utf-8")
    (folder / "orders.yaml").write_text(CONTRACT, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h:8123/live", "http://h:8123/live"),
        ("http://h", "http://ana:secret@H:8123/live/"),
        ("https://h/figures", "https://h:8443/figures?compress=1"),
        ("${env:L_ONE}", "${env:L_OTHER}"),
        ("${env:L_ONE}", "http://h:8123/live"),
        ("http://${file:host}:8123/live", "http://h:8123/live"),
        ("${env:L_NOT_SET}", "${env:L_NOT_SET}"),
        ("${aws-secret:live}", "${aws-secret:live}"),
    ],
)
def test_two_targets_that_name_one_database_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: str, other: str
) -> None:
    monkeypatch.setenv("L_ONE", "http://h:8123/live")
    monkeypatch.setenv("L_OTHER", "http://h:8123")
    (tmp_path / "host").write_text("h\n", encoding="utf-8")
    assert list(shared(load_project(project(tmp_path, one, other)))) == [("b", "local")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://h:8123/live", "http://h:8123/b"),
        ("http://h:8123/live", "http://h:9123/live"),
        ("http://h/live", "https://h/live"),
        ("${env:L_NOT_SET}", "${env:L_NOT_SET_EITHER}"),
        ("${env:L_NOT_SET}", "http://h:8123/live"),
    ],
)
def test_two_databases_are_two(tmp_path: Path, one: str, other: str) -> None:
    assert not shared(load_project(project(tmp_path, one, other)))


def test_check_names_the_second_of_them(tmp_path: Path) -> None:
    words = ["--project", str(project(tmp_path, "http://h/live", "http://h/live")), "check", "--json"]
    found = CliRunner().invoke(root, words)
    (told,) = [one for one in json.loads(found.stdout)["problems"] if one["severity"] == "error"]
    assert (told["key"], told["line"]) == ("targets.b.live.url", 9)
    assert told["message"] == "targets.b.live.url: target `local` keeps its live figures in the same database"
    assert "another database" in told["cure"]
    project(tmp_path, "http://h/live", "http://h/live", live="")
    assert json.loads(CliRunner().invoke(root, words).stdout)["errors"] == 0
