"""Logs of changes in silver: deletes and truncates are built in, the log's order decides, not a column of the row."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.contract import Reference
from catchment.records import Order, change_columns
from catchment.silver.definition import Table
from catchment.silver.refine import RefineFunction
from catchment.testing.fakes import Workbench, arrived, column, contract

LOG = "db.changes"  # lands in bronze.db__changes
COLUMNS = (column("id", key_position=1), column("n", "integer", required=True, minimum=0), column("note"))
MERGED = Table("t", ("db.t",), contract("t", *COLUMNS), "merge", changes=True, logs=frozenset({"db.t"}))
VERSIONS = replace(MERGED, mode="history")
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Change:
    op: str
    key: str | None = None
    n: int | str | None = None
    stream: str = "t"
    at: int = 0  # seconds; changes of one transaction have one
    whole: bool = False  # a delete that tells the row that went

    @property
    def document(self) -> str | None:
        if self.op == "truncate":
            return None
        if self.op == "delete" and not self.whole:
            return json.dumps({"id": self.key})
        return json.dumps({"id": self.key, "n": self.n, "note": f"{self.key}:{self.n}", "op": "of the row"})


def log(*changes: Change) -> pa.Table:
    values: list[Sequence[Any]] = [
        [change.stream for change in changes],
        [change.op for change in changes],
        [BEGIN + timedelta(seconds=change.at) for change in changes],
        [change.document for change in changes],
        [None] * len(changes),
    ]
    arrays = [pa.array(given, field.type) for given, field in zip(values, change_columns(), strict=True)]
    return arrived(pa.Table.from_arrays(arrays, schema=pa.schema(change_columns())))


def put(key: str, n: int | str, at: int = 0, **more: Any) -> Change:
    return Change("insert", key, n, at=at, **more)


def gone(key: str, at: int = 0, **more: Any) -> Change:
    return Change("delete", key, at=at, **more)


def there(bench: Workbench) -> dict[str, int]:
    return {row["id"]: row["n"] for row in bench.rows("silver.t") if row["_hidden"] is None}


def versions(bench: Workbench) -> list[tuple[str, int, int, int | None]]:
    """Key, value, and from when to when it was valid, in seconds."""

    def second(moment: datetime | None) -> int | None:
        return None if moment is None else round((moment - BEGIN).total_seconds())

    found = bench.rows("silver.t", "SELECT * FROM t WHERE _hidden IS NULL ORDER BY id, _valid_from")
    return [(row["id"], row["n"], second(row["_valid_from"]) or 0, second(row["_valid_to"])) for row in found]


def reasons(bench: Workbench) -> list[tuple[str, str]]:
    return [(reason["column"], reason["rule"]) for row in bench.standing_rejects("t") for reason in row["reasons"]]


def test_a_delete_that_knows_the_key_alone_takes_the_row_away(bench: Workbench) -> None:
    bench.land(log(put("a", 1), put("b", 2, 1)), feed=LOG)
    bench.refine(MERGED)
    bench.land(log(gone("a", 2), gone("never", 2)), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {"b": 2}
    assert bench.standing_rejects("t") == []


def test_the_log_decides_which_row_is_the_latest(bench: Workbench) -> None:
    bench.land(log(put("a", 1), gone("a", 1), put("a", 2, 2), put("b", 1, 2), gone("b", 2)), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {"a": 2}
    bench.refine(MERGED, Order("rebuild"))
    assert there(bench) == {"a": 2}


def test_other_streams_of_the_log_are_not_taken(bench: Workbench) -> None:
    bench.land(log(put("a", 1), put("x", 9, stream="other"), Change("truncate", stream="other", at=1)), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {"a": 1}


def test_a_column_of_the_row_is_not_one_of_the_log(bench: Workbench) -> None:
    named = replace(MERGED, contract=contract("t", *COLUMNS[:2], column("op"), column("stream")))
    bench.land(log(put("a", 1)), feed=LOG)
    bench.refine(named)
    assert [(row["op"], row["stream"]) for row in bench.rows("silver.t")] == [("of the row", None)]


def test_a_row_that_goes_is_not_asked_for_what_it_was(bench: Workbench) -> None:
    bench.land(log(put("a", 1)), feed=LOG)
    bench.refine(MERGED)
    broken = Change("delete", "a", "no number", whole=True, at=1)
    nameless = Change("delete", None, at=1)
    bench.land(log(broken, nameless), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {}
    assert reasons(bench) == [("id", "required")]


def test_a_rejected_change_leaves_what_was_there(bench: Workbench) -> None:
    bench.land(log(put("a", 1), put("a", -5, 1), put("b", -1, 1)), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {"a": 1}
    assert reasons(bench) == [("n", "minimum"), ("n", "minimum")]


def test_a_truncate_takes_what_was_there_before_it_and_nothing_after(bench: Workbench) -> None:
    bench.land(log(put("a", 1), put("b", 2)), feed=LOG)
    bench.refine(MERGED)
    bench.land(log(put("c", 3, 1), Change("truncate", at=2), put("b", 4, 3), put("d", 5, 3)), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {"b": 4, "d": 5}
    bench.land(log(Change("truncate", at=4), Change("truncate", at=5), put("e", 1, 6)), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {"e": 1}
    bench.refine(MERGED, Order("rebuild"))
    assert there(bench) == {"e": 1}


def test_a_row_from_before_a_truncate_does_not_come_back_when_it_is_judged_again(bench: Workbench) -> None:
    bench.land(log(put("a", -1), put("b", 2)), feed=LOG)
    bench.refine(MERGED)
    bench.land(log(Change("truncate", at=1), put("c", -3, 2)), feed=LOG)
    bench.refine(MERGED)
    assert there(bench) == {}
    lenient = replace(MERGED, contract=contract("t", COLUMNS[0], column("n", "integer"), COLUMNS[2]))
    bench.refine(lenient, Order("forward"))
    bench.refine(lenient, Order("replay"))
    assert there(bench) == {"c": -3}
    assert bench.standing_rejects("t") == []


def test_rows_that_wait_for_others_meet_the_truncate_that_came_meanwhile(bench: Workbench) -> None:
    users = Table("users", ("src.users",), contract("users", column("id", key_position=1)), "merge")
    refers = replace(MERGED, contract=contract("t", *COLUMNS, references=(Reference(("note",), "users", ("id",)),)))
    bench.land(log(put("a", 1), put("b", 1)), feed=LOG)
    bench.refine(refers)
    bench.land(log(Change("truncate", at=1), put("b", 2, 2)), feed=LOG)
    bench.refine(refers)
    assert there(bench) == {}
    bench.land(arrived({"id": ["a:1", "b:1", "b:2"]}), feed="src.users")
    bench.refine(users)
    bench.refine(refers)
    assert there(bench) == {"b": 2}
    bench.land(log(Change("delete", "b", 2, whole=True, at=3)), feed=LOG)
    bench.land(arrived({"id": ["z"]}), feed="src.users")
    bench.refine(refers)
    assert there(bench) == {}


def test_history_begins_when_a_change_was_committed(bench: Workbench) -> None:
    bench.land(log(put("a", 1, 0), put("a", 2, 5), gone("a", 7), put("a", 3, 9)), feed=LOG)
    bench.refine(VERSIONS)
    assert versions(bench) == [("a", 1, 0, 5), ("a", 2, 5, 7), ("a", 3, 9, None)]


def test_of_one_transaction_history_keeps_what_it_left(bench: Workbench) -> None:
    bench.land(log(put("a", 1, 0), put("a", 2, 5), put("a", 3, 5), gone("b", 5), put("b", 1, 5)), feed=LOG)
    bench.refine(VERSIONS)
    assert versions(bench) == [("a", 1, 0, 5), ("a", 3, 5, None), ("b", 1, 5, None)]


def test_a_snapshot_that_is_taken_again_makes_no_version_of_what_is_as_it_was(bench: Workbench) -> None:
    bench.land(log(put("a", 1, 0), put("b", 2, 0), put("c", 3, 0)), feed=LOG)
    bench.refine(VERSIONS)
    again = [Change("truncate", at=9), Change("snapshot", "a", 1, at=9), Change("snapshot", "b", 5, at=9)]
    bench.land(log(*again), feed=LOG)
    bench.refine(VERSIONS)
    assert versions(bench) == [("a", 1, 0, None), ("b", 2, 0, 9), ("b", 5, 9, None), ("c", 3, 0, 9)]


def test_a_function_is_not_asked_whether_a_row_goes(bench: Workbench, tmp_path: Path) -> None:
    source = "import narwhals as nw\n\n\ndef refine(rows):\n    return rows.filter(nw.col('n') < 10)\n"
    (tmp_path / "t.py").write_text(source)
    refined = replace(MERGED, function=RefineFunction("t.py", tmp_path / "t.py"))
    bench.land(log(put("a", 1), put("b", 2), put("c", 30)), feed=LOG)
    bench.refine(refined)
    bench.land(log(gone("a", 1), Change("update", "b", 3, at=1)), feed=LOG)
    bench.refine(refined)
    assert there(bench) == {"b": 3}
    bench.land(log(Change("truncate", at=2), put("d", 4, 3)), feed=LOG)
    bench.refine(refined)
    assert there(bench) == {"d": 4}
    assert bench.standing_rejects("t") == []


def workload(seed: int, count: int) -> list[Change]:
    """Changes that a database could have made: some in one transaction, keys that go and come back, truncates."""
    chance, present, at, found = random.Random(seed), set[str](), 0, list[Change]()
    for number in range(count):
        at += chance.random() < 0.7
        key = f"k{chance.randrange(12)}"
        if chance.random() < 0.02:
            at += 1
            found.append(Change("truncate", at=at))
            present.clear()
            at += 1
        elif key in present and chance.random() < 0.35:
            found.append(gone(key, at, whole=chance.random() < 0.5, n=number))
            present.discard(key)
        else:
            found.append(Change("update" if key in present else "insert", key, number, at=at))
            present.add(key)
    return found


def replayed(changes: Sequence[Change]) -> tuple[dict[str, int], list[tuple[str, int, int, int | None]]]:
    """What the changes leave, and every version of it, in plain Python."""
    now: dict[str, tuple[int, int]] = {}
    past: list[tuple[str, int, int, int | None]] = []

    def end(key: str, at: int) -> None:
        value, since = now.pop(key)
        if since != at:
            past.append((key, value, since, at))

    for change in changes:
        for key in list(now) if change.op == "truncate" else [change.key or ""]:
            if key in now:
                end(key, change.at)
        if change.op not in ("truncate", "delete"):
            assert isinstance(change.n, int)
            now[change.key or ""] = (change.n, change.at)
    left = [(key, value, since, None) for key, (value, since) in now.items()]
    return {key: value for key, (value, _) in now.items()}, sorted([*past, *left], key=lambda one: (one[0], one[2]))


@pytest.mark.parametrize("seed", range(6))
def test_any_log_in_any_loads_leaves_what_it_says(bench: Workbench, seed: int) -> None:
    changes = workload(seed, 150)
    merged, told = replayed(changes)
    history = replace(VERSIONS, name="h", contract=replace(VERSIONS.contract, table="h"))
    chance, start = random.Random(seed + 100), 0
    while start < len(changes):
        size = chance.randrange(1, 40)
        bench.land(log(*changes[start : start + size]), feed=LOG)
        start += size
        if chance.random() < 0.6:
            bench.refine(MERGED)
            bench.refine(history)
    bench.refine(MERGED)
    bench.refine(history)
    assert there(bench) == merged
    bench.refine(replace(VERSIONS, mode="history"), Order("rebuild"))
    assert versions(bench) == told
    found = bench.rows(
        "silver.h", "SELECT id, n, _valid_from, _valid_to FROM t WHERE _hidden IS NULL ORDER BY id, _valid_from"
    )
    assert [(row["id"], row["n"]) for row in found] == [(key, value) for key, value, _, _ in told]
