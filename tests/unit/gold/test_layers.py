"""The layer rules on models that break them and on models that keep them, in every dialect that gold is built on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlglot

from catchment.gold.layers import held
from catchment.gold.layers.lint import lint
from catchment.gold.layers.models import Layer, Layers, Model, Read, Relation
from catchment.gold.layers.rules import RULES
from catchment.recall import Recall

DIALECTS = ("duckdb", "snowflake", "trino", "athena", "spark")
CORPUS = Path(__file__).parent / "corpus"

_NAMED = re.compile(r"<(\w+)>")
_LAYER_OF: Mapping[str, Layer] = {"stg": "stg", "int": "std", "dim": "std", "fct": "cur"}
_WAYS = {"table", "view", "ephemeral", "incremental", "materialized_view", "dynamic_table", "streaming_table"}
_PARTITIONED = {"athena": "partitioned_by", "trino": "partitioned_by", "spark": "partition_by"}
THIS: Relation = ("shop", "own", "own_table")


@dataclass(frozen=True)
class Written:
    """A model of a corpus: under a heading, with options, as text in which <x> is what it reads."""

    heading: str
    options: tuple[str, ...]
    text: str
    line: int  # where it stands in the corpus

    @property
    def own_dialect(self) -> str | None:
        return next((option for option in self.options if option in DIALECTS), None)

    def runs_in(self, dialect: str) -> bool:
        """Trino's own constructs are Athena's too."""
        own = self.own_dialect
        if own is not None and own != dialect and (own, dialect) != ("trino", "athena"):
            return False
        return f"-{dialect}" not in self.options


@cache
def corpus(file: str) -> tuple[Written, ...]:
    found: list[Written] = []
    heading = ""
    lines = (CORPUS / file).read_text("utf-8").partition("\n== ")[2]
    before = (CORPUS / file).read_text("utf-8").partition("\n== ")[0].count("\n") + 2
    for number, line in enumerate(f"== {lines}".splitlines(), before):
        if line.startswith("== "):
            heading = line.removeprefix("== ").strip()
        elif line.startswith(" "):
            found[-1] = replace(found[-1], text=f"{found[-1].text}\n{line}")
        elif line:
            match = re.fullmatch(r"(?:\[([^\]]*)\] )?(.*)", line)
            assert match is not None
            options = tuple(option.strip() for option in (match.group(1) or "").split(",") if option.strip())
            found.append(Written(heading, options, match.group(2), number))
    return tuple(found)


def model_of(written: Written, dialect: str) -> tuple[Model, int | None]:
    """The model in a dialect, and the line that is to be named; None where the text was turned into the dialect."""
    layer = _layer(written)
    text = re.sub(r" !$", "", written.text, flags=re.MULTILINE)
    marked = next((n for n, line in enumerate(written.text.splitlines(), 1) if line.endswith(" !")), 1)
    whose = written.own_dialect or "duckdb"
    compiled = _NAMED.sub(lambda found: _quoted(_relation(found.group(1)), whose), text)
    raw = _NAMED.sub(lambda found: _jinja(found.group(1)), text)
    line: int | None = marked
    if written.own_dialect is None and dialect != "duckdb" and written.heading != "any-readable":
        compiled = sqlglot.transpile(compiled, read="duckdb", write=dialect, pretty=True)[0]
        raw, line = compiled, None
    way = next((option for option in written.options if option in _WAYS), "view" if layer == "stg" else "table")
    config: dict[str, Any] = {"materialized": way}
    if dialect in _PARTITIONED and "bare" not in written.options:
        config[_PARTITIONED[dialect]] = ["day"]
    names = dict.fromkeys(name for name in _NAMED.findall(text) if name != "this")
    return (
        Model(
            name="tried",
            layer=layer,
            file="gold/models/tried.sql",
            raw=raw,
            sql=compiled,
            dialect=dialect,
            materialized=way,
            reads=[_read(name) for name in names],
            relation=THIS,
            config=config,
        ),
        line,
    )


def _layer(written: Written) -> Layer | None:
    named = [written.heading.partition("-")[0], *written.options]
    return next((layer for layer in ("stg", "std", "cur") if layer in named), None)


def _kind(name: str) -> Literal["source", "model", "seed", "snapshot"]:
    prefix = name.partition("_")[0]
    if prefix in _LAYER_OF:
        return "model"
    return "seed" if prefix == "seed" else "snapshot" if prefix == "snap" else "source"


def _read(name: str) -> Read:
    kind = _kind(name)
    called = f"silver.{name}" if kind == "source" else name
    return Read(called, kind, _relation(name), _LAYER_OF.get(name.partition("_")[0]))


def _relation(name: str) -> Relation:
    if name == "this":
        return THIS
    kind = _kind(name)
    schema = {"source": "silver", "seed": "seeds", "snapshot": "snaps"}.get(kind) or name.partition("_")[0]
    return ("shop", schema, name)


def _quoted(relation: Relation, dialect: str) -> str:
    mark = "`" if dialect == "spark" else '"'
    return ".".join(f"{mark}{part}{mark}" for part in relation)


def _jinja(name: str) -> str:
    if name == "this":
        return "{{ this }}"
    return f"{{{{ source('silver', '{name}') }}}}" if _kind(name) == "source" else f"{{{{ ref('{name}') }}}}"


BROKEN, KEPT = corpus("layers_broken.txt"), corpus("layers_kept.txt")

# The same query as people dress it; what it is must be seen in each.
SHAPES = {
    "as it is": "{}",
    "in a CTE": "with inner_one as (\n{}\n)\nselect * from inner_one",
    "two CTEs deep": "with first_one as (\n{}\n),\nsecond_one as (select * from first_one)\nselect * from second_one",
    "in a query in from": "select * from (\n{}\n) as inner_one",
    "under a comment": "-- what this is: a join of sum(x) and case when\n/* group by */\n{}",
    "beside a CTE": "with beside as (select 1 as one), inner_one as (\n{}\n)\nselect * from inner_one",
}


def _shaped(written: Written, dialect: str) -> Iterator[tuple[str, Model]]:
    model = model_of(written, dialect)[0]
    for shape, text in SHAPES.items() if written.heading != "any-readable" else [("as it is", "{}")]:
        yield shape, replace(model, sql=text.format(model.sql), raw=text.format(model.raw))


def _beside() -> Model:
    """A model that lies in a layer, so that the others are held to theirs."""
    return Model("beside", "std", "gold/models/beside.sql", "select 1 as one", "select 1 as one", "duckdb", "table")


def _rules(model: Model) -> set[str]:
    return {finding.rule for finding in lint([model, _beside()])}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_broken_rule_is_found_and_no_other_however_the_query_is_dressed(dialect: str) -> None:
    tried: Counter[str] = Counter()
    for written in BROKEN:
        if written.runs_in(dialect):
            broken = {written.heading, *(option[1:] for option in written.options if option.startswith("+"))}
            for shape, model in _shaped(written, dialect):
                assert _rules(model) == broken, (written.line, shape)
                tried[written.heading] += 1
    no_partitions = {"cur-partitioned"} if dialect in ("duckdb", "snowflake") else set()
    rules = {rule for rule in RULES if not rule.startswith("allow")}
    assert {rule for rule in rules if tried[rule] < 60} == {"any-readable", *no_partitions}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_model_that_keeps_the_rules_raises_no_alarm_however_it_is_dressed(dialect: str) -> None:
    good = [written for written in KEPT if written.runs_in(dialect)]
    for written in good:
        for shape, model in _shaped(written, dialect):
            assert _rules(model) == set(), (written.line, shape)
    assert len(good) >= 60


@pytest.mark.parametrize("written", [w for w in BROKEN if "\n" in w.text], ids=lambda w: f"{w.heading}:{w.line}")
def test_the_line_that_is_named_is_the_one_where_it_stands(written: Written) -> None:
    model, line = model_of(written, written.own_dialect or "duckdb")
    assert [finding.line for finding in lint([model, _beside()]) if finding.rule == written.heading] == [line]


def test_every_rule_names_its_cure_and_no_model_is_named_twice_for_one_rule() -> None:
    for written in BROKEN:
        model, _ = model_of(written, written.own_dialect or "duckdb")
        found = lint([model, _beside()])
        assert len({finding.rule for finding in found}) == len(found)
        assert all(finding.cure == RULES[finding.rule].cure and finding.file == model.file for finding in found)


def _orders(text: str, **changes: Any) -> Model:
    """A stg model, from text in which <x> is what it reads."""
    model, _ = model_of(Written("stg", (), text, 1), "duckdb")
    return replace(model, **changes)


JOIN = "select a.id\nfrom <orders> as a\njoin <orders> as b on a.id = b.parent"


@pytest.mark.parametrize(
    "comment",
    [
        "-- catchment: allow stg-no-join because the feed has no parent",
        "--catchment:allow STG-NO-JOIN because the feed has no parent  ",
        "{# catchment: allow stg-no-join because the feed has no parent #}",
        "/* catchment: allow stg-no-join because the feed has no parent */",
    ],
)
def test_a_rule_is_allowed_with_a_reason(comment: str) -> None:
    model = _orders(JOIN)
    assert [finding.rule for finding in lint([model])] == ["stg-no-join"]
    assert lint([replace(model, raw=f"{comment}\n{model.raw}")]) == []
    assert lint([replace(model, raw=f"{model.raw}\n{comment}")]) == []


@pytest.mark.parametrize(
    ("comment", "rules", "cure"),
    [
        ("-- catchment: allow stg-no-join", ["allow-form", "stg-no-join"], "because"),
        ("-- catchment: allow stg-no-join because", ["allow-form", "stg-no-join"], "because"),
        ("-- catchment: allow stg-no-join because ", ["allow-form", "stg-no-join"], "because"),
        ("-- catchment: allow", ["allow-form", "stg-no-join"], "allow RULE because REASON"),
        ("-- catchment: ignore stg-no-join because", ["allow-form", "stg-no-join"], "allow RULE"),
        ("-- catchment: allow stg-no-joins because I must", ["allow-known", "stg-no-join"], "stg-no-join"),
        ("-- catchment: allow allow-used because I must", ["allow-known", "stg-no-join"], "layers.md"),
        ("-- catchment: allow stg-no-union because I must", ["allow-used", "stg-no-join"], "remove"),
    ],
)
def test_an_allow_that_says_no_reason_or_does_nothing_is_a_problem_itself(
    comment: str, rules: list[str], cure: str
) -> None:
    model = _orders(JOIN)
    found = lint([replace(model, raw=f"{model.raw}\n{comment}")])
    assert sorted(finding.rule for finding in found) == rules
    told = next(finding for finding in found if finding.rule.startswith("allow"))
    assert told.line == 4
    assert cure in told.cure


def test_an_allow_that_stands_twice_is_needed_once() -> None:
    model = _orders(JOIN)
    allow = "-- catchment: allow stg-no-join because the feed has no parent"
    found = lint([replace(model, raw=f"{allow}\n{model.raw}\n{allow}")])
    assert [(finding.rule, finding.line) for finding in found] == [("allow-used", 5)]


def test_where_no_model_lies_in_a_layer_no_layer_is_held() -> None:
    loose = [_orders(JOIN, layer=None), _orders("select sum(a) as a from <orders>", layer=None, name="b")]
    assert lint(loose) == []
    assert {finding.rule for finding in lint([*loose, _beside()])} == {"any-in-layer"}


def test_what_cannot_be_read_is_a_warning() -> None:
    found = lint([_orders("select id from <orders> where (")])
    assert [(finding.rule, finding.severity) for finding in found] == [("any-readable", "warning")]


@pytest.mark.parametrize(
    "text",
    [
        f"select {'(' * 3000}id{')' * 3000} as id from <orders>",
        f"select id from <orders> where {' or '.join(['id is null'] * 3000)}",
        f"select {' || '.join(['name'] * 3000)} as name from <orders>",
    ],
    ids=["parentheses", "or", "concatenation"],
)
def test_what_is_nested_too_deeply_is_at_most_a_warning(text: str) -> None:
    assert {finding.rule for finding in lint([_orders(text)])} <= {"any-readable"}


def test_an_unknown_dialect_is_read_as_nobodys_in_particular() -> None:
    assert [finding.rule for finding in lint([_orders(JOIN, dialect="teradata9")])] == ["stg-no-join"]


def test_a_python_model_is_held_to_what_it_reads() -> None:
    read = Read("silver.orders", "source", ("shop", "silver", "orders"))
    raw = "def model(dbt, session):\n    return dbt.source('silver', 'orders')\n"
    model = Model("score", "cur", "gold/models/cur/score.py", raw, None, "duckdb", "table", [read])
    assert [(finding.rule, finding.line) for finding in lint([model])] == [("cur-no-source", 2)]
    allowed = replace(model, raw=f"# catchment: allow cur-no-source because it needs them raw\n{raw}")
    assert lint([allowed]) == []


def test_the_ephemeral_model_that_dbt_puts_into_another_is_not_the_others_fault() -> None:
    sql = (
        'with __dbt__cte__sums as (\nselect sum(a) as a from "shop"."silver"."orders"\n), x as (\n'
        "    select a from __dbt__cte__sums\n)\nselect a from x"
    )
    raw = "with x as (\n    select a from {{ ref('sums') }}\n)\nselect a from x"
    model = Model("kept", "std", "m.sql", raw, sql, "duckdb", "table", [Read("sums", "model", ("shop", "cur", "sums"))])
    assert lint([model]) == []


@pytest.mark.parametrize("place", ["read_parquet('s3://shop/orders/*.parquet')", "'s3://shop/orders.parquet'"])
def test_a_source_that_is_itself_a_file_is_read_through_source(place: str) -> None:
    model = _orders("select id from <orders>")
    assert lint([replace(model, sql=f"select id from {place}")]) == []
    by_hand = replace(model, raw=f"select id from {place}", sql=f"select id from {place}")
    assert [finding.rule for finding in lint([by_hand])] == ["any-no-hard-coded-table"]


def test_lines_are_found_where_jinja_moved_them() -> None:
    raw = """{{ config(
    materialized='view',
    tags=['daily'],
) }}

{# what follows is written by a loop #}
select
    id,
    {% for name in ['a', 'b', 'c'] %}
    trim({{ name }}) as {{ name }},
    {% endfor %}
    {{ utc('day') }} as day,
    price
    * quantity as amount
from {{ source('silver', 'orders') }}
where
    status = 'paid'
"""
    sql = """

select
    id,

    trim(a) as a,

    trim(b) as b,

    trim(c) as c,

    cast(day at time zone 'UTC' as timestamp) as day,
    price
    * quantity as amount
from "shop"."silver"."orders"
where
    status = 'paid'"""
    found = lint([_orders("select id from <orders>", raw=raw, sql=sql)])
    assert [(finding.rule, finding.line) for finding in found] == [("stg-no-logic", 13), ("stg-no-filter", 16)]


def test_what_a_macro_brings_is_named_at_its_call() -> None:
    raw = "select\n    id,\n    {{ size('amount') }} as size\nfrom {{ source('silver', 'orders') }}"
    sql = (
        "select\n    id,\n    \n  case\n    when amount > 100 then 'big'\n    else 'small'\n  end\n as size\n"
        'from "shop"."silver"."orders"'
    )
    found = lint([_orders("select id from <orders>", raw=raw, sql=sql)])
    assert [(finding.rule, finding.line) for finding in found] == [("stg-no-logic", 3)]


@pytest.mark.parametrize(
    ("folders", "layer"),
    [
        (("staging",), "stg"),
        (("staging", "shop"), "stg"),
        (("finance", "staging"), "stg"),
        (("marts", "finance", "intermediate"), "std"),
        (("marts", "finance"), "cur"),
        (("reports", "weekly"), "cur"),
        (("reports",), None),
        (("staging_old",), None),
        ((), None),
    ],
)
def test_layers_are_folders_at_any_depth_the_deepest_wins(folders: tuple[str, ...], layer: str | None) -> None:
    layers = Layers({"stg": ["staging"], "std": ["intermediate/"], "cur": ["marts", "reports/weekly"]})
    assert layers.of(folders) == layer


GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "layers.md"
_EXAMPLE = re.compile(r"^### (\S+)\n\n(.*?)\n\n```sql broken\n(.*?)```\n\n```sql kept\n(.*?)```\n", re.M | re.S)
EXAMPLES = _EXAMPLE.findall(GUIDE.read_text("utf-8"))


def _example(text: str, dialect: str) -> Model:
    """A model of the guide; its first line says where it lies."""
    read = re.sub(r"\{\{ (?:ref|source)\((?:'silver', )?'(\w+)'\) \}\}", r"<\1>", text)
    layer = Layers().of(text.splitlines()[0].split("/")[1:-1])
    config = re.search(r"materialized='(\w+)'(, partition_by)?", text)
    found = _orders(re.sub(r"\{\{.*?\}\}", "", read))
    return replace(
        found,
        raw=text,
        layer=layer,
        dialect=dialect,
        sql=str(found.sql).replace('"', "`") if dialect == "spark" else found.sql,
        materialized=config.group(1) if config else ("view" if layer == "stg" else "table"),
        config={"partition_by": ["day"]} if dialect != "spark" or (config and config.group(2)) else {},
    )


def test_the_guide_has_an_example_of_every_rule() -> None:
    assert [name for name, *_ in EXAMPLES] == list(RULES)
    assert all(
        words.startswith(f"{RULES[name].says[0].upper()}{RULES[name].says[1:]}.") for name, words, *_ in EXAMPLES
    )


@pytest.mark.parametrize(("name", "_words", "broken", "kept"), EXAMPLES, ids=[name for name, *_ in EXAMPLES])
def test_an_example_of_the_guide_is_what_it_is_said_to_be(name: str, _words: str, broken: str, kept: str) -> None:
    dialect = "spark" if name == "cur-partitioned" else "duckdb"
    assert name in _rules(_example(broken, dialect))
    assert _rules(_example(kept, dialect)) == set()


def test_what_was_found_is_recalled_until_the_model_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read: list[str] = []
    before = held.broken

    def broken(model: Model) -> list[held.Broken]:
        read.append(model.name)
        return before(model)

    monkeypatch.setattr(held, "broken", broken)
    place = tmp_path / "state" / "layers.json"

    def found(model: Model) -> list[str]:
        read.clear()
        recall = Recall(place)
        told = [finding.message for finding in lint([model, _beside()], recall)]
        recall.save(())
        return told

    model = _orders(JOIN)
    first = found(model)
    assert (len(first), len(read)) == (1, 2)
    assert (found(model), read) == (first, [])
    assert found(replace(model, sql=f"{model.sql} where true")) == first
    assert read == [model.name]
