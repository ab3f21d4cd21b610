"""catchment.yaml: what it becomes, and every way in which it can be wrong, with line and cure."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catchment.errors import ConfigError, ProjectProblems
from catchment.naming import TableName
from catchment.project import find_project, json_schema, load_project, memory_bytes, read_project
from catchment.reading import documents
from catchment.reading.declaration import Target
from catchment.records import Feed

ROOT = Path(__file__).parents[2]

HEAD = """\
name: shop
sources:
  drops:
    type: files
    streams:
      keyed: {path: "data/keyed/*.csv"}
      keyless: {path: data/keyless}
      whole: {path: "data/whole/*.csv", full: true}
      again: {path: "data/again/*.csv", changed: reload}
"""

CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: x
version: 1.0.0
schema:
  - name: x
    properties:
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("contracts", "silver", "gold"):
        (tmp_path / name).mkdir()
    contracts = {
        "keyed": "      - {name: id, logicalType: integer, primaryKey: true}\n"
        "      - {name: updated_at, logicalType: timestamp}\n",
        "keyless": "      - {name: id, logicalType: integer}\n",
        "derived": "      - {name: made, logicalType: integer, transformLogic: made in refine}\n",
        "derived_key": "      - {name: made, logicalType: integer, primaryKey: true, transformLogic: made in refine}\n",
        "refers": "      - {name: ref, logicalType: integer, primaryKey: true, relationships: [{to: keyed.id}]}\n",
    }
    for name, columns in contracts.items():
        (tmp_path / f"contracts/{name}.odcs.yaml").write_text(CONTRACT + columns)
    (tmp_path / "silver/keyed.py").write_text("def refine(frame):\n    return frame\n")
    (tmp_path / "gold/dbt_project.yml").write_text("name: gold\n")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    (folder / "catchment.yaml").write_text(text, encoding="utf-8")
    return folder


def corpus() -> dict[str, tuple[str, str, str]]:
    text = (Path(__file__).parent / "corpus" / "projects.txt").read_text("utf-8").replace("HEAD\n", HEAD)
    cases = [case.split("\n", 1) for case in text.split("\n=== ")[1:]]
    split = [(title.split(" | "), document) for title, document in cases]
    return {name: (document, message, cure) for (name, message, cure), document in split}


WHOLE = (
    HEAD
    + """\
silver:
  keyed: {from: drops.keyed, mode: merge, latest_by: updated_at}
  keyless: {from: drops.keyless, refine: silver/keyed.py, with: {keyed: current}}
gold: {dbt: gold/}
targets:
  local: {default: true, memory: 512MB, threads: 2}
  big: {lake: /mnt/lake, spill: /mnt/spill}
"""
)


def test_a_whole_project_becomes_one_value(folder: Path) -> None:
    project = load_project(write(folder, WHOLE))
    assert project.name == "shop"
    assert project.folder == folder
    assert project.silver["keyed"].from_ == "drops.keyed"
    assert project.silver["keyed"].mode == "merge"
    assert project.silver["keyless"].with_ == {"keyed": "current"}
    assert project.sources["drops"].streams["keyless"].path == "data/keyless"
    assert project.gold is not None
    assert project.gold.dbt == "gold/"
    assert project.contracts["keyed"].key == ("id",)
    assert project.contracts["keyed"].file == "contracts/keyed.odcs.yaml"
    assert project.feeds() == (
        Feed("drops.keyed", TableName("bronze", "drops__keyed")),
        Feed("drops.keyless", TableName("bronze", "drops__keyless")),
        Feed("drops.whole", TableName("bronze", "drops__whole")),
        Feed("drops.again", TableName("bronze", "drops__again")),
    )
    assert project.target(None) == ("local", Target(default=True, memory="512MB", threads=2))
    assert project.target("big")[1].lake == "/mnt/lake"


def test_without_targets_there_is_one_called_local(folder: Path) -> None:
    assert load_project(write(folder, "name: shop\n")).target(None) == ("local", Target(default=True))


def test_an_only_target_is_the_default(folder: Path) -> None:
    assert load_project(write(folder, "name: shop\ntargets: {here: {}}\n")).target(None)[0] == "here"


def test_a_wrong_target_names_the_nearest(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no target `bg`") as caught:
        load_project(write(folder, WHOLE)).target("bg")
    assert caught.value.hint == "did you mean `big`?"


ELSEWHERE = """\
silver:
  keyed: {from: drops.keyed, mode: merge, latest_by: updated_at}
targets:
  local: {default: true}
  cluster:
    lake: lake-cluster
    sources:
      drops: {type: postgres, url: "${env:URL}", streams: {keyed: {table: public.keyed, cursor: updated_at}}}
"""


def test_a_target_has_its_own_sources_and_the_others_have_not(folder: Path) -> None:
    project = load_project(write(folder, HEAD + "  more: {type: files, streams: {a: {path: a.csv}}}\n" + ELSEWHERE))
    there = project.on("cluster")
    assert {name: source.type for name, source in there.sources.items()} == {"drops": "postgres", "more": "files"}
    assert [feed.name for feed in there.feeds()] == ["drops.keyed", "more.a"]
    assert (there.silver, there.contracts, there.targets) == (project.silver, project.contracts, project.targets)
    assert project.sources["drops"].type == "files"
    assert there.on("local").sources == there.on(None).sources == project.sources == project.on(None).sources
    assert there.on("cluster@alice") is there
    assert load_project(write(folder, WHOLE)).on("big").place is None  # nothing differs


def test_every_part_that_knows_its_target_sees_its_sources(folder: Path) -> None:
    from catchment.connected import Connected
    from catchment.lineage import lineage
    from catchment.opened import open_project
    from catchment.outlook import steps

    project = load_project(write(folder, HEAD + ELSEWHERE))
    own, other = ["drops.keyed"], ["drops.keyed", "drops.keyless", "drops.whole", "drops.again"]
    for target, wanted in (("cluster", own), ("local", other)):
        assert list(Connected.of(project, target).project.streams()) == wanted
        assert [step.name for step in steps(project, target) if step.kind == "land"] == wanted
        assert [feed.name for feed in open_project(folder, target).project.feeds()] == wanted
        assert [name for name in lineage(project, target).tables if name.startswith("drops.")] == wanted


def test_a_project_cannot_be_changed(folder: Path) -> None:
    project = load_project(write(folder, WHOLE))
    with pytest.raises(ValueError, match="frozen"):
        project.silver["keyed"].mode = "append"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        project.name = "other"  # type: ignore[misc]


def test_anchors_and_merge_keys_are_read(folder: Path) -> None:
    text = (
        f"{HEAD}silver:\n"
        "  keyed: &a {from: drops.keyed, mode: merge}\n"
        "  other: {<<: *a, contract: contracts/keyed.odcs.yaml}\n"
    )
    assert load_project(write(folder, text)).silver["other"].mode == "merge"


def test_two_tables_may_share_a_contract(folder: Path) -> None:
    tables = "  a: {from: drops.keyed, contract: contracts/keyed.odcs.yaml}\n  keyed: {from: drops.keyed}\n"
    text = f"{HEAD}silver:\n{tables}"
    contracts = load_project(write(folder, text)).contracts
    assert contracts["a"].table == "a"
    assert contracts["a"].columns == contracts["keyed"].columns


def test_a_byte_order_mark_is_no_mistake(folder: Path) -> None:
    (folder / "catchment.yaml").write_bytes(b"\xef\xbb\xbfname: shop\r\n")
    assert load_project(folder).name == "shop"


CASES = corpus()


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_has_its_line_its_cause_and_its_cure(case: str, folder: Path) -> None:
    text, message, cure = CASES[case]
    line = next(number for number, row in enumerate(text.split("\n"), start=1) if "#!" in row)
    with pytest.raises(ProjectProblems) as caught:
        load_project(write(folder, text))
    told = [str(problem) for problem in caught.value.problems]
    fitting = [problem for problem in caught.value.problems if message in problem.message and problem.line == line]
    assert fitting, told
    assert fitting[0].file == "catchment.yaml"
    assert fitting[0].cure is not None
    assert cure in fitting[0].cure
    assert len(told) == len(set(told))
    assert not any("Input should" in words or "pydantic" in words or "type=" in words for words in told), told


@pytest.mark.parametrize(
    "slip",
    [
        "silver: {keyed: {from: drops.keyed, publish: {topc: x}}}",
        "silver: {keyed: {form: drops.keyed}}",
        "targets: {local: {broker: {typ: kafka, servers: x}}}",
        "targets: {local: {broker: {type: kafka, server: x}}}",
        "targets: {local: {broker: kafka}}",
        "targets: {local: {live: mysql}}",
        "targets: {local: {live: {type: clickhouse, ulr: 'http://x'}}}",
        "targets: {local: {broker: {type: kafka, servers: a:1,b:2}}}",
        "targets: {local: {lake: one, two}}",
        "targets: {local: {sources: {drops: {typ: files, streams: {}}}}}",
        "silver: {keyed: {from: drops.keyed, mode: merge, deleted_when: id in (1, 2)}}",
        "live: {n: {from: keyed, measures: {late: share(id, id)}}}\nsilver: {keyed: {from: drops.keyed}}",
    ],
)
def test_one_slip_of_the_pen_is_one_mistake(slip: str, folder: Path) -> None:
    with pytest.raises(ProjectProblems) as caught:
        load_project(write(folder, f"{HEAD}{slip}\n"))
    assert len([one for one in caught.value.problems if one.severity == "error"]) == 1, str(caught.value)


def test_a_key_without_a_value_in_lines_is_no_cut_value(folder: Path) -> None:
    text = "name: shop\ntargets:\n  local: {lake: a, spill: }\n  other: {default: true, lake: b,\n    spill: }\n"
    project = load_project(write(folder, text))
    assert [(one.lake, one.spill) for one in project.targets.values()] == [("a", None), ("b", None)]


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"", None, "empty"),
        (b"name: shop\n# caf\xe9\n", 2, "0xe9 is not UTF-8"),
        ("name: shop".encode("utf-16"), 1, "is not UTF-8"),
        (b"name: shop\nsources:\n\tdrops: {}\n", 3, "tab"),
        (b"name: shop\x00\n", 1, "does not allow"),
        (b"[" * 10_000, 1, "levels deep"),
    ],
)
def test_what_is_no_text_or_no_yaml_is_told_with_its_place(
    content: bytes, line: int | None, message: str, folder: Path
) -> None:
    (folder / "catchment.yaml").write_bytes(content)
    with pytest.raises(ProjectProblems, match=message) as caught:
        load_project(folder)
    (problem,) = caught.value.problems
    assert problem.line == line
    assert problem.cure


def test_every_mistake_is_told_at_once_those_of_contracts_too(folder: Path) -> None:
    (folder / "contracts/keyless.odcs.yaml").write_text(CONTRACT + "      - {name: id, logicalType: text}\n")
    text = HEAD.replace("path: data/keyless", "pth: data/keyless") + (
        "silver:\n  keyed: {from: drops.kyed, latest_by: x}\n  keyless: {from: drops.keyless}\n"
        "  gone: {from: drops.keyed}\n"
        "gold: {dbt: nowhere}\nschedle: 1\n"
    )
    with pytest.raises(ProjectProblems) as caught:
        load_project(write(folder, text))
    told = [(problem.file, problem.line, problem.key) for problem in caught.value.problems]
    assert told == [
        ("catchment.yaml", 7, "sources.drops.streams.keyless"),
        ("catchment.yaml", 11, "silver.keyed.from"),
        ("catchment.yaml", 11, "silver.keyed.latest_by"),
        ("catchment.yaml", 13, "silver.gone"),
        ("catchment.yaml", 14, "gold.dbt"),
        ("catchment.yaml", 15, None),
        ("contracts/keyless.odcs.yaml", 8, "keyless.id"),
    ]
    assert str(caught.value).count("\n") == len(told) - 1


def test_a_problem_reads_as_one_line_with_place_and_cure(folder: Path) -> None:
    with pytest.raises(ProjectProblems) as caught:
        load_project(write(folder, HEAD + "silver:\n  keyed: {from: drops.kyed}\n"))
    assert str(caught.value) == (
        "catchment.yaml:11:17  silver.keyed.from: no stream `drops.kyed`; did you mean `drops.keyed`?"
    )


def test_a_warning_stops_nothing_and_is_kept(folder: Path) -> None:
    project = load_project(write(folder, HEAD + "silver:\n  keyed: {from: drops.keyed, latest_by: updated_at}\n"))
    (warning,) = project.warnings
    assert warning.severity == "warning"
    assert "append" in warning.message
    assert warning.line == 11


WELL = {
    "history": "from: drops.keyed, mode: history, latest_by: updated_at, deleted_when: id < 0",
    "history of a whole stream": "from: drops.whole, mode: history",
    "merge of several": "from: [drops.keyed, drops.keyless], mode: merge, latest_by: updated_at",
    "append of several": "from: [drops.keyed, drops.keyless]",
    "replace": "from: drops.whole, mode: replace",
    "delete_insert": "from: drops.whole, mode: delete_insert, slice: [id]",
    "window": "from: drops.keyed, mode: window, event_time: updated_at, lateness: 90min",
    "reload": "from: drops.again, mode: merge",
}


@pytest.mark.parametrize("keys", WELL.values(), ids=WELL)
def test_every_mode_can_be_said_without_a_warning(keys: str, folder: Path) -> None:
    assert load_project(write(folder, f"{HEAD}silver:\n  keyed: {{{keys}}}\n")).warnings == ()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("latest_by: updated_at", "latest_by says nothing in mode append"),
        ("slice: [id]", "slice says nothing in mode append"),
        ("mode: merge, slice: [id]", "slice says nothing in mode merge"),
        ("mode: merge, event_time: updated_at", "event_time says nothing in mode merge"),
        ("lateness: 2 days", "lateness says nothing in mode append"),
        ("wait: 2 days", "wait says nothing where the contract refers to no other table"),
    ],
)
def test_a_key_that_says_nothing_is_a_warning(keys: str, message: str, folder: Path) -> None:
    project = load_project(write(folder, f"{HEAD}silver:\n  keyed: {{from: drops.keyed, {keys}}}\n"))
    (warning,) = project.warnings
    assert message in warning.message
    assert warning.line == 11
    assert warning.cure


@pytest.mark.parametrize(
    ("paces", "message"),
    [
        ("flush: 2 minutes", "2 minutes is more than merge_every (60s, the default): what is published"),
        ("merge_every: 500ms, flush: 1s", "is passed on every 1s, however often silver has something new"),
        ("merge_every: 100ms", None),  # nobody said how often it is passed on
        ("flush: 60s", None),
        ('flush: "${env:PACE}"', None),
        ('flush: 2 minutes, merge_every: "${env:PACE}"', None),
    ],
)
def test_a_pace_that_holds_back_more_than_it_seems_is_a_warning(paces: str, message: str | None, folder: Path) -> None:
    told = load_project(write(folder, f"{HEAD}stream: {{{paces}}}\n")).warnings
    if message is None:
        assert told == ()
    else:
        (warning,) = told
        assert message in warning.message
        assert (warning.line, warning.key) == (10, "stream.flush")


def test_a_delta_source_arrives_whole_by_nature(folder: Path) -> None:
    text = "name: x\nsources: {crm: {type: delta, streams: {t: {path: /t}}}}\nsilver:\n"
    assert load_project(write(folder, f"{text}  keyed: {{from: crm.t, mode: replace}}\n")).warnings == ()
    with pytest.raises(ProjectProblems, match=r"crm\.t arrives whole each time"):
        load_project(write(folder, f"{text}  keyed: {{from: crm.t}}\n"))


REFERENCES = {
    "no table": ("[{to: keyd.id}]", "no silver table `keyd` to refer to", "did you mean `keyed`?"),
    "no column": ("[{to: keyed.idd}]", "silver table `keyed` has no column `idd`", "did you mean `id`?"),
    "another type": ("[{to: keyed.updated_at}]", "never equal", "one logicalType"),
}


@pytest.mark.parametrize("case", REFERENCES)
def test_a_reference_must_lead_somewhere(case: str, folder: Path) -> None:
    to, message, cure = REFERENCES[case]
    columns = f"      - name: ref\n        logicalType: integer\n        relationships: {to}\n"
    (folder / "contracts/refers.odcs.yaml").write_text(CONTRACT + columns)
    text = f"{HEAD}silver:\n  keyed: {{from: drops.keyed}}\n  refers: {{from: drops.keyed}}\n"
    with pytest.raises(ProjectProblems) as caught:
        load_project(write(folder, text))
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == ("contracts/refers.odcs.yaml", 10)
    assert problem.key == "refers.relationships"
    assert message in problem.message
    assert cure in (problem.cure or "")


@pytest.mark.parametrize("mode", ["replace", "delete_insert, slice: [id]", "history"])
@pytest.mark.parametrize(
    "source",
    [
        'db: {type: postgres_changes, url: "postgresql://a@h/d", streams: {keyed: {table: keyed}}}',
        "db: {type: topic, streams: {keyed: {format: debezium}}}",
        "db: {type: topic, streams: {keyed: {}}}",
        'db: {type: postgres, url: "postgresql://a@h/d", streams: {keyed: {table: keyed, cursor: id}}}',
    ],
)
def test_no_cure_names_a_key_that_the_source_does_not_know(mode: str, source: str, folder: Path) -> None:
    text = f"name: shop\nsources:\n  {source}\nsilver:\n  keyed: {{from: db.keyed, mode: {mode}}}\n"
    _, problems = read_project(write(folder, text))
    told = [problem.cure or "" for problem in problems]
    assert not [cure for cure in told if "full: true" in cure or "load_per_file" in cure], told
    assert len({problem.line for problem in problems}) == len(problems), "one slip, one mistake"


def test_a_table_may_refer_to_itself(folder: Path) -> None:
    columns = (
        "      - {name: id, logicalType: integer, primaryKey: true}\n"
        "      - {name: parent, logicalType: integer, relationships: [{to: refers.id}]}\n"
    )
    (folder / "contracts/refers.odcs.yaml").write_text(CONTRACT + columns)
    text = f"{HEAD}silver:\n  refers: {{from: drops.keyed, mode: merge, wait: 2 hours}}\n"
    project = load_project(write(folder, text))
    assert project.warnings == ()
    assert project.looks_at("refers") == ()


def test_a_table_comes_after_those_it_refers_to(folder: Path) -> None:
    text = f"{HEAD}silver:\n  refers: {{from: drops.keyed}}\n  keyed: {{from: drops.keyed}}\n"
    assert load_project(write(folder, text)).looks_at("refers") == ("keyed",)


def test_values_from_outside_stay_references(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_PLACE", "s3://very-secret-bucket")
    text = "name: shop\ntargets: {local: {lake: '${env:LAKE_PLACE}', memory: '${file:memory.txt}'}}\n"
    project = load_project(write(folder, text))
    target = project.target(None)[1]
    for shown in (repr(project), str(target), target.model_dump_json(), repr(target)):
        assert "${env:LAKE_PLACE}" in shown
        assert "very-secret" not in shown


def test_the_project_is_found_from_below(folder: Path) -> None:
    write(folder, "name: shop\n")
    deep = folder / "gold" / "models"
    deep.mkdir()
    assert find_project(deep) == folder
    assert find_project(folder) == folder


def test_where_there_is_no_project_the_cure_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no catchment\.yaml") as caught:
        find_project(tmp_path)
    assert "catchment init" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="is not there") as missing:
        load_project(tmp_path)
    assert "catchment init" in (missing.value.hint or "")


@pytest.mark.parametrize(
    ("text", "expected"), [("2GB", 2_000_000_000), ("512 MiB", 512 << 20), ("1.5KB", 1500), ("1TiB", 1 << 40)]
)
def test_a_memory_size_is_read_as_duckdb_reads_it(text: str, expected: int) -> None:
    assert memory_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "2", "GB", "-2GB", "2 gigs", "1e3MB"])
def test_a_wrong_memory_size_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a size"):
        memory_bytes(text)


def test_the_pure_python_parser_says_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told() -> list[tuple[str, int | None, int | None]]:
        return [(p.message, p.line, p.column) for p in read_project(folder)[1]]

    write(folder, CASES["from no stream"][0])
    fast = told()
    monkeypatch.delattr(yaml, "CSafeLoader")
    assert told() == fast
    assert load_project(write(folder, WHOLE)).name == "shop"


def test_hundreds_of_tables_load_in_no_time(tmp_path: Path) -> None:
    import time

    columns = "".join(f"      - {{name: c{n}, logicalType: string, required: true}}\n" for n in range(15))
    (tmp_path / "contracts").mkdir()
    tables = [f"t{n}" for n in range(250)]
    for table in tables:
        (tmp_path / f"contracts/{table}.odcs.yaml").write_text(CONTRACT + columns)
    streams = "".join(f"      {table}: {{path: {table}}}\n" for table in tables)
    silver = "".join(f"  {table}: {{from: drops.{table}}}\n" for table in tables)
    write(tmp_path, f"name: big\nsources:\n  drops:\n    type: files\n    streams:\n{streams}silver:\n{silver}")
    started = time.perf_counter()
    assert len(load_project(tmp_path).contracts) == 250
    # A thousand of 15 columns took 2.4 s on two shared cores; this is a quarter of them, with room for a busy machine.
    assert time.perf_counter() - started < 3


def test_the_schema_for_editors_is_the_one_in_the_docs() -> None:
    generate = runpy.run_path(str(ROOT / "docs/reference/generate.py"))
    assert (ROOT / "docs/reference/catchment.schema.json").read_text("utf-8") == generate["schema_text"]()


def test_every_key_stands_in_the_reference_as_the_models_have_it() -> None:
    generate = runpy.run_path(str(ROOT / "docs/reference/generate.py"))
    page = (ROOT / "docs/reference/catchment-yaml.md").read_text("utf-8")
    assert generate["keys_markdown"]() in page


def test_the_example_in_the_reference_is_a_project(folder: Path) -> None:
    page = (ROOT / "docs/reference/catchment-yaml.md").read_text("utf-8")
    example = page.split("```yaml\n")[1].split("```")[0]
    for name in ("orders", "customers"):
        columns = (
            f"      - {{name: {name[:-1]}_id, logicalType: string, primaryKey: true}}\n"
            "      - {name: updated_at, logicalType: timestamp}\n"
        )
        (folder / f"contracts/{name}.odcs.yaml").write_text(CONTRACT + columns)
    (folder / "silver/orders.py").write_text("")
    assert load_project(write(folder, example)).warnings == ()


def test_the_schema_and_the_models_agree(folder: Path) -> None:
    schema = json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    assert "$id" not in schema
    assert validator.is_valid(yaml.safe_load(WHOLE))
    for wrong in (
        "unknown key",
        "mode",
        "memory",
        "no path",
        "format",
        "a number for text",
        "no threads",
        "empty path",
    ):
        assert not validator.is_valid(yaml.safe_load(CASES[wrong][0])), wrong
    for key in ("sources", "silver", "gold", "targets"):
        assert schema["properties"][key]["description"]


PIECES = st.sampled_from(
    [
        "name: shop\n",
        "sources:\n",
        "  drops:\n",
        "    type: files\n",
        "    streams: {}\n",
        "silver:\n",
        "  a: ",
        "{from: drops.a}\n",
        "with: ",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "\n",
        "  ",
        "- ",
        "&x ",
        "*x ",
        "<<: ",
        "'",
        '"',
        "${env:X}",
        "${",
        "#",
        "\t",
        "\x00",
        "gold: ",
        "targets:\n",
        "latest_by: ",
        "null",
        "1e9",
        "!!int ",
        "? ",
        "|\n",
        "é",
        "\ud800",
        "contract: ",
        "refine: ",
        HEAD,
    ]
)
WRITTEN = st.one_of(st.text(max_size=120), st.lists(PIECES, max_size=25).map("".join))


def told(folder: Path) -> None:
    """Opens the project, or is told why not in words that name something."""
    error: ConfigError | None = None
    try:
        load_project(folder)
    except ConfigError as caught:
        error = caught
    assert error is None or error.message
    for problem in error.problems if isinstance(error, ProjectProblems) else ():
        assert problem.message
        assert problem.severity == "error"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=WRITTEN)
def test_no_text_raises_anything_but_problems(text: str, folder: Path) -> None:
    (folder / "catchment.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    told(folder)


KEYS = [
    "name",
    "sources",
    "silver",
    "gold",
    "targets",
    "type",
    "streams",
    "path",
    "from",
    "with",
    "mode",
    "latest_by",
    "refine",
    "contract",
    "dbt",
    "command",
    "lake",
    "memory",
    "default",
    "drops",
    "keyed",
    "local",
    "header",
    "delimiter",
    "live",
]
WORDS = ["", "x", "files", "drops.keyed", "merge", "current", "gold", "a\x01b", "${env:X}", "../..", "\0", "x" * 5000]
LEAVES = st.sampled_from([None, True, 0, -1, 1.5, *WORDS])
SHAPES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=st.dictionaries(st.sampled_from(KEYS), SHAPES, max_size=6))
def test_no_shape_raises_anything_but_problems(shape: Any, folder: Path) -> None:
    write(folder, json.dumps(shape))
    told(folder)


PRINTED = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | PRINTED,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PRINTED, inner, max_size=3),
    max_leaves=15,
)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_json_is_read_as_json(value: Any) -> None:
    findings = documents.Findings("x")
    node = documents.parse(json.dumps(value), findings)
    assert node is not None
    assert "<<" in json.dumps(value) or node.plain() == value
