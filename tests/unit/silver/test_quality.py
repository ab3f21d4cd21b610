"""The figures of every load: its score against plain SQL, what its rows look like, and that they go where rows go."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from catchment import naming
from catchment.contract import Freshness, Reference, RowRule, SetRule
from catchment.errors import Held
from catchment.events import CheckFailed
from catchment.records import Change, Order, Progress
from catchment.silver.definition import LookedUp, Table, fingerprint
from catchment.silver.quality import FIGURES, Load, loads, newest_score, score
from catchment.silver.refine import RefineFunction
from catchment.testing.fakes import Workbench, arrived, column, contract

NAME = naming.silver_table("t")


def kept(bench: Workbench, name: str = "t", least: int | None = None) -> list[Load]:
    table = bench.lake.open(naming.silver_table(name))
    assert table is not None
    return loads(bench.lake, table.name, table.progress(), least=least)


def newest(bench: Workbench) -> dict[Any, float]:
    return dict(kept(bench)[-1].figures)


def rows(*values: tuple[str | None, ...], defects: dict[int, str] | None = None) -> pa.Table:
    names = ("id", "n", "price", "kind")
    columns = {name: pa.array([row[place] for row in values], pa.string()) for place, name in enumerate(names)}
    return arrived(columns, defects=defects)


HARD = contract(
    "t",
    column("id", required=True),
    column("n", "integer", minimum=1, weight=3.0),
    column("price", "number", maximum=100.0, multiple_of=0.5),
    column("kind", enum=("a", "b"), weight=0.0),
    row_rules=(
        RowRule("dear", "n * price < 500", "too dear", weight=2.0),
        RowRule("odd", "price <> 13", "unlucky", column="price"),
        RowRule("light", "n <> 77", "light", weight=0.0),
    ),
)
TABLE = Table("t", ("src.rows",), HARD, "append")

# What is wrong with each row, by thing that weighs: id, n, price, the rule of the table; a defect is wrong everywhere.
CASES: list[tuple[tuple[str | None, ...], set[str]]] = [
    (("1", "1", "1", "a"), set()),
    (("2", "x", "1", "a"), {"n"}),
    (("3", "0", "101.3", "c"), {"n", "price"}),  # two reasons in price count once
    ((None, "1", "1", "b"), {"id"}),
    ((None, None, None, None), {"id"}),
    (("6", "10", "90", "a"), {"dear"}),
    (("7", "1", "13", "a"), {"price"}),
    (("8", "77", "1", "a"), set()),  # a rule without weight rejects and does not count
    (("9", "1", "1", "z"), set()),  # nor does a column without weight
    (("10", "1", "1", "a"), {"id", "n", "price", "dear"}),  # the defect
    (("11", "2", "-0.5", "b"), set()),
]
WEIGHTS = {"id": 1.0, "n": 3.0, "price": 1.0, "dear": 2.0}


def scored(wrong: list[set[str]]) -> float:
    """The score by plain SQL over who is wrong where."""
    pairs = [
        (place, thing, weight, thing in bad) for place, bad in enumerate(wrong) for thing, weight in WEIGHTS.items()
    ]
    with duckdb.connect() as con:
        con.execute("CREATE TABLE judged (place INT, thing VARCHAR, weight DOUBLE, wrong BOOLEAN)")
        con.executemany("INSERT INTO judged VALUES (?, ?, ?, ?)", pairs)
        found = con.execute(
            "SELECT 100 * sum(weight * good) / sum(weight) FROM"
            " (SELECT thing, any_value(weight) AS weight, avg(CASE WHEN wrong THEN 0 ELSE 1 END) AS good"
            "  FROM judged GROUP BY thing)"
        ).fetchone()
    assert found is not None
    return float(found[0])


def test_the_score_is_what_plain_sql_makes_of_who_is_wrong_where(bench: Workbench) -> None:
    bench.land(rows(*(values for values, _ in CASES), defects={9: "broken"}))
    bench.refine(TABLE)
    figures = newest(bench)
    assert figures["score", None] == pytest.approx(scored([wrong for _, wrong in CASES]))
    assert (figures["rows", None], figures["good", None], figures["rejected", None]) == (11, 2, 9)
    assert figures["rejected_share", None] == pytest.approx(9 / 11)


def test_each_load_has_a_score_of_its_own(bench: Workbench) -> None:
    for values, wrong in CASES[:4]:
        bench.land(rows(values))
        bench.refine(TABLE)
        assert newest(bench)["score", None] == pytest.approx(scored([wrong]))
    assert [load.load for load in kept(bench)] == sorted({load.load for load in kept(bench)})
    assert len(kept(bench)) == 4


def test_with_nothing_that_weighs_there_is_no_score(bench: Workbench) -> None:
    weightless = contract("t", column("id", weight=0.0))
    bench.land(arrived({"id": ["1"]}))
    bench.refine(Table("t", ("src.rows",), weightless, "append"))
    assert ("score", None) not in newest(bench)
    table = bench.lake.open(NAME)
    assert table is not None
    assert newest_score(bench.lake, NAME, table.progress()) is None


def test_figures_are_those_of_the_rows_that_the_commit_writes(bench: Workbench) -> None:
    wide = contract(
        "t",
        column("id", "integer", key_position=1, required=True),
        column("n", "integer"),
        column("d", "decimal", precision=9, scale=2),
        column("x", "number"),
        column("ok", "boolean"),
        column("words"),
        column("at", "timestamp"),
        freshness=Freshness("at", 60),
    )
    table = Table("t", ("src.rows",), wide, "merge", latest_by="at")
    given = {
        "id": ["1", "2", "2", "3"],
        "n": ["1", "5", "2", None],
        "d": ["0.10", "9", "0.20", "0.30"],
        "x": ["1e300", "9", "2.5", None],
        "ok": ["true", "true", "false", None],
        "words": ["ä", "never", "wörds", None],
        "at": ["2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"],
    }
    bench.land(arrived({name: pa.array(values, pa.string()) for name, values in given.items()}))
    bench.refine(table)
    (load,) = kept(bench)
    by_hand = {
        ("rows", None): 4.0,  # one of them was put out by a newer one, and is no part of what was written
        ("nulls", "n"): 1 / 3,
        ("mean", "n"): 1.5,
        ("nulls", "d"): 0.0,
        ("mean", "d"): 0.2,
        ("nulls", "x"): 1 / 3,
        ("mean", "x"): 5e299,
        ("nulls", "ok"): 1 / 3,
        ("true", "ok"): 0.5,
        ("nulls", "words"): 1 / 3,
        ("length", "words"): 3.0,
        ("nulls", "at"): 0.0,
        ("score", None): 100.0,
    }
    assert {name: load.figures[name] for name in by_hand} == pytest.approx(by_hand)
    assert load.figures["freshness", None] == pytest.approx(load.at.timestamp() - 1767312000.0, abs=1e-3)
    rest = load.figures.keys() - by_hand.keys()
    assert rest == {(name, None) for name in ("good", "rejected", "rejected_share", "freshness")}
    # A later commit tells of its own rows only, though those of the earlier one may lie in the same file.
    bench.land(
        arrived({name: pa.array([value], pa.string()) for name, value in {**_none(given), "id": "4", "n": "7"}.items()})
    )
    bench.refine(table)
    assert newest(bench)["mean", "n"] == 7.0


def _none(given: dict[str, list[str | None]]) -> dict[str, str | None]:
    return {name: None if name != "at" else "2026-01-03T00:00:00Z" for name in given}


def test_what_is_no_number_is_left_out_and_what_is_large_stops_nothing(bench: Workbench) -> None:
    odd = contract(
        "t",
        column("x", "number"),
        column("n", "integer"),
        column("d", "decimal", precision=38, scale=0),
        column("on", "date"),
        freshness=Freshness("on", 60),
    )
    large = {"x": ["1e308"] * 2, "n": [None] * 2, "d": ["9" * 38] * 2, "on": ["9999-12-31"] * 2}
    bench.land(arrived({name: pa.array(values, pa.string()) for name, values in large.items()}))
    bench.refine(Table("t", ("src.rows",), odd, "append"))
    assert newest(bench)["rejected", None] == 0
    assert ("mean", "x") not in newest(bench)  # the sum is infinite
    assert ("mean", "n") not in newest(bench)
    assert newest(bench)["nulls", "n"] == 1.0
    assert newest(bench)["mean", "d"] == pytest.approx(1e38)
    assert newest(bench)["freshness", None] < 0


TO_PARENTS = Reference(("a", "b"), "parents", ("a", "b"))
PARENTS = Table(
    "parents", ("src.parents",), contract("parents", column("a", key_position=1), column("b", key_position=2)), "merge"
)
CHILDREN = Table(
    "t",
    ("src.rows",),
    contract("t", column("id"), column("a"), column("b"), column("n", "integer"), references=(TO_PARENTS,)),
    "append",
    wait_s=3600,
)


def children(*values: tuple[str, str, str, str]) -> pa.Table:
    return arrived({name: [row[place] for row in values] for place, name in enumerate(("id", "a", "b", "n"))})


def test_rows_that_wait_do_not_count_until_they_are_judged(bench: Workbench) -> None:
    bench.land(arrived({"a": ["p"], "b": ["q"]}), feed="src.parents")
    bench.refine(PARENTS)
    bench.land(children(("1", "p", "q", "1"), ("2", "p", "r", "1"), ("3", "p", "q", "x")))
    bench.refine(CHILDREN)
    assert (newest(bench)["rows", None], newest(bench)["rejected", None]) == (2, 1)
    assert newest(bench)["score", None] == pytest.approx(100 * (3 + 0.5) / 4)
    bench.land(arrived({"a": ["z"], "b": ["z"]}), feed="src.parents")
    bench.refine(PARENTS)
    bench.refine(CHILDREN)  # tried again, and waits on
    assert len(kept(bench)) == 1
    bench.land(arrived({"a": ["p"], "b": ["r"]}), feed="src.parents")
    bench.refine(PARENTS)
    bench.refine(CHILDREN)
    first, again = kept(bench)
    assert (first.kind, again.kind) == ("refine", "again")
    assert (again.figures["rows", None], again.figures["score", None]) == (1, 100.0)


def test_a_reference_that_is_missing_for_too_long_is_wrong_in_all_its_columns(bench: Workbench) -> None:
    bench.land(arrived({"a": ["p"], "b": ["q"]}), feed="src.parents")
    bench.refine(PARENTS)
    bench.land(children(("1", "p", "q", "1"), ("2", "p", "r", "1")))
    bench.refine(replace(CHILDREN, wait_s=0))
    assert newest(bench)["score", None] == pytest.approx(100 * (1 + 0.5 + 0.5 + 1) / 4)
    assert newest(bench)["rejected", None] == 1


def test_a_row_of_which_a_function_makes_several_counts_once(bench: Workbench, tmp_path: Path) -> None:
    path = tmp_path / "made.py"
    path.write_text("def refine(rows, parts):\n    return rows.join(parts, on='id', how='left')\n", encoding="utf-8")
    parts = contract("parts", column("id", key_position=1), column("n", "integer"))
    bench.land(arrived({"id": ["1", "2"], "n": ["0", "5"]}), feed="src.parts")
    bench.refine(Table("parts", ("src.parts",), parts, "merge"))
    made = contract("t", column("id"), column("n", "integer", minimum=1, derived=True))
    table = Table(
        "t",
        ("src.rows",),
        made,
        "append",
        function=RefineFunction("silver/made.py", path),
        lookups={"parts": LookedUp(parts)},
    )
    bench.land(arrived({"id": ["1", "2", "1"]}))
    bench.refine(table)
    assert newest(bench)["score", None] == pytest.approx(100 * (1 + 1 / 3) / 2)


def test_a_load_below_the_score_is_held_and_passes_when_it_is_accepted(bench: Workbench) -> None:
    strict = SetRule("score", "score", "the contract asks for 90", minimum=90, severity="stop")
    table = replace(TABLE, contract=replace(HARD, set_rules=(strict,)))
    bench.land(rows(CASES[0][0]))
    bench.refine(table)
    bench.land(rows(CASES[0][0], CASES[2][0]))
    with pytest.raises(Held) as told:
        bench.refine(table)
    assert told.value.message.splitlines()[0] == (
        "silver.t stopped before it committed: score 71.4 of 2 new rows, the contract asks for 90"
    )
    assert len(kept(bench)) == 1
    quarantine = bench.lake.open(naming.quarantine_table(NAME))
    assert quarantine is not None
    folder = Path(quarantine.folder())
    assert {str(path) for path in folder.glob("*.parquet")} == set(quarantine.scan().files)  # nothing left behind
    bench.refine(table, Order("accept"))
    bench.refine(table)
    assert newest(bench)["score", None] == pytest.approx(100 * (1 + 1.5 + 0.5 + 2) / 7)
    assert [event.severity for event in bench.heard.of(CheckFailed)] == ["stop", "warn"]


def test_a_score_that_is_just_what_is_asked_for_is_enough() -> None:
    """Two in a hundred wrong everywhere is 98; as a sum of doubles it is a hair less in some contracts."""
    for columns in range(1, 41):
        asked = contract("t", *(column(f"c{place}") for place in range(columns)))
        for wrong in range(100):
            counts = {f"column c{place}": wrong * 10 for place in range(columns)}
            assert score(asked, 1000, counts) == 100 - wrong


def test_a_load_below_the_score_warns_and_goes_in(bench: Workbench) -> None:
    mild = SetRule("score", "score", "the contract asks for 99.9", minimum=99.9)
    bench.land(rows(CASES[0][0], CASES[6][0]))
    bench.refine(replace(TABLE, contract=replace(HARD, set_rules=(mild,))))
    (told,) = bench.heard.of(CheckFailed)
    assert (told.severity, told.message) == ("warn", "score 92.8 of 2 new rows, the contract asks for 99.9")
    assert len(kept(bench)) == 1


def test_a_load_without_a_judged_row_meets_every_score(bench: Workbench) -> None:
    strict = SetRule("score", "score", "the contract asks for 100", minimum=100, severity="stop")
    bench.land(rows())
    bench.refine(replace(TABLE, contract=replace(HARD, set_rules=(strict,))))
    assert bench.heard.of(CheckFailed) == []


def test_a_rebuild_keeps_older_figures_and_adds_its_own(bench: Workbench) -> None:
    for values, _ in CASES[:2]:
        bench.land(rows(values))
        bench.refine(TABLE)
    before = kept(bench)
    bench.refine(TABLE, Order("rebuild"))
    assert kept(bench)[:2] == before
    assert (kept(bench)[2].kind, kept(bench)[2].figures["rows", None]) == ("rebuild", 2)


def test_a_replay_has_no_figures(bench: Workbench) -> None:
    bench.land(rows(CASES[1][0]))
    bench.refine(TABLE)
    before = kept(bench)
    bench.refine(TABLE, Order("replay"))
    assert kept(bench) == before


def test_figures_of_a_hundred_loads_lie_in_few_files_and_are_all_there(bench: Workbench) -> None:
    for number in range(100):
        bench.land(rows((f"{number}", "1", "1", "a")))
        bench.refine(TABLE)
    table = bench.lake.open(NAME)
    assert table is not None
    assert len(table.progress().segments) <= 7
    assert len(kept(bench)) == 100
    assert kept(bench, least=5)[-5:] == kept(bench)[-5:]
    assert len(kept(bench, least=5)) < 100
    seen = table.seen()
    assert seen is not None
    assert seen.schema.equals(FIGURES)


def test_a_table_of_an_older_version_goes_on_and_its_loads_have_no_figures(bench: Workbench) -> None:
    bench.land(rows(CASES[0][0]))
    bench.refine(TABLE)
    silver = bench.lake.open(NAME)
    assert silver is not None
    silver.commit(silver.claim(), Change(), replace(silver.progress(), segments=()))
    assert kept(bench) == []
    bench.land(rows(CASES[1][0]))
    bench.refine(TABLE)
    assert len(kept(bench)) == 1
    assert loads(bench.lake, NAME, Progress()) == []


def test_weights_and_rules_over_loads_are_no_part_of_the_definition() -> None:
    plain = replace(
        HARD,
        columns=tuple(replace(one, weight=1.0) for one in HARD.columns),
        row_rules=tuple(replace(one, weight=1.0) for one in HARD.row_rules),
        set_rules=(SetRule("score", "score", "", minimum=1),),
    )
    assert fingerprint(replace(TABLE, contract=plain).definition()) == fingerprint(TABLE.definition())
