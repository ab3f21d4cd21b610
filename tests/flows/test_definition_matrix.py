"""Every kind of edit of a table that has rows: what plan says, what a run does with and without an order.

docs/guides/changes.md prints the same list.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import catchment
from catchment.cli import main
from catchment.events import StepFinished
from catchment.outlook import pending
from catchment.plan import plan
from catchment.project import load_project
from catchment.records import Order, Pending
from catchment.run import run
from catchment.testing.crash import differences
from catchment.testing.fakes import Heard

PAGE = Path(__file__).parents[2] / "docs" / "guides" / "changes.md"
STEP = "silver.people"

_YAML = """\
name: mill
sources:
  drops:
    type: files
    streams:
      people: {path: "data/people/*.csv", load_per_file: true}
      more: {path: "data/more/*.csv"}
      towns: {path: "data/towns/*.csv"}
silver:
  towns: {from: drops.towns, mode: merge}
  people: {from: drops.people, mode: merge, latest_by: at}
"""

_HEAD = """\
apiVersion: v3.2.0
kind: DataContract
id: {0}
version: 1.0.0
status: active
schema:
  - name: {0}
    properties:
"""

_PEOPLE = """\
      - {name: id, logicalType: integer, primaryKey: true}
      - {name: name, logicalType: string}
      - {name: town, logicalType: string, required: true}
      - {name: points, logicalType: integer}
      - {name: price, logicalType: number, physicalType: "decimal(10,2)"}
      - {name: at, logicalType: timestamp, required: true}
    quality:
      - {type: custom, engine: catchment, implementation: {condition: points >= 0}}
"""

_TOWNS = "      - {name: town, logicalType: string, primaryKey: true}\n"

# Bob breaks the rule, Dee has no number of points.
_OLDER = """\
id,name,town,points,price,at,grade
1,Ann,Porto,5,1.50,2026-01-01T10:00:00Z,a
2,Bob,Faro,-3,2.00,2026-01-01T11:00:00Z,b
3,Cid,Rome,7,3.25,2026-01-01T12:00:00Z,b
4,Dee,Porto,many,4.00,2026-01-01T13:00:00Z,a
"""
_NEWER = """\
id,name,town,points,price,at,grade
1,Ann,Porto,6,1.75,2026-01-02T10:00:00Z,a
5,Eve,Faro,8,5.00,2026-01-02T11:00:00Z,c
6,Fay,Porto,-1,6.00,2026-01-02T12:00:00Z,c
"""
_MORE = "id,name,town,points,price,at,grade\n7,Gil,Faro,9,7.00,2026-01-01T09:00:00Z,d\n"
_REFINE = """\
import narwhals as nw


def refine(people):
    return people.with_columns(name=nw.col("name").str.to_{0}case())
"""

Swap = tuple[str, str]
_RULE = "      - {type: custom, engine: catchment, implementation: {condition: points >= 0}}\n"
_GRADE: Swap = ("    quality:", "      - {name: grade, logicalType: string}\n    quality:")
_FUNCTION: Swap = ("latest_by: at}", "latest_by: at, refine: silver/people.py}")
_BOTH: Swap = ("from: drops.people,", "from: [drops.people, drops.more],")


@dataclass(frozen=True)
class Edit:
    """An edit, and rows (`look`) after the next files came: where the table went on or forward, `kept`.

    `told` is (edit, effect) as plan says it. `unfit`: forward is offered, and refused once the values are looked at.
    """

    name: str
    swaps: Sequence[Swap]
    told: Sequence[Swap]
    look: str = "id"
    kept: Sequence[Any] = ()
    given: Sequence[Swap] = ()
    asks: str = "--rebuild or --forward"
    unfit: bool = False


_NULL = "goes on: null in older rows"
_STRICTER = "changes which rows are good: with --forward older ones stay in"
_LOOSER = "changes which rows are good: with --forward older ones stay in quarantine"
_VALUES = "changes values: with --forward older rows stay as they are"
_ON = "nothing: goes on"
_ANEW = "--rebuild"

EDITS = [
    Edit(
        "an optional column",
        [_GRADE],
        [("+ column grade (string)", _NULL)],
        "id, grade",
        [(1, "a"), (3, None), (5, "c")],
        asks=_ON,
    ),
    Edit(
        "an optional column that no file has yet",
        [("    quality:", "      - {name: shoe, logicalType: integer}\n    quality:")],
        [("+ column shoe (integer)", _NULL)],
        "id, shoe",
        [(1, None), (3, None), (5, None)],
        asks=_ON,
    ),
    Edit(
        "an optional column with a rule that null meets",
        [_GRADE, (_RULE, _RULE + _RULE.replace("points >= 0", "grade <> 'x'"))],
        [("+ column grade (string)", _NULL), ("+ rule grade <> 'x'", _NULL)],
        "id, grade",
        [(1, "a"), (3, None), (5, "c")],
        asks=_ON,
    ),
    Edit(
        "a required column",
        [(_GRADE[0], _GRADE[1].replace("string}", "string, required: true}"))],
        [("+ column grade (string)", "required: with --forward null in older rows all the same")],
        "id, grade",
        [(1, "a"), (3, None), (5, "c")],
    ),
    Edit(
        "a column dropped",
        [('      - {name: price, logicalType: number, physicalType: "decimal(10,2)"}\n', "")],
        [("- column price (decimal(10,2))", "with --forward dropped from older rows")],
        "COLUMNS(c -> c NOT LIKE '\\_%' ESCAPE '\\' AND c IN ('id', 'price'))",
        [(1,), (3,), (5,)],
    ),
    Edit(
        "a column renamed (`transformSourceObjects` as before)",
        [("{name: name, logicalType: string}", "{name: called, logicalType: string, transformSourceObjects: [name]}")],
        [("~ column name renamed called", "with --forward renamed in older rows")],
        "id, called",
        [(1, "Ann"), (3, "Cid"), (5, "Eve")],
    ),
    Edit(
        "a type widened",
        [("points, logicalType: integer", "points, logicalType: number")],
        [("~ points: integer -> number", "with --forward older values are cast")],
        "id, points",
        [(1, 6.0), (3, 7.0), (5, 8.0)],
    ),
    Edit(
        "a type narrowed",
        [("decimal(10,2)", "decimal(4,2)")],
        [("~ price: decimal(10,2) -> decimal(4,2)", "with --forward older values are cast, if all fit")],
        "id, CAST(price AS VARCHAR) AS price",
        [(1, "1.75"), (3, "3.25"), (5, "5.00")],
    ),
    Edit(
        "a type narrowed, and a value that does not fit",
        [("name, logicalType: string", "name, logicalType: integer")],
        [("~ name: string -> integer", "with --forward older values are cast, if all fit")],
        unfit=True,
    ),
    Edit(
        "a column read from elsewhere",
        [("{name: name, logicalType: string}", "{name: name, logicalType: string, transformSourceObjects: [grade]}")],
        [("~ name: source name -> grade", _VALUES)],
        "id, name",
        [(1, "a"), (3, "Cid"), (5, "c")],
    ),
    Edit(
        "a rule added",
        [("points >= 0", "points >= 0 and points < 7")],
        [("- rule points >= 0", _LOOSER), ("+ rule points >= 0 and points < 7", _STRICTER)],
        kept=[1, 3],
    ),
    Edit(
        "a pattern, a range or an enum added or tightened",
        [("name, logicalType: string", 'name, logicalType: string, logicalTypeOptions: {pattern: "^[AE]"}')],
        [("~ name: pattern added", _STRICTER)],
        kept=[1, 3, 5],
    ),
    Edit(
        "a rule relaxed",
        [("condition: points >= 0", "condition: points >= -5")],
        [("- rule points >= 0", _LOOSER), ("+ rule points >= -5", _STRICTER)],
        kept=[1, 3, 5, 6],
    ),
    Edit(
        "a rule in another spelling",
        [("points >= 0", "points>=0")],
        [("~ written in another way", "goes on: it means the same")],
        kept=[1, 3, 5],
        asks=_ON,
    ),
    Edit(
        "a reference added",
        [("string, required: true}", "string, required: true, relationships: [{to: towns.town}]}")],
        [("+ reference town -> towns.town", _STRICTER)],
        kept=[1, 3, 5],
    ),
    Edit(
        "a refine function added",
        [_FUNCTION],
        [("+ refine function added", _VALUES)],
        "id, name",
        [(1, "ANN"), (3, "Cid"), (5, "EVE")],
    ),
    Edit(
        "a refine function changed",
        [("to_uppercase", "to_lowercase")],
        [("~ refine function changed", _VALUES)],
        "id, name",
        [(1, "ann"), (3, "CID"), (5, "eve")],
        given=[_FUNCTION],
    ),
    Edit(
        "a stream added",
        [_BOTH],
        [("+ from drops.more", "goes on: its rows come in with the next refine")],
        kept=[1, 3, 5, 7],
        asks=_ON,
    ),
    Edit(
        "a stream taken away",
        [(_BOTH[1], _BOTH[0])],
        [("- from drops.more", "needs --rebuild: its rows leave the table")],
        given=[_BOTH],
        asks=_ANEW,
    ),
    Edit(
        "`lateness` of mode merge",
        [("latest_by: at}", "latest_by: at, lateness: 30 days}")],
        [("~ lateness: for ever -> 2,592,000 s", "goes on: deletes are remembered so long from now on")],
        kept=[1, 3, 5],
        asks=_ON,
    ),
    Edit(
        "the key",
        [("town, logicalType: string, required: true", "town, logicalType: string, primaryKey: true")],
        [("~ key: id -> id, town", "needs --rebuild: other rows are one and the same")],
        asks=_ANEW,
    ),
    Edit(
        "the mode",
        [("mode: merge, latest_by: at", "mode: append")],
        [
            ("~ mode: merge -> append", "needs --rebuild: the old mode kept other rows"),
            ("~ latest_by: at -> none", "needs --rebuild: another row of a key may be the latest"),
        ],
        asks=_ANEW,
    ),
    Edit(
        "`latest_by`",
        [("latest_by: at}", "latest_by: points}")],
        [("~ latest_by: at -> points", "needs --rebuild: another row of a key may be the latest")],
        asks=_ANEW,
    ),
    Edit(
        "`deleted_when`",
        [("latest_by: at}", "latest_by: at, deleted_when: points = 6}")],
        [("~ deleted_when: none -> points = 6", "needs --rebuild: other rows delete their key")],
        asks=_ANEW,
    ),
    Edit(
        "the type or source of a key's column",
        [("id, logicalType: integer", "id, logicalType: string")],
        [("~ id: integer -> string", "needs --rebuild: other rows are one and the same")],
        asks=_ANEW,
    ),
]


_HISTORY: Swap = ("mode: merge, latest_by: at", "mode: history, latest_by: at")
_DELETES: Swap = ("latest_by: at}", "latest_by: at, deleted_when: points = 6}")

# The same edits where a mode keeps more than the newest rows, or rows that it does not show.
IN_OTHER_MODES = [
    Edit(
        "history: an optional column",
        [_GRADE],
        [("+ column grade (string)", _NULL)],
        "id, grade",
        [(1, "a"), (1, None), (3, None), (5, "c")],
        given=[_HISTORY],
        asks=_ON,
    ),
    Edit(
        "history: renamed",
        [("{name: name, logicalType: string}", "{name: called, logicalType: string, transformSourceObjects: [name]}")],
        [("~ column name renamed called", "with --forward renamed in older rows")],
        "id, called, _valid_to IS NULL",
        [(1, "Ann", False), (1, "Ann", True), (3, "Cid", True), (5, "Eve", True)],
        given=[_HISTORY],
    ),
    Edit(
        "history: widened",
        [("decimal(10,2)", "decimal(12,3)")],
        [("~ price: decimal(10,2) -> decimal(12,3)", "with --forward older values are cast")],
        "id, CAST(price AS VARCHAR)",
        [(1, "1.500"), (1, "1.750"), (3, "3.250"), (5, "5.000")],
        given=[_HISTORY],
    ),
    Edit(
        "deletes: a column that everything names is renamed",
        [
            ("{name: points, logicalType", "{name: score, transformSourceObjects: [points], logicalType"),
            ("points >= 0", "score >= 0"),
            ("points = 6", "score = 6"),
        ],
        [("~ column points renamed score", "with --forward renamed in older rows")],
        "id, score",
        [(3, 7), (5, 8)],
        given=[_DELETES],
    ),
    Edit(
        "window: the lateness",
        [("lateness: 1 hour", "lateness: 2 days")],
        [("~ lateness: 3,600 s -> 172,800 s", "changes which rows are good: with --forward older ones stay as judged")],
        kept=[1, 3, 5],
        given=[("mode: merge, latest_by: at", "mode: window, event_time: at, lateness: 1 hour")],
    ),
]


def write(folder: Path, swaps: Sequence[Swap] = ()) -> Path:
    """The project with these edits; each swap must be found in one file at least."""
    files = {
        "catchment.yaml": _YAML,
        "contracts/people.odcs.yaml": _HEAD.format("people") + _PEOPLE,
        "contracts/towns.odcs.yaml": _HEAD.format("towns") + _TOWNS,
        "silver/people.py": _REFINE.format("upper"),
    }
    for old, new in swaps:
        assert any(old in text for text in files.values()), old
        files = {name: text.replace(old, new) for name, text in files.items()}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def arrive(folder: Path, stream: str, name: str, text: str) -> None:
    (folder / "data" / stream).mkdir(parents=True, exist_ok=True)
    (folder / "data" / stream / name).write_text(text)


def first(folder: Path) -> Path:
    arrive(folder, "people", "1.csv", _OLDER)
    arrive(folder, "more", "1.csv", _MORE)
    arrive(folder, "towns", "1.csv", "town\nPorto\nFaro\n")
    return folder


def outlook(folder: Path) -> Pending:
    project = load_project(folder)
    return next(one for one in pending(project, None, plan(project)) if one.step.name == STEP)


def go(folder: Path, order: str | None = None) -> tuple[str, StepFinished]:
    """(outcome of a run, how the step of the table ended)."""
    project, heard = load_project(folder), Heard()
    orders: dict[str, Order] = {}
    if order is not None:
        orders = {STEP: Order("rebuild" if order == "rebuild" else "forward")}
    outcome = run(project, None, plan(project), listeners=[heard], orders=orders)
    return outcome, next(event for event in heard.of(StepFinished) if event.name == STEP)


def rows(folder: Path, look: str) -> list[Any]:
    found = catchment.open(folder).query(f"SELECT {look} FROM silver.people ORDER BY ALL").read_all().to_pylist()
    return [tuple(row.values()) if len(row) > 1 or "COLUMNS" in look else next(iter(row.values())) for row in found]


@pytest.fixture(scope="module")
def with_rows(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Sequence[Swap], Path], Path]:
    """A project that ran once before it was edited, copied from one that was made for all edits of the same start."""
    made: dict[tuple[Swap, ...], Path] = {}

    def copy(given: Sequence[Swap], to: Path) -> Path:
        if tuple(given) not in made:
            folder = first(write(tmp_path_factory.mktemp("given") / "p", given))
            assert go(folder)[0] == "done"
            made[tuple(given)] = folder
        shutil.copytree(made[tuple(given)], to)
        return to

    return copy


@pytest.mark.long
@pytest.mark.parametrize("edit", [*EDITS, *IN_OTHER_MODES], ids=lambda edit: edit.name)
def test_an_edit_does_what_plan_says(
    edit: Edit, tmp_path: Path, with_rows: Callable[[Sequence[Swap], Path], Path]
) -> None:
    swaps = [*edit.given, *edit.swaps]
    folder = write(with_rows(edit.given, tmp_path / "edited"), swaps)
    said = outlook(folder)
    assert list(said.changed) == list(edit.told)
    arrive(folder, "people", "2.csv", _NEWER)
    fresh = first(write(tmp_path / "fresh", swaps))
    arrive(fresh, "people", "2.csv", _NEWER)
    assert go(fresh)[0] == "done"
    if edit.asks == _ON:
        _goes_on(edit, folder, said)
    else:
        _waits_for_a_choice(edit, folder, said, tmp_path / "forward")
    outcome, step = go(folder, "rebuild")
    assert (outcome, step.cause) == ("done", None)
    assert differences(folder, fresh) == []
    assert outlook(folder).changed == ()


def _goes_on(edit: Edit, folder: Path, said: Pending) -> None:
    assert said.choices == ()
    outcome, step = go(folder)
    assert (outcome, step.cause) == ("done", None)
    assert rows(folder, edit.look) == list(edit.kept)
    assert outlook(folder).changed == ()


def _waits_for_a_choice(edit: Edit, folder: Path, said: Pending, beside: Path) -> None:
    assert said.choices == tuple(f"{verb} {STEP}" for verb in edit.asks.split(" or "))
    before = rows(folder, "*")
    _, refused = go(folder)
    assert refused.outcome == "failed"
    for words, effect in edit.told:
        assert words in (refused.cause or "")
        assert effect in (refused.cause or "")
    for choice in said.choices:
        assert choice in (refused.hint or "")
    assert rows(folder, "*") == before
    shutil.copytree(folder, beside)
    outcome, step = go(beside, "forward")
    if edit.unfit or edit.asks == _ANEW:
        assert step.outcome == "failed"
        assert "--forward" not in (step.hint or "")
        assert rows(beside, "*") == before
        return
    assert (outcome, step.cause) == ("done", None)
    assert rows(beside, edit.look) == list(edit.kept)
    assert outlook(beside).changed == ()
    assert go(beside)[0] == "nothing_new"


def test_words_about_a_table_change_nothing(tmp_path: Path, with_rows: Callable[[Sequence[Swap], Path], Path]) -> None:
    folder = with_rows((), tmp_path / "edited")
    described = ("{name: name, logicalType: string}", "{name: name, logicalType: string, description: as they say}")
    assert outlook(write(folder, [described])).changed == ()
    assert go(folder)[0] == "nothing_new"


def test_plan_says_how_to_choose_and_ends_with_1_for_ci_until_somebody_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = first(write(tmp_path / "p"))
    assert main(["--project", str(folder), "run"]) == 0
    assert main(["--project", str(folder), "plan", "--exit-code"]) == 0
    write(
        folder, [_GRADE, ("name, logicalType: string", "name, logicalType: string, logicalTypeOptions: {minLength: 1}")]
    )
    capsys.readouterr()
    assert main(["--project", str(folder), "plan"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "mill · target local",
        "  refine   silver.people   definition changed:",
        "             + column grade (string)     goes on: null in older rows",
        f"             ~ name: minLength 1 added   {_STRICTER}",
        "           choose: --rebuild silver.people (4 bronze rows, about 1 s)  or  --forward silver.people",
        "1 step; 4 have nothing new.",
        "1 step needs your choice.",
    ]
    assert main(["--project", str(folder), "plan", "--exit-code"]) == 1
    assert main(["--project", str(folder), "plan", "--exit-code", "--json"]) == 1
    assert main(["--project", str(folder), "run", "--forward", STEP]) == 0
    assert main(["--project", str(folder), "plan", "--exit-code"]) == 0
    write(folder, [_GRADE])
    assert main(["--project", str(folder), "plan", "--exit-code", "--select", "silver.towns"]) == 0
    write(folder, [])
    assert main(["--project", str(folder), "plan", "--exit-code"]) == 1


def table() -> str:
    """The list as the page prints it."""
    lines = ["| edit | plan says | it asks for |", "| --- | --- | --- |"]
    for edit in EDITS:
        said = "<br>".join(f"`{words}` {effect}" for words, effect in edit.told)
        lines.append(f"| {edit.name} | {said} | {edit.asks}{'; the values do not fit' if edit.unfit else ''} |")
    return "\n".join(lines)


def test_the_page_prints_every_edit() -> None:
    assert table() in PAGE.read_text(encoding="utf-8")
