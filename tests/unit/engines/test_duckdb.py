"""DuckDB keeps the promises of every engine, and what is peculiar to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlglot
from sqlglot import exp

from catchment.engines.duckdb import DuckDBEngine, duckdb_type
from catchment.errors import ConfigError, FatalError
from catchment.interfaces import Engine
from catchment.records import Scan
from catchment.testing.engines import EnginePromises


class TestDuckDB(EnginePromises):
    def engine(self, memory_bytes: int = 256 << 20, spill: Path | None = None) -> Engine[Any]:
        return DuckDBEngine(memory_bytes=memory_bytes, threads=1, spill=spill)


def _query(sql: str) -> exp.Query:
    tree = sqlglot.parse_one(sql, read="duckdb")
    assert isinstance(tree, exp.Query)
    return tree


def test_what_does_not_fit_even_with_spilling_is_fatal_and_says_where_to_give_more(tmp_path: Path) -> None:
    engine = DuckDBEngine(memory_bytes=8 << 20, threads=1, spill=tmp_path)
    with pytest.raises(FatalError, match="needs more than") as told:
        engine.fetch(_query("SELECT list(md5(i::VARCHAR)) AS l FROM range(1000000) AS r(i)"), {})
    assert "memory" in (told.value.hint or "")
    engine.close()


def test_an_expression_that_cannot_be_bound_is_the_projects_mistake() -> None:
    engine = DuckDBEngine(memory_bytes=64 << 20, threads=1)
    with pytest.raises(ConfigError, match="nope"):
        engine.query(_query("SELECT nope FROM t"), {"t": engine.frame(pa.table({"id": [1]}))})
    engine.close()


def test_instants_are_told_in_utc_whatever_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    engine = DuckDBEngine(memory_bytes=64 << 20, threads=1)
    told = engine.fetch(_query("SELECT CAST(TIMESTAMPTZ '2026-01-01 00:00:00+00' AS VARCHAR) AS at"), {}).to_pylist()
    assert told == [{"at": "2026-01-01 00:00:00+00"}]
    engine.close()


@pytest.mark.parametrize("name", ["a[1]", "a*", "a?", "a{b}", "a'b", "a b"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    engine = DuckDBEngine(memory_bytes=64 << 20, threads=1, spill=tmp_path / name)
    kept = engine.kept(engine.frame(pa.table({"id": [1, 2]})))
    (file,) = engine.write(kept, str(tmp_path / name), "rows")
    again = engine.frame(Scan(files=(file.path,), schema=pa.schema([("id", pa.int64())])))
    assert engine.fetch(_query("SELECT sum(id)::INT AS n FROM t"), {"t": again}).to_pylist() == [{"n": 3}]
    engine.close()


def test_nothing_is_kept_of_files_that_were_read(tmp_path: Path) -> None:
    engine = DuckDBEngine(memory_bytes=256 << 20, threads=1)
    made = engine.query(_query("SELECT i, md5(i::VARCHAR) AS word FROM range(50000) AS r(i)"), {})
    schema = pa.schema([("i", pa.int64()), ("word", pa.string())])
    for number in range(3):
        (file,) = engine.write(made, str(tmp_path), f"rows{number}")
        rows = engine.frame(Scan(files=(file.path,), schema=schema))
        assert engine.fetch(_query("SELECT max(word) AS m FROM t WHERE i > 7"), {"t": rows}).num_rows == 1
    kept = _query("SELECT sum(memory_usage_bytes)::BIGINT AS kept FROM duckdb_memory()")
    assert engine.fetch(kept, {}).to_pylist() == [{"kept": 0}]
    engine.close()


def test_a_date_that_delta_cannot_spell_has_no_statistics_and_stops_nothing(tmp_path: Path) -> None:
    engine = DuckDBEngine(memory_bytes=64 << 20, threads=1)
    old = engine.query(_query("SELECT DATE '0044-03-15 (BC)' AS d, 1::BIGINT AS n"), {})
    (file,) = engine.write(old, str(tmp_path), "rows")
    assert dict(file.statistics) == {"n": (1, 1, 0)}
    engine.close()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (pa.int8(), "TINYINT"),
        (pa.float32(), "FLOAT"),
        (pa.decimal128(9, 3), "DECIMAL(9, 3)"),
        (pa.timestamp("ms"), "TIMESTAMP"),
        (pa.timestamp("us", tz="UTC"), "TIMESTAMP WITH TIME ZONE"),
        (pa.list_(pa.struct([("a b", pa.int64())])), 'STRUCT("a b" BIGINT)[]'),
        (pa.map_(pa.string(), pa.date32()), "MAP(VARCHAR, DATE)"),
        (pa.large_binary(), "BLOB"),
        (pa.large_string(), "VARCHAR"),
    ],
)
def test_an_arrow_type_has_a_name_that_duckdb_understands(kind: pa.DataType, name: str) -> None:
    assert duckdb_type(kind) == name


def test_what_a_killed_process_spilled_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    living = DuckDBEngine(memory_bytes=64 << 20, threads=1, spill=tmp_path)
    assert not list(tmp_path.iterdir())  # nothing is made before anything is computed
    living.frame(pa.table({"n": [1]}))
    (held,) = tmp_path.iterdir()
    dead = tmp_path / "catchment-spill-dead"
    dead.mkdir()
    (dead / ".lock").touch()
    (dead / "rows.tmp").write_bytes(b"x")
    another = DuckDBEngine(memory_bytes=64 << 20, threads=1, spill=tmp_path)
    another.frame(pa.table({"n": [1]}))
    another.close()
    assert list(tmp_path.iterdir()) == [held]
    living.close()
    living.close()
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_of_the_lake_is_told_with_a_way_out(tmp_path: Path) -> None:
    engine = DuckDBEngine(memory_bytes=64 << 20, threads=1)
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(FatalError, match="damaged") as told:
        engine.frame(Scan(files=(str(tmp_path / "rows.parquet"),), schema=pa.schema([("id", pa.int64())])))
    assert "--rebuild" in (told.value.hint or "")
    engine.close()
