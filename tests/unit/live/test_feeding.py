"""What silver commits reaches a live store, whatever a commit did: figures are those of a recount from silver."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.engines.duckdb import DuckDBEngine
from catchment.interfaces import Engine
from catchment.lake.delta import DeltaLake
from catchment.live.feeding import Fed, Feeding
from catchment.live.metrics import live_of
from catchment.live.recount import Recounted, Recounting
from catchment.metric import Live
from catchment.naming import silver_table
from catchment.reading.declaration import Metric
from catchment.records import Order, change_columns
from catchment.silver.definition import Table
from catchment.silver.refine import RefineFunction
from catchment.stores.duckdb import DuckDBLiveStore
from catchment.testing.fakes import Workbench, arrived, column, contract

COLUMNS = (
    column("id", key_position=1, required=True),
    column("n", "integer", minimum=0),
    column("op"),
    column("at", "timestamp"),
    column("price", "decimal", precision=10, scale=2),
)
KEYED, FREE = contract("t", *COLUMNS), contract("t", *(replace(one, key_position=None) for one in COLUMNS))
FROM = ("src.rows",)
DELETES = {"latest_by": "at", "deleted_when": "op = 'D'"}
TABLES: Mapping[str, Table] = {
    "append": Table("t", FROM, FREE, "append"),
    "append_with_a_key": Table("t", FROM, KEYED, "append"),
    "merge": Table("t", FROM, KEYED, "merge", **DELETES),
    "merge_by_number": Table("t", FROM, KEYED, "merge", latest_by="n"),
    "merge_by_price": Table("t", FROM, KEYED, "merge", latest_by="price"),
    "merge_by_text": Table("t", FROM, KEYED, "merge", latest_by="op"),
    "merge_by_arrival": Table("t", FROM, KEYED, "merge"),
    "merge_that_forgets": Table("t", FROM, KEYED, "merge", **DELETES, lateness_s=7200),
    "merge_of_whole_arrivals": Table("t", FROM, KEYED, "merge", latest_by="at", full=True),
    "history": Table("t", FROM, KEYED, "history", **DELETES),
    "history_of_whole_arrivals": Table("t", FROM, KEYED, "history", full=True),
    "window": Table("t", FROM, KEYED, "window", event_time="at", lateness_s=7200),
    "delete_insert": Table("t", FROM, FREE, "delete_insert", slice=("op",)),
    "replace": Table("t", FROM, FREE, "replace", full=True),
}
METRICS = {
    "hourly": {
        "from": "t",
        "time": "at",
        "every": "1 hour",
        "by": ["op"],
        "measures": {"rows": "count(*)", "keys": "count(distinct id)", "sum": "sum(price)", "high": "max(n * 2)"},
    },
    "all": {
        "from": "t",
        "where": "n > 1",
        "measures": {
            "rows": "count(*)",
            "mean": "avg(n)",
            "p": "quantile(n, 0.9)",
            "most": "top(op, 2)",
            "d": "share(op = 'D')",
        },
    },
}


SEED = int(os.environ.get("CATCHMENT_SEED", "0"))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine[Any]]:
    running = DuckDBEngine(memory_bytes=256 << 20, threads=1)
    yield running
    running.close()


class Following:
    """A lake, a store, and what is fed from the one into the other."""

    def __init__(self, folder: Path, engine: Engine[Any], table: Table, **more: Any) -> None:
        self.bench = Workbench(DeltaLake(folder / "lake"), engine)
        self.store = DuckDBLiveStore(folder / "live")
        self.folder, self.table = folder, table
        self.live = self.metrics(**more)
        self.store.apply(self.live, "do")

    def metrics(self, **more: Any) -> Live:
        declared = {name: Metric.model_validate({**keys, **more}) for name, keys in METRICS.items()}
        return live_of(declared, {"t": self.table})

    def feed(self) -> Fed | None:
        silver = self.bench.lake.open(silver_table("t"))
        if silver is None:
            return None
        then = partial(self.bench.lake.open, silver_table("t"))
        return Feeding(self.live.feeds["t"], silver, self.bench.engine, self.folder, then).feed_into(self.store)

    def recount(self) -> dict[str, Recounted]:
        silver = self.bench.lake.open(silver_table("t"))
        assert silver is not None
        feed, engine = self.live.feeds["t"], self.bench.engine
        return {
            name: Recounting(metric, feed, silver, engine).against(self.store)
            for name, metric in self.live.metrics.items()
        }

    def holds(self) -> None:
        for found in self.recount().values():
            assert found.is_equal, found

    def arrive(self, *rows: tuple[str, int | str, str, int]) -> None:
        """Rows (key, number, what happened, minute) are landed and refined."""
        texts = [
            (key, str(n), op, f"2026-01-01T{at // 60:02d}:{at % 60:02d}:00Z", f"{at}.5") for key, n, op, at in rows
        ]
        names = ("id", "n", "op", "at", "price")
        columns = {name: pa.array([row[place] for row in texts], pa.string()) for place, name in enumerate(names)}
        self.bench.land(arrived(columns))
        self.bench.refine(self.table)


def some_rows(chance: random.Random, count: int) -> list[tuple[str, int | str, str, int]]:
    """Few keys, so that they meet; some numbers are rejected."""
    return [
        (
            f"k{chance.randrange(6)}",
            chance.choice((*range(8), -1)),
            chance.choice("IUD"),
            chance.randrange(24 * 60),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("mode", TABLES)
def test_figures_follow_every_mode_commit_by_commit(tmp_path: Path, engine: Engine[Any], mode: str) -> None:
    chance, following = random.Random(SEED), Following(tmp_path, engine, TABLES[mode])
    for commits in (1, 2, 1, 2):
        for _ in range(commits):
            following.arrive(*some_rows(chance, chance.randrange(1, 7)))
        following.feed()
        following.holds()
    assert following.feed() is None


@pytest.mark.parametrize("mode", ["append", "merge", "history", "window"])
def test_figures_follow_repairs_and_upkeep(tmp_path: Path, engine: Engine[Any], mode: str) -> None:
    following, chance = Following(tmp_path, engine, TABLES[mode]), random.Random(5)
    following.arrive(("a", -1, "I", 60), ("b", 2, "I", 61), *some_rows(chance, 12))
    following.feed()
    following.table = replace(TABLES[mode], contract=replace(TABLES[mode].contract, columns=_lenient()))
    following.bench.refine(following.table, Order("forward"))
    following.bench.refine(following.table, Order("replay"))
    fed = following.feed()
    assert fed is not None
    assert fed.anew is not None
    following.holds()
    following.arrive(("c", 3, "I", 62))
    assert following.feed() is not None
    upkeep = following.bench.lake.upkeep(silver_table("t"))
    assert upkeep is not None
    upkeep.compact()
    assert following.feed() is None
    following.holds()
    following.bench.refine(following.table, Order("rebuild"))
    fed = following.feed()
    assert fed is not None
    assert fed.anew is not None
    following.holds()


def _lenient() -> Sequence[Any]:
    return tuple(replace(one, minimum=None) for one in COLUMNS)


def test_an_append_feeds_its_new_rows_alone(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["append"])
    following.arrive(("a", 1, "I", 1), ("a", 1, "I", 1))
    first = following.feed()
    following.arrive(("a", 1, "I", 1))
    second = following.feed()
    assert first is not None
    assert second is not None
    assert (first.rows, second.rows, second.anew) == (2, 1, None)
    following.holds()
    assert _figures(following, "all")["rows"] == 0


def _figures(following: Following, metric: str) -> Mapping[str, Any]:
    found: list[Mapping[str, Any]] = following.store.query(f"select * from live.{metric}").read_all().to_pylist()
    return found[0]


def test_a_merge_feeds_what_its_commits_touched_alone(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["merge"])
    following.arrive(*((f"k{n}", n, "I", 5) for n in range(50)))
    following.feed()
    following.arrive(("k7", 9, "U", 6), ("k8", 9, "D", 6), ("k9", 9, "U", 1))
    fed = following.feed()
    assert fed is not None
    assert (fed.rows, fed.anew) == (2, None)
    following.holds()
    assert _figures(following, "all")["rows"] == 47


def test_what_is_older_than_it_is_kept_is_in_no_figure(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["append"], keep="1 day", time="at")
    today = datetime.now(UTC).replace(microsecond=0)
    at = [today - timedelta(hours=hours) for hours in (1, 3, 12, 30, 60)]
    for part in (at[:2], at[2:]):
        texts = [one.isoformat() for one in part]
        rows = {"id": ["k"] * len(part), "n": ["2"] * len(part), "op": ["I"] * len(part), "at": texts}
        following.bench.land(arrived({**rows, "price": ["1.0"] * len(part)}))
        following.bench.refine(following.table)
        following.feed()
        following.holds()
    assert _figures(following, "all")["rows"] == 3


def test_another_lake_with_the_same_numbers_is_taken_anew(tmp_path: Path, engine: Engine[Any]) -> None:
    first = Following(tmp_path, engine, TABLES["append"])
    first.arrive(("a", 2, "I", 1))
    first.feed()
    first.bench = Workbench(DeltaLake(tmp_path / "another"), engine)
    first.arrive(("b", 3, "I", 2), ("c", 3, "I", 2))
    fed = first.feed()
    assert fed is not None
    assert fed.anew is not None
    first.holds()


def test_a_log_of_changes_is_followed_with_its_deletes_and_truncates(tmp_path: Path, engine: Engine[Any]) -> None:
    columns = (
        column("id", key_position=1),
        column("n", "integer", required=True),
        column("op"),
        column("at", "timestamp"),
        column("price", "number"),
    )
    table = Table("t", ("db.t",), contract("t", *columns), "merge", changes=True, logs=frozenset({"db.t"}))
    following = Following(tmp_path, engine, table)
    for number, changes in enumerate(
        (
            [("insert", "a", 1), ("insert", "b", 2), ("insert", "c", 3)],
            [("update", "a", 5), ("delete", "b", None)],
            [("insert", "b", 7)],
            [("truncate", None, None), ("insert", "z", 4)],
            [("delete", "z", None)],
        )
    ):
        following.bench.land(_log(changes, number), feed="db.changes")
        following.bench.refine(table)
        fed = following.feed()
        assert fed is not None
        assert (fed.anew is None) == (number > 0), fed
        following.holds()
    assert _figures(following, "all")["rows"] == 0


def _log(changes: Sequence[tuple[str, str | None, int | None]], second: int) -> pa.Table:
    at = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)

    def document(op: str, key: str | None, n: int | None) -> str | None:
        if op == "truncate":
            return None
        return json.dumps({"id": key} if op == "delete" else {"id": key, "n": n, "op": op, "at": at.isoformat()})

    documents = [document(*change) for change in changes]
    values: list[Sequence[Any]] = [
        ["t"] * len(changes),
        [op for op, _, _ in changes],
        [at] * len(changes),
        documents,
        [None] * len(changes),
    ]
    arrays = [pa.array(given, field.type) for given, field in zip(values, change_columns(), strict=True)]
    return arrived(pa.Table.from_arrays(arrays, schema=pa.schema(change_columns())))


def test_several_rows_that_a_function_makes_of_one_are_told_apart(tmp_path: Path, engine: Engine[Any]) -> None:
    path = tmp_path / "t.py"
    split = "rows.with_columns(id=nw.col('id').str.split('|')).explode('id')"
    path.write_text(f"import narwhals as nw\n\ndef refine(rows):\n    return {split}\n", encoding="utf-8")
    table = replace(TABLES["append_with_a_key"], function=RefineFunction("silver/t.py", path))
    following = Following(tmp_path, engine, table)
    assert following.live.feeds["t"].key[-1] == "id"
    following.arrive(("a|b|c", 2, "I", 1), ("b", 2, "I", 1))
    following.feed()
    following.holds()
    assert _figures(following, "all")["rows"] == 4


def test_what_a_table_cannot_order_by_a_number_is_ordered_by_silver_s_commits() -> None:
    def latest(mode: str) -> str | None:
        keys = {name: Metric.model_validate(one) for name, one in METRICS.items()}
        return live_of(keys, {"t": TABLES[mode]}).feeds["t"].latest

    assert latest("merge") == 'epoch_us(CAST("at" AS TIMESTAMP))'
    assert latest("merge_by_price") == 'CAST("price" * 100 AS BIGINT)'
    assert {latest(mode) for mode in ("merge_by_text", "merge_that_forgets", "merge_of_whole_arrivals", "append")} == {
        "_judged"
    }
    assert latest("history") is None


def test_rows_are_kept_as_long_as_the_metric_that_keeps_them_longest() -> None:
    declared = {
        name: Metric.model_validate({**METRICS["hourly"], "keep": keep})
        for name, keep in {"a": "2 days", "b": "1 day"}.items()
    }
    live = live_of(declared, {"t": TABLES["append"]})
    assert (live.feeds["t"].keep_s, live.feeds["t"].moment) == (2 * 86_400 + 3600, '"at"')
    for_ever = live_of({**declared, "c": Metric.model_validate(METRICS["hourly"])}, {"t": TABLES["append"]})
    assert for_ever.feeds["t"].keep_s is None
