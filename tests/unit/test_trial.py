"""`catchment test`: written rows through the real steps, compared with what somebody expects."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catchment.cli import test as command
from catchment.connected import Connected
from catchment.contract import Reference, RowRule, SetRule
from catchment.errors import ConfigError
from catchment.project import Project, load_project
from catchment.reading.kinds.files import FilesSource
from catchment.templates import write_template
from catchment.testing.fakes import column, contract, project
from catchment.trial import Trial, cases, trials

ORDERS = contract(
    "orders",
    column("id", key_position=1, required=True),
    column("n", "integer", minimum=0),
    column("at", "timestamp", formats=("dd.MM.yyyy HH:mm",)),
    column("price", "decimal", precision=9, scale=2, null_markers=("n/a",)),
    column("weight", "number"),
    row_rules=(RowRule("light", "weight < 100", "weighs too much"),),
    set_rules=(SetRule("few_rejects", "rejected_share", "too many", maximum=0.01, severity="stop"),),
)
GIVEN = (
    "id,n,at,price,weight\n"
    "a,1,01.11.2026 08:30,1.50,0.1\n"
    "b,2,02.11.2026 08:30,n/a,0.30000000000000004\n"
    "c,x,02.11.2026 08:30,2.00,\n"
    "d,3,02.11.2026 08:30,2.00,200\n"
)
EXPECT = "at,id,n,price,weight\n2026-11-02T08:30:00Z,b,2,,0.3\n2026-11-01 08:30:00+00:00,a,1,1.5,0.1\n"
REJECTS = "row,column,rule,message,id\n3,n,type,not an integer,\n,,light,too much,d\n"


def one(folder: Path, **keys: Any) -> Project:
    return project(folder, [ORDERS], {"orders": {"from": "src.rows", "mode": "merge", "latest_by": "at", **keys}})


def write(folder: Path, **files: str) -> None:
    """Files of tests/orders, `given__2.csv` for `given.2.csv`."""
    for name, text in files.items():
        stem, _, suffix = name.rpartition("_")
        path = folder / "tests" / "orders" / f"{stem.replace('__', '.')}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def only(found: Project) -> Trial:
    (trial,) = trials(found)
    return trial


def test_what_is_expected_passes_in_any_order_and_touches_nothing_of_the_project(tmp_path: Path) -> None:
    found = one(tmp_path)
    write(tmp_path, given_csv=GIVEN, expect_csv=EXPECT, rejects_csv=REJECTS)
    before = sorted(tmp_path.rglob("*"))
    trial = only(found)
    assert (trial.problem, trial.missing, trial.unexpected, trial.rejects) == (None, [], [], [])
    assert trial.passed
    assert (trial.case, trial.rows, trial.rejected) == ("orders", 2, 2)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_few_columns_may_be_expected_and_what_is_not_is_not_compared(tmp_path: Path) -> None:
    write(tmp_path, given_csv=GIVEN, expect_csv="id\nb\na\n")
    trial = only(one(tmp_path))
    assert trial.passed
    assert trial.reasons == ['row 3: n: "x" is not an integer', "row 4: weighs too much"]


def test_rows_are_counted_not_only_found(tmp_path: Path) -> None:
    write(tmp_path, given_csv=GIVEN.replace("c,x", "c,2"), expect_csv="n\n1\n2\n")
    trial = only(one(tmp_path))
    assert trial.unexpected == [{"n": "2"}]
    assert not trial.passed


def test_a_row_with_other_values_is_told_by_its_key(tmp_path: Path) -> None:
    write(tmp_path, given_csv=GIVEN, expect_csv="id,n,price\na,1,1.49\nb,5,\ne,1,\n")
    trial = only(one(tmp_path))
    told = {difference.key["id"]: difference.columns for difference in trial.different}
    assert told == {"a": {"price": ("1.49", "1.50")}, "b": {"n": ("5", "2")}}
    assert (trial.missing, trial.unexpected) == ([{"id": "e", "n": "1", "price": None}], [])
    assert command.lines(trial)[1:] == [
        "  missing     id e, n 1, price null",
        "  differs     id a",
        "              price  expected 1.49, found 1.50",
        "  differs     id b",
        "              n  expected 5, found 2",
        '  rejected    row 3: n: "x" is not an integer',
        "  rejected    row 4: weighs too much",
    ]


def test_null_is_not_an_empty_text(tmp_path: Path) -> None:
    texts = contract("orders", column("id"), column("name"))
    found = project(tmp_path, [texts], {"orders": {"from": "src.rows"}})
    write(tmp_path, given_csv='id,name\na,""\nb,\n', expect_csv='id,name\na,""\nb,\n')
    assert only(found).passed
    write(tmp_path, expect_csv='id,name\na,\nb,""\n')
    trial = only(found)
    assert trial.missing == [{"id": "a", "name": None}, {"id": "b", "name": ""}]
    assert '  missing     id b, name ""' in command.lines(trial)


@pytest.mark.parametrize(
    ("rejects", "wrong"),
    [
        ("row\n3\n", ["rejected, but not in rejects.csv: row 4: weighs too much"]),
        ("row\n3\n4\n1\n", ["rejects.csv, line 4: no row was rejected like this (row 1)"]),
        ("row,rule\n3,light\n3,\n4,\n", ["rejects.csv, line 2: no row was rejected like this (row 3, rule light)"]),
        ("id,column\nc,n\nd,\n", []),
    ],
)
def test_every_rejected_row_must_be_named_and_every_line_be_true(
    tmp_path: Path, rejects: str, wrong: list[str]
) -> None:
    write(tmp_path, given_csv=GIVEN, rejects_csv=rejects)
    trial = only(one(tmp_path))
    assert trial.rejects == wrong
    assert trial.passed == (not wrong)


def test_what_arrives_in_turns_is_refined_in_turns(tmp_path: Path) -> None:
    found = one(tmp_path, latest_by=None)
    write(
        tmp_path,
        given__1_csv="id,n,at,price,weight\na,1,,,\nb,1,,,\n",
        given__2_csv="id,n,at,price,weight\na,2,,,\n",
        expect_csv="id,n\na,2\nb,1\n",
    )
    assert only(found).passed


def test_streams_are_given_apart(tmp_path: Path) -> None:
    silver = {"orders": {"from": ["src.rows", "src.more"], "mode": "merge", "latest_by": "at"}}
    found = project(tmp_path, [ORDERS], silver, streams=("rows", "more"))
    head = "id,n,at,price,weight\n"
    write(tmp_path, given__src__rows_csv=f"{head}a,1,01.11.2026 08:30,,\nb,1,01.11.2026 08:30,,\n")
    write(tmp_path, given__src__more_csv=f"{head}a,2,02.11.2026 08:30,,\n", expect_csv="id,n\na,2\nb,1\n")
    assert only(found).passed
    (tmp_path / "tests/orders/given.src.more.csv").rename(tmp_path / "tests/orders/given.csv")
    with pytest.raises(ConfigError, match=r"tests/orders/given\.csv does not say of which stream its rows are") as told:
        cases(found)
    assert told.value.hint == "call it given.src.rows.csv or given.src.more.csv"


def test_documents_are_given_as_json_lines(tmp_path: Path) -> None:
    nested = contract("orders", column("id"), column("city", source="$.customer.city"))
    found = project(tmp_path, [nested], {"orders": {"from": "src.rows"}})
    write(tmp_path, given_jsonl='{"id":"a","customer":{"city":"Ulm"}}\nnot json\n', expect_csv="id,city\na,Ulm\n")
    trial = only(found)
    assert trial.passed
    assert trial.rejected == 1
    write(tmp_path, rejects_csv="row,rule\n2,readable\n")
    assert only(found).passed


REFINE = """def refine(orders, users):
    return orders.join(users.select("user", "country"), on="user", how="left")
"""


def with_lookup(folder: Path, *, how: Any = "current", mode: str = "merge", **rest: Any) -> Project:
    (folder / "silver").mkdir(exist_ok=True)
    (folder / "silver" / "orders.py").write_text(REFINE, encoding="utf-8")
    users = contract(
        "users",
        column("user", key_position=1, required=True, source="USER"),
        column("country", enum=("DE", "FR")),
        column("since", "timestamp", formats=("dd.MM.yyyy",), required=True),
        column("age", "integer", required=True),
    )
    orders = contract(
        "orders", column("id"), column("user"), column("at", "timestamp"), column("country", derived=True), **rest
    )
    silver = {
        "users": {"from": "src.users", "mode": mode, "latest_by": "since"},
        "orders": {"from": "src.rows", "refine": "silver/orders.py", "with": {"users": how}},
    }
    return project(folder, [users, orders], silver, streams=("rows", "users"))


def test_look_ups_are_given_as_rows_of_their_table_and_may_leave_columns_out(tmp_path: Path) -> None:
    found = with_lookup(tmp_path)
    write(tmp_path, given_csv="id,user,at\n1,u,2026-01-01\n2,v,2026-01-01\n", users_csv="user,country\nu,IT\n")
    write(tmp_path, expect_csv="id,country\n1,IT\n2,\n")
    assert only(found).passed
    (tmp_path / "tests/orders/users.csv").unlink()
    assert [one.columns for one in only(found).different] == []
    assert only(found).missing == [{"id": "1", "country": "IT"}]


def test_look_ups_as_of_a_time_have_versions(tmp_path: Path) -> None:
    found = with_lookup(tmp_path, how={"as_of": "at"}, mode="history")
    versions = "user,country,since\nu,DE,2026-01-01T00:00:00Z\nu,FR,2026-02-01T00:00:00Z\n"
    write(tmp_path, given_csv="id,user,at\n1,u,2026-01-15\n2,u,2026-02-15\n3,u,2025-01-01\n", users_csv=versions)
    write(tmp_path, expect_csv="id,country\n1,DE\n2,FR\n3,\n")
    trial = only(found)
    assert (trial.problem, trial.passed) == (None, True)


def test_references_are_checked_where_their_table_is_given_and_nothing_waits(tmp_path: Path) -> None:
    found = with_lookup(tmp_path, references=(Reference(("user",), "users", ("user",)),))
    write(tmp_path, given_csv="id,user,at\n1,u,\n2,v,\n", expect_csv="id\n1\n2\n")
    assert only(found).passed
    write(tmp_path, users_csv="user\nu\n", expect_csv="id\n1\n", rejects_csv="row,rule\n2,reference\n")
    trial = only(found)
    assert (trial.problem, list(trial.rejects), trial.passed) == (None, [], True)


def test_history_may_be_expected_with_its_intervals(tmp_path: Path) -> None:
    found = one(tmp_path, mode="history")
    head = "id,n,at,price,weight\n"
    write(tmp_path, given_csv=f"{head}a,1,01.11.2026 00:00,,\na,2,03.11.2026 00:00,,\n")
    write(
        tmp_path,
        expect_csv="id,n,valid_from,valid_to\na,1,2026-11-01T00:00Z,2026-11-03T00:00Z\na,2,2026-11-03T00:00Z,\n",
    )
    trial = only(found)
    assert (trial.problem, trial.missing, trial.unexpected, trial.passed) == (None, [], [], True)
    write(tmp_path, expect_csv="id,n,valid_from\na,1,2026-11-01T00:00Z\na,3,2026-11-03T00:00Z\n")
    assert [one.columns for one in only(found).different] == [{"n": ("3", "2")}]


def whole(folder: Path, **keys: Any) -> Project:
    """Orders of which each arrival holds the whole."""
    found = one(folder, **keys)
    stream = found.sources["src"].streams["rows"].model_copy(update={"full": True})
    return replace(found, sources={"src": FilesSource(type="files", streams={"rows": stream})})


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "id,n\nb,3\n"),
        ({"mode": "history"}, "id,n,valid_from\nb,3,2026-11-02T00:00Z\nb,2,2026-11-01T00:00Z\na,1,2026-11-01T00:00Z\n"),
        ({"mode": "replace", "latest_by": None}, "id,n\nb,3\n"),
    ],
)
def test_what_arrives_whole_replaces_what_was_there(tmp_path: Path, keys: dict[str, Any], expected: str) -> None:
    head = "id,n,at,price,weight\n"
    write(tmp_path, given__1_csv=f"{head}a,1,01.11.2026 00:00,,\nb,2,01.11.2026 00:00,,\n")
    write(tmp_path, given__2_csv=f"{head}b,3,02.11.2026 00:00,,\n", expect_csv=expected)
    trial = only(whole(tmp_path, **keys))
    assert (trial.problem, trial.missing, trial.unexpected, list(trial.different)) == (None, [], [], [])


def test_slices_and_windows_can_be_tried(tmp_path: Path) -> None:
    head = "id,n,at,price,weight\n"
    write(tmp_path, given__1_csv=f"{head}a,1,01.11.2026 00:00,,\nb,1,01.11.2026 00:00,,\nc,2,01.11.2026 00:00,,\n")
    write(tmp_path, given__2_csv=f"{head}d,1,02.11.2026 00:00,,\n", expect_csv="id,n\nd,1\nc,2\n")
    sliced = only(one(tmp_path, mode="delete_insert", slice=["n"], latest_by=None))
    assert (sliced.problem, sliced.passed) == (None, True)
    again = f"{head}a,7,01.11.2026 00:30,,\na,8,03.11.2026 00:00,,\n"
    write(tmp_path, given__2_csv=again, expect_csv="id,n\na,1\nb,1\nc,2\na,8\n")
    window = only(one(tmp_path, mode="window", event_time="at", lateness="1 hour", latest_by=None))
    assert (window.problem, window.missing, window.unexpected) == (None, [], [])


def test_json_is_compared_without_its_spaces(tmp_path: Path) -> None:
    found = project(tmp_path, [contract("orders", column("o", "object"))], {"orders": {"from": "src.rows"}})
    write(tmp_path, given_csv='o\n"{""a"": [1, 2]}"\n', expect_csv='o\n"{""a"":[1,2]}"\n')
    assert only(found).passed


def test_nothing_given_and_nothing_expected_agree(tmp_path: Path) -> None:
    write(tmp_path, given_csv="id,n,at,price,weight\n", expect_csv="id,n\n")
    assert only(one(tmp_path)).passed
    write(tmp_path, expect_csv="id,n\na,1\n")
    assert only(one(tmp_path)).missing == [{"id": "a", "n": "1"}]
    write(tmp_path, given_csv=GIVEN, expect_csv="id,n\n")
    assert len(only(one(tmp_path)).unexpected) == 2


def test_a_table_may_have_several_cases(tmp_path: Path) -> None:
    write(tmp_path, given_csv=GIVEN, expect_csv="id\na\nb\n")
    shutil.copytree(tmp_path / "tests/orders", tmp_path / "more")
    shutil.move(tmp_path / "more", tmp_path / "tests/orders/again")
    (tmp_path / "tests/orders/again/expect.csv").write_text("id\na\n", encoding="utf-8")
    found = [(trial.case, trial.passed) for trial in trials(one(tmp_path), ["silver.orders"])]
    assert found == [("orders", True), ("orders/again", False)]


@pytest.mark.parametrize(
    ("files", "problem", "hint"),
    [
        ({"expect_csv": "id,m\na,1\n"}, "expect.csv: silver.orders has no column `m`", "there are id"),
        ({"expect_csv": "id,n\na,one\n"}, 'expect.csv, row 1: n: "one" is not an integer', "as silver has them"),
        ({"expect_csv": "id,n\na\n"}, "expect.csv cannot be read", "a header line"),
        ({"rejects_csv": "row,ruel\n1,x\n"}, "rejects.csv: `ruel` is neither", "did you mean `rule`?"),
        ({"given_csv": "id,n\na,1\n"}, "column `at` reads `at`, which bronze does not have", "transformSourceObjects"),
    ],
)
def test_what_cannot_be_compared_says_why(tmp_path: Path, files: dict[str, str], problem: str, hint: str) -> None:
    write(tmp_path, **{"given_csv": GIVEN, "expect_csv": EXPECT, **files})
    trial = only(one(tmp_path))
    assert not trial.passed
    assert problem in (trial.problem or "")
    assert hint in (trial.hint or "")
    assert any(problem in line for line in command.lines(trial))


def test_a_refine_function_that_fails_is_named_by_its_place_in_the_project(tmp_path: Path) -> None:
    found = with_lookup(tmp_path)
    (tmp_path / "silver" / "orders.py").write_text("def refine(orders, users):\n    return 1 / 0\n", encoding="utf-8")
    write(tmp_path, given_csv="id,user,at\n1,u,\n", expect_csv="id\n1\n")
    assert only(found).problem == "silver/orders.py:2  refine failed: ZeroDivisionError: division by zero"


def test_a_folder_that_is_no_test_says_what_is_wrong(tmp_path: Path) -> None:
    found = one(tmp_path)
    with pytest.raises(ConfigError, match=r"no test in tests/<table>") as told:
        cases(found)
    assert "tests/<table>/given.csv" in (told.value.hint or "")
    with pytest.raises(ConfigError, match=r"no table silver\.order ") as told:
        cases(found, ["silver.order"])
    assert told.value.hint == "did you mean `orders`?"
    write(tmp_path, expect_csv="id\n")
    with pytest.raises(ConfigError, match=r"tests/orders has no given\.csv"):
        cases(found)
    write(tmp_path, given_csv="id\n", user_csv="id\n")
    with pytest.raises(ConfigError, match=r"tests/orders/user\.csv: silver\.orders looks nothing up in `user`"):
        cases(found)
    (tmp_path / "tests/orders/user.csv").unlink()
    (tmp_path / "tests/orders").rename(tmp_path / "tests/odrers")
    with pytest.raises(ConfigError, match="tests/odrers tests no silver table") as told:
        cases(found)
    assert told.value.hint == "did you mean `orders`?"


def test_other_folders_in_tests_are_nobodys_business(tmp_path: Path) -> None:
    write(tmp_path, given_csv=GIVEN, expect_csv=EXPECT)
    (tmp_path / "tests" / "python").mkdir()
    (tmp_path / "tests" / "python" / "test_a.py").touch()
    (tmp_path / "tests" / "orders" / "README.md").touch()
    assert only(one(tmp_path)).passed


def test_the_tests_of_the_shop_pass_and_leave_no_lake(tmp_path: Path) -> None:
    write_template("shop", tmp_path / "shop", project_name="shop")
    found = load_project(tmp_path / "shop")
    told = list(trials(found))
    assert [(trial.case, trial.problem, trial.passed) for trial in told] == [
        ("events", None, True),
        ("transactions", None, True),
    ]
    assert Connected.of(found).lake.list() == []
    assert not (tmp_path / "shop" / ".catchment").exists()


def test_many_differences_are_counted_not_listed() -> None:
    rows = [{"id": str(number)} for number in range(25)]
    lines = command.lines(Trial("orders", rows=0, missing=rows, seconds=0.04))
    assert lines[0] == "FAILED  orders (0 rows, 0.0 s)"
    assert lines[-1] == "  … and 15 more"
    assert len(lines) == 12
    assert command.lines(Trial("orders", rows=12, rejected=1, seconds=0.1)) == [
        "ok      orders (12 rows, 1 rejected, 0.1 s)"
    ]
