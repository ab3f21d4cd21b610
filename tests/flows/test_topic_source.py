"""From topics to silver: runs killed at every point land each message once, poison among them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.records import Message, TopicSpec
from catchment.testing import crash
from catchment.topics.embedded import EmbeddedBroker

_PROJECT = """\
name: shop
sources:
  web:
    type: topic
    streams:
      clicks: {topic: web.clicks}
      profiles: {topic: profiles}
      customers: {topic: shop.customers, format: debezium}
silver:
  clicks: {from: web.clicks}
  profiles: {from: web.profiles, mode: merge, latest_by: sent_at, deleted_when: name is null}
  customers: {from: web.customers, mode: merge}
  versions: {from: web.customers, mode: history}
"""
# Two streams and two tables are enough to kill.
_WITHOUT = ("profiles", "versions")

_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
"""
_KEY = "required: true, primaryKey: true, primaryKeyPosition: 1"
_CONTRACTS = {
    "clicks": """\
      - {name: number, logicalType: integer, required: true}
      - {name: sent_to, logicalType: string, transformSourceObjects: [message_headers]}
""",
    "profiles": f"""\
      - {{name: profile, logicalType: string, {_KEY}, transformSourceObjects: [message_key]}}
      - {{name: name, logicalType: string}}
      - {{name: sent_at, logicalType: timestamp, required: true, transformSourceObjects: [message_at]}}
""",
    "customers": f"""\
      - {{name: id, logicalType: integer, {_KEY}}}
      - {{name: town, logicalType: string, required: true}}
""",
}
_CONTRACTS["versions"] = _CONTRACTS["customers"]
_DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    (folder / "contracts").mkdir(parents=True)
    (folder / "catchment.yaml").write_text(_PROJECT)
    for name, columns in _CONTRACTS.items():
        (folder / f"contracts/{name}.odcs.yaml").write_text(_CONTRACT.format(name=name) + columns)
    return folder


@pytest.fixture
def broker(project: Path) -> Iterator[EmbeddedBroker]:
    """With segments of a few messages each."""
    broker = EmbeddedBroker(project / "topics", segment_bytes=32_000)
    broker.declare([TopicSpec(name) for name in ("web.clicks", "profiles", "shop.customers")])
    yield broker
    broker.close()


def _query(folder: Path, sql: str) -> list[Any]:
    return [tuple(row.values()) for row in OpenProject(load_project(folder)).query(sql).read_all().to_pylist()]


def _click(number: int) -> Message:
    """Every fifth is poison."""
    value = b'{"number": %d' % number if number % 5 == 4 else b'{"number": %d}' % number
    return Message(value, b"user-%d" % (number % 7))


def _change(op: str, number: int, minute: int, town: str = "") -> Message:
    row = {"id": number, "town": town}
    sides = {"before": row if op in "ud" else None, "after": None if op == "d" else row}
    at = int((_DAY + timedelta(minutes=minute)).timestamp() * 1000)
    return Message(json.dumps({**sides, "op": op, "source": {"ts_ms": at}}).encode(), b'{"id": %d}' % number)


@pytest.mark.long
def test_runs_killed_at_every_point_land_every_message_once_poison_and_all(
    project: Path, broker: EmbeddedBroker
) -> None:
    lines = [line for line in _PROJECT.splitlines() if not line.strip().startswith(_WITHOUT)]
    (project / "catchment.yaml").write_text("\n".join(lines))
    for name in _WITHOUT:
        (project / f"contracts/{name}.odcs.yaml").unlink()
    kills, added, told = 0, 0, set[str]()
    while True:
        broker.write("web.clicks", [_click(added + number) for number in range(5)])
        broker.write("shop.customers", [_change("u", kills % 6, kills, f"Porto {kills}")])
        added += 5
        ended = crash.run_until(project, kill_at=kills + 1)
        told.update(ended.told)
        if not ended.killed:
            assert ended.outcome == "done", ended.causes
            break
        kills += 1
    assert kills > 25
    assert told >= {f"bronze.{point}" for point in ("claimed", "written", "filled", "committed")}
    landed = _query(project, "SELECT document, _raw, _origin, _position FROM bronze.web__clicks")
    numbers = [int((document or raw.decode() + "}").removeprefix('{"number": ')[:-1]) for document, raw, *_ in landed]
    assert Counter(numbers) == Counter(range(added))
    assert len({(origin, position) for *_, origin, position in landed}) == added
    assert _query(project, "SELECT count(*) FROM silver.clicks") == [(added * 4 // 5,)]
    assert _query(project, "SELECT count(*) FROM quarantine.clicks") == [(added // 5,)]
    towns = {number % 6: f"Porto {number}" for number in range(kills + 1)}
    assert dict(_query(project, "SELECT id, town FROM silver.customers")) == towns
    assert crash.faults(project) == []
    assert crash.run_until(project).outcome == "nothing_new"


def test_a_tombstone_deletes_its_key_in_silver(project: Path, broker: EmbeddedBroker) -> None:
    broker.write("profiles", [Message(b'{"name": "%s"}' % name, name) for name in (b"ann", b"bob", b"zoe")])
    assert crash.run_until(project).outcome == "done"
    broker.write("profiles", [Message(None, b"bob"), Message(b'{"name": "anna"}', b"ann"), Message(b"{", b"zoe")])
    assert crash.run_until(project).outcome == "done"
    broker.write("profiles", [Message(b'{"name": "late"}', b"bob", at=_DAY)])
    assert crash.run_until(project).outcome == "done"
    assert sorted(_query(project, "SELECT profile, name FROM silver.profiles")) == [("ann", "anna"), ("zoe", "zoe")]
    assert _query(project, "SELECT count(*) FROM quarantine.profiles") == [(1,)]


def test_changes_that_debezium_tells_are_applied_and_kept_as_versions(project: Path, broker: EmbeddedBroker) -> None:
    def put(*messages: Message) -> None:
        broker.write("shop.customers", messages)
        assert crash.run_until(project).outcome == "done"

    put(_change("r", 1, 0, "Porto"), _change("r", 2, 0, "Faro"), _change("c", 3, 1, "Braga"))
    put(_change("u", 1, 2, "Lagos"), _change("d", 2, 3, "Faro"), Message(None, b'{"id": 2}'), Message(b"{}", b"?"))
    put(_change("u", 1, 4, "Evora"), _change("d", 3, 5), _change("c", 2, 6, "Beja"))
    assert sorted(_query(project, "SELECT id, town FROM silver.customers")) == [(1, "Evora"), (2, "Beja")]
    assert _query(project, "SELECT count(*) FROM quarantine.customers") == [(1,)]
    versions = _query(project, "SELECT id, town, _valid_from, _valid_to FROM silver.versions WHERE _hidden IS NULL")
    minutes = [0, 2, 4, None]
    ours = [
        (town, *(None if at is None else _DAY + timedelta(minutes=at) for at in valid))
        for town, valid in zip(("Porto", "Lagos", "Evora"), itertools.pairwise(minutes), strict=True)
    ]
    assert sorted(row[1:] for row in versions if row[0] == 1) == sorted(ours)
    assert sorted(row[1] for row in versions if row[0] == 2) == ["Beja", "Faro"]
