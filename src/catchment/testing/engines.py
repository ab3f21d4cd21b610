"""What every engine promises. Subclass `EnginePromises`, say how yours is made, and run pytest."""

from __future__ import annotations

import inspect
import math
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlglot import exp

from catchment.errors import RetryableError
from catchment.interfaces import Engine
from catchment.records import DataFile, Scan

SCHEMA = pa.schema([("_load", pa.int64()), ("name", pa.string()), ("amount", pa.decimal128(12, 2))])

# Everything that a column of bronze, silver or quarantine can be.
TYPES = pa.schema(
    [
        ("number", pa.int64()),
        ("small", pa.int32()),
        ("text", pa.string()),
        ("day", pa.date32()),
        ("at", pa.timestamp("us", tz="UTC")),
        ("exact", pa.decimal128(18, 3)),
        ("about", pa.float64()),
        ("is_it", pa.bool_()),
        ("raw", pa.binary()),
        ("reasons", pa.list_(pa.struct([("column", pa.string()), ("value", pa.string())]))),
    ]
)

_MB = 1 << 20

# DuckDB sorts in runs that need this much at least.
_SMALL = 128 * _MB

_ELSEWHERE = """
import pathlib, runpy, sys
file, name, place = sys.argv[1:]
sys.stdout.write(str(runpy.run_path(file)[name]().exceed_memory(pathlib.Path(place))))
"""

_Rows = st.lists(
    st.fixed_dictionaries(
        {
            "number": st.none() | st.integers(-(2**63), 2**63 - 1),
            "small": st.none() | st.integers(-(2**31), 2**31 - 1),
            "text": st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
            "day": st.none() | st.dates(date(1, 1, 1)),
            "at": st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
            "exact": st.none() | st.decimals(-(10**14), 10**14, places=3),
            "about": st.none() | st.floats(allow_nan=False),
            "is_it": st.none() | st.booleans(),
            "raw": st.none() | st.binary(max_size=8),
            "reasons": st.none()
            | st.lists(
                st.fixed_dictionaries({"column": st.none() | st.text("ab'\""), "value": st.just("x")}), max_size=2
            ),
        }
    ),
    min_size=1,
    max_size=6,
)


def _peak() -> int:
    """The most memory that this process has had, in bytes."""
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux's ru_maxrss begins with what the process had that started this one: 869 MB seen of one with 9.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


class EnginePromises(ABC):
    """One class per engine. Its file is run once more in a process of its own, so it may need no conftest."""

    @abstractmethod
    def engine(self, memory_bytes: int = 256 * _MB, spill: Path | None = None) -> Engine[Any]:
        """A new engine with that much memory; what does not fit goes to `spill`."""

    @pytest.fixture
    def running(self) -> Iterator[Engine[Any]]:
        engine = self.engine()
        yield engine
        engine.close()

    # Frames.

    def test_a_frame_over_no_file_has_every_column_in_its_type_and_no_row(self, running: Engine[Any]) -> None:
        for loads in (None, (0, 5)):
            schema = pa.schema([*TYPES, ("_load", pa.int64())])
            frame = running.frame(Scan(files=(), schema=schema, loads=loads))
            assert running.schema(frame) == schema
            assert rows(running, frame) == []

    def test_a_frame_over_an_arrow_table_has_its_rows(self, running: Engine[Any]) -> None:
        table = pa.table({"a": [1, None], "b": ["x", "y"]})
        frame = running.frame(table)
        assert running.schema(frame) == table.schema
        assert rows(running, frame) == table.to_pylist()

    def test_columns_that_a_file_lacks_are_null_in_their_type(self, running: Engine[Any], tmp_path: Path) -> None:
        files = [
            _file(tmp_path, {"_load": [1], "name": ["a"]}),
            _file(tmp_path, {"amount": pa.array([Decimal("1.50")], pa.decimal128(12, 2)), "_load": [2], "name": ["b"]}),
        ]
        frame = running.frame(Scan(files=files, schema=SCHEMA))
        assert running.schema(frame) == SCHEMA
        assert {row["name"]: row["amount"] for row in rows(running, frame)} == {"a": None, "b": Decimal("1.50")}
        only_old = running.frame(Scan(files=files[:1], schema=SCHEMA))
        assert running.schema(only_old) == SCHEMA
        assert rows(running, only_old) == [{"_load": 1, "name": "a", "amount": None}]

    def test_only_rows_of_the_span_are_read_its_start_left_out_and_its_end_in(
        self, running: Engine[Any], tmp_path: Path
    ) -> None:
        files = [_file(tmp_path, {"_load": [1, 2, 3], "name": ["a", "b", "c"]}), _file(tmp_path, {"_load": [4]})]
        for span, loads in (((1, 3), [2, 3]), ((0, 9), [1, 2, 3, 4]), ((4, 9), []), ((2, 2), [])):
            frame = running.frame(Scan(files=files, schema=SCHEMA, loads=span))
            assert sorted(row["_load"] for row in rows(running, frame)) == loads

    def test_the_file_of_each_row_can_be_asked_for(self, running: Engine[Any], tmp_path: Path) -> None:
        folder = tmp_path / "a läke of 'ours' [1] #%20"
        folder.mkdir()
        files = [_file(folder, {"_load": [1]}), _file(folder, {"_load": [2]})]
        frame = running.frame(Scan(files=files, schema=SCHEMA), file_column="_file")
        assert {row["_load"]: row["_file"] for row in rows(running, frame)} == {1: files[0], 2: files[1]}
        none = running.frame(Scan(files=(), schema=SCHEMA), file_column="_file")
        assert running.schema(none).field("_file").type == pa.string()

    def test_names_that_need_quotes_are_read_and_written(self, running: Engine[Any], tmp_path: Path) -> None:
        odd = {'say "so"': [1], "select": [2], "o'clock": [3], "Größe.x": [4], "with space": [5]}
        files = running.write(running.frame(pa.table(odd)), str(tmp_path), "odd")
        back = running.frame(Scan(files=[files[0].path], schema=pa.table(odd).schema))
        assert rows(running, back) == pa.table(odd).to_pylist()
        assert set(files[0].statistics) <= set(odd)

    # Queries.

    def test_a_query_reads_frames_by_the_names_it_is_given(self, running: Engine[Any]) -> None:
        frames = {
            "present": running.frame(pa.table({"id": [1, 2], "n": [10, 20]})),
            "fresh": running.frame(pa.table({"id": [2, 3], "n": [21, 30]})),
        }
        joined = "SELECT p.id, p.n AS before, fresh.n AS after FROM present AS p JOIN fresh ON p.id = fresh.id"
        assert _told(running, joined, frames) == [{"id": 2, "before": 20, "after": 21}]
        twice = "SELECT a.id FROM fresh AS a ANTI JOIN present AS b USING (id)"
        assert _told(running, twice, frames) == [{"id": 3}]

    def test_a_frame_made_of_frames_is_a_frame(self, running: Engine[Any]) -> None:
        first = running.frame(pa.table({"id": [1, 2, 3]}))
        second = running.query(_sql("SELECT id + 1 AS id FROM t WHERE id > 1"), {"t": first})
        third = running.query(_sql("SELECT sum(id)::BIGINT AS total FROM t"), {"t": second})
        assert rows(running, third) == [{"total": 7}]

    def test_a_kept_frame_is_computed_once(self, running: Engine[Any]) -> None:
        chance = running.query(_sql("SELECT random() AS r FROM t"), {"t": running.frame(pa.table({"id": [1, 2]}))})
        kept = running.kept(chance)
        assert sorted(row["r"] for row in rows(running, kept)) == sorted(row["r"] for row in rows(running, kept))
        assert running.schema(kept) == running.schema(chance)

    def test_two_kept_frames_do_not_mix(self, running: Engine[Any]) -> None:
        kept = [running.kept(running.frame(pa.table({"id": [number]}))) for number in range(3)]
        assert [rows(running, frame) for frame in kept] == [[{"id": number}] for number in range(3)]

    def test_schema_and_tree_compute_nothing(self, running: Engine[Any]) -> None:
        source = {"t": running.frame(pa.table({"s": ["not a number"]}))}
        broken = running.query(_sql("SELECT CAST(s AS BIGINT) AS n FROM t"), source)
        assert running.schema(broken) == pa.schema([("n", pa.int64())])
        assert running.tree(broken).find(exp.Cast) is not None

    # User code.

    def test_a_frame_goes_to_user_code_and_back(self, running: Engine[Any]) -> None:
        lazy = running.lazy(running.frame(pa.table({"id": [1, 2], "name": ["a", "b"]})))
        assert isinstance(lazy, nw.LazyFrame)
        changed = lazy.with_columns(double=nw.col("id") * 2).filter(nw.col("name") == "b")
        assert rows(running, running.native(changed)) == [{"id": 2, "name": "b", "double": 4}]

    def test_the_tree_shows_what_user_code_did(self, running: Engine[Any]) -> None:
        lazy = running.lazy(running.frame(pa.table({"id": [1], "name": ["a"]})))
        plain = running.tree(running.native(lazy.with_columns(x=nw.col("id") + 1)))
        window = running.tree(running.native(lazy.with_columns(x=nw.col("id").sum().over("name"))))
        assert plain.find(exp.Window) is None
        assert window.find(exp.Window) is not None

    # Files.

    @settings(
        max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow]
    )
    @given(data=_Rows)
    def test_rows_of_every_type_come_back_as_they_were_written_whichever_way(self, data: list[dict[str, Any]]) -> None:
        engine = self.engine()
        table = pa.Table.from_pylist(data, TYPES)
        with tempfile.TemporaryDirectory() as folder:
            written = engine.write(engine.frame(table), folder, "frame")
            flat = table.drop_columns("reasons")  # an engine may write what is nested otherwise
            streamed, streamed_flat = (
                engine.write_batches(iter(one.to_batches()), one.schema, folder, "batch") for one in (table, flat)
            )
            for files, wanted in ((written, table), (streamed, table), (streamed_flat, flat)):
                back = engine.frame(Scan(files=[file.path for file in files], schema=wanted.schema))
                assert engine.schema(back) == wanted.schema
                assert Counter(map(repr, rows(engine, back))) == Counter(map(repr, wanted.to_pylist()))
                _assert_true_statistics(files)
        engine.close()

    def test_rows_are_found_by_what_they_hold_however_often_it_comes(
        self, running: Engine[Any], tmp_path: Path
    ) -> None:
        """Values that come again have dictionaries and filters of their own in a file."""
        count = 5000
        table = pa.table({"raw": [b"\xff", b"\0", b"a", None] * count, "number": [-0.0, 1.0, math.nan, 7.5] * count})
        kept = running.kept(running.frame(table))
        frames = [
            running.frame(Scan(files=[file.path for file in files], schema=table.schema))
            for files in (
                running.write(running.frame(table), str(tmp_path), "frame"),
                running.write_batches(iter(table.to_batches()), table.schema, str(tmp_path), "batch"),
            )
        ]
        for asked in (r"raw = '\xFF'::BLOB", r"raw = '\x00'::BLOB", "raw = 'a'::BLOB", "number = 0", "number = 7.5"):
            for frame in (kept, *frames):
                found = _told(running, f"SELECT count(*)::INT AS n FROM t WHERE {asked}", {"t": frame})
                assert found == [{"n": count}], asked

    def test_a_written_file_says_its_rows_its_size_and_the_prefix_in_its_name(
        self, running: Engine[Any], tmp_path: Path
    ) -> None:
        table = pa.table({"_load": list(range(1000))})
        for files in (
            running.write(running.frame(table), str(tmp_path), "000007"),
            running.write_batches(iter(table.to_batches()), table.schema, str(tmp_path), "000007"),
        ):
            assert sum(file.rows for file in files) == 1000
            for file in files:
                path = Path(file.path)
                assert path.is_absolute()
                assert path.parent == tmp_path
                assert path.name.startswith("000007-")
                assert path.suffix == ".parquet"
                assert path.stat().st_size == file.bytes
                assert file.statistics["_load"] == (0, 999, 0)
        assert len(list(tmp_path.iterdir())) == 2

    def test_no_row_is_no_file(self, running: Engine[Any], tmp_path: Path) -> None:
        empty = SCHEMA.empty_table()
        assert list(running.write(running.frame(empty), str(tmp_path), "1")) == []
        assert list(running.write_batches(iter(empty.to_batches()), SCHEMA, str(tmp_path), "1")) == []
        assert list(tmp_path.iterdir()) == []

    def test_the_names_of_folders_above_say_nothing_of_rows(self, tmp_path: Path) -> None:
        place = tmp_path / "id=7" / "more=8"
        place.mkdir(parents=True)
        engine = self.engine(spill=place)
        table = pa.table({"id": [1, 2]})
        (file,) = engine.write(engine.frame(table), str(place), "1")
        for frame in (engine.frame(Scan(files=[file.path], schema=table.schema)), engine.kept(engine.frame(table))):
            assert rows(engine, frame) == table.to_pylist()
        engine.close()

    def test_two_writes_with_one_prefix_do_not_overwrite_each_other(self, running: Engine[Any], tmp_path: Path) -> None:
        written = [running.write(running.frame(pa.table({"n": [n]})), str(tmp_path), "1") for n in range(3)]
        paths = [file.path for files in written for file in files]
        back = running.frame(Scan(files=paths, schema=pa.schema([("n", pa.int64())])))
        assert sorted(row["n"] for row in rows(running, back)) == [0, 1, 2]

    def test_what_a_generator_of_batches_raises_arrives_as_it_was_raised(
        self, running: Engine[Any], tmp_path: Path
    ) -> None:
        class Gone(RetryableError):
            pass

        gone = Gone("the source went away")

        def batches() -> Iterator[pa.RecordBatch]:
            yield pa.record_batch({"n": [1]})
            raise gone

        with pytest.raises(Gone) as told:
            running.write_batches(batches(), pa.schema([("n", pa.int64())]), str(tmp_path), "1")
        assert told.value is gone
        assert rows(running, running.frame(pa.table({"n": [2]}))) == [{"n": 2}]

    def test_batches_are_streamed_and_not_gathered_first(self, running: Engine[Any], tmp_path: Path) -> None:
        alive: list[int] = []

        def batches() -> Iterator[pa.RecordBatch]:
            for _ in range(200):
                alive.append(pa.total_allocated_bytes())
                yield pa.record_batch({"n": pa.array(range(40_000))})

        before = pa.total_allocated_bytes()
        files = running.write_batches(batches(), pa.schema([("n", pa.int64())]), str(tmp_path), "1")
        assert sum(file.rows for file in files) == 8_000_000
        assert max(alive) - before < 32 * _MB

    def test_a_file_that_is_gone_may_be_there_on_the_next_try(self, running: Engine[Any], tmp_path: Path) -> None:
        with pytest.raises(RetryableError):
            rows(running, running.frame(Scan(files=[str(tmp_path / "gone.parquet")], schema=SCHEMA)))

    # Memory.

    def test_memory_stays_under_its_limit_in_what_is_larger_than_it(self, tmp_path: Path) -> None:
        suite = [inspect.getfile(type(self)), type(self).__name__, str(tmp_path)]
        done = subprocess.run(
            [sys.executable, "-c", _ELSEWHERE, *suite], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < _SMALL + 400 * _MB

    def exceed_memory(self, place: Path) -> int:
        """Aggregate and sort more than twice what the engine may take; the peak of the process in bytes."""
        engine = self.engine(_SMALL, place / "spill")
        long = "SELECT i AS id, md5(CAST(i AS VARCHAR)) || md5(CAST(-i AS VARCHAR)) AS s FROM range(3000000) AS r(i)"
        files = engine.write(engine.query(_sql(long), {}), str(place), "long")
        whole = engine.frame(Scan(files=[file.path for file in files], schema=_LONG))
        kept = engine.kept(engine.query(_sql("SELECT id, s FROM t ORDER BY s"), {"t": whole}))
        distinct = _sql("SELECT count(*) AS n FROM (SELECT s, max(id) AS m FROM t GROUP BY s)")
        counted = engine.fetch(distinct, {"t": kept}).column("n")[0].as_py()
        assert counted == 3_000_000, counted
        engine.close()
        return _peak()

    def test_close_gives_spill_files_back(self, tmp_path: Path) -> None:
        spill = tmp_path / "spill"
        engine = self.engine(spill=spill)
        engine.kept(engine.frame(pa.table({"n": [1]})))
        engine.close()
        assert list(spill.iterdir()) == []

    def test_two_engines_share_a_spill_folder(self, tmp_path: Path) -> None:
        first, second = (self.engine(spill=tmp_path / "spill") for _ in range(2))
        first.close()
        assert rows(second, second.kept(second.frame(pa.table({"n": [1]})))) == [{"n": 1}]
        second.close()


_LONG = pa.schema([("id", pa.int64()), ("s", pa.string())])


def rows(engine: Engine[Any], frame: Any) -> list[dict[str, Any]]:
    """Rows of a frame, in no order that means anything."""
    found: list[dict[str, Any]] = engine.fetch(_sql("SELECT * FROM t"), {"t": frame}).to_pylist()
    return found


def _told(engine: Engine[Any], sql: str, frames: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The same from a query and from a fetch."""
    fetched: list[dict[str, Any]] = engine.fetch(_sql(sql), frames).to_pylist()
    assert rows(engine, engine.query(_sql(sql), frames)) == fetched
    return fetched


def _sql(text: str) -> exp.Query:
    tree = sqlglot.parse_one(text, read="duckdb")
    assert isinstance(tree, exp.Query)
    return tree


def _file(folder: Path, columns: Mapping[str, Any]) -> str:
    path = folder / f"{len(list(folder.iterdir()))}.parquet"
    pq.write_table(pa.table(dict(columns)), path)
    return str(path)


def _as_told(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def _assert_true_statistics(files: Any) -> None:
    """As a table's log wants them: texts, numbers, and days as ISO 8601; never a row outside."""
    file: DataFile
    for file in files:
        data = pq.read_table(file.path, partitioning=None)
        assert data.num_rows == file.rows
        for name, (low, high, nulls) in file.statistics.items():
            values = [_as_told(value) for value in data[name].to_pylist()]
            present = [value for value in values if value is not None]
            assert nulls == len(values) - len(present)
            assert all((low is None or low <= v) and (high is None or v <= high) for v in present), (name, low, high)
