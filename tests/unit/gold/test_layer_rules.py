"""The layer rules over dbt's own manifest: what `catchment check` says, and what stops a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import catchment
from catchment.check import check_project, gold_sources, layer_rules
from catchment.connected import Connected
from catchment.errors import Problem, ProjectProblems
from catchment.events import Event
from catchment.project import load_project
from catchment.templates import write_template
from catchment.testing import crash

CONTRACT = """\
apiVersion: v3.1.0
kind: DataContract
id: orders
name: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, physicalType: BIGINT, primaryKey: true, primaryKeyPosition: 1, required: true}
      - {name: amount, logicalType: number, physicalType: "DECIMAL(18, 2)"}
      - {name: paid_at, logicalType: timestamp}
"""
PROJECT = """\
name: shop
sources: {drops: {type: files, streams: {orders: {path: "data/*.csv"}}}}
silver: {orders: {from: drops.orders}}
gold: {dbt: gold/, GOLD}
"""
MAPPED = "layers: {stg: staging, std: [intermediate], cur: marts}"
MODELS = {
    "staging/sources.yml": "sources: [{name: silver, tables: [{name: orders}]}]\n",
    "staging/stg_orders.sql": """\
{{ config(materialized='view') }}

select
    id as order_id,
    amount,
    {{ paid('paid_at') }} as is_paid,
    amount > 100 as is_big
from {{ source('silver', 'orders') }}
""",
    "intermediate/sums.sql": """\
{{ config(materialized='ephemeral') }}
select is_paid, sum(amount) as amount
from {{ ref('stg_orders') }}
group by is_paid
""",
    "intermediate/int_orders.sql": "select order_id, amount from {{ ref('stg_orders') }}\n",
    "marts/finance/fct_orders.sql": """\
-- catchment: allow cur-no-source because the amounts are compared with silver's
{{ config(materialized='incremental') }}
select o.id as order_id, s.amount
from {{ source('silver', 'orders') }} as o
cross join {{ ref('sums') }} as s
{% if is_incremental() %}
where o.id > (select max(order_id) from {{ this }})
{% endif %}
""",
    "misc/extra.sql": "select order_id from {{ ref('int_orders') }}\n",
}
EXPECTED = [
    ("any-in-layer", "gold/models/misc/extra.sql", 1),
    ("std-no-aggregate", "gold/models/intermediate/sums.sql", 2),
    ("stg-no-logic", "gold/models/staging/stg_orders.sql", 6),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled by the first test that looks; afterwards dbt is not started again."""
    folder = tmp_path_factory.mktemp("shop")
    models = {f"gold/models/{name}": text for name, text in MODELS.items()}
    macro = "{% macro paid(column) %}\n    {{ column }} is not null\n    and amount > 0\n{% endmacro %}\n"
    others = {
        "gold/dbt_project.yml": "name: gold\nversion: '1.0.0'\nprofile: catchment\n",
        "gold/macros/paid.sql": macro,
        "contracts/orders.odcs.yaml": CONTRACT,
    }
    for name, text in {**models, **others}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def check(folder: Path, gold: str) -> list[Problem]:
    (folder / "catchment.yaml").write_text(PROJECT.replace("GOLD", gold))
    return check_project(folder, [layer_rules])


def rules_of(folder: Path, gold: str) -> list[tuple[str | None, str, int | None]]:
    return sorted((problem.key, problem.file, problem.line) for problem in check(folder, gold))  # type: ignore[type-var]


def test_an_existing_project_is_held_to_the_rules_of_its_own_folders(folder: Path) -> None:
    assert rules_of(folder, MAPPED) == sorted(EXPECTED)
    assert {problem.severity for problem in check(folder, MAPPED)} == {"error"}
    assert {problem.severity for problem in check(folder, f"{MAPPED}, lint: warn")} == {"warning"}


def test_a_problem_names_rule_model_line_and_cure(folder: Path) -> None:
    told = [str(problem) for problem in check(folder, MAPPED) if problem.key == "stg-no-logic"]
    assert told == [
        "gold/models/staging/stg_orders.sql:6  stg-no-logic: stg_orders combines several columns in column is_paid,"
        " and on line 7; derive it in std"
    ]


def test_a_project_without_layers_is_told_once_how_to_name_them(folder: Path) -> None:
    (problem,) = check(folder, "lint: error")
    assert (problem.severity, problem.file) == ("warning", "catchment.yaml")
    assert "no layer rule is held" in problem.message
    assert "layers: {stg: staging" in str(problem.cure)


def test_a_run_is_stopped_or_told(folder: Path) -> None:
    check(folder, MAPPED)
    connected = Connected.of(load_project(folder))
    assert connected.layer_rules is not None
    told: list[Event] = []
    with pytest.raises(ProjectProblems, match="stg-no-logic"):
        connected.layer_rules.hold(connected.compiled(), step="model:gold", tell=told.append)
    assert told == []
    check(folder, f"{MAPPED}, lint: warn")
    connected = Connected.of(load_project(folder))
    assert connected.layer_rules is not None
    connected.layer_rules.hold(connected.compiled(), step="model:gold", tell=told.append)
    assert [event.json()["kind"] for event in told] == ["layers"] * 3


def test_gold_that_breaks_a_rule_is_not_published(folder: Path) -> None:
    check(folder, MAPPED)
    (folder / "data").mkdir()
    (folder / "data/orders.csv").write_text("id,amount,paid_at\n1,2.50,2026-11-01T08:00:00Z\n")
    ended = crash.run_until(folder)
    assert ended.outcome == "failed"
    assert "stg_orders.sql:6  stg-no-logic" in str(ended.causes)
    assert catchment.open(folder).status().gold.build is None
    check(folder, f"{MAPPED}, lint: warn")
    assert crash.run_until(folder).outcome == "done"
    assert catchment.open(folder).status().gold.build is not None


def test_a_table_that_catchment_yaml_does_not_have_is_told_where_gold_reads_it(folder: Path) -> None:
    (folder / "catchment.yaml").write_text(PROJECT.replace("GOLD", MAPPED))
    assert check_project(folder, [gold_sources]) == []
    model = folder / "gold/models/marts/gone.sql"
    model.write_text("{#\n  silver.oders was here\n#}\nselect 1 as one\nfrom {{ source('silver', 'oders') }}\n")
    test = folder / "gold/tests/other.sql"
    test.parent.mkdir(exist_ok=True)
    test.write_text("select * from {{ source('silver', 'removed') }}, {{ source('raw', 'removed') }}\n")
    try:
        told = [str(problem) for problem in check_project(folder, [gold_sources])]
    finally:
        model.unlink()
        test.unlink()
    assert told == [
        "gold/models/marts/gone.sql:5  reads silver.oders, and catchment.yaml has no such table under silver;"
        " write it there, or remove what reads it; did you mean `orders`?",
        "gold/tests/other.sql:1  reads silver.removed, and catchment.yaml has no such table under silver;"
        " write it there, or remove what reads it",
        "gold/tests/other.sql:1  reads source raw.removed, and no silver table in catchment.yaml is called so;"
        " say which it is in catchment.yaml: `gold: {sources: {raw.removed: silver.…}}`",
    ]


def test_without_dbt_check_says_that_the_rules_were_not_held(folder: Path) -> None:
    (problem,) = check(folder, "command: no_such_dbt")
    assert problem.severity == "warning"
    assert problem.message.startswith("the layer rules were not held: ")


def test_a_model_that_dbt_cannot_compile_is_a_problem_with_its_place(folder: Path) -> None:
    broken = folder / "gold/models/marts/broken.sql"
    broken.write_text("select 1 as one\nfrom {{ ref('nowhere') }}\n")
    try:
        (problem,) = check(folder, MAPPED)
    finally:
        broken.unlink()
    assert (problem.severity, problem.file) == ("error", "gold/models/marts/broken.sql")
    assert "nowhere" in problem.message


@pytest.mark.parametrize("name", ["shop", "sales", "blank"])
def test_our_templates_keep_every_rule_without_an_allow(name: str, tmp_path: Path) -> None:
    write_template(name, tmp_path, project_name="corner_shop")
    assert check_project(tmp_path, [layer_rules]) == []
    assert not [path for path in (tmp_path / "gold").rglob("*.sql") if "catchment: allow" in path.read_text()]
