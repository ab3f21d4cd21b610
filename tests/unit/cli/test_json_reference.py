"""docs/reference/json.md names every field that `--json` prints."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.answers import (
    GoldStatus,
    Measured,
    Preview,
    QualityOfLoad,
    QualityOfTable,
    QuarantineSummary,
    Rejected,
    Status,
    TableStatus,
    TableVersion,
)
from catchment.cli import plan, preview, quarantine
from catchment.cli import test as test_command
from catchment.errors import Problem
from catchment.observe.history import PastRun, StepRun
from catchment.records import Pending, Step
from catchment.trial import Difference, Trial

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "json.md").read_text(encoding="utf-8")


def section(command: str) -> str:
    return PAGE.split(f"## catchment {command} --json\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("check", Problem),
        ("status", Status),
        ("status", TableStatus),
        ("status", GoldStatus),
        ("status", PastRun),
        ("status", StepRun),
        ("status", TableVersion),
        ("quality", QualityOfTable),
        ("quality", QualityOfLoad),
        ("quality", Measured),
    ],
)
def test_every_field_of_a_value_is_in_the_reference(command: str, kind: Any) -> None:
    for field in fields(kind):
        assert f'"{field.name}":' in section(command)


STEP = Step("land", "a.b", (), "bronze.a__b")
REJECTED = Rejected("silver.a", "f.csv", 1, 1, 1, 1, [("c", "required", "required", None)], "{}")


@pytest.mark.parametrize(
    ("command", "value"),
    [
        ("plan", plan.as_value(Pending(STEP, True, "2 new files"))),
        ("preview", preview.as_value(Preview("silver.a", 1, 1, 0, [("w", 1)], pa.table({}), ()))),
        ("quarantine list", quarantine.summary_value(QuarantineSummary("silver.a", 1, None, [("w", 1)]))),
        ("quarantine show", quarantine.as_value(REJECTED)),
        ("test", test_command.as_value(Trial("a", different=[Difference({"id": "1"}, {"n": ("1", "2")})]))),
    ],
)
def test_every_key_that_is_printed_is_in_the_reference(command: str, value: dict[str, Any]) -> None:
    inner = [item for listed in value.values() if isinstance(listed, list) for item in listed if isinstance(item, dict)]
    for key in {key for one in (value, *inner) for key in one}:
        assert f'"{key}":' in section(command)


def test_the_examples_are_json() -> None:
    examples = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(examples) >= 6
    assert all(json.loads(example) for example in examples)
