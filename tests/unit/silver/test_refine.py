"""A refine function is row-wise on its first frame: what that allows, and each refusal with its line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.contract import Contract
from catchment.errors import CatchmentError, ConfigError, DataError
from catchment.events import RowsQuarantined, RowsRefined
from catchment.interfaces import Engine
from catchment.silver.definition import LookedUp, Table
from catchment.silver.refine import Lookup, RefineFunction, Refused, trace
from catchment.testing.fakes import Workbench, arrived, column, contract

EVENTS = pa.schema(
    [
        ("_stream", pa.string()),
        ("_shard", pa.int32()),
        ("_load", pa.int64()),
        ("_row", pa.int64()),
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("event_type", pa.string()),
        ("amount", pa.float64()),
        ("at", pa.timestamp("us", tz="UTC")),
    ]
)
USERS = pa.schema([("user_id", pa.string()), ("country", pa.string()), ("tier", pa.string())])
IDENTITY = ["_stream", "_shard", "_load", "_row"]
ALL = ["event_id", "user_id", "event_type", "amount", "at"]

HEAD = "import narwhals as nw\nimport datetime, random, time\n\ndef refine(events, users):\n"


def function(tmp_path: Path, body: str) -> RefineFunction:
    """`body` is what the function returns; it stands in line 6."""
    path = tmp_path / "events.py"
    path.write_text(f"{HEAD}    x = 1\n    return {body}\n", encoding="utf-8")
    return RefineFunction("silver/events.py", path)


def columns(engine: Engine[Any], made: RefineFunction, *, explodes: bool = False) -> list[str]:
    frames = engine.frame(EVENTS.empty_table()), engine.frame(USERS.empty_table())
    lookups = {"users": Lookup(frames[1], ("user_id",))}
    names: list[str] = engine.schema(trace(made, engine, frames[0], lookups, explodes=explodes)).names
    return names


@pytest.mark.parametrize(
    ("body", "given"),
    [
        ("events", ALL),
        ("events.with_columns(big=nw.col('amount') > 10)", [*ALL, "big"]),
        ("events.with_columns(nw.col('event_type').str.to_lowercase())", ALL),
        ("events.with_columns(s=nw.when(nw.col('amount') > 1).then(nw.lit('a')).otherwise(nw.lit('b')))", [*ALL, "s"]),
        ("events.filter(nw.col('amount') > 1)", ALL),
        ("events.filter(nw.col('event_type').is_in(['a', 'b']))", ALL),
        ("events.drop_nulls(['user_id'])", ALL),
        ("events.rename({'event_id': 'id'})", ["id", *ALL[1:]]),
        ("events.drop('amount', 'at')", ALL[:3]),
        ("events.select('event_id', nw.col('amount') * 2)", ["event_id", "amount"]),
        ("events.select(id=nw.col('event_id'))", ["id"]),
        ("events.select('event_id').with_columns(y=nw.lit(1)).select('y')", ["y"]),
        ("events.join(users, on='user_id', how='left')", [*ALL, "country", "tier"]),
        ("events.join(users.select('user_id', 'country'), on='user_id', how='left')", [*ALL, "country"]),
        ("events.join(users, on='user_id')", [*ALL, "country", "tier"]),
        ("events.join(users, on='user_id', how='semi')", ALL),
        ("events.join(users, left_on='event_type', right_on='country', how='anti')", ALL),
        ("events.join(users.filter(nw.col('tier') == 'gold'), on='user_id', how='left')", [*ALL, "country", "tier"]),
        ("events.join(users.rename({'user_id': 'u'}), left_on='user_id', right_on='u', how='left')", None),
        (
            "events.join(users.group_by('country').agg(n=nw.len()),"
            " left_on='event_type', right_on='country', how='left')",
            [*ALL, "n"],
        ),
        ("events.join(users.unique('tier', keep='any'), left_on='event_type', right_on='tier', how='left')", None),
    ],
)
def test_what_is_row_wise_is_allowed_and_identity_goes_with_it(
    engine: Engine[Any], tmp_path: Path, body: str, given: list[str] | None
) -> None:
    names = columns(engine, function(tmp_path, body))
    assert [name for name in names if name.startswith("_")] == IDENTITY or set(IDENTITY) <= set(names)
    if given is not None:
        assert sorted(name for name in names if not name.startswith("_")) == sorted(given)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("events.group_by('user_id').agg(nw.len())", "refine groups rows (group_by)"),
        ("events.unique('user_id', keep='any')", "refine drops duplicates (unique)"),
        ("events.sort('at')", "refine sorts rows (sort)"),
        ("events.head(3)", "refine takes the first rows (head)"),
        ("events.top_k(3, by='amount')", "refine takes the largest rows (top_k)"),
        ("events.gather_every(2)", "refine takes every n-th row (gather_every)"),
        ("events.with_row_index(order_by='at')", "refine numbers rows (with_row_index)"),
        ("events.unpivot('amount')", "refine turns columns into rows (unpivot)"),
        ("events.join_asof(users, on='user_id')", "refine joins to the nearest row (join_asof)"),
        ("events.with_columns(s=nw.col('amount').sum().over('user_id'))", "refine looks at other rows (over)"),
        ("events.with_columns(s=nw.col('amount').shift(1).over(order_by='at'))", "refine looks at other rows (over)"),
        ("events.with_columns(s=nw.col('amount').cum_sum().over(order_by='at'))", "refine looks at other rows (over)"),
        ("events.with_columns(s=nw.col('amount').sum())", "refine "),
        ("events.with_columns(s=nw.len())", "refine "),
        ("events.select(nw.col('amount').sum())", "refine "),
        ("events.filter(nw.col('amount') > nw.col('amount').mean())", "refine "),
        ("events.filter(nw.col('amount') == nw.col('amount').max().over('user_id'))", "refine "),
        ("events.collect()", "refine collects a frame (collect): it must stay lazy"),
        ("events.sink_parquet('x.parquet')", "refine writes a file (sink_parquet)"),
        ("events.join(events, on='event_id')", "refine joins its first frame to itself"),
        ("events.join(users, how='cross')", "refine makes a cross join"),
        ("events.join(users, on='user_id', how='full')", "refine makes a full join"),
        (
            "events.join(users, left_on='event_type', right_on='country', how='left')",
            "refine joins look-up `users` on country, but its key is user_id",
        ),
        (
            "events.join(users.join(users, on='user_id'), on='user_id')",
            "refine joins look-up `users` on user_id, but its key is unknown",
        ),
        ("events.join(nw.from_native(users.to_native()), on='user_id')", "refine joins to a LazyFrame"),
        ("users.join(events, on='user_id')", "refine starts from look-up `users`"),
        ("events.with_columns(l=nw.col('event_type').str.split(',')).explode('l')", "refine makes several rows of one"),
    ],
)
def test_what_looks_beyond_its_row_is_refused_with_its_line(
    engine: Engine[Any], tmp_path: Path, body: str, words: str
) -> None:
    with pytest.raises(Refused) as told:
        columns(engine, function(tmp_path, body))
    assert told.value.message.startswith(f"silver/events.py:6  {words}") or (
        told.value.message.startswith(f"silver/events.py  {words}") and "filter" in body
    )


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("users", "refine returns look-up `users`; it must return its first frame, changed row by row"),
        ("None", "refine returns nothing"),
        ("7", "refine returns a int"),
        ("nw.from_native(events.to_native())", "refine returns a LazyFrame"),
        ("nw.concat([events, events])", "refine puts frames one under the other (concat)"),
        ("events.with_columns(t=nw.lit(time.time_ns()))", "refine gives another result each time it is called"),
        ("events.with_columns(t=nw.lit(random.random()))", "refine gives another result each time it is called"),
        ("events.with_columns(t=nw.lit(datetime.datetime.now()))", "refine gives another result each time"),
    ],
)
def test_what_comes_back_must_be_the_first_frame_and_the_same_each_time(
    engine: Engine[Any], tmp_path: Path, body: str, words: str
) -> None:
    with pytest.raises(Refused) as told:
        columns(engine, function(tmp_path, body))
    assert told.value.message.startswith(f"silver/events.py  {words}")


@pytest.mark.parametrize(
    "body",
    [
        "events.with_columns(_row=nw.lit(0))",
        "events.with_columns(nw.col('amount').alias('_load'))",
        "events.rename({'_row': 'row'})",
        "events.rename({'_row': '_load', '_load': '_row'})",
        "events.select(nw.lit(0).alias('_row'), 'event_id')",
    ],
)
def test_a_rows_identity_cannot_be_changed(engine: Engine[Any], tmp_path: Path, body: str) -> None:
    with pytest.raises(Refused, match=r"silver/events\.py:6 "):
        columns(engine, function(tmp_path, body))


def test_explode_is_allowed_where_the_contract_has_a_key(engine: Engine[Any], tmp_path: Path) -> None:
    made = function(tmp_path, "events.with_columns(l=nw.col('event_type').str.split(',')).explode('l')")
    assert "l" in columns(engine, made, explodes=True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import narwhals as nw\n\ndef refine(events, users):\n    return events.with_columns(x=nw.col('nope'))\n",
            ":4 ",
        ),
        ("def refine(events, users):\n    return 1 / 0\n", ":2  refine failed: ZeroDivisionError"),
        ("x = 1\nraise ValueError('no')\n", ":2  cannot be loaded: ValueError: no"),
        ("import nothing_of_that_name\n", ":1  cannot be loaded: ModuleNotFoundError"),
        ("def refined(events):\n    return events\n", "  has no function `refine`"),
        ("def refine(events):\n    return events\n", "  refine failed: TypeError"),
    ],
)
def test_what_goes_wrong_in_a_function_is_told_with_its_line(
    engine: Engine[Any], tmp_path: Path, text: str, words: str
) -> None:
    path = tmp_path / "events.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        columns(engine, RefineFunction("silver/events.py", path))
    assert told.value.message.startswith(f"silver/events.py{words}")
    assert "\n" not in told.value.message


def test_a_file_that_is_no_python_is_told_with_its_line(engine: Engine[Any], tmp_path: Path) -> None:
    path = tmp_path / "events.py"
    path.write_text("def refine(events:\n    return events\n", encoding="utf-8")
    broken = RefineFunction("silver/events.py", path)
    with pytest.raises(ConfigError, match=r"silver/events\.py:1"):
        broken.syntax()
    with pytest.raises(ConfigError, match=r"silver/events\.py"):
        columns(engine, broken)


# Over rows.

RAW = contract("t", column("id"), column("n", "integer"))


def table(tmp_path: Path, body: str, wanted: Contract = RAW, lookups: dict[str, Contract] | None = None) -> Table:
    path = tmp_path / "t.py"
    path.write_text(f"import narwhals as nw\ndef refine(rows, **lookups):\n    return {body}\n", encoding="utf-8")
    return Table(
        "t",
        ("src.rows",),
        wanted,
        "append",
        function=RefineFunction("silver/t.py", path),
        lookups={name: LookedUp(found) for name, found in (lookups or {}).items()},
    )


def numbers(*texts: str) -> pa.Table:
    return arrived({"id": [f"r{place}" for place in range(len(texts))], "n": pa.array(texts, pa.string())})


def test_rows_are_refined_then_judged_and_filtered_ones_are_counted(bench: Workbench, tmp_path: Path) -> None:
    doubled = contract("t", column("id"), column("n", "integer", maximum=10))
    bench.land(numbers("1", "x", "5", "6", "0"))
    bench.refine(table(tmp_path, "rows.filter(nw.col('n') > 0).with_columns(n=nw.col('n') * 2)", doubled))
    assert sorted(row["n"] for row in bench.rows("silver.t")) == [2, 10]
    (told,) = bench.heard.of(RowsRefined)
    assert (told.rows, told.written, told.rejected, told.filtered) == (5, 2, 2, 1)
    assert [event.rows for event in bench.heard.of(RowsQuarantined)] == [2]
    reasons = {row["_row"]: (row["reasons"][0]["rule"], row["raw"]) for row in bench.standing_rejects("t")}
    assert reasons == {1: ("type", '{"id":"r1","n":"x"}'), 3: ("maximum", '{"id":"r3","n":"6"}')}


def test_a_row_that_cannot_be_read_never_reaches_the_function(bench: Workbench, tmp_path: Path) -> None:
    bench.land(numbers("x", "1"))
    bench.refine(table(tmp_path, "rows.with_columns(n=nw.col('n').fill_null(0))"))
    assert [row["n"] for row in bench.rows("silver.t")] == [1]


def test_identity_survives_select(bench: Workbench, tmp_path: Path) -> None:
    bench.land(numbers("1"), numbers("2", "3"))
    bench.refine(table(tmp_path, "rows.select(nw.col('n'), id=nw.col('id'))"))
    found = bench.rows("silver.t", "SELECT n, _stream, _shard, _load, _row FROM t ORDER BY n")
    assert [tuple(row.values()) for row in found] == [
        (1, "src.rows", 0, 1, 0),
        (2, "src.rows", 0, 2, 0),
        (3, "src.rows", 0, 2, 1),
    ]


def test_rows_that_all_lack_what_is_required_are_rejected(bench: Workbench, tmp_path: Path) -> None:
    bench.land(numbers("1", "2"))
    required = contract("t", column("id"), column("n", "integer", required=True))
    bench.refine(table(tmp_path, "rows.with_columns(n=nw.lit(None).cast(nw.Int64))", required))
    assert bench.rows("silver.t") == []
    told = {"column": "n", "rule": "required", "message": "required", "value": None}
    assert [row["reasons"] for row in bench.standing_rejects("t")] == [[told], [told]]


@pytest.mark.parametrize("body", ["__import__('sys').exit(0)", "exit()"])
def test_a_function_that_ends_the_process_fails_instead(bench: Workbench, tmp_path: Path, body: str) -> None:
    bench.land(numbers("1"))
    with pytest.raises(ConfigError, match="refine failed: SystemExit"):
        bench.refine(table(tmp_path, body))


def test_a_value_that_the_function_cannot_cast_is_an_error_of_the_rows(bench: Workbench, tmp_path: Path) -> None:
    bench.land(numbers("1"))
    with pytest.raises(DataError, match="Could not convert string 'r0'") as told:
        bench.refine(table(tmp_path, "rows.with_columns(n=nw.col('id').cast(nw.Int64))"))
    assert told.value.hint is not None
    assert bench.rows("silver.t") == []


def test_exploded_rows_are_kept_by_their_key(bench: Workbench, tmp_path: Path) -> None:
    keyed = contract(
        "t", column("id", key_position=1), column("tag", key_position=2, derived=True), column("n", "integer")
    )
    body = "rows.with_columns(tag=nw.col('id').str.split('-')).explode('tag')"
    bench.land(arrived({"id": ["a-b", "c"], "n": ["1", "2"]}))
    bench.refine(table(tmp_path, body, keyed))
    assert sorted((row["tag"], row["n"]) for row in bench.rows("silver.t")) == [("a", 1), ("b", 1), ("c", 2)]


USERS_CONTRACT = contract("users", column("id", key_position=1), column("country"))
USERS_TABLE = Table("users", ("src.users",), USERS_CONTRACT, "merge")
LOOKED_UP = contract("t", column("id"), column("country", derived=True))


def test_a_lookup_is_read_as_it_is_now(bench: Workbench, tmp_path: Path) -> None:
    looking = table(
        tmp_path,
        "rows.join(lookups['users'].select('id', 'country'), on='id', how='left').select('id', 'country')",
        LOOKED_UP,
        {"users": USERS_CONTRACT},
    )
    bench.land(arrived({"id": ["a"]}))
    bench.refine(looking)  # no table of users yet
    for country in ("PT", "DE"):
        bench.land(arrived({"id": ["a"], "country": [country]}), feed="src.users")
        bench.refine(USERS_TABLE)
        bench.land(arrived({"id": ["a"]}))
        bench.refine(looking)
    found = bench.rows("silver.t", "SELECT country FROM t ORDER BY _load")
    assert [row["country"] for row in found] == [None, "PT", "DE"]


@pytest.mark.parametrize(
    ("body", "words", "cure"),
    [
        ("rows.select('id')", "refine does not give n, which contracts/t.odcs.yaml names", "it gives id"),
        ("rows.with_columns(y=nw.lit(1))", "refine gives y, which contracts/t.odcs.yaml does not name", "add it"),
        (
            "rows.with_columns(n=nw.col('id'))",
            "refine gives n as string, contracts/t.odcs.yaml says integer",
            "cast it",
        ),
        ("rows.with_columns(n=nw.col('n') * 0.5)", "refine gives n as double", "cast it"),
        ("rows.with_columns(id=nw.col('n'))", "refine gives id as int64, contracts/t.odcs.yaml says string", "cast it"),
    ],
)
def test_columns_that_the_contract_does_not_have_are_refused_before_anything_is_written(
    bench: Workbench, tmp_path: Path, body: str, words: str, cure: str
) -> None:
    bench.land(numbers("1"))
    with pytest.raises(CatchmentError) as told:
        bench.refine(table(tmp_path, body))
    assert told.value.message.startswith(f"silver/t.py  {words}")
    assert (told.value.hint or "").startswith(cure)
    assert bench.rows("silver.t") == []


def test_a_function_that_makes_more_rows_than_it_was_given_is_an_error_of_the_rows(
    bench: Workbench, tmp_path: Path
) -> None:
    # Two rows of one key cannot be in a merged look-up; one that is appended to can hold them.
    twice = Table("users", ("src.users",), USERS_CONTRACT, "append")
    bench.land(arrived({"id": ["a", "a"], "country": ["PT", "DE"]}), feed="src.users")
    bench.refine(twice)
    bench.land(arrived({"id": ["a"]}))
    body = "rows.join(lookups['users'], on='id', how='left')"
    with pytest.raises(DataError, match="1 rows more than it was given"):
        bench.refine(table(tmp_path, body, LOOKED_UP, {"users": USERS_CONTRACT}))
    assert bench.rows("silver.t") == []


def test_an_edit_of_the_same_length_within_a_second_is_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "t.py"
    for word in ("lower", "upper"):
        path.write_text(f"def refine(rows):\n    return '{word}'\n", encoding="utf-8")
        os.utime(path, (1_700_000_000, 1_700_000_000))
        assert RefineFunction("silver/t.py", path)._function()(None) == word
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.py"]
