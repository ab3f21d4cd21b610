"""ClickHouse's SQL for live figures: tables of rows, metrics as views, and expressions over the messages of a topic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.metric import DELETED, EXPIRES, VERSION, WINDOW, LiveFeed, Measure, Metric, laid_out, listing
from catchment.naming import literal
from catchment.plain import Arithmetic, As, Case, Column, Compare, IsNull, Logic, Not, Plain, Type, Value

if TYPE_CHECKING:
    import pyarrow as pa

# Unsigned and in the order of `VERSION`: 64 bits from the sign on, 64, 48 and 16; a row of none (-1) comes first.
_ORDERED = (
    "bitShiftLeft(toUInt256(_latest) + toUInt256('9223372036854775808'), 128) + bitShiftLeft(toUInt256(_load), 64)"
    " + bitShiftLeft(toUInt256(_row + 1), 16) + toUInt256(_rank)"
)


def quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def created(table: str, feed: LiveFeed, schema: pa.Schema) -> str:
    columns = [f"{quoted(field.name)} {_type(field.type, field.name not in _always(feed))}" for field in schema]
    keyed = ", ".join(map(quoted, feed.key))
    # A row that expires leaves with its part; which rows count is told by `FINAL`.
    columns.append(f"`_version` UInt256 MATERIALIZED {_ORDERED}")
    return (
        f"CREATE TABLE {table} ({listing(columns)}\n)"
        f"\nENGINE = ReplacingMergeTree(`_version`, `{DELETED}`)\nORDER BY ({keyed})\nTTL `{EXPIRES}`"
        f"\nSETTINGS allow_nullable_key = 1\nCOMMENT {literal(f'rows of silver.{feed.name} ({feed.fingerprint})')}"
    )


def _always(feed: LiveFeed) -> frozenset[str]:
    """Columns that are never null. A key may be, where a function makes it."""
    return frozenset({*VERSION, DELETED, EXPIRES, "_stream", "_shard"})


def _type(kind: pa.DataType, nullable: bool) -> str:
    """ClickHouse's type for an Arrow type. Raises ConfigError."""
    import pyarrow as pa

    simple = {
        pa.bool_(): "Bool",
        pa.int8(): "Int8",
        pa.int16(): "Int16",
        pa.int32(): "Int32",
        pa.int64(): "Int64",
        pa.uint8(): "UInt8",
        pa.float32(): "Float32",
        pa.float64(): "Float64",
        pa.date32(): "Date32",
        pa.string(): "String",
        pa.large_string(): "String",
    }
    if kind in simple:
        named = simple[kind]
    elif pa.types.is_decimal(kind):
        named = f"Decimal({kind.precision}, {kind.scale})"
    elif pa.types.is_timestamp(kind):
        # What expires is told in seconds: no other type of an instant can tell it on every server.
        named = "DateTime('UTC')" if kind.unit == "s" else "DateTime64(6, 'UTC')"
    else:
        message = f"a live figure is over values of type {kind}, which ClickHouse does not take from us"
        raise ConfigError(message, hint="cast it in the metric, to varchar for example")
    return f"Nullable({named})" if nullable else named


def figures(metric: Metric, rows: str) -> str:
    """The figures of a metric over `rows` as ClickHouse's SQL; see `metric.figures`."""
    chosen = [] if metric.where is None else [_column(metric.where)]
    grouped = [_column(name) for name in metric.by]
    shown = [f"{_column(name)} AS {quoted(name)}" for name in metric.by]
    at = "" if metric.time is None else _column(metric.time)
    if metric.every_s is not None:
        chosen.append(f"{at} IS NOT NULL")
        # toStartOfInterval gives a DateTime, which ends in 2106 and begins in 1970.
        at = f"toUnixTimestamp64Micro(assumeNotNull({at}))"
        at = f"fromUnixTimestamp64Micro({at} - positiveModulo({at}, {metric.every_s * 1_000_000}), 'UTC')"
        grouped.insert(0, at)
        shown.insert(0, f"{at} AS {quoted(WINDOW)}")
    if metric.keep_s is not None:
        chosen.append(f"{at} >= now() - INTERVAL {metric.keep_s} SECOND")
    shown += [f"{_figure(measure)} AS {quoted(measure.name)}" for measure in metric.measures]
    return laid_out(shown, f"{rows} AS r", chosen, grouped)


def _column(name: str) -> str:
    """A column of the rows: without its table ClickHouse takes a figure of the same name for it."""
    return f"r.{quoted(name)}"


def _figure(measure: Measure) -> str:
    # Of nothing at all there is no sum and no average: only over what may be null does ClickHouse say so.
    of = [f"toNullable({_column(name)})" for name in measure.columns]
    if measure.kind == "count":
        return f"count({', '.join(of)})"
    if measure.kind == "count distinct":
        return f"uniqExact({of[0]})"
    if measure.kind == "quantile":
        return f"quantileExactInclusive({measure.number!r})(toFloat64({of[0]}))"
    if measure.kind == "top":
        plain = f"assumeNotNull({of[0]})"
        counts = quoted(f"{measure.name}__counts")
        counted = f"(sumMapIf([{plain}], [toUInt64(1)], {of[0]} IS NOT NULL) AS {counts})"
        paired = f"arraySort(t -> (-toInt64(t.2), t.1), arrayZip({counted}.1, {counts}.2))"
        return f"arrayMap(t -> t.1, arraySlice({paired}, 1, {measure.number:.0f}))"
    if measure.kind == "share":
        counted = "count()" if len(of) == 1 else f"countIf({of[1]})"
        return f"countIf({' AND '.join(of)}) / nullIf({counted}, 0)"
    return f"{measure.kind}({of[0]})"


def text(value: str) -> str:
    """A text as a literal: a backslash would begin an escape."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def typed(name: str, kind: Type) -> str:
    """A column that a message tells as text, NULL where it tells nothing. What cannot be read stops who takes it in."""
    if kind.kind == "string":
        return name
    if kind.kind == "boolean":
        return f"{name} = 'true'"
    if kind.kind == "integer":
        return f"toInt64({name})"
    if kind.kind == "number":
        return f"toFloat64({name})"
    if kind.kind == "decimal":
        return f"toDecimal128({name}, {kind.scale})"
    if kind.kind == "date":
        return f"toDate32({name})"
    # It reads what lies under a NULL as well.
    return f"if(isNull({name}), NULL, parseDateTime64BestEffort(ifNull({name}, '1970-01-01'), 6, 'UTC'))"


def expression(tree: Plain) -> str:
    """A plain expression over typed columns, with the same value for every row as DuckDB gives it."""
    if isinstance(tree, Column):
        return quoted(tree.name)
    if isinstance(tree, Value):
        return _value(tree)
    if isinstance(tree, As):
        of = expression(tree.of)
        return f"toFloat64({of})" if tree.type.kind == "number" else f"toDecimal256({of}, {tree.type.scale})"
    if isinstance(tree, Compare):
        return _compared(tree)
    if isinstance(tree, Logic):
        return f"({f' {tree.operator} '.join(map(expression, tree.parts))})"
    if isinstance(tree, Not | IsNull):
        return f"{'NOT ' if isinstance(tree, Not) else 'isNull'}({expression(tree.of)})"
    if isinstance(tree, Case):
        whens = " ".join(f"WHEN {expression(when)} THEN {expression(then)}" for when, then in tree.whens)
        return f"CASE {whens} ELSE {expression(tree.otherwise)} END"
    return _calculated(tree)


def _value(tree: Value) -> str:
    if tree.text is None:
        return "NULL"
    if tree.type.kind == "string":
        return text(tree.text)
    if tree.type.kind == "integer":
        return f"toInt64({tree.text})"
    if tree.type.kind == "decimal":
        return f"toDecimal256('{tree.text}', {tree.type.scale})"
    if tree.type.kind == "date":
        return f"toDate32('{tree.text}')"
    if tree.type.kind == "timestamp":
        return f"toDateTime64('{tree.text}', 6, 'UTC')"
    return tree.text if tree.type.kind == "boolean" else f"toFloat64({tree.text})"


def _compared(tree: Compare) -> str:
    one, other = expression(tree.one), expression(tree.other)
    plain = f"{one} {tree.operator} {other}"
    if tree.one.type.kind != "number":
        return f"({plain})"
    # NaN is equal to itself and greater than all others; here it is neither.
    a, b = f"isNaN({one})", f"isNaN({other})"
    if isinstance(tree.other, Value):
        return f"({plain} OR {a})" if tree.operator in (">", ">=") else f"({plain})"
    special = {
        "=": f"{plain} OR ({a} AND {b})",
        "<>": f"{plain} AND NOT ({a} AND {b})",
        ">": f"{plain} OR ({a} AND NOT {b})",
        "<": f"{plain} OR ({b} AND NOT {a})",
        ">=": f"{plain} OR ({a} AND isNotNull({other}))",
        "<=": f"{plain} OR ({b} AND isNotNull({one}))",
    }
    return f"({special[tree.operator]})"


def _calculated(tree: Arithmetic) -> str:
    one, other = expression(tree.one), expression(tree.other)
    if tree.type.kind == "integer":
        # 64 bits would begin anew at the least where they are full.
        return f"accurateCast(toInt256({one}) {tree.operator} toInt256({other}), 'Nullable(Int64)')"
    if tree.type.kind == "number":
        return f"({one} {tree.operator} {other})"
    sides = [f"toDecimal256({side}, {of.type.scale})" for side, of in ((one, tree.one), (other, tree.other))]
    return f"({sides[0]} {tree.operator} {sides[1]})"
