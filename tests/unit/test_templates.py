"""Templates as their users get them: valid, whole, and never over something that is there."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import jsonschema
import pytest
import yaml

from catchment.errors import ConfigError
from catchment.project import load_project
from catchment.reading.odcs.document import load_contract
from catchment.templates import template_names, write_template
from catchment.trial import trials

# template, silver table, the folder with its files
TABLES = (
    ("shop", "users", "data/users"),
    ("shop", "products", "data/products"),
    ("shop", "transactions", "data/transactions"),
    ("shop", "events", "data/user_events"),
    ("shop", "catalogue", "data/catalogue"),
    ("shop", "sessions", "data/sessions"),
    ("shop", "reviews", "data/reviews"),
    ("sales", "sales", "data"),
)
FILLED = ("shop", "sales")
DBT = Path(sys.executable).with_name("dbt")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The templates that come with data, by name."""
    folders = {name: tmp_path_factory.mktemp("template") / "corner_shop" for name in FILLED}
    for name, folder in folders.items():
        write_template(name, folder, project_name="corner_shop")
    return folders


@pytest.fixture(scope="module")
def shop(made: dict[str, Path]) -> Path:
    return made["shop"]


@pytest.fixture(scope="module")
def manifests(made: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What dbt reads out of their gold projects; of `sales` as Catchment hands it over, with our package beside it."""
    found = {"shop": parsed_by_dbt(made["shop"] / "gold", tmp_path_factory.mktemp("dbt"))}
    found["sales"] = parsed_by_dbt(
        with_our_package(made["sales"] / "gold", tmp_path_factory.mktemp("gold")), tmp_path_factory.mktemp("dbt")
    )
    return found


def with_our_package(gold: Path, place: Path) -> Path:
    copied = Path(shutil.copytree(gold, place / "gold"))
    shutil.copytree(Path(str(files("catchment.gold") / "package")), copied / "dbt_packages" / "catchment")
    return copied


def parsed_by_dbt(gold: Path, place: Path) -> dict[str, Any]:
    told_by_dbt(gold, place)
    content: dict[str, Any] = json.loads((place / "manifest.json").read_text())
    return content


def told_by_dbt(gold: Path, place: Path) -> str:
    profile = {"catchment": {"target": "local", "outputs": {"local": {"type": "duckdb", "path": ":memory:"}}}}
    (place / "profiles.yml").write_text(json.dumps(profile))
    command = [DBT, "parse", "--no-partial-parse", "--project-dir", gold, "--profiles-dir", place]
    env = {**os.environ, "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_LOG_PATH": str(place)}
    done = subprocess.run(
        [*command, "--target-path", place], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def contract_of(folder: Path, table: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / f"contracts/{table}.odcs.yaml").read_text())
    return content


@pytest.mark.parametrize("name", template_names())
def test_a_template_is_a_valid_project_under_the_name_it_is_given(
    name: str, made: dict[str, Path], tmp_path: Path
) -> None:
    folder = made.get(name, tmp_path)
    if name not in made:
        write_template(name, folder, project_name="corner_shop")
    project = load_project(folder)
    assert project.name == "corner_shop"
    assert not project.warnings
    assert (folder / "README.md").read_text().startswith("# ")


def test_every_file_that_is_said_to_be_written_is_there_and_no_other(tmp_path: Path) -> None:
    written = write_template("blank", tmp_path, project_name="mine")
    assert written[0] == tmp_path / "catchment.yaml"
    assert sorted(written) == sorted(path for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FILLED)
def test_what_runs_make_is_ignored_by_git(name: str, made: dict[str, Path]) -> None:
    ignored = (made[name] / ".gitignore").read_text().splitlines()
    assert {"lake/", "warehouse/", ".catchment/", "data/"} <= set(ignored)
    assert ("inbox/" in ignored) == (made[name] / "inbox").exists()
    assert not (made[name] / "gitignore").exists()


def test_no_template_holds_a_name_that_builders_of_packages_leave_out() -> None:
    names = [
        path.name for name in template_names() for path in Path(str(files("catchment.templates") / name)).rglob("*")
    ]
    assert "gitignore" in names
    assert not [name for name in names if name.startswith(".") or name in ("build", "dist")]


@pytest.mark.parametrize(
    ("name", "present"),
    [
        ("shop", "catchment.yaml"),
        ("shop", "gold/models/cur/funnel.sql"),
        ("shop", "data/users/own.csv"),
        ("sales", "inbox/users/own.csv"),
    ],
)
def test_nothing_is_written_over_what_is_there(tmp_path: Path, name: str, present: str) -> None:
    kept = tmp_path / present
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("mine")
    with pytest.raises(ConfigError, match=present.removesuffix("/users/own.csv")):
        write_template(name, tmp_path, project_name="shop")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [kept]
    assert kept.read_text() == "mine"


def test_a_template_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no template `shp`") as raised:
        write_template("shp", tmp_path, project_name="mine")
    assert raised.value.hint == "did you mean `shop`?"


@pytest.mark.parametrize("name", ["", "a: b", "two words", "-x", "9lives"])
def test_a_name_that_yaml_or_paths_would_misread_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a project's name"):
        write_template("blank", tmp_path / "new", project_name=name)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("name", "table", "data"), TABLES)
def test_contracts_satisfy_the_schema_of_the_standard(made: dict[str, Path], name: str, table: str, data: str) -> None:
    schema = json.loads((files("open_data_contract_standard") / "schema.json").read_text())
    errors = list(jsonschema.Draft201909Validator(schema).iter_errors(contract_of(made[name], table)))
    assert not errors


@pytest.mark.parametrize(("name", "table", "data"), TABLES)
def test_contracts_say_nothing_that_would_only_be_warned_about(
    made: dict[str, Path], name: str, table: str, data: str
) -> None:
    path = f"contracts/{table}.odcs.yaml"
    contract, problems = load_contract(path, (made[name] / path).read_text(), table=table)
    assert contract is not None
    assert contract.key
    assert not problems


@pytest.mark.parametrize(("name", "table", "data"), TABLES)
def test_contracts_describe_every_column(made: dict[str, Path], name: str, table: str, data: str) -> None:
    properties = contract_of(made[name], table)["schema"][0]["properties"]
    assert not [column["name"] for column in properties if len(column.get("description", "")) < 5]


@pytest.mark.parametrize(("name", "table", "data"), TABLES)
def test_contracts_name_every_column_of_the_files(made: dict[str, Path], name: str, table: str, data: str) -> None:
    properties = contract_of(made[name], table)["schema"][0]["properties"]
    read = [column for column in properties if "transformLogic" not in column]
    wanted = {column.get("transformSourceObjects", [column["name"]])[0] for column in read}
    assert {re.split(r"\.", name.removeprefix("$."))[0] for name in wanted} == headers(made[name] / data)


def headers(folder: Path) -> set[str]:
    file = sorted(folder.iterdir())[0]
    with file.open(encoding="utf-8", newline="") as lines:
        if ".csv" in file.name:
            return set(next(csv.reader(lines)))
        return {key for line in lines for key in json.loads(line)}


def test_the_sheets_of_sales_hold_about_50_000_order_lines(made: dict[str, Path]) -> None:
    rows = sum(file.read_bytes().count(b"\n") - 1 for file in (made["sales"] / "data").glob("*.csv"))
    assert 45_000 < rows < 55_000


def test_the_demo_lands_between_100_000_and_150_000_rows(shop: Path) -> None:
    lines = 0
    for file in (shop / "data").rglob("*.csv"):
        lines += file.read_bytes().count(b"\n") - 1
    for file in (shop / "data").rglob("*.jsonl"):
        lines += file.read_bytes().count(b"\n")
    assert 80_000 < lines < 150_000  # a seventh of the event files is packed, and not counted here


def models_of(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {n["name"]: n for n in manifest["nodes"].values() if n["resource_type"] == "model"}


def layers_of(manifest: dict[str, Any]) -> dict[str, list[str]]:
    models = models_of(manifest)
    return {schema: sorted(n for n, m in models.items() if m["schema"] == schema) for schema in ("stg", "std", "cur")}


def test_gold_has_the_models_of_a_shop_in_three_layers(manifests: dict[str, Any]) -> None:
    assert layers_of(manifests["shop"]) == {
        "stg": ["stg_catalogue", "stg_events", "stg_products", "stg_reviews", "stg_transactions", "stg_users"],
        "std": ["dim_date", "dim_products", "dim_users"],
        "cur": [
            "business_metrics", "daily_sales", "fct_sessions", "fct_transactions", "funnel", "product_performance",
            "product_reviews", "user_value",
        ],
    }  # fmt: skip
    models = models_of(manifests["shop"]).values()
    assert {m["config"]["materialized"] for m in models if m["schema"] == "stg"} == {"view"}
    assert {m["config"]["materialized"] for m in models if m["schema"] != "stg"} == {"table"}


def test_gold_has_the_models_of_a_sheet_in_three_layers_and_one_goes_on(manifests: dict[str, Any]) -> None:
    assert layers_of(manifests["sales"]) == {
        "stg": ["stg_order_lines"],
        "std": ["dim_customers", "dim_date", "dim_products", "dim_regions"],
        "cur": ["customer_value", "fct_order_lines", "monthly_sales", "product_performance", "shipping"],
    }
    kinds = {name: model["config"]["materialized"] for name, model in models_of(manifests["sales"]).items()}
    assert [name for name, kind in kinds.items() if kind == "incremental"] == ["monthly_sales"]
    assert [name for name, kind in kinds.items() if kind == "view"] == ["stg_order_lines"]
    assert len(manifests["sales"]["unit_tests"]) == 2


@pytest.mark.parametrize(("name", "board"), [("shop", "sales_board"), ("sales", "monthly_report")])
def test_gold_tells_who_looks_at_it(manifests: dict[str, Any], name: str, board: str) -> None:
    exposures = {exposure["name"]: exposure for exposure in manifests[name]["exposures"].values()}
    assert set(exposures) == {board}
    assert len(exposures[board]["depends_on"]["nodes"]) >= 2


@pytest.mark.parametrize("name", FILLED)
def test_models_are_described(manifests: dict[str, Any], name: str) -> None:
    assert all(model["description"] for model in models_of(manifests[name]).values())


@pytest.mark.parametrize("name", FILLED)
def test_gold_is_tested(manifests: dict[str, Any], name: str) -> None:
    manifest = manifests[name]
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    assert len(tests) >= 40
    tested = {model for test in tests for model in test["depends_on"]["nodes"]}
    models = {key for key, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    assert models <= tested


@pytest.mark.parametrize("name", FILLED)
def test_only_stg_reads_silver_and_only_one_layer_below(manifests: dict[str, Any], name: str) -> None:
    manifest = manifests[name]
    below = {"stg": {"silver"}, "std": {"stg"}, "cur": {"stg", "std", "cur"}}
    everything = {**manifest["nodes"], **manifest["sources"]}
    for node in manifest["nodes"].values():
        if node["resource_type"] == "model":
            read = {everything[key]["schema"] for key in node["depends_on"]["nodes"]}
            assert read <= below[node["schema"]], node["name"]


@pytest.mark.parametrize("name", FILLED)
def test_no_model_asks_for_the_time_of_day(made: dict[str, Path], name: str) -> None:
    clock = re.compile(r"current_(date|time)|\b(now|today|random)\s*\(", re.IGNORECASE)
    assert not [path.name for path in (made[name] / "gold").rglob("*.sql") if clock.search(path.read_text())]


def test_the_shop_has_a_target_of_real_systems_and_the_default_one_needs_none(shop: Path) -> None:
    project = load_project(shop)
    assert {source.type for source in project.on(None).sources.values()} == {"files", "topic"}
    assert project.on(None).target(None)[1].broker == "embedded"
    there = {name: source.type for name, source in project.on("services").sources.items()}
    assert there == {
        "drops": "postgres",
        "clicks": "files",
        "site": "topic",
        "catalogue": "mongodb",
        "visits": "redis",
        "feedback": "graphql",
        "api": "rest",
    }
    assert project.on("services").streams() == project.on(None).streams()


def test_the_shop_keeps_every_version_of_a_user_and_looks_events_up_as_of_their_time(shop: Path) -> None:
    project = load_project(shop)
    assert (project.silver["users"].mode, project.silver["users"].latest_by) == ("history", "updated_at")
    how = project.silver["events"].with_["users"]
    assert how != "current"
    assert how.as_of == "occurred_at"


def test_a_version_in_dim_users_begins_and_ends_where_an_attribute_changes(shop: Path) -> None:
    columns = "user_id, tier, last_login_at, valid_from, valid_to"
    rows = """
        ('a', 'gold', 1, 1, 3), ('a', 'gold', 3, 3, 5), ('a', 'platinum', 5, 5, 7), ('a', 'gold', 7, 7, 8),
        ('a', 'gold', 8, 8, NULL),  -- back to what it was
        ('b', 'gold', 1, 1, 2), ('b', 'gold', 4, 4, NULL),  -- nobody in between
        ('c', 'gold', 1, 1, 2)  -- closed
    """
    day = "timestamp '2026-01-01' + to_days({})"
    stg = f"""
        (select user_id, 'e' as email, 'f' as first_name, 'l' as last_name, null::date as birth_date,
            timestamp '2025-01-01' as registered_at, 'DE' as country, 'Köln' as city, tier, true as is_active,
            last_login_at, {day.format("valid_from")} as valid_from, {day.format("valid_to")} as valid_to,
        from (values {rows}) as v ({columns}))"""
    model = (shop / "gold/models/std/dim_users.sql").read_text().replace("{{ ref('stg_users') }}", stg)
    with duckdb.connect() as connection:
        told = connection.sql(
            f"select user_id, tier, valid_from::date - date '2026-01-01' as since, valid_to::date - date '2026-01-01'"
            f" as till, is_current from ({model}) where is_known order by user_id, valid_from"
        ).fetchall()
        keys = connection.sql(f"select count(*), count(distinct user_key) from ({model})").fetchall()
    ever = (date(1900, 1, 1) - date(2026, 1, 1)).days
    assert told == [
        ("a", "gold", ever, 5, False),
        ("a", "platinum", 5, 7, False),
        ("a", "gold", 7, None, True),
        ("b", "gold", ever, 2, False),
        ("b", "gold", 4, None, True),
        ("c", "gold", ever, 2, False),
    ]
    assert keys == [(7, 7)]


def test_the_gold_project_of_blank_is_one_that_dbt_can_read(tmp_path: Path) -> None:
    write_template("blank", tmp_path / "mine", project_name="mine")
    place = tmp_path / "dbt"
    place.mkdir()
    found = parsed_by_dbt(tmp_path / "mine/gold", place)
    assert not [node for node in found["nodes"].values() if node["resource_type"] == "model"]


def test_the_empty_layers_of_blank_are_no_warning(tmp_path: Path) -> None:
    write_template("blank", tmp_path / "mine", project_name="mine")
    (tmp_path / "mine/gold/models/stg/stg_one.sql").write_text("select 1 as x\n", encoding="utf-8")
    assert "unused configuration" not in told_by_dbt(tmp_path / "mine/gold", tmp_path)


def test_the_tests_of_sales_pass_and_name_every_rejected_row(made: dict[str, Path]) -> None:
    assert [(trial.case, trial.problem, trial.passed) for trial in trials(load_project(made["sales"]))] == [
        ("sales", None, True)
    ]
    assert (made["sales"] / "tests/sales/rejects.csv").exists()
