"""A run over a bucket killed at every event and named point, with objects added in between, lands each row once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.services.s3.conftest import KEY, SECRET, Bucket

from catchment.cli import main
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.testing import crash

_PROJECT = """\
name: shop
sources:
  drops:
    type: files
    endpoint: {endpoint}
    region: us-east-1
    access_key: {key}
    secret_key: ${{file:secret.txt}}
    streams:
      sales: {{path: "s3://{bucket}/sales/*.csv", load_per_file: true}}
      staff: {{path: "s3://{bucket}/staff/*.csv", full: true}}
silver:
  sales: {{from: drops.sales}}
  staff: {{from: drops.staff, mode: merge}}
"""
_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: {name}
version: 1.0.0
status: active
schema:
  - name: {name}
    properties:
      - {{name: id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}}
"""


@pytest.fixture
def project(tmp_path: Path, bucket: Bucket) -> Path:
    folder = tmp_path / "shop"
    (folder / "contracts").mkdir(parents=True)
    declared = _PROJECT.format(endpoint=bucket.server.endpoint, key=KEY, bucket=bucket.name)
    (folder / "catchment.yaml").write_text(declared)
    # Not from the environment: the process that runs are forked from may have another.
    (folder / "secret.txt").write_text(SECRET)
    for name in ("sales", "staff"):
        (folder / f"contracts/{name}.odcs.yaml").write_text(_CONTRACT.format(name=name))
    return folder


def _query(folder: Path, sql: str) -> list[Any]:
    return [tuple(row.values()) for row in OpenProject(load_project(folder)).query(sql).read_all().to_pylist()]


def test_kills_at_every_point_lose_no_object_and_double_none(project: Path, bucket: Bucket) -> None:
    kills, told = 0, set[str]()
    while True:
        bucket.put(f"sales/{kills:03d}.csv", f"id\n{kills}\n")
        bucket.put(f"staff/{kills:03d}.csv", f"id\n{kills}\n{kills + 1}\n")
        ended = crash.run_until(project, kill_at=kills + 1)
        told.update(ended.told)
        if not ended.killed:
            assert ended.outcome == "done", ended.causes
            break
        kills += 1
    assert kills > 20
    assert told >= {f"bronze.{point}" for point in ("claimed", "written", "filled", "committed")}
    ids = _query(project, "SELECT id, _origin FROM bronze.drops__sales")
    assert Counter(int(one) for one, _ in ids) == Counter(range(kills + 1))
    assert {origin for _, origin in ids} == {
        f"s3://{bucket.name}/sales/{number:03d}.csv" for number in range(kills + 1)
    }
    assert sorted(_query(project, "SELECT id FROM silver.staff")) == [(kills,), (kills + 1,)]
    assert crash.faults(project) == []
    assert crash.run_until(project).outcome == "nothing_new"


def test_a_plan_counts_what_is_new_and_a_check_tells_what_is_wrong(
    project: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    for number in (1, 2):
        bucket.put(f"sales/{number}.csv", "id\n1\n")
        assert main(["plan"]) == 0
        assert f"{number} new file" in capsys.readouterr().out
    assert main(["check", "--connect"]) == 0
    assert "2 files, 0.0 MB" in capsys.readouterr().out
    (project / "secret.txt").write_text("another-secret")
    assert main(["check", "--connect"]) == 1
    told = "".join(capsys.readouterr())
    assert "is not known there, or its secret is wrong" in told
    assert "another-secret" not in told
