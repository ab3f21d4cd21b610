"""What silver commits reaches a topic once, in order, whatever a commit did and wherever publishing broke off."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.engines.duckdb import DuckDBEngine
from catchment.errors import ConfigError
from catchment.interfaces import Engine, Publication
from catchment.lake.delta import DeltaLake
from catchment.live.metrics import latest
from catchment.naming import IDENTITY, ROW_DELETED, ROW_HEADERS, ROW_ID, silver_table
from catchment.records import Message, Order, TopicSpec
from catchment.refined import sending
from catchment.refined.messages import Refined
from catchment.refined.place import Place
from catchment.refined.sending import Sending, Sent, here
from catchment.silver.definition import Table
from catchment.silver.refine import RefineFunction
from catchment.testing.fakes import Workbench, arrived, column, contract
from catchment.topics import embedded
from catchment.topics.embedded import EmbeddedBroker

COLUMNS = (
    column("id", key_position=1, required=True),
    column("n", "integer", minimum=0),
    column("op"),
    column("at", "timestamp", required=True),
    column("price", "decimal", precision=10, scale=2),
)
KEYED, FREE = contract("t", *COLUMNS), contract("t", *(replace(one, key_position=None) for one in COLUMNS))
FROM = ("src.rows",)
TABLES: Mapping[str, Table] = {
    "append": Table("t", FROM, FREE, "append"),
    "append_with_a_key": Table("t", FROM, KEYED, "append"),
    "merge": Table("t", FROM, KEYED, "merge", latest_by="at", deleted_when="op = 'D'"),
    "merge_by_arrival": Table("t", FROM, KEYED, "merge"),
    "merge_of_whole_arrivals": Table("t", FROM, KEYED, "merge", latest_by="at", full=True),
    "window": Table("t", FROM, KEYED, "window", event_time="at", lateness_s=7200),
}
SEED = int(os.environ.get("CATCHMENT_SEED", "0"))


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine[Any]]:
    running = DuckDBEngine(memory_bytes=256 << 20, threads=2)
    yield running
    running.close()


class Breaking(Publication):
    """Breaks off now and then: before a transaction, in its middle, or when it is committed already."""

    def __init__(self, publication: Publication, chance: random.Random) -> None:
        self.inner, self.chance = publication, chance

    def progress(self) -> Mapping[str, Any] | None:
        return self.inner.progress()

    def write(self, messages: Iterable[Message], progress: Mapping[str, Any]) -> None:
        moment = self.chance.choice(("before", "amid", "after", None, None, None))
        if moment == "before":
            raise InterruptedError

        def amid() -> Iterator[Message]:
            yield from messages
            if moment == "amid":
                raise InterruptedError

        self.inner.write(amid(), progress)
        if moment == "after":
            raise InterruptedError

    def close(self) -> None:
        self.inner.close()


class Following:
    """A lake, a topic, and what is published from the one into the other."""

    def __init__(self, folder: Path, engine: Engine[Any], table: Table, **how: Any) -> None:
        self.bench = Workbench(DeltaLake(folder / "lake"), engine)
        self.broker = EmbeddedBroker(folder / "topics")
        self.table, self.how = table, how
        self.broker.declare([TopicSpec("refined", 3)])
        self.size = 3

    def publish(self, chance: random.Random | None = None, then: Any = None) -> Sent:
        """Publish what is new in small transactions; with a chance it breaks off now and then."""
        silver = self.bench.lake.open(silver_table("t"))
        assert silver is not None
        publication = self.broker.publication("refined", "t")
        outgoing = Refined(
            "refined", self.table.contract, self.table.contract.key, latest(self.table), FROM, **self.how
        )
        return Sending(
            silver,
            self.bench.engine,
            outgoing,
            publication if chance is None else Breaking(publication, chance),
            then or partial(self.bench.lake.open, silver_table("t")),
            displaces=(*IDENTITY, *self.table.contract.key) if self.table.mode == "window" else (),
            makes_several=self.table.function is not None,
            size=self.size,
        ).run()

    def published(self) -> list[dict[str, Any]]:
        """Every message with its headers as texts, each partition in its order."""
        ends = {partition: end for partition, (_, end) in self.broker.bounds("refined").items()}
        found = []
        for batch in self.broker.read("refined", {}, ends):
            for row in batch.to_pylist():
                told = {one["name"]: one["value"].decode() for one in row["headers"]}
                value = None if row["value"] is None else json.loads(row["value"])
                found.append({**told, "key": row["key"].decode(), "value": value, "partition": row["partition"]})
        return found

    def holds(self) -> None:
        """What a reader makes of the topic is the table, and every row came once."""
        listed = "id, n, op, strftime(at, '%Y-%m-%dT%H:%M:%S.%fZ') AS at, price"
        rows = self.bench.rows("silver.t", f"SELECT {listed}, _stream, _shard, _load, _row FROM t ORDER BY ALL")
        there = [
            (
                "/".join(str(row.pop(name)) for name in IDENTITY),
                {name: float(value) if name == "price" and value is not None else value for name, value in row.items()},
            )
            for row in rows
        ]
        messages = self.published()
        # Keys that went with one whole arrival share its identity.
        told = Counter((one["key"], *(one[name] for name in ROW_HEADERS)) for one in messages)
        assert set(told.values()) == {1}
        by = "key" if self.table.mode == "merge" else ROW_ID
        left = {one[by]: one for one in messages}
        shown = [(one[ROW_ID], one["value"]) for one in left.values() if one[ROW_DELETED] == "false"]
        assert sorted(shown, key=repr) == sorted(there, key=repr)

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
        (f"k{chance.randrange(6)}", chance.choice((*range(8), -1)), chance.choice("IUD"), chance.randrange(24 * 60))
        for _ in range(count)
    ]


@pytest.mark.parametrize("mode", TABLES)
def test_the_topic_follows_every_mode_commit_by_commit(tmp_path: Path, engine: Engine[Any], mode: str) -> None:
    chance, following = random.Random(SEED), Following(tmp_path, engine, TABLES[mode])
    for commits in (1, 2, 1, 2):
        for _ in range(commits):
            following.arrive(*some_rows(chance, chance.randrange(1, 9)))
        following.publish()
        following.holds()
    assert following.publish().rows == 0


@pytest.mark.parametrize("mode", TABLES)
def test_broken_off_anywhere_each_row_is_published_once(
    tmp_path: Path, engine: Engine[Any], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "CHUNK", 5)
    chance, following = random.Random(SEED + 1), Following(tmp_path, engine, TABLES[mode])
    breaks = 0
    for _ in range(6):
        following.arrive(*some_rows(chance, chance.randrange(1, 14)))
        for _ in range(chance.randrange(1, 5)):
            try:
                following.publish(chance)
            except InterruptedError:
                breaks += 1
    following.publish()
    following.holds()
    assert breaks


def test_rows_of_a_key_are_in_the_order_of_their_commits(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["append_with_a_key"])
    for number in range(0, 40, 10):
        following.arrive(*((f"k{n % 3}", n, "I", n) for n in range(number, number + 10)))
    following.publish()
    messages = following.published()
    for key in ("k0", "k1", "k2"):
        mine = [one for one in messages if one["key"] == key]
        assert [one["value"]["n"] for one in mine] == [n for n in range(40) if f"k{n % 3}" == key]
        assert len({one["partition"] for one in mine}) == 1


def test_a_transaction_has_so_many_rows_and_parts_none_of_one_place(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["append"])
    following.arrive(*((f"k{n}", n, "I", n) for n in range(10)))
    sizes = []

    class Counting(Breaking):
        def write(self, messages: Iterable[Message], progress: Mapping[str, Any]) -> None:
            told = list(messages)
            sizes.append(len(told))
            self.inner.write(told, progress)

    silver = following.bench.lake.open(silver_table("t"))
    assert silver is not None
    publication = Counting(following.broker.publication("refined", "t"), random.Random(0))
    outgoing = Refined("refined", FREE, (), "_judged", FROM)
    Sending(silver, engine, outgoing, publication, lambda _: None, size=4).run()
    assert sizes == [4, 4, 2]
    twice = pa.table({name: [1, 1, 1] if name != "_stream" else ["s"] * 3 for name in sending.ORDER})
    twice = twice.set_column(5, "_part", pa.array(["a", "b", "b"]))
    assert [sending._cut(twice, size) for size in (1, 2, 3, 9)] == [1, 3, 3, 3]


def test_a_delete_is_a_row_that_says_so_or_a_tombstone(tmp_path: Path, engine: Engine[Any]) -> None:
    for place, tombstones in enumerate((False, True)):
        following = Following(tmp_path / str(place), engine, TABLES["merge"], tombstones=tombstones)
        following.arrive(("a", 1, "I", 1))
        following.publish()
        following.arrive(("a", 2, "D", 2))
        following.publish()
        (first, last) = following.published()
        assert (first[ROW_DELETED], last[ROW_DELETED], last["key"]) == ("false", "true", "a")
        assert (last["value"] is None) == tombstones


def test_a_row_that_a_late_one_puts_out_is_said_to_be_gone(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["window"])
    following.arrive(("a", 1, "I", 100))
    following.publish()
    following.arrive(("a", 2, "I", 50))
    following.publish()
    told = [(one["value"]["n"], one[ROW_DELETED]) for one in following.published()]
    assert told == [(1, "false"), (1, "true"), (2, "false")]
    following.arrive(("a", 3, "I", 60))
    following.publish()
    assert len(following.published()) == 3
    following.holds()


def _late_twice(following: Following, count: int) -> None:
    """So many rows are published, and then all put out by rows that come late."""
    following.arrive(*((f"k{n}", n, "I", 100) for n in range(count)))
    following.publish()
    following.arrive(*((f"k{n}", n + 100, "I", 50) for n in range(count)))


def test_many_rows_that_went_are_told_in_several_transactions(
    tmp_path: Path, engine: Engine[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "CHUNK", 5)
    following = Following(tmp_path, engine, TABLES["window"])
    _late_twice(following, 14)
    sizes = _sizes(monkeypatch)
    assert following.publish().rows == 28
    assert sum(sizes) == 28
    # What is left of the rows that went rides with the first new ones.
    assert max(sizes) <= 2 * following.size
    following.holds()
    assert Place.of(following.broker.published("refined", "t")).messages == 42  # type: ignore[union-attr]
    assert following.publish().rows == 0


def _sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many messages each transaction has from now on."""
    sizes, written = list[int](), embedded._Publication.write

    def counting(self: Any, messages: Iterable[Message], progress: Mapping[str, Any]) -> None:
        told = list(messages)
        sizes.append(len(told))
        written(self, told, progress)

    monkeypatch.setattr(embedded._Publication, "write", counting)
    return sizes


def test_large_rows_go_in_transactions_of_fewer(
    tmp_path: Path, engine: Engine[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TRANSACTION_BYTES", 5_000)
    following, sizes = Following(tmp_path, engine, TABLES["append"]), _sizes(monkeypatch)
    following.size = 20_000
    following.arrive(*((f"k{n}" * (1 if n < 30 else 2_000), n, "I", n) for n in range(40)))
    following.publish()
    assert sum(sizes) == 40
    assert 5 < max(sizes) < 30
    # One that is larger than all that may go at once goes alone.
    assert sizes[-10:] == [1] * 10
    following.holds()


@pytest.mark.parametrize("seed", range(4))
def test_telling_which_rows_went_is_gone_on_with_where_it_broke_off(
    tmp_path: Path, engine: Engine[Any], monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(sending, "CHUNK", 7)
    chance, following, breaks = random.Random(SEED + seed), Following(tmp_path, engine, TABLES["window"]), 0
    _late_twice(following, 20)
    for late in range(3):
        for _ in range(3):
            try:
                following.publish(chance)
            except InterruptedError:
                breaks += 1
        # More goes, before and behind the rows that were told already.
        following.arrive(*((f"k{n}", n, "I", 40 - 10 * late) for n in range(late, 20, 2)))
    following.publish()
    following.holds()
    assert breaks


def test_where_nobody_knows_the_version_that_rows_went_from_it_stops(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["window"])
    _late_twice(following, 6)
    before = Place.of(following.broker.published("refined", "t"))
    assert before is not None
    told = replace(before, gone=(1, 1, 3, 0, "src.rows", '["k3"]'), until=before.version + 1)
    following.broker.publication("refined", "t").write([], told.progress())
    following.arrive(("z", 1, "I", 100))
    with pytest.raises(ConfigError, match="nobody knows any more which"):
        following.publish(then=lambda _: None)
    assert following.publish().rows == 2 + 6 + 1


@pytest.mark.parametrize("mode", ["append", "merge", "window"])
def test_upkeep_and_what_only_adds_rows_is_gone_on_from(tmp_path: Path, engine: Engine[Any], mode: str) -> None:
    following, chance = Following(tmp_path, engine, TABLES[mode]), random.Random(5)
    following.arrive(("a", -1, "I", 60), *some_rows(chance, 12))
    following.publish()
    following.arrive(*some_rows(chance, 5))
    upkeep = following.bench.lake.upkeep(silver_table("t"))
    assert upkeep is not None
    upkeep.compact()
    following.publish()
    following.holds()
    following.bench.refine(following.table, Order("replay"))
    following.publish()
    following.holds()


@pytest.mark.parametrize("verb", ["rebuild", "backfill", "forward"])
def test_an_order_that_changes_older_rows_stops_it(tmp_path: Path, engine: Engine[Any], verb: Any) -> None:
    following = Following(tmp_path, engine, TABLES["append"])
    following.arrive(("a", 1, "I", 60), ("b", 2, "I", 60))
    following.publish()
    if verb == "forward":
        wider = tuple(replace(one, scale=3) if one.name == "price" else one for one in FREE.columns)
        following.table = replace(following.table, contract=replace(FREE, columns=wider))
    following.bench.refine(following.table, Order(verb))
    with pytest.raises(ConfigError, match=verb) as caught:
        following.publish()
    assert "--from-now" in (caught.value.hint or "")
    assert "--again" in (caught.value.hint or "")


@pytest.mark.parametrize("table", ["append", "merge", "window"])
def test_where_going_forward_leaves_the_rows_that_are_there_it_goes_on(
    tmp_path: Path, engine: Engine[Any], table: str
) -> None:
    following = Following(tmp_path, engine, TABLES[table])
    following.arrive(("a", 1, "I", 60), ("b", -2, "I", 60))
    following.publish()
    lenient = tuple(replace(one, minimum=None) for one in following.table.contract.columns)
    following.table = replace(following.table, contract=replace(following.table.contract, columns=lenient))
    following.bench.refine(following.table, Order("forward"))
    following.publish()
    following.arrive(("c", -3, "I", 61))
    following.publish()
    following.holds()
    assert sorted(one["value"]["n"] for one in following.published()) == [-3, 1]
    # Where nobody keeps the versions before and after it, nobody knows what it did.
    lenient = tuple(replace(one, minimum=0) for one in lenient)
    following.table = replace(following.table, contract=replace(following.table.contract, columns=lenient))
    following.bench.refine(following.table, Order("forward"))

    def gone(_: int) -> None:
        message = "it is no longer kept"
        raise ConfigError(message)

    with pytest.raises(ConfigError, match="forward"):
        following.publish(then=gone)


@pytest.mark.parametrize("verb", [None, "rebuild", "backfill", "forward"])
@pytest.mark.parametrize("mode", ["append", "merge"])
def test_where_the_log_no_longer_tells_what_was_done_the_state_does(
    tmp_path: Path, engine: Engine[Any], monkeypatch: pytest.MonkeyPatch, mode: str, verb: Any
) -> None:
    following = Following(tmp_path, engine, TABLES[mode])
    following.arrive(("a", 1, "I", 60), ("b", 2, "I", 60))
    following.publish()
    if verb == "forward":
        contract_ = following.table.contract
        lenient = tuple(replace(one, minimum=None) for one in contract_.columns)
        following.table = replace(following.table, contract=replace(contract_, columns=lenient))
    if verb is not None:
        following.bench.refine(following.table, Order(verb))
    following.arrive(("a", 3, "I", 70), ("d", 1, "I", 60))
    kind = type(following.bench.lake.open(silver_table("t")))
    told = kind.history
    monkeypatch.setattr(kind, "history", lambda self, limit=None: told(self, limit)[:1])
    if verb is None:
        assert following.publish().rows == 2
        following.holds()
    else:
        with pytest.raises(ConfigError, match="nobody knows what was done"):
            following.publish()


def test_what_was_ordered_by_hand_is_gone_on_from(tmp_path: Path, engine: Engine[Any]) -> None:
    following = Following(tmp_path, engine, TABLES["append"])
    following.arrive(("a", 1, "I", 60), ("b", 2, "I", 60))
    following.publish()
    following.bench.refine(following.table, Order("rebuild"))
    silver = following.bench.lake.open(silver_table("t"))
    assert silver is not None
    place = replace(here(silver), order="from-now")
    following.broker.publication("refined", "t").write([], place.progress())
    assert following.publish().rows == 0
    following.arrive(("c", 3, "I", 60))
    assert following.publish().rows == 1
    again = replace(place, sent=0, order="again")
    following.broker.publication("refined", "t").write([], again.progress())
    assert following.publish().rows == 3
    assert Counter(one[ROW_ID] for one in following.published()) == {
        "src.rows/0/1/0": 2,
        "src.rows/0/1/1": 2,
        "src.rows/0/2/0": 2,
    }


def test_several_rows_of_one_origin_are_told_apart(tmp_path: Path, engine: Engine[Any]) -> None:
    file = tmp_path / "refine.py"
    file.write_text(
        "import narwhals as nw\n\n\ndef refine(rows):\n"
        "    return rows.with_columns(id=nw.col('id').str.split(';')).explode('id')\n"
    )
    table = replace(TABLES["merge_by_arrival"], function=RefineFunction(file="refine.py", path=file))
    following = Following(tmp_path, engine, table)
    following.size = 1
    following.arrive(("a;b;c;d", 1, "I", 1), ("b", 1, "I", 1), ("a;d", 2, "I", 2))
    assert following.publish().rows == 4
    following.holds()


def test_a_place_is_what_its_progress_says() -> None:
    place = Place(4, (5, 1, 2, 0, "s.t", '["it\'s"]'), 6, 3, "2026-01-01T00:00:00+00:00", 10, "abc", "again")
    assert Place.of(json.loads(json.dumps(place.progress()))) == place
    assert Place.of({**place.progress(), "of a later version": 1}) == place
    assert Place.of(None) is None
    assert place.least == 5
    assert "it''s" in place.follows()
