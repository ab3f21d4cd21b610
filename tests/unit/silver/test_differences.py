"""How two definitions differ: every edit in words, and the least that it asks for."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest

from catchment.contract import _WORDS, Column, Reference, RowRule
from catchment.errors import DefinitionChanged
from catchment.silver.definition import LookedUp, Table, fingerprint
from catchment.silver.differences import (
    _TOLD,
    _TOLD_OF_COLUMNS,
    _TOLD_OF_CONTRACTS,
    Difference,
    choices,
    differences,
    least,
    refusal,
    renamed,
)
from catchment.testing.fakes import column, contract

CONTRACT = contract(
    "t",
    column("id", key_position=1, required=True),
    column("n", "integer", minimum=0, enum=(1, 2)),
    column("at", "timestamp", formats=("dd.MM.yyyy HH:mm",)),
    column("price", "decimal", precision=10, scale=2),
    row_rules=(RowRule("own", "n < 5", "too large"),),
)
TABLE = Table("t", ("src.rows",), CONTRACT, "merge", latest_by="at")
APPENDED = replace(TABLE, mode="append", latest_by=None)
WINDOW = replace(TABLE, mode="window", latest_by=None, event_time="at", lateness_s=60)


def with_column(name: str, *, of: Table = TABLE, **changes: Any) -> Table:
    columns = tuple(replace(found, **changes) if found.name == name else found for found in of.contract.columns)
    return replace(of, contract=replace(of.contract, columns=columns))


def plus(*columns: Column, of: Table = TABLE, **changes: Any) -> Table:
    return replace(of, contract=replace(of.contract, columns=(*of.contract.columns, *columns), **changes))


def ruled(*conditions: str, of: Table = TABLE) -> Table:
    rules = tuple(RowRule(condition, condition, "broken") for condition in conditions)
    return replace(of, contract=replace(of.contract, row_rules=rules))


def told(before: Table, after: Table) -> list[tuple[str, str]]:
    assert fingerprint(before.definition()) != fingerprint(after.definition())
    return [(found.words, found.way) for found in differences(before.definition(), after.definition())]


POINTS = column("points", "integer", minimum=0)
EDITS = [
    # columns
    (TABLE, plus(column("x", "date")), "+ column x (date)", "goes_on"),
    (TABLE, plus(POINTS), "+ column points (integer)", "goes_on"),
    (TABLE, plus(column("x", required=True)), "+ column x (string)", "forward"),
    (TABLE, plus(column("x", derived=True)), "+ column x (string)", "forward"),
    (plus(column("x", "date")), TABLE, "- column x (date)", "forward"),
    (plus(column("x", "decimal", precision=9, scale=3)), TABLE, "- column x (decimal(9,3))", "forward"),
    (TABLE, with_column("n", type="number"), "~ n: integer -> number", "forward"),
    (TABLE, with_column("n", type="string"), "~ n: integer -> string", "forward"),
    (TABLE, with_column("price", precision=12), "~ price: decimal(10,2) -> decimal(12,2)", "forward"),
    (TABLE, with_column("price", precision=8), "~ price: decimal(10,2) -> decimal(8,2)", "forward"),
    (TABLE, with_column("id", type="integer"), "~ id: string -> integer", "rebuild"),
    (TABLE, with_column("at", type="date"), "~ at: timestamp -> date", "rebuild"),
    (APPENDED, with_column("at", of=APPENDED, type="date"), "~ at: timestamp -> date", "forward"),
    # what a column's value is made from
    (TABLE, with_column("n", source="m"), "~ n: source n -> m", "forward"),
    (TABLE, with_column("id", source="m"), "~ id: source id -> m", "rebuild"),
    (TABLE, with_column("at", timezone="Europe/Berlin"), "~ at: defaultTimezone UTC -> Europe/Berlin", "rebuild"),
    (WINDOW, with_column("at", of=WINDOW, timezone="Asia/Tokyo"), "~ at: defaultTimezone UTC -> Asia/Tokyo", "rebuild"),
    (TABLE, with_column("n", null_markers=("-",)), "~ n: nullMarkers - added", "forward"),
    (TABLE, with_column("n", derived=True), "~ n: transformLogic added", "forward"),
    (
        TABLE,
        with_column("at", formats=("dd.MM.yyyy HH:mm", "yyyy")),
        "~ at: formats + yyyy",
        "forward",
    ),
    (TABLE, with_column("at", formats=("yyyy",)), "~ at: formats + yyyy, - dd.MM.yyyy HH:mm", "rebuild"),
    # rules
    (TABLE, with_column("n", required=True), "~ n: required added", "forward"),
    (TABLE, with_column("n", minimum=1), "~ n: minimum 0 -> 1", "forward"),
    (TABLE, with_column("n", minimum=None), "~ n: minimum 0 removed", "forward"),
    (TABLE, with_column("n", maximum=9), "~ n: maximum 9 added", "forward"),
    (TABLE, with_column("n", enum=(1, 2, 3)), "~ n: enum + 3", "forward"),
    (TABLE, with_column("n", enum=(1, 3)), "~ n: enum + 3, - 2", "forward"),
    (TABLE, with_column("n", pattern="ü"), "~ n: pattern added", "forward"),
    (TABLE, ruled("n < 5", "n <> 3"), "+ rule n <> 3", "forward"),
    (TABLE, ruled(), "- rule n < 5", "forward"),
    # the table
    (TABLE, replace(TABLE, mode="history"), "~ mode: merge -> history", "rebuild"),
    (TABLE, replace(TABLE, latest_by=None), "~ latest_by: at -> none", "rebuild"),
    (APPENDED, replace(APPENDED, latest_by="at"), "~ latest_by: none -> at", "goes_on"),
    (TABLE, with_column("n", key_position=2), "~ key: id -> id, n", "rebuild"),
    (APPENDED, with_column("n", of=APPENDED, key_position=2), "~ key: id -> id, n", "goes_on"),
    (TABLE, replace(TABLE, deleted_when="n = 1"), "~ deleted_when: none -> n = 1", "rebuild"),
    (TABLE, replace(TABLE, slice=("n",)), "~ slice: none -> n", "rebuild"),
    (TABLE, replace(TABLE, full=True), "~ full: none -> true", "rebuild"),
    (TABLE, replace(TABLE, changes=True), "~ changes: none -> true", "rebuild"),
    (WINDOW, replace(WINDOW, event_time="n"), "~ event_time: at -> n", "rebuild"),
    (WINDOW, replace(WINDOW, lateness_s=120), "~ lateness: 60 s -> 120 s", "forward"),
    (TABLE, replace(TABLE, lateness_s=86_400), "~ lateness: for ever -> 86,400 s", "goes_on"),
    (TABLE, replace(TABLE, streams=("src.rows", "src.more")), "+ from src.more", "goes_on"),
    (APPENDED, replace(APPENDED, streams=("src.rows", "src.more")), "+ from src.more", "goes_on"),
    (
        replace(TABLE, latest_by=None),
        replace(TABLE, latest_by=None, streams=("src.rows", "src.more")),
        "+ from src.more",
        "rebuild",
    ),
    (replace(TABLE, streams=("src.rows", "src.more")), TABLE, "- from src.more", "rebuild"),
    # look-ups and references
    (TABLE, replace(TABLE, lookups={"users": LookedUp(CONTRACT)}), "+ with users", "forward"),
    (replace(TABLE, lookups={"users": LookedUp(CONTRACT)}), TABLE, "- with users", "forward"),
    (
        replace(TABLE, lookups={"users": LookedUp(CONTRACT)}),
        replace(TABLE, lookups={"users": LookedUp(CONTRACT, as_of="at", versions=True)}),
        "~ with users: current -> as of at",
        "forward",
    ),
    (TABLE, plus(references=(Reference(("n",), "users", ("id",)),)), "+ reference n -> users.id", "forward"),
    (plus(references=(Reference(("n",), "users", ("id",)),)), TABLE, "- reference n -> users.id", "forward"),
]


@pytest.mark.parametrize(("before", "after", "words", "way"), EDITS, ids=[f"{e[2]} {e[0].mode}" for e in EDITS])
def test_an_edit_is_told_in_words_with_the_least_that_it_asks_for(
    before: Table, after: Table, words: str, way: str
) -> None:
    assert told(before, after) == [(words, way)]


@pytest.mark.parametrize(
    ("before", "after", "effect"),
    [
        (TABLE, with_column("n", minimum=1), "older ones stay in"),
        (TABLE, with_column("n", minimum=-1), "older ones stay in quarantine"),
        (TABLE, with_column("n", maximum=1), "older ones stay in"),
        (with_column("n", maximum=1), with_column("n", maximum=2), "older ones stay in quarantine"),
        (with_column("n", maximum=2), with_column("n", maximum=1), "older ones stay in"),
        (TABLE, with_column("n", enum=(1,)), "older ones stay in"),
        (TABLE, with_column("n", enum=(3,)), "older ones stay as judged"),
        (TABLE, with_column("n", enum=()), "older ones stay in quarantine"),
        (with_column("n", pattern="a"), with_column("n", pattern="b"), "older ones stay as judged"),
        (TABLE, with_column("n", type="number"), "older values are cast"),
        (TABLE, with_column("n", type="decimal", precision=20, scale=1), "older values are cast"),
        (TABLE, with_column("n", type="decimal", precision=12, scale=1), "older values are cast, if all fit"),
        (TABLE, with_column("price", scale=3), "older values are cast, if all fit"),
        (TABLE, with_column("n", type="boolean"), "older values are cast, if all fit"),
        (TABLE, with_column("id", type="integer"), "needs --rebuild: other rows are one and the same"),
    ],
)
def test_an_effect_says_what_becomes_of_older_rows(before: Table, after: Table, effect: str) -> None:
    (found,) = differences(before.definition(), after.definition())
    assert found.effect.endswith(effect)


def rename(table: Table, old: str, new: str) -> Table:
    """The column under a new name, and everything that names it."""
    columns = tuple(replace(c, name=new) if c.name == old else c for c in table.contract.columns)
    return replace(table, contract=replace(table.contract, columns=columns))


def test_a_renamed_column_is_no_other_column_wherever_it_is_named() -> None:
    before = replace(TABLE, deleted_when="n = 9 and id <> 'x'", slice=("id",))
    after = rename(rename(rename(before, "at", "since"), "id", "key"), "n", "m")
    rules = (RowRule("own", "m  <  5 -- spelled otherwise", "too large"),)
    after = replace(after, latest_by="since", deleted_when="m = 9 AND key <> 'x'", slice=("key",))
    after = replace(after, contract=replace(after.contract, row_rules=rules))
    assert renamed(before.definition(), after.definition()) == {"id": "key", "at": "since", "n": "m"}
    assert sorted(told(before, after)) == [
        ("~ column at renamed since", "forward"),
        ("~ column id renamed key", "forward"),
        ("~ column n renamed m", "forward"),
    ]


def test_two_columns_of_one_source_are_renamed_one_each() -> None:
    twice = plus(column("a", source="x"), column("b", source="x"))
    other = plus(column("c", source="x"), column("d", source="x"))
    assert renamed(twice.definition(), other.definition()) == {"a": "c", "b": "d"}


def test_another_source_or_type_is_another_column() -> None:
    before, after = plus(column("a")), plus(column("b"))
    assert told(before, after) == [("+ column b (string)", "goes_on"), ("- column a (string)", "forward")]


def test_a_header_in_another_case_is_the_same_source() -> None:
    before, after = plus(column("Mail")), plus(column("mail"))
    assert told(before, after) == [("~ column Mail renamed mail", "forward")]


@pytest.mark.parametrize(
    ("condition", "way"),
    [
        ("points >= 0", "goes_on"),
        ("points BETWEEN 0 AND 10 or not points in (11, 12)", "goes_on"),
        ("points IS NOT NULL", "forward"),
        ("coalesce(points, 0) > 1", "forward"),
        ("points < n", "forward"),
        ("points IS NOT DISTINCT FROM 3", "forward"),
        ("case when points > 1 then true else false end", "forward"),
    ],
)
def test_a_rule_on_a_new_column_goes_on_where_null_meets_it(condition: str, way: str) -> None:
    after = ruled("n < 5", condition, of=plus(column("points", "integer")))
    assert dict(told(TABLE, after))[f"+ rule {condition}"] == way


def test_a_reference_of_a_new_column_goes_on_for_null_names_nobody() -> None:
    after = plus(column("user_id"), references=(Reference(("user_id",), "users", ("id",)),))
    assert told(TABLE, after) == [
        ("+ column user_id (string)", "goes_on"),
        ("+ reference user_id -> users.id", "goes_on"),
    ]


def test_a_rule_in_another_spelling_is_the_same_rule() -> None:
    before, after = TABLE, ruled("n<5")
    assert told(before, after) == [("~ written in another way", "goes_on")]


def test_a_refine_function_that_comes_changes_or_goes_is_told() -> None:
    none = TABLE.definition()
    one, other = {**none, "refine": "a"}, {**none, "refine": "b"}
    assert [found.words for found in differences(none, one)] == ["+ refine function added"]
    assert [found.words for found in differences(one, other)] == ["~ refine function changed"]
    assert [found.words for found in differences(other, none)] == ["- refine function removed"]
    assert least(differences(one, other)) == "forward"


def test_a_definition_that_is_no_longer_known_needs_a_rebuild() -> None:
    (found,) = differences(None, TABLE.definition())
    assert found.words == "~ made with a definition that is no longer known"
    assert found.way == "rebuild"


def test_a_key_in_another_order_is_the_same_key() -> None:
    both = with_column("n", key_position=2)
    other = with_column("n", of=with_column("id", key_position=2), key_position=1)
    assert told(both, other) == [("~ key: id, n -> n, id", "goes_on")]


@pytest.mark.parametrize("place", [(), ("contract",), ("contract", "columns", "n")])
def test_what_this_version_has_no_words_for_never_goes_on(place: tuple[str, ...]) -> None:
    """Also beside an edit that would: a definition of a later version of ours is read by an older one."""
    before = json.loads(json.dumps(TABLE.definition()))
    inner = before
    for key in place:
        inner = inner[key]
    inner["of_later"] = 1
    found = differences(before, plus(POINTS).definition())
    assert least(found) == "rebuild"
    assert any("of_later changed" in difference.words for difference in found)


def test_everything_that_a_definition_holds_has_words() -> None:
    everything = replace(
        WINDOW,
        latest_by="at",
        deleted_when="n = 1",
        slice=("n",),
        full=True,
        changes=True,
        lookups={"users": LookedUp(CONTRACT, as_of="at")},
        contract=replace(CONTRACT, references=(Reference(("n",), "users", ("id",)),)),
    ).definition()
    assert {*everything} == _TOLD
    assert {*everything["contract"]} == _TOLD_OF_CONTRACTS
    deciding = {found.name for found in fields(Column)} - _WORDS
    assert deciding == _TOLD_OF_COLUMNS


def test_the_strongest_difference_decides_on_the_choices() -> None:
    on, forward, rebuild = (
        Difference("w", "e", "goes_on"),
        Difference("w", "e", "forward"),
        Difference("w", "e", "rebuild"),
    )
    assert least([]) == least([on]) == "goes_on"
    assert least([forward, on]) == "forward"
    assert least([on, rebuild, forward]) == "rebuild"
    assert choices("t", [on]) == ()
    assert choices("t", [on, forward]) == ("--rebuild silver.t", "--forward silver.t")
    assert choices("t", [forward, rebuild]) == ("--rebuild silver.t",)


def test_a_run_without_a_choice_names_every_difference_and_every_way_out() -> None:
    after = with_column("n", minimum=1, of=plus(column("x", "date")))
    error = refusal("t", differences(TABLE.definition(), after.definition()))
    assert isinstance(error, DefinitionChanged)
    assert error.message.splitlines() == [
        "silver.t: its definition is not the one its rows were made with",
        "  + column x (date)     goes on: null in older rows",
        "  ~ n: minimum 0 -> 1   changes which rows are good: with --forward older ones stay in",
    ]
    assert error.hint == "choose: catchment run --rebuild silver.t  or  catchment run --forward silver.t"
