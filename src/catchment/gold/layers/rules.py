"""Every layer rule: its name, what it says and how a model comes to keep it. The guide is held against this list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """`name` begins with the layer that it is about, or with `any`. Those that begin with `allow` cannot be allowed."""

    name: str
    says: str
    cure: str


_ALL = (
    Rule(
        "stg-one-source",
        "a stg model reads exactly one source, seed or snapshot",
        "read one source() here; put models together in std",
    ),
    Rule("stg-is-view", "a stg model is a view", "set materialized: view"),
    Rule("stg-no-join", "a stg model joins nothing", "join in std"),
    Rule("stg-no-union", "a stg model puts no tables under one another", "a stg model for each, and the union in std"),
    Rule(
        "stg-no-aggregate",
        "a stg model has its source's rows: no aggregate, no group by, no distinct",
        "aggregate in cur",
    ),
    Rule(
        "stg-no-window",
        "a stg model looks at one row at a time",
        "declare keys and mode in silver, or use the window in std",
    ),
    Rule(
        "stg-no-logic",
        "a stg model renames, casts and handles nulls; it decides and derives nothing",
        "derive it in std",
    ),
    Rule(
        "stg-no-filter",
        "a stg model leaves out only rows without a value and rows that a flag marks",
        "filter in std, or reject the rows in silver by a rule of the contract",
    ),
    Rule("std-no-source", "a std model reads models, no source", "read the source in a stg model, and ref() that"),
    Rule("std-no-aggregate", "a std model joins and derives: no aggregate, no group by", "aggregate in cur"),
    Rule(
        "std-no-metric",
        "a std model's windows number, rank and look at neighbours; they add nothing up",
        "compute the metric in cur",
    ),
    Rule("cur-no-source", "a cur model reads models, no source", "read the source in a stg model, and ref() that"),
    Rule(
        "cur-named-columns",
        "a cur model names the columns that it gives",
        "write the columns instead of the star, or a CTE that names them before it",
    ),
    Rule(
        "cur-partitioned",
        "a cur table is partitioned where the warehouse has partitions",
        "set partitioned_by (Athena, Trino) or partition_by (Spark) in the model's config",
    ),
    Rule("any-in-layer", "a model lies in a layer", "move it, or name its folder under gold.layers in catchment.yaml"),
    Rule("any-no-upward-ref", "a model reads its own layer and those below it", "move what both need down a layer"),
    Rule(
        "any-no-hard-coded-table",
        "a model reads tables through ref() and source()",
        "write {{ ref('…') }}, or {{ source('…', '…') }} in stg",
    ),
    Rule("any-readable", "the rules can read a model's SQL", "the other rules are not held here; look yourself"),
    Rule(
        "allow-form",
        "an allow names a rule and gives a reason",
        "write -- catchment: allow RULE because REASON",
    ),
    Rule("allow-known", "an allow names a rule that there is", "see docs/guides/layers.md"),
    Rule("allow-used", "an allow allows something", "remove it"),
)

RULES = {rule.name: rule for rule in _ALL}
