"""`catchment quality`, the figures in queries, and what restore, upkeep and environments make of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner

import catchment
from catchment.answers import QualityOfTable
from catchment.cli import main
from catchment.cli.group import catchment as command
from catchment.cli.quality import lines, lines_of_table
from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.events import CheckFailed
from catchment.maintain import maintain
from catchment.naming import silver_table
from catchment.opened import OpenProject
from catchment.project import load_project
from catchment.quality import quality
from catchment.status import status
from catchment.testing.fakes import Heard

_YAML = """\
name: small
sources:
  src: {type: files, streams: {rows: {path: "rows/*.csv"}}}
silver:
  orders: {from: src.rows}
  others: {from: src.rows}
"""

_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
status: active
schema:
  - name: orders
    properties:
      - {name: id, logicalType: string, required: true}
      - {name: n, logicalType: integer, customProperties: [{property: weight, value: 3}]}
    quality:
      - {type: custom, engine: catchment, implementation: {usual: {loads: 8, of: [rows]}}}
"""


def _project(folder: Path) -> Path:
    (folder / "contracts").mkdir(parents=True)
    (folder / "rows").mkdir()
    (folder / "catchment.yaml").write_text(_YAML)
    (folder / "contracts/orders.odcs.yaml").write_text(_CONTRACT)
    (folder / "contracts/others.odcs.yaml").write_text(_CONTRACT.replace("orders", "others"))
    return folder


def _day(folder: Path, day: int, *values: str) -> OpenProject:
    text = "\n".join(["id,n", *(f"{place:03d},{value}" for place, value in enumerate(values))]) + "\n"
    (folder / f"rows/day-{day:02d}.csv").write_text(text)
    opened = catchment.open(folder)
    opened.run(select="+silver.orders")
    return opened


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A project with nine days behind it, on the last of which much is wrong."""
    folder = _project(tmp_path / "small")
    for day in range(1, 9):
        _day(folder, day, *["5"] * 30)
    _day(folder, 9, *["5"] * 50, *["x"] * 50)
    return folder


def test_a_project_that_never_ran_has_no_loads(tmp_path: Path) -> None:
    project = load_project(_project(tmp_path / "small"))
    assert quality(project, None) == ()
    assert quality(project, None, "orders") == ()
    with pytest.raises(ConfigError, match=r"no table order in this project"):
        quality(project, None, "order")


def test_each_load_tells_rows_score_and_what_is_unusual(small: Path) -> None:
    (found,) = quality(load_project(small), None)
    assert found.table == "silver.orders"
    assert [(load.load, load.rows, load.rejected, load.score) for load in found.loads] == [
        *((day, 30, 0, 100.0) for day in range(1, 9)),
        (9, 100, 50, 100 * (1 + 3 * 0.5) / 4),
    ]
    assert [load.unusual for load in found.loads[:8]] == [()] * 8
    assert found.loads[8].unusual == (
        "100 rows, usually 14 to 46 (8 loads)",
        "50 % rejected, usually at most 3 % (8 loads)",
        "score 62.5, usually at least 97.0 (8 loads)",
    )
    (rows,) = [one for one in found.loads[7].measures if one.measure == "rows"]
    assert (rows.value, round(rows.low or 0), round(rows.high or 0)) == (30, 14, 46)
    assert {one.low for one in found.loads[6].measures} == {None}  # six loads before it
    assert quality(load_project(small), None, "silver.orders", 2)[0].loads == found.loads[7:]


def test_only_what_the_contract_asks_for_warns(tmp_path: Path) -> None:
    folder = _project(tmp_path / "small")
    heard = Heard()
    for day in range(1, 9):
        _day(folder, day, *["5"] * 30)
    (folder / "rows/day-99.csv").write_text("id,n\n001,x\n")
    catchment.open(folder).run(select="+silver.orders", listeners=[heard])
    assert [event.message for event in heard.of(CheckFailed)] == ["1 row, usually 14 to 46 (8 loads)"]


def test_status_tells_the_newest_score(small: Path) -> None:
    told = {table.table: table.score for table in status(load_project(small), None).tables}
    assert told == {"bronze.src__rows": None, "silver.orders": 62.5}


def test_figures_are_a_table_in_queries(small: Path) -> None:
    opened = catchment.open(small)
    told = "SELECT load, judged_at, kind, column_name, value FROM quality.orders WHERE measure = 'score' ORDER BY load"
    found = opened.query(told).read_all()
    assert found["load"].to_pylist() == list(range(1, 10))
    assert found["value"].to_pylist()[-1] == 62.5
    then = opened.query("SELECT max(load) AS newest FROM quality.orders", as_of=4).read_all()
    assert then["newest"].to_pylist() == [4]
    joined = "SELECT count(*) AS n FROM silver.orders AS o JOIN quality.orders AS q ON o._judged = q.load"
    assert opened.query(f"{joined} WHERE q.measure = 'rows'").read_all()["n"].to_pylist() == [8 * 30 + 50]
    with pytest.raises(ConfigError, match=r"no table quality\.order"):
        opened.query("SELECT * FROM quality.order")


def test_a_table_without_figures_is_empty_in_queries(small: Path) -> None:
    (small / "rows/none.csv").write_text("id,n\n")
    connected = Connected.of(load_project(small))
    connected.lake.create(silver_table("others"), pa.schema([("id", pa.string())]))
    found = catchment.open(small).query("SELECT * FROM quality.others").read_all()
    assert (found.num_rows, found.column_names) == (0, ["load", "judged_at", "kind", "measure", "column_name", "value"])


def test_a_table_whose_loads_have_no_figures_is_not_told_to_run(small: Path) -> None:
    """Loads that an older version made have none, and a run would say that nothing is new."""
    lake = Connected.of(load_project(small)).lake
    if lake.open(silver_table("others")) is None:
        lake.create(silver_table("others"), pa.schema([("id", pa.string())]))
    told = CliRunner().invoke(command, ["--project", str(small), "quality", "others"])
    assert (told.exit_code, told.stdout) == (0, "")
    assert told.stderr.strip() == "no load has figures so far; the next one will"


def test_figures_go_back_with_the_rows(small: Path) -> None:
    opened = catchment.open(small)
    before = opened.quality("orders")[0].loads
    opened.restore("silver.orders", 4)
    assert opened.quality("orders")[0].loads == before[:4]
    opened.restore("silver.orders", 9)
    assert opened.quality("orders")[0].loads == before


def test_upkeep_keeps_what_kept_states_name(small: Path) -> None:
    opened = catchment.open(small)
    before = opened.quality("orders")
    folder = small / "lake/_progress/silver.orders/0"
    segments = set(folder.glob("*-seen.parquet"))
    time.sleep(0.02)
    maintain(load_project(small), None, retention=timedelta(0))
    left = set(folder.glob("*-seen.parquet"))
    state = Connected.of(load_project(small)).lake.glance(silver_table("orders"))
    assert state is not None
    assert {path.name for path in left} == set(state.progress.segments)
    assert left < segments
    assert opened.quality("orders") == before


def test_an_environment_has_figures_of_its_own(small: Path) -> None:
    other = catchment.open(small, target="local@alice")
    assert other.quality() == catchment.open(small).quality()  # it reads the target's table so far
    other.run(select="silver.orders")
    assert [load.rows for load in other.quality("orders")[0].loads] == [340]
    assert len(catchment.open(small).quality("orders")[0].loads) == 9


def test_one_line_a_table(small: Path) -> None:
    found = quality(load_project(small), None)
    assert lines(found) == [
        "table          score  mean  loads  unusual",
        "silver.orders   62.5  95.8      9  100 rows, usually 14 to 46 (8 loads), and 2 more figures",
    ]
    assert lines([QualityOfTable("silver.x")]) == []


def test_a_table_tells_its_loads_and_the_figures_of_the_newest(small: Path) -> None:
    (found,) = quality(load_project(small), None, "orders", 2)
    told = lines_of_table(found)
    assert told[0].split() == ["load", "at", "rows", "rejected", "score", "unusual"]
    assert [line.split()[0] for line in told[1:3]] == ["8", "9"]
    assert told[2].endswith("50.0 %   62.5  100 rows, usually 14 to 46 (8 loads), and 2 more figures")
    assert told[4:] == [
        "Load 9:",
        "measure         value  usually",
        "rows              100  14 to 46",
        "good               50  -",
        "rejected           50  -",
        "rejected_share   50 %  at most 3 %",
        "score            62.5  at least 97.0",
        "id: length          3  2.85 to 3.15",
        "n: nulls          0 %  0 % to 3 %",
        "n: mean             5  4.75 to 5.25",
        "  100 rows, usually 14 to 46 (8 loads)",
        "  50 % rejected, usually at most 3 % (8 loads)",
        "  score 62.5, usually at least 97.0 (8 loads)",
    ]


def test_the_command_prints_lines_or_json(small: Path) -> None:
    run = CliRunner()
    told = run.invoke(command, ["--project", str(small), "quality"])
    assert told.stdout.splitlines()[1].startswith("silver.orders")
    told = run.invoke(command, ["--project", str(small), "quality", "silver.orders", "--loads", "1", "--json"])
    (table,) = json.loads(told.stdout)
    assert table["table"] == "silver.orders"
    assert [load["load"] for load in table["loads"]] == [9]
    told = run.invoke(command, ["--project", str(small), "quality", "others"])
    assert (told.stdout, told.stderr.strip()) == ("", f"no load so far: catchment --project {small} run")
    told = run.invoke(command, ["--project", str(small), "quality", "--env", "alice"])
    assert told.stdout.splitlines()[1].startswith("silver.orders")


def _torn(segment: Path) -> None:
    segment.write_bytes(b"no Parquet" * 20)


def _flipped(segment: Path) -> None:
    content = bytearray(segment.read_bytes())
    for place in range(len(content) - 200, len(content) - 12):
        content[place] ^= 0xFF
    segment.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, _torn, _flipped])
def test_damaged_figures_are_told_of_their_table_alone(
    small: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    catchment.open(small).run(select="silver.others")
    for segment in (small / "lake/_progress/silver.orders/0").glob("*-seen.parquet"):
        damage(segment)
    damaged, whole = quality(load_project(small), None)
    assert (damaged.table, list(damaged.loads)) == ("silver.orders", [])
    assert damaged.problem is not None
    assert "silver.orders" in damaged.problem
    assert (whole.table, len(whole.loads), whole.problem) == ("silver.others", 1, None)
    standing = {one.table: one for one in status(load_project(small), None).tables}
    assert (standing["silver.orders"].score, standing["silver.orders"].rows) == (None, 290)
    assert standing["silver.orders"].problem == damaged.problem
    assert standing["silver.others"].problem is None

    assert main(["--project", str(small), "quality"]) == 1
    told = capsys.readouterr()
    assert [line.split()[0] for line in told.out.splitlines()] == ["table", "silver.others"]
    assert told.err.startswith("error: ")
    assert main(["--project", str(small), "status"]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines()[-1] == f"  {damaged.problem}"
    assert "silver.others" in told.out
