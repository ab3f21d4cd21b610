"""Look-ups as of a time: each row meets the version of a key that was valid then, whenever the row is refined."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.contract import Contract
from catchment.errors import ConfigError
from catchment.interfaces import Engine
from catchment.silver.definition import LookedUp, Table
from catchment.silver.refine import Lookup, RefineFunction, Refused, trace
from catchment.testing.fakes import Workbench, arrived, column, contract

USERS_CONTRACT = contract(
    "users", column("id", key_position=1), column("tier"), column("at", "timestamp"), column("op")
)
USERS = Table("users", ("src.users",), USERS_CONTRACT, "history", latest_by="at", deleted_when="op = 'D'")
EVENTS = contract("t", column("no", "integer"), column("id"), column("at", "timestamp"), column("tier", derived=True))

JOIN = "rows.join(users.select('id', 'tier'), on='id', how='left')"


def function(tmp_path: Path, body: str) -> RefineFunction:
    path = tmp_path / "t.py"
    text = (
        "import narwhals as nw\nimport datetime, random, time\n\ndef refine(rows, users, others=None):\n"
        f"    return {body}\n"
    )
    path.write_text(text, encoding="utf-8")
    return RefineFunction("silver/t.py", path)


def table(tmp_path: Path, body: str = JOIN, wanted: Contract = EVENTS, as_of: str | None = "at") -> Table:
    found = {"users": LookedUp(USERS_CONTRACT, as_of=as_of, versions=True)}
    return Table("t", ("src.rows",), wanted, "append", function=function(tmp_path, body), lookups=found)


def told(bench: Workbench, *rows: tuple[str, str | None, int, str]) -> None:
    """Land and refine versions of users: id, tier, day of January, U or D."""
    columns: dict[str, Sequence[Any]] = {
        "id": [row[0] for row in rows],
        "tier": pa.array([row[1] for row in rows], pa.string()),
        "at": [f"2026-01-{row[2]:02}T00:00:00Z" for row in rows],
        "op": [row[3] for row in rows],
    }
    bench.land(arrived(columns), feed="src.users")
    bench.refine(USERS)


def events(*rows: tuple[int, str, str | None]) -> pa.Table:
    columns = {
        "no": [str(row[0]) for row in rows],
        "id": [row[1] for row in rows],
        "at": pa.array([row[2] for row in rows], pa.string()),
    }
    return arrived(columns)


def found(bench: Workbench) -> dict[int, str | None]:
    return {row["no"]: row["tier"] for row in bench.rows("silver.t")}


# Bronze from the 5th, gold from the 10th, closed on the 15th, platinum from the 20th.
PAST = (("a", "bronze", 5, "U"), ("a", "gold", 10, "U"), ("a", None, 15, "D"), ("a", "platinum", 20, "U"))
TIMES = (
    (1, "a", "2026-01-04T23:59:59Z"),
    (2, "a", "2026-01-05T00:00:00Z"),
    (3, "a", "2026-01-09T23:59:59Z"),
    (4, "a", "2026-01-10T00:00:00Z"),
    (5, "a", "2026-01-14T23:59:59Z"),
    (6, "a", "2026-01-15T00:00:00Z"),
    (7, "a", "2026-01-19T00:00:00Z"),
    (8, "a", "2026-01-20T00:00:00Z"),
    (9, "a", "2027-01-01T00:00:00Z"),
    (10, "b", "2026-01-12T00:00:00Z"),
    (11, "a", None),
)
VALID = {
    1: None,  # before the first version
    2: "bronze",  # a version begins with its instant
    3: "bronze",
    4: "gold",  # and ends before the next one's
    5: "gold",
    6: None,  # deleted
    7: None,
    8: "platinum",  # back again
    9: "platinum",
    10: None,  # nobody of that name
    11: None,  # at no time
}


def test_a_row_meets_the_version_that_was_valid_at_its_time(bench: Workbench, tmp_path: Path) -> None:
    told(bench, *PAST)
    bench.land(events(*TIMES))
    bench.refine(table(tmp_path))
    assert found(bench) == VALID


def test_rows_refined_in_many_batches_meet_what_they_would_have_met_in_one(bench: Workbench, tmp_path: Path) -> None:
    looking = table(tmp_path)
    told(bench, *PAST)
    for event in TIMES:
        bench.land(events(event))
        bench.refine(looking)
        # What comes later is valid later, and changes nothing for times before.
        told(bench, ("a", "silver", 27 + event[0] % 2, "U"))
    assert {no: tier for no, tier in found(bench).items() if no != 9} == {n: t for n, t in VALID.items() if n != 9}


def test_versions_that_come_in_any_order_are_met_alike(bench: Workbench, tmp_path: Path) -> None:
    for version in reversed(PAST):
        told(bench, version)
    bench.land(events(*TIMES))
    bench.refine(table(tmp_path))
    assert found(bench) == VALID


def test_a_lookup_of_now_meets_the_version_that_is_valid_now(bench: Workbench, tmp_path: Path) -> None:
    told(bench, ("a", "bronze", 5, "U"), ("a", "gold", 10, "U"), ("b", "silver", 5, "U"), ("b", None, 6, "D"))
    bench.land(events((1, "a", "2026-01-06T00:00:00Z"), (2, "b", "2026-01-05T12:00:00Z")))
    bench.refine(table(tmp_path, as_of=None))
    assert found(bench) == {1: "gold", 2: None}


def test_without_a_table_yet_every_row_of_a_left_join_stays(bench: Workbench, tmp_path: Path) -> None:
    bench.land(events(*TIMES))
    bench.refine(table(tmp_path))
    assert found(bench) == dict.fromkeys(VALID)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("rows.join(users.select('id', 'tier'), on='id')", {2, 3, 4, 5, 8, 9}),
        ("rows.join(users, on='id', how='semi').with_columns(tier=nw.lit('x'))", {2, 3, 4, 5, 8, 9}),
        ("rows.join(users, on='id', how='anti').with_columns(tier=nw.lit('x'))", {1, 6, 7, 10, 11}),
        (
            "rows.join(users.filter(nw.col('tier') == 'gold'), on='id', how='semi').with_columns(tier=nw.lit('x'))",
            {4, 5},
        ),
        ("rows.join(users.rename({'id': 'u'}).select('u', 'tier'), left_on='id', right_on='u')", {2, 3, 4, 5, 8, 9}),
        (
            "rows.join(users.rename({'id': 'u'}), left_on=['id'], right_on=['u'], how='semi')"
            ".with_columns(tier=nw.lit('x'))",
            {2, 3, 4, 5, 8, 9},
        ),
        ("rows.join(users.drop('op', 'at', '_valid_from', '_valid_to'), on='id')", {2, 3, 4, 5, 8, 9}),
        # Two columns `at` and no name for the other one but the one that the join gives it.
        ("rows.join(users, on='id', suffix='_then').drop('at_then', 'op')", {2, 3, 4, 5, 8, 9}),
        ("rows.join(users, on='id').drop('at_right', 'op')", {2, 3, 4, 5, 8, 9}),
    ],
)
def test_inner_semi_and_anti_joins_and_renamed_keys(
    bench: Workbench, tmp_path: Path, body: str, expected: set[int]
) -> None:
    told(bench, *PAST)
    bench.land(events(*TIMES))
    bench.refine(table(tmp_path, body))
    rows = found(bench)
    assert set(rows) == expected
    assert {tier for tier in rows.values() if tier != "x"} <= {"bronze", "gold", "platinum"}


def test_when_a_version_began_can_be_kept_under_another_name(bench: Workbench, tmp_path: Path) -> None:
    told(bench, *PAST)
    bench.land(events((1, "a", "2026-01-12T00:00:00Z")))
    wanted = contract("t", column("no", "integer"), column("since", "timestamp", derived=True))
    body = "rows.join(users.select('id', since=nw.col('_valid_from')), on='id', how='left').select('no', 'since')"
    kept = contract("t", *EVENTS.columns[:3], wanted.columns[1])
    bench.refine(table(tmp_path, body.replace("select('no', 'since')", "select('no', 'id', 'at', 'since')"), kept))
    (row,) = bench.rows("silver.t")
    assert row["since"].isoformat() == "2026-01-10T00:00:00+00:00"


def test_a_day_is_its_first_instant_in_utc(bench: Workbench, tmp_path: Path) -> None:
    days = contract("t", column("no", "integer"), column("id"), column("on", "date"), column("tier", derived=True))
    told(bench, *PAST)
    dates = ["2026-01-04", "2026-01-05", "2026-01-10", "2026-01-15"]
    bench.land(arrived({"no": ["1", "2", "3", "4"], "id": ["a"] * 4, "on": dates}))
    bench.refine(table(tmp_path, JOIN, days, as_of="on"))
    assert found(bench) == {1: None, 2: "bronze", 3: "gold", 4: None}


def test_a_row_can_meet_two_keys_of_its_own_one_after_the_other(bench: Workbench, tmp_path: Path) -> None:
    wanted = contract(
        "t",
        column("no", "integer"),
        column("id"),
        column("friend"),
        column("at", "timestamp"),
        column("tier", derived=True),
        column("tier_friend", derived=True),
    )
    told(bench, *PAST, ("b", "silver", 1, "U"))
    bench.land(arrived({"no": ["1"], "id": ["a"], "friend": ["b"], "at": ["2026-01-12T00:00:00Z"]}))
    body = (
        "rows.join(users.select('id', 'tier'), on='id', how='left')"
        ".join(users.select('id', 'tier'), left_on='friend', right_on='id', how='left', suffix='_friend')"
    )
    bench.refine(table(tmp_path, body, wanted))
    assert [(row["tier"], row["tier_friend"]) for row in bench.rows("silver.t")] == [("gold", "silver")]


# What is refused, on empty frames.

ROWS = pa.schema(
    [
        ("_stream", pa.string()),
        ("_shard", pa.int32()),
        ("_load", pa.int64()),
        ("_row", pa.int64()),
        ("id", pa.string()),
        ("tags", pa.string()),
        ("at", pa.timestamp("us", tz="UTC")),
    ]
)
VERSIONS = pa.schema(
    [
        ("id", pa.string()),
        ("tier", pa.string()),
        ("_valid_from", pa.timestamp("us", tz="UTC")),
        ("_valid_to", pa.timestamp("us", tz="UTC")),
    ]
)
OTHERS = pa.schema([("id", pa.string()), ("tags", pa.list_(pa.string())), ("x", pa.string())])


def traced(engine: Engine[Any], tmp_path: Path, body: str) -> list[str]:
    frames = [engine.frame(schema.empty_table()) for schema in (ROWS, VERSIONS, OTHERS)]
    lookups = {"users": Lookup(frames[1], ("id",), as_of="at"), "others": Lookup(frames[2], ("id",))}
    names: list[str] = engine.schema(trace(function(tmp_path, body), engine, frames[0], lookups, explodes=False)).names
    return names


def test_select_keeps_what_a_join_needs_and_the_join_takes_it_away(engine: Engine[Any], tmp_path: Path) -> None:
    assert traced(engine, tmp_path, "rows.join(users.select('id', 'tier').select('id'), on='id', how='left')") == [
        "_stream", "_shard", "_load", "_row", "id", "tags", "at",
    ]  # fmt: skip
    assert traced(engine, tmp_path, "rows.join(users, on='id', how='left')")[-1] == "tier"


@pytest.mark.parametrize(
    "body",
    [
        "rows.join(users, on='id', how='left')",
        "rows.with_columns(x=nw.lit(1)).join(users.filter(nw.col('tier') == 'gold'), on='id').filter(nw.col('x') > 0)",
        "rows.join(users, on='id', how='semi').join(others.select('id', 'x'), on='id', how='left')",
        "rows.join(others.select('id', 'x'), on='id', how='left').join(users, on='id', how='anti')",
    ],
)
def test_the_same_function_traced_twice_is_the_same(engine: Engine[Any], tmp_path: Path, body: str) -> None:
    assert "id" in traced(engine, tmp_path, body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            "rows.join(users.group_by('tier').agg(n=nw.len()), left_on='id', right_on='tier')",
            "refine groups look-up `users`, which is as of at and holds every version of a key",
        ),
        ("rows.join(users.unique('tier', keep='any'), on='id')", "refine drops duplicates of look-up `users`"),
        ("rows.join(users.join(others, on='id'), on='id')", "refine joins look-up `users`, which is as of at"),
        ("rows.join(others.join(users, on='id'), on='id')", "refine joins look-up `users`, which is as of at"),
        (
            "rows.join(users.with_columns(n=nw.col('tier').count().over('id')), on='id')",
            "refine looks at several rows of look-up `users`",
        ),
        (
            "rows.join(users.filter(nw.col('tier') == nw.col('tier').max().over('id')), on='id')",
            "refine looks at several rows of look-up `users`",
        ),
        ("rows.join(users.head(5), on='id')", "refine looks at several rows of look-up `users`"),
        ("rows.join(users.rename({'_valid_from': 'since'}), on='id')", "refine takes _valid_from from look-up `users`"),
        ("rows.join(users, left_on='id', right_on='tier')", "refine joins look-up `users` on tier, but its key is id"),
        ("rows.join(users, how='semi')", "refine joins look-up `users` on 0 columns to 0"),
        ("rows.join(users, left_on=['id', 'tags'], right_on='id')", "refine joins look-up `users` on 2 columns to 1"),
        ("rows.drop('at').join(users, on='id')", "refine joins look-up `users` as of at, which the first frame has no"),
        ("rows.rename({'at': 'time'}).join(users, on='id')", "refine joins look-up `users` as of at, which the first"),
        (
            "rows.filter(nw.col('at') == nw.col('at').max().over('id')).join(users, on='id')",
            "refine looks at other rows (over)",
        ),
        ("nw.concat([rows, rows]).join(users, on='id')", "refine puts frames one under the other (concat)"),
        (
            "rows.with_columns(tier_right=nw.lit(1), tier=nw.lit(2)).join(users, on='id')",
            "refine would have two columns `tier_right` after a join",
        ),
        ("rows.join(others.explode('tags'), on='id')", "refine joins look-up `others` on id, but its key is unknown"),
    ],
)
def test_what_has_no_meaning_as_of_a_time_is_refused_with_its_line(
    engine: Engine[Any], tmp_path: Path, body: str, words: str
) -> None:
    with pytest.raises(Refused) as refused:
        traced(engine, tmp_path, body)
    assert refused.value.message.startswith((f"silver/t.py:5  {words}", f"silver/t.py  {words}"))


@pytest.mark.parametrize(
    "body",
    [
        "rows.with_columns(x=nw.lit(time.time_ns())).join(users, on='id')",
        "rows.join(users.filter(nw.col('_valid_from') < datetime.datetime.now(datetime.UTC)), on='id')",
        "rows.join(users, on='id').with_columns(x=nw.lit(random.random()))",
    ],
)
def test_the_clock_and_chance_are_found_also_behind_a_join(engine: Engine[Any], tmp_path: Path, body: str) -> None:
    with pytest.raises(Refused, match="refine gives another result each time it is called"):
        traced(engine, tmp_path, body)


def test_a_column_that_the_function_lost_stops_the_step_before_anything_is_written(
    bench: Workbench, tmp_path: Path
) -> None:
    told(bench, *PAST)
    bench.land(events(*TIMES))
    with pytest.raises(ConfigError, match="as of at, which the first frame has no longer"):
        bench.refine(table(tmp_path, "rows.drop('at').join(users.select('id', 'tier'), on='id', how='left')"))
    assert bench.rows("silver.t") == []
