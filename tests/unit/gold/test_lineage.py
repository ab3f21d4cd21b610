"""Columns from source fields to exposures: template `shop` against a list made by hand, and a small project with more
kinds of models. dbt compiles each of them once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment
from catchment.cli.impact import impact
from catchment.cli.lineage import lineage as lineage_command
from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.gold.compiled import read_manifest
from catchment.lineage import ROWS, Graph, lineage, spelled
from catchment.project import load_project

LIST = Path(__file__).with_name("shop_lineage.txt")
STREAMS = {
    "U": ("drops.users",),
    "P": ("drops.products",),
    "T": ("drops.transactions",),
    "E": ("clicks.user_events", "site.user_events"),
    "C": ("catalogue.products",),
    "R": ("feedback.reviews",),
}


@dataclass(frozen=True)
class Traced:
    folder: Path
    graph: Graph

    def sources(self, name: str) -> set[str]:
        return {".".join(place) for place in self.graph.sources(self.graph.upstream(self.graph.places(name)))}

    def goes_into(self, name: str, *, rows: bool = False) -> set[str]:
        start = self.graph.places(name)
        return {spelled(place) for place in self.graph.downstream(start, rows=rows).distance if place not in start}

    def call(self, command: click.Command, *arguments: str) -> Result:
        words = ["--project", str(self.folder), str(command.name), *arguments]
        return CliRunner().invoke(catchment, words, catch_exceptions=False)


def project(folder: Path) -> Traced:
    return Traced(folder, Graph(lineage(load_project(folder))))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    from importlib import resources
    from shutil import copytree

    folder = tmp_path_factory.mktemp("lineage") / "shop"
    copytree(Path(str(resources.files("catchment"))) / "templates" / "shop", folder)
    return project(folder)


def by_hand() -> Iterator[tuple[str, set[str]]]:
    """(gold column, fields) pairs of the list."""
    told: dict[str, set[str]] = {}
    model = ""
    for line in LIST.read_text().splitlines():
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if not line.startswith(" "):
            model = words[0]
            continue
        fields: set[str] = set()
        for word in words[1:]:
            stream, _, field = word.partition(".")
            fields |= told[word[1:]] if word.startswith("=") else {f"{of}.{field}" for of in STREAMS[stream]}
        told[f"{model}.{words[0]}"] = fields
    yield from told.items()


def test_every_gold_column_of_the_shop_is_made_of_the_fields_that_the_list_made_by_hand_names(shop: Traced) -> None:
    expected = dict(by_hand())
    columns = {
        f"{table.name.removeprefix('gold.')}.{column.name}"
        for table in shop.graph.lineage.tables.values()
        if table.kind == "model"
        for column in table.columns
    }
    assert columns == set(expected)
    found = {column: shop.sources(f"gold.{column}") for column in columns}
    assert {c: sorted(f) for c, f in found.items() if f != expected[c]} == {
        c: sorted(f) for c, f in expected.items() if f != found[c]
    }
    assert {c: f for c, f in found.items() if f != expected[c]} == {}


def test_a_field_of_a_source_goes_into_every_column_that_the_list_made_by_hand_says(shop: Traced) -> None:
    found = {place for place in shop.goes_into("drops.users.country") if place.startswith("gold.")}
    assert found == {f"gold.{column}" for column, fields in by_hand() if "drops.users.country" in fields}


def test_a_table_is_told_by_the_columns_of_its_contract_and_ours_only_by_their_names(shop: Traced) -> None:
    def told(*words: str) -> list[str]:
        return [line.split(" ")[0] for line in shop.call(lineage_command, *words, "--to-sources").stdout.splitlines()]

    assert told("silver.users")
    assert {name for name in told("silver.users") if "._" in name} <= {
        "silver.users._valid_from",
        "silver.users._valid_to",
    }
    start = json.loads(shop.call(lineage_command, "silver.transactions", "--json").stdout)["start"]
    assert [one["column"] for one in start if one["column"].startswith("_")] == []
    assert ("silver.users", "_load") in shop.graph.places("silver.users")
    assert json.loads(shop.call(lineage_command, "silver.users._load", "--json").stdout)["start"] == [
        {"table": "silver.users", "column": "_load"}
    ]


def test_rows_that_a_field_decides_are_met_but_what_is_made_of_them_only_with_rows(shop: Traced) -> None:
    assert "rows of gold.daily_sales" in shop.goes_into("gold.dim_users.country")
    assert "gold.daily_sales.revenue" not in shop.goes_into("gold.dim_users.country")
    assert "gold.daily_sales.revenue" in shop.goes_into("gold.dim_users.country", rows=True)


def test_the_board_of_the_shop_shows_countries_and_nothing_that_is_private(shop: Traced) -> None:
    def exposures(field: str) -> list[str]:
        return [one["exposure"] for one in json.loads(shop.call(impact, field, "--json").stdout)["exposures"]]

    assert exposures("drops.users.country") == ["sales_board"]
    assert exposures("drops.users.email") == []


def test_a_field_within_a_document_is_met_by_what_holds_it_and_by_what_lies_inside(shop: Traced) -> None:
    assert shop.graph.places("clicks.user_events.properties") == [
        ("clicks.user_events", "properties.results_count"),
        ("clicks.user_events", "properties.amount"),
        ("clicks.user_events", "properties"),
    ]
    assert {"silver.events.amount", "silver.events.properties"} <= shop.goes_into(
        "clicks.user_events.properties.amount"
    )
    assert "silver.events.results_count" not in shop.goes_into("clicks.user_events.properties.amount")


def test_a_bronze_table_and_a_json_path_name_the_same_as_the_stream_and_its_field(shop: Traced) -> None:
    graph = shop.graph
    assert graph.places("bronze.drops__users.country") == graph.places("drops.users.country")
    assert graph.places("Clicks.user_events.$.timestamp") == [("clicks.user_events", "timestamp")]


@pytest.mark.parametrize(
    ("name", "message", "cure"),
    [
        (
            "gold.daily_sale.revenue",
            "nothing here is called gold.daily_sale.revenue",
            "did you mean `gold.daily_sales`?",
        ),
        ("gold.daily_sales.revenu", "gold.daily_sales has no column revenu", "did you mean `revenue`?"),
        ("drops.users.contry", "no contract reads a field contry of drops.users", "did you mean `country`?"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_the_nearest(shop: Traced, name: str, message: str, cure: str) -> None:
    with pytest.raises(ConfigError) as told:
        shop.graph.places(name)
    assert (told.value.message, told.value.hint) == (message, cure)


def test_the_second_look_does_not_start_dbt(shop: Traced) -> None:
    manifest = shop.folder / ".catchment" / "dbt" / "local" / "compiled" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    Connected.of(load_project(shop.folder)).compiled()
    assert manifest.stat().st_mtime_ns == before


def test_lineage_of_silver_asks_no_dbt(shop: Traced, tmp_path: Path) -> None:
    from shutil import copytree, ignore_patterns

    folder = tmp_path / "shop"
    copytree(shop.folder, folder, ignore=ignore_patterns(".catchment"))
    (folder / "gold" / "models" / "broken.sql").write_text("{{ nothing( }}")
    result = Traced(folder, shop.graph).call(lineage_command, "silver.events.country")
    assert result.stdout.splitlines() == [
        "silver.events.country  = silver/events.py",
        "└─ silver.users.country",
        "   └─ drops.users.country",
    ]
    assert not (folder / ".catchment" / "dbt").exists()


def test_people_see_a_tree_with_expressions(shop: Traced) -> None:
    lines = shop.call(lineage_command, "gold.daily_sales.revenue").stdout.splitlines()
    assert lines[0] == "gold.daily_sales.revenue  = SUM(t.revenue)"
    assert lines[1].startswith("└─ gold.fct_transactions.revenue  = CASE WHEN t.status = 'completed'")
    assert lines[2:5] == [
        "   ├─ gold.stg_transactions.discount",
        "   │  └─ silver.transactions.discount",
        "   │     └─ drops.transactions.discount",
    ]
    assert len(lines) == 14


def test_depth_cuts_the_tree(shop: Traced) -> None:
    lines = shop.call(lineage_command, "gold.daily_sales.revenue", "--depth", "1").stdout.splitlines()
    assert len(lines) == 2


def test_to_sources_of_a_column_are_its_fields_and_of_a_table_a_line_for_each_column(shop: Traced) -> None:
    one = shop.call(lineage_command, "gold.daily_sales.units", "--to-sources").stdout
    assert one.splitlines() == ["drops.transactions.quantity", "drops.transactions.status"]
    all_of_them = shop.call(lineage_command, "gold.daily_sales", "--to-sources").stdout.splitlines()
    assert all_of_them[1].split() == ["gold.daily_sales.country", "drops.users.country"]
    assert len(all_of_them) == 10


def test_json_tells_each_place_with_what_it_is_made_of_and_the_fields_at_the_end(shop: Traced) -> None:
    told = json.loads(shop.call(lineage_command, "gold.daily_sales.country", "--json").stdout)
    assert told["start"] == [{"table": "gold.daily_sales", "column": "country"}]
    assert told["sources"] == [{"table": "drops.users", "column": "country"}]
    assert told["unsure"] == []
    assert told["columns"][0] == {
        "table": "gold.daily_sales",
        "column": "country",
        "kind": "model",
        "file": "gold/models/cur/daily_sales.sql",
        "words": "",
        "distance": 0,
        "of": [{"table": "gold.dim_users", "column": "country"}],
    }


# A project of people who came with their own dbt: other layers, an incremental model, a snapshot, a seed, an ephemeral
# model, a source that is no silver table, a pivot of which nobody knows the columns, and an exposure.
OTHERS = {
    "catchment.yaml": """
name: brook
sources:
  drops: {type: files, streams: {flows: {path: "data/*.csv"}}}
silver:
  flows: {from: drops.flows, mode: merge}
gold: {dbt: dbt/}
""",
    "contracts/flows.odcs.yaml": """
apiVersion: v3.2.0
kind: DataContract
id: flows
name: flows
version: 1.0.0
status: active
schema:
  - name: flows
    logicalType: object
    physicalType: table
    properties:
      - {name: flow_id, logicalType: string, primaryKey: true, required: true, transformSourceObjects: ["Flow ID"]}
      - {name: measured_at, logicalType: timestamp}
      - {name: litres, logicalType: integer}
      - {name: gauge, logicalType: string}
""",
    "dbt/dbt_project.yml": """
name: brook_dbt
version: '1.0.0'
profile: brook
models: {brook_dbt: {+materialized: table}}
""",
    "dbt/models/sources.yml": """
sources:
  - name: silver
    tables: [{name: flows}]
  - name: weather
    tables: [{name: rain, config: {external_location: "rain.parquet"}}]
exposures:
  - name: flood_board
    type: dashboard
    owner: {name: Hydrology}
    depends_on: [ref('daily'), ref('by_gauge')]
""",
    "dbt/models/staging/stg_flows.sql": "select * from {{ source('silver', 'flows') }}",
    "dbt/models/intermediate/named.sql": """
{{ config(materialized='ephemeral') }}
select f.*, g.river from {{ ref('stg_flows') }} as f left join {{ ref('gauges') }} as g on f.gauge = g.gauge
""",
    "dbt/models/marts/daily.sql": """
{{ config(materialized='incremental', unique_key='day') }}
with named as (select * from {{ ref('named') }})
select cast(measured_at as date) as day, river, sum(litres) as litres
from named
{% if is_incremental() %} where measured_at > (select max(day) from {{ this }}) {% endif %}
group by all
""",
    "dbt/models/marts/by_gauge.sql": "pivot {{ ref('stg_flows') }} on gauge using sum(litres) group by measured_at",
    "dbt/models/marts/wet.sql": """
select d.day, r.millimetres from {{ ref('daily') }} as d join {{ source('weather', 'rain') }} as r on r.day = d.day
""",
    "dbt/snapshots/gauges_then.yml": """
snapshots:
  - name: gauges_then
    relation: ref('gauges')
    config: {unique_key: gauge, strategy: check, check_cols: [river]}
""",
    "dbt/seeds/gauges.csv": "gauge,river\nA,Aar\n",
}


@pytest.fixture(scope="module")
def brook(tmp_path_factory: pytest.TempPathFactory) -> Traced:
    folder = tmp_path_factory.mktemp("brook")
    for name, text in OTHERS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return project(folder)


def test_models_of_every_kind_are_followed(brook: Traced) -> None:
    tables = brook.graph.lineage.tables
    assert {name: table.kind for name, table in tables.items() if name.startswith(("gold.", "weather."))} == {
        "gold.gauges": "seed",
        "gold.stg_flows": "model",
        "gold.named": "model",
        "gold.daily": "model",
        "gold.by_gauge": "model",
        "gold.wet": "model",
        "gold.gauges_then": "snapshot",
        "weather.rain": "source",
    }
    assert brook.sources("gold.daily.day") == {"drops.flows.measured_at"}
    assert brook.sources("gold.daily.river") == {"gold.gauges.river"}
    assert brook.sources("gold.wet.millimetres") == {"weather.rain.millimetres"}
    assert brook.sources("gold.stg_flows.flow_id") == {"drops.flows.Flow ID"}
    assert brook.sources("gold.gauges_then.river") == {"gold.gauges.river"}
    assert brook.sources("gold.gauges_then.dbt_valid_from") == {"gold.gauges.gauge"}


def test_an_ephemeral_model_stands_between_though_dbt_puts_it_into_the_sql_that_reads_it(brook: Traced) -> None:
    assert brook.graph.column(("gold.daily", "litres")).of == (("gold.named", "litres"),)
    assert brook.graph.column(("gold.named", "litres")).of == (("gold.stg_flows", "litres"),)


def test_an_incremental_model_is_looked_at_as_it_is_first_built(brook: Traced) -> None:
    assert ("gold.daily", ROWS) not in brook.graph.lineage.tables["gold.daily"].rows


def test_columns_that_only_the_rows_tell_are_said_to_be_unsure(brook: Traced) -> None:
    result = brook.call(lineage_command, "gold.by_gauge.measured_at")
    assert "gold.by_gauge is not known for sure" in result.stderr
    assert brook.sources("gold.by_gauge.measured_at") == {"drops.flows.measured_at"}


def test_impact_ends_at_the_exposures(brook: Traced) -> None:
    result = brook.call(impact, "drops.flows.litres")
    assert result.stdout.splitlines() == [
        "drops.flows.litres",
        "└─ silver.flows.litres",
        "   └─ gold.stg_flows.litres",
        "      └─ gold.named.litres",
        "         └─ gold.daily.litres  = SUM(litres)",
        "4 columns of 4 tables; shown by flood_board.",
    ]
    told = json.loads(brook.call(impact, "gold.gauges.river", "--json").stdout)
    assert told["exposures"] == [{"exposure": "flood_board", "file": "dbt/models/sources.yml"}]
    assert {"table": "gold.daily", "column": "river"} in [
        {key: place[key] for key in ("table", "column")} for place in told["columns"]
    ]


def test_an_exposure_is_made_of_all_columns_of_the_tables_that_it_shows(brook: Traced) -> None:
    assert brook.sources("exposure.flood_board") >= {
        "drops.flows.measured_at",
        "drops.flows.litres",
        "gold.gauges.river",
    }


def test_the_manifest_tells_layer_folders_files_and_what_each_model_reads(brook: Traced) -> None:
    state = brook.folder / ".catchment" / "dbt" / "local" / "compiled"
    manifest = read_manifest(state / "manifest.json")
    daily = manifest.nodes["model.brook_dbt.daily"]
    assert (daily.folders, daily.file) == (("marts",), "models/marts/daily.sql")
    assert (daily.materialized, daily.relation[1:]) == ("incremental", ("main", "daily"))
    assert daily.refs == ("model.brook_dbt.named",)
    assert "is_incremental" in daily.raw
    assert "__dbt__cte__named" in str(daily.sql)
    assert manifest.dialect == "duckdb"
    assert manifest.exposures["exposure.brook_dbt.flood_board"].owner == "Hydrology"


def test_nothing_is_left_of_the_build_that_dbt_compiled_over_and_nothing_is_written_beside_it(brook: Traced) -> None:
    scratch = brook.folder / ".catchment" / "dbt" / "local" / "compiled" / "scratch" / "builds"
    assert [path.name for path in scratch.iterdir()] == [".lock"]
    assert sorted(path.name for path in brook.folder.iterdir()) == [".catchment", "catchment.yaml", "contracts", "dbt"]
    assert sorted(path.name for path in (brook.folder / "dbt").iterdir()) == [
        "dbt_project.yml",
        "models",
        "seeds",
        "snapshots",
    ]


def test_a_project_that_dbt_cannot_compile_is_told_in_its_words(brook: Traced, tmp_path: Path) -> None:
    from shutil import copytree, ignore_patterns

    folder = tmp_path / "brook"
    copytree(brook.folder, folder, ignore=ignore_patterns(".catchment"))
    (folder / "dbt/models/marts/wet.sql").write_text("select * from {{ ref('nowhere') }}")
    with pytest.raises(ConfigError, match="depends on a node named 'nowhere' which was not found"):
        Connected.of(load_project(folder)).compiled()


def test_what_the_sql_says_is_remembered_until_the_sql_changes(brook: Traced, tmp_path: Path) -> None:
    """Of the models that read one that has changed, only those are read again that see other columns."""
    from shutil import copytree

    folder = tmp_path / "brook"
    copytree(brook.folder, folder, symlinks=True)
    remembered = folder / ".catchment" / "dbt" / "local" / "compiled" / "derived.json"
    assert "model.brook_dbt.named" in remembered.read_text()
    (folder / "dbt/models/staging/stg_flows.sql").write_text(
        "select *, litres * 2 as twice from {{ source('silver', 'flows') }}"
    )
    changed = project(folder)
    assert changed.sources("gold.stg_flows.twice") == {"drops.flows.litres"}
    assert changed.sources("gold.named.twice") == {"drops.flows.litres"}  # by f.*
    assert changed.sources("gold.daily.river") == {"gold.gauges.river"}


GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "lineage.md"


def test_the_guide_shows_what_the_commands_print(shop: Traced) -> None:
    for call, printed in re.findall(r"^\$ catchment (.+)\n((?:(?!^\$|^```).*\n)+)", GUIDE.read_text(), re.MULTILINE):
        name, *arguments = call.split()
        told = shop.call({"lineage": lineage_command, "impact": impact}[name], *arguments).stdout.splitlines()
        shown = printed.splitlines()
        cut = shown.index("…") if "…" in shown else None
        if cut is not None:
            assert told[:cut] == shown[:cut]
            assert told[-1] == shown[-1]
        else:
            assert told[: len(shown)] == shown


@pytest.mark.parametrize(("command", "name"), [(lineage_command, "gold.by_gauge"), (impact, "drops.flows")])
def test_every_key_that_is_printed_is_in_the_reference(brook: Traced, command: click.Command, name: str) -> None:
    page = (GUIDE.parents[1] / "reference" / "json.md").read_text()
    section = page.split(f"## catchment {command.name} --json\n")[1].split("\n## ")[0]
    told = json.loads(brook.call(command, name, "--json").stdout)
    keys = {*told, *(key for listed in told.values() for item in listed for key in item)}
    assert keys >= {"start", "columns", "unsure", "distance"}
    for key in keys:
        assert f'"{key}":' in section
