"""What dbt told of a build, and how fresh what it was built over is: one build by the real dbt, shared."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.contract import Contract, Freshness
from catchment.events import CheckFailed, Event, Noticed
from catchment.gold.artifacts import Artifacts, Made, artifacts
from catchment.gold.build import build_gold, publish_gold
from catchment.gold.compiled import Manifest, SourceFreshness, SourceTable
from catchment.gold.dbt import Dbt
from catchment.gold.freshness import Looking
from catchment.gold.layers.models import Layers
from catchment.gold.pinned import Pinned
from catchment.gold.standing import freshness, models
from catchment.naming import TableName
from catchment.records import Pin, Scan
from catchment.testing.fakes import column, contract
from catchment.warehouses.duckdb import DuckDBWarehouse

SALES, USERS = TableName("silver", "sales"), TableName("silver", "users")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
FILES = {
    "dbt_project.yml": """
name: tiny
version: '1.0.0'
profile: shop_gold
models: {tiny: {stg: {+materialized: view, +schema: stg}, cur: {+materialized: table, +schema: cur}}}
""",
    "models/sources.yml": """
version: 2
sources:
  - name: silver
    schema: silver
    tables:
      - name: users
        columns: [{name: id, data_tests: [unique]}]
  - name: till
    schema: till
    tables:
      - name: sales
        loaded_at_field: sold_at
        config:
          freshness: {warn_after: {count: 2, period: day}, error_after: {count: 9, period: day}, filter: id < 3}
        columns: [{name: id, data_tests: [not_null]}]
models:
  - name: daily
    columns:
      - name: n
        data_tests: [{accepted_values: {arguments: {values: [7], quote: false}, config: {severity: warn}}}]
unit_tests:
  - name: sales_are_counted
    description: Two sales are two.
    model: daily
    given: [{input: ref('stg_sales'), rows: [{id: 1}, {id: 2}]}]
    expect: {rows: [{n: 2}]}
""",
    "models/stg/stg_sales.sql": "select id, sold_at from {{ source('till', 'sales') }}",
    "models/stg/stg_users.sql": "{{ config(materialized='ephemeral') }} select id from {{ source('silver', 'users') }}",
    "models/cur/daily.sql": "select count(*) as n from {{ ref('stg_sales') }}",
    "models/cur/people.sql": (
        "select {{ catchment.surrogate_key(['id', 'code']) }} as key, id from {{ ref('stg_users') }}"
        " cross join {{ ref('codes') }}"
    ),
    "seeds/codes.csv": "code\nNA\nEU\n",
}


def pinned(folder: Path, name: TableName, ages: list[timedelta], promised: Contract | None = None) -> Pinned:
    """A table with a row of each age."""
    path = folder / f"{name.name}.parquet"
    times = pa.array([NOW - age for age in ages], pa.timestamp("us", "UTC"))
    rows = pa.table({"id": pa.array(range(1, len(ages) + 1), pa.int64()), "sold_at": times})
    pq.write_table(rows, path)
    return Pinned(Scan([str(path)], rows.schema, rows=len(ages)), Pin(1, 1), rows.column_names, promised)


def promising(table: str, seconds: int) -> Contract:
    return contract(table, column("id"), column("sold_at", "timestamp"), freshness=Freshness("sold_at", seconds))


@dataclass
class Tiny:
    """A project of which one build is served."""

    folder: Path
    told: list[Event] = field(default_factory=list)

    @property
    def dbt(self) -> Dbt:
        """A dbt that is kept elsewhere: it gets nothing of our environment, and can see none of our modules."""
        state, elsewhere = self.folder / ".catchment" / "dbt", self.folder / "kept elsewhere" / "dbt"
        if not elsewhere.exists():
            elsewhere.parent.mkdir()
            dbt = Path(sys.executable).with_name("dbt")
            text = f'#!/bin/sh\necho "$@" >> "$0.calls"\nexec env -i PATH=/usr/bin:/bin {shlex.quote(str(dbt))} "$@"\n'
            elsewhere.write_text(text)
            elsewhere.chmod(0o755)
        return Dbt(self.folder / "gold", state, command=shlex.quote(str(elsewhere)))

    @property
    def warehouse(self) -> DuckDBWarehouse:
        return DuckDBWarehouse(self.folder / "warehouse", "shop")

    @property
    def served(self) -> Mapping[str, Any]:
        found = self.warehouse.served()
        assert found is not None
        return found

    @property
    def artifacts(self) -> Artifacts:
        found = artifacts(self.dbt, self.served)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    tiny = Tiny(tmp_path_factory.mktemp("tiny"))
    for name, text in FILES.items():
        (tiny.folder / "gold" / name).parent.mkdir(parents=True, exist_ok=True)
        (tiny.folder / "gold" / name).write_text(text)
    age = datetime.now(UTC) - NOW  # rows as old as if it were that day
    tables = {
        SALES: pinned(tiny.folder, SALES, [timedelta(days=3) - age, timedelta(days=4) - age, -age]),
        USERS: pinned(tiny.folder, USERS, [timedelta(hours=2) - age], promising("users", 3600)),
    }
    built = build_gold(tiny.warehouse, tiny.dbt, tables, step="model:gold", tell=tiny.told.append)
    assert built is not None
    publish_gold(tiny.warehouse, built, step="publish:gold", tell=tiny.told.append)
    return tiny


def test_dbt_runs_as_the_user_names_it_with_our_macros_and_nothing_of_our_environment(tiny: Tiny) -> None:
    calls = (tiny.folder / "kept elsewhere" / "dbt.calls").read_text().splitlines()
    assert ["build" in call.split() for call in calls] == [True]
    keys = tiny.warehouse.query("select key from gold.people").read_all()["key"].to_pylist()
    assert len(set(keys)) == 2


def test_each_test_of_a_build_tells_what_it_is_about_and_how_it_went(tiny: Tiny) -> None:
    found = {(one.table, one.column, one.kind): one for one in tiny.artifacts.tests if one.name != "freshness"}
    assert {key: (one.outcome, one.rows) for key, one in found.items()} == {
        ("gold.daily", "n", "test"): ("warn", 1),
        ("gold.daily", None, "unit_test"): ("pass", 0),
        ("silver.sales", "id", "test"): ("pass", 0),
        ("silver.users", "id", "test"): ("pass", 0),
    }
    counted = found["gold.daily", None, "unit_test"]
    assert (counted.name, counted.description) == ("sales_are_counted", "Two sales are two.")
    assert counted.file == "gold/models/sources.yml"
    assert all(one.seconds > 0 for one in found.values())


def test_each_table_of_a_build_tells_how_it_was_made_and_its_rows(tiny: Tiny) -> None:
    made = tiny.artifacts.made
    assert {name: (one.outcome, one.rows) for name, one in made.items()} == {
        "stg_sales": ("done", None),
        "daily": ("done", 1),
        "people": ("done", 2),
        "codes": ("done", 2),
    }
    assert all(isinstance(one, Made) and one.seconds > 0 for one in made.values())
    assert tiny.artifacts.manifest.nodes["model.tiny.daily"].sql is not None


def test_artifacts_are_kept_once_and_the_build_has_none(tiny: Tiny) -> None:
    kept = tiny.dbt.state / "manifests" / tiny.served["manifest"]
    assert sorted(path.name for path in kept.iterdir()) == ["manifest.json", "run_results.json"]
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_of_a_build_that_nobody_remembers_there_are_no_artifacts(tiny: Tiny, tmp_path: Path) -> None:
    assert artifacts(tiny.dbt, {**tiny.served, "manifest": "another"}) is None
    earlier = Dbt(tiny.dbt.folder, tmp_path / "state")
    shutil.copytree(tiny.dbt.state / "manifests", earlier.state / "manifests")
    (earlier.state / "manifests" / tiny.served["manifest"] / "run_results.json").unlink()  # of an earlier version
    assert artifacts(earlier, tiny.served) is None


def test_a_table_that_is_older_than_promised_is_told_when_gold_is_built_over_it(tiny: Tiny) -> None:
    """By its contract, and by what dbt calls freshness: of two promises in days the stricter one, of the rows asked."""
    late = [event for event in tiny.told if isinstance(event, CheckFailed) and event.rule == "freshness"]
    assert [(event.table, event.severity) for event in late] == [("silver.users", "warn"), ("silver.sales", "warn")]
    assert "contracts/users.odcs.yaml allows 1 h" in late[0].message
    assert "gold/models/sources.yml allows 48 h" in late[1].message
    looked = [one for one in tiny.artifacts.tests if one.name == "freshness"]
    assert [(one.table, one.column, one.outcome, one.file) for one in looked] == [
        ("silver.sales", None, "warn", "gold/models/sources.yml"),
        ("silver.users", "sold_at", "warn", "contracts/users.odcs.yaml"),
    ]


def test_models_stand_with_layer_rows_and_the_freshness_of_what_they_are_made_of(tiny: Tiny) -> None:
    newest = {one["table"]: datetime.fromisoformat(one["newest"]) for one in tiny.served["freshness"]}
    then = newest["silver.users"] + timedelta(minutes=50)
    assert freshness(tiny.served, then) == {"silver.users": True, "silver.sales": False}
    told = models(tiny.artifacts, tiny.dbt, Layers(), tiny.served, then)
    assert [(one.table, one.layer, one.materialized, one.rows, one.is_fresh) for one in told] == [
        ("gold.codes", None, "seed", 2, None),
        ("gold.daily", "cur", "table", 1, False),
        ("gold.people", "cur", "table", 2, True),
        ("gold.stg_sales", "stg", "view", None, False),
    ]


def looked(folder: Path, promise: SourceFreshness, ages: list[timedelta]) -> tuple[list[dict[str, Any]], list[Event]]:
    """What is found and told of a source whose freshness dbt's YAML promises."""
    told: list[Event] = []
    tables = {SALES: pinned(folder, SALES, ages), USERS: pinned(folder, USERS, [], promising("users", 60))}
    relation = ("shop", "silver", "sales")
    source = SourceTable("s", "silver", "sales", relation, "models/sources.yml", freshness=promise)
    other = replace(source, id="o", source="web", name="clicks", relation=("shop", "web", "clicks"))
    manifest = Manifest("tiny", "duckdb", {}, {"s": source, "o": other}, {})
    looking = Looking(DuckDBWarehouse(folder / "w", "shop"), tables, "model:gold", told.append, NOW)
    return looking.found(Dbt(folder / "gold", folder / "state"), manifest), told


def test_a_table_is_fresh_to_the_second_and_one_without_a_row_is_not(tmp_path: Path) -> None:
    for age, is_late in ((timedelta(hours=1), False), (timedelta(hours=1, seconds=1), True)):
        users, sales = looked(tmp_path, SourceFreshness(3600, "sold_at"), [age])[0]
        assert (sales["is_late"], sales["newest"]) == (is_late, (NOW - age).isoformat())
        assert (users["is_late"], users["newest"]) == (True, None)


def test_freshness_that_cannot_be_asked_is_told_and_hides_no_other(tmp_path: Path) -> None:
    found, told = looked(tmp_path, SourceFreshness(3600, "no_such_column"), [timedelta()])
    assert [one["table"] for one in found] == ["silver.users"]
    (noticed,) = [event for event in told if isinstance(event, Noticed)]
    assert noticed.message.startswith("gold/models/sources.yml: the freshness of silver.sales cannot be asked: ")
    assert "no_such_column" in noticed.message


def test_freshness_without_a_column_is_told(tmp_path: Path) -> None:
    found, told = looked(tmp_path, SourceFreshness(3600, None), [timedelta()])
    assert [one["table"] for one in found] == ["silver.users"]
    (noticed,) = [event for event in told if isinstance(event, Noticed)]
    assert "source silver.sales promises freshness and names no loaded_at_field" in noticed.message
