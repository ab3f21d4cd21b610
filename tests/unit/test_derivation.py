"""What queries make their columns of: one query a line of the corpus, in the dialects that gold will be built on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlglot

from catchment.derivation import Derived, Uses, derive, remembered, to_remember

CORPUS = Path(__file__).parent / "corpus" / "derivations.txt"
TABLES = {"s.t": ["a", "b", "tags", "j"], "s.u": ["a", "c"]}


def read(sql: str, dialect: str = "duckdb") -> Derived:
    return derive(sqlglot.parse_one(sql, read=dialect), TABLES, dialect)


def spelled(uses: Uses) -> str:
    """`a` and `b` of s.t, `u.a` of s.u, `#t` for rows of s.t that are counted."""
    columns = [f"{table}.{column}".removeprefix("s.").removeprefix("t.") for table, column in uses.columns]
    return " ".join(sorted(columns) + sorted(f"#{table.removeprefix('s.')}" for table in uses.rows))


def corpus() -> Iterator[tuple[str, str, str]]:
    """Query, dialect, and what is expected: `column: uses, …; rows: uses`."""
    dialect, query = "duckdb", ""
    for line in CORPUS.read_text().splitlines():
        if line.startswith("## "):
            dialect = line[3:].strip()
        elif line.startswith("  "):
            yield query, dialect, " ".join(line.split())
        elif line and not line.startswith("#"):
            query = line


def told(derived: Derived) -> str:
    columns = [f"{name}: {spelled(uses)}".strip() for name, uses in derived.columns.items()]
    rest = [] if derived.other is None else [f"*: {spelled(derived.other)}"]
    return f"{', '.join([*columns, *rest])}; rows: {spelled(derived.rows)}".strip()


@pytest.mark.parametrize(("query", "dialect", "expected"), list(corpus()))
def test_a_query_makes_its_columns_of_what_the_corpus_says(query: str, dialect: str, expected: str) -> None:
    assert told(read(query, dialect)) == expected


@pytest.mark.parametrize(("query", "dialect", "expected"), list(corpus()))
def test_what_is_remembered_of_a_query_is_what_was_told_of_it(query: str, dialect: str, expected: str) -> None:
    derived = read(query, dialect)
    assert remembered(json.loads(json.dumps(to_remember(derived)))) == derived


def test_all_columns_of_a_table_that_nobody_knows_are_told_to_be_unsure() -> None:
    assert read("select * from raw.z").unsure == "it takes all columns of raw.z, which are not known"
    assert read("select a from s.t").unsure is None


def test_what_is_no_query_is_told_to_be_made_of_all_it_reads() -> None:
    derived = read("describe s.t")
    assert derived.columns == {}
    assert derived.other is not None
    assert {column for _, column in derived.other.columns} == set(TABLES["s.t"])
    assert "not understood" in str(derived.unsure)


def test_the_words_of_a_column_are_its_expression_and_nothing_where_it_is_passed_on() -> None:
    derived = read("select a, b as c, a + b as d, 1 as e from s.t")
    assert derived.words == {"d": "a + b"}
