"""`catchment quarantine show`: which row was rejected, and where it came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catchment.cli import main
from catchment.cli.quarantine import _value
from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

PROJECT = """\
name: shop
sources:
  old: {type: files, streams: {clicks: {path: "in/*.jsonl"}}}
  web: {type: topic, streams: {clicks: {topic: web.clicks}}}
silver:
  clicks: {from: [old.clicks, web.clicks]}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: clicks
version: 1.0.0
status: active
schema:
  - name: clicks
    properties:
      - {name: event_id, logicalType: string, primaryKey: true, required: true}
      - {name: user_id, logicalType: string, transformSourceObjects: ["$.user.id"]}
      - {name: n, logicalType: integer, required: true}
"""

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, text in (
        ("catchment.yaml", PROJECT),
        ("contracts/clicks.odcs.yaml", CONTRACT),
        ("in/a.jsonl", '{"event_id": "e-0", "n": 1}\n{"event_id": "e-1", "n": "two"}\n'),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    broker = EmbeddedBroker(tmp_path / "topics")
    broker.declare([TopicSpec("web.clicks", 2)])
    for text in ('{"event_id": "e-2", "n": 3}', '{"event_id": "e-3", "user": {"id": "u-1"}}', "nope"):
        broker.write("web.clicks", [Message(text.encode(), b"u-1", partition=1)])
    assert main(["run"]) == 0
    return tmp_path


def test_a_row_is_named_by_its_key_and_the_place_of_its_own_stream(folder: Path, capsys: Captured) -> None:
    capsys.readouterr()
    assert main(["quarantine", "show", "silver.clicks"]) == 0
    told = [line for line in capsys.readouterr().out.splitlines() if line[0] != " "]
    assert sorted(told) == [
        "event_id e-1  from old.clicks, file a.jsonl, line 2",
        "event_id e-3  from web.clicks, web.clicks/1, offset 1",
        "from web.clicks, web.clicks/1, offset 2",
    ]
    assert main(["quarantine", "show", "silver.clicks", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted((one["stream"], one["origin"]) for one in found) == [
        ("old.clicks", "in/a.jsonl"),
        *[("web.clicks", "web.clicks/1")] * 2,
    ]


DOCUMENT = {"id": 0, "b c": {"d.e": ["x"]}, "no": None, "Order ID": "o-1"}


@pytest.mark.parametrize("raw", [DOCUMENT, {"document": json.dumps(DOCUMENT), "message_key": "k"}])
@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("id", "0"),
        ("$.id", "0"),
        ('$."b c"."d.e"[0]', "x"),
        ('$."b c"."d.e"[1]', "(missing)"),
        ('$."b c"', '{"d.e": ["x"]}'),
        ("$.no", "(missing)"),
        ("Order ID", "o-1"),
        ("$.id.deeper", "(missing)"),
    ],
)
def test_a_key_is_found_where_the_contract_says(raw: dict[str, Any], source: str, value: str) -> None:
    assert _value(raw, source) == value


def test_a_key_beside_the_document_goes_before_a_field_of_its_name() -> None:
    raw = {"document": '{"message_key": "inside"}', "message_key": "beside"}
    assert (_value(raw, "message_key"), _value(raw, "$.message_key")) == ("beside", "inside")
    assert _value({"Order_ID": "o-1"}, "order id") == "o-1"
    assert _value({"document": None, "message_key": "k"}, "$.id") == "(missing)"
    assert _value({"document": "report.pdf", "id": 7}, "id") == "7"
