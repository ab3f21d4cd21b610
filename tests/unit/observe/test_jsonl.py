from __future__ import annotations

import io
import json
from dataclasses import fields
from pathlib import Path

import pytest

from catchment import events, settings
from catchment.observe.jsonl import JsonLines

DOCS = Path(__file__).parents[3] / "docs" / "reference" / "events.md"
CLASSES = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]


def test_each_event_is_one_line_of_its_documented_shape() -> None:
    stream = io.StringIO()
    listener = JsonLines(stream)
    listener.on(events.RunStarted(run="r1", project="shop", target="local", steps=2))
    listener.on(events.RowsQuarantined(step="refine:silver.a", table="silver.a", rows=2, reasons=[("a\nb", 2)]))
    first, second = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert first.pop("at").endswith("+00:00")
    assert first == {"event": "RunStarted", "run": "r1", "project": "shop", "target": "local", "steps": 2}
    assert second["reasons"] == [["a\nb", 2]]


def test_named_points_are_not_printed() -> None:
    stream = io.StringIO()
    JsonLines(stream).on(events.Reached(step="land:x", point="claimed"))
    assert stream.getvalue() == ""


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("A_TOKEN", 'tok"en-of-mine')
    settings.resolve("${env:A_TOKEN}", tmp_path)
    stream = io.StringIO()
    JsonLines(stream).on(events.Noticed(step="", kind="x", message='the word is tok"en-of-mine'))
    assert json.loads(stream.getvalue())["message"] == "the word is ${env:A_TOKEN}"


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_event_and_field_stands_in_the_reference(kind: type[events.Event]) -> None:
    page = DOCS.read_text(encoding="utf-8")
    if kind is events.Event:
        assert "`at`" in page
        return
    row = next(line for line in page.splitlines() if line.startswith((f"| `{kind.__name__}`", f"`{kind.__name__}`")))
    for field in fields(kind):
        assert field.name == "at" or f"`{field.name}`" in row, f"{kind.__name__}.{field.name} is not documented"
