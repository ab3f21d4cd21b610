"""Expressions that every SQL engine computes alike, read from DuckDB's SQL and typed.

Columns, literals, comparisons, AND, OR, NOT, IN, BETWEEN, IS NULL, CASE, COALESCE, and `+`, `-`, `*` that stay exact or
follow IEEE 754. What is left out is not rare, it is different: a pattern, a division, a cast, a function of another
engine gives another figure in silence. Who renders these for an engine finds every conversion written out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal

from catchment.naming import did_you_mean

if TYPE_CHECKING:
    from sqlglot import exp

Kind = Literal["boolean", "integer", "number", "decimal", "string", "date", "timestamp", "null"]
Operator = Literal["=", "<>", "<", "<=", ">", ">="]

# As many digits as a decimal has.
_DIGITS = 38
_LONG = 2**63
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?)?(Z|\+00(:?00)?)?")


class NotPlain(ValueError):
    """What of an expression is none of these, in words."""


@dataclass(frozen=True)
class Type:
    """A decimal has at most `precision` digits, `scale` of them behind the point."""

    kind: Kind
    precision: int = 0
    scale: int = 0


@dataclass(frozen=True)
class Column:
    name: str
    type: Type


@dataclass(frozen=True)
class Value:
    """A literal: digits, a text, `true` or `false`, a day, an instant in UTC to the microsecond; None is NULL."""

    text: str | None
    type: Type


@dataclass(frozen=True)
class As:
    """A whole number as a decimal or a floating point number, a decimal with more digits behind the point."""

    of: Plain
    type: Type


@dataclass(frozen=True)
class Compare:
    """Both sides are of one type. Of floating point numbers NaN equals itself and is greater than every other."""

    operator: Operator
    one: Plain
    other: Plain
    type: Type = Type("boolean")


@dataclass(frozen=True)
class Logic:
    """Of three values: true, false and unknown (NULL)."""

    operator: Literal["AND", "OR"]
    parts: tuple[Plain, ...]
    type: Type = Type("boolean")


@dataclass(frozen=True)
class Not:
    of: Plain
    type: Type = Type("boolean")


@dataclass(frozen=True)
class IsNull:
    of: Plain
    type: Type = Type("boolean")


@dataclass(frozen=True)
class Case:
    """The value of the first condition that is true, else `otherwise`; all of one type, or NULL."""

    whens: tuple[tuple[Plain, Plain], ...]
    otherwise: Plain
    type: Type


@dataclass(frozen=True)
class Arithmetic:
    """Whole numbers of 64 bits, where more is an error; decimals; or floating point numbers."""

    operator: Literal["+", "-", "*"]
    one: Plain
    other: Plain
    type: Type


Plain = Column | Value | As | Compare | Logic | Not | IsNull | Case | Arithmetic

_NULL = Value(None, Type("null"))


def plain(sql: str, types: Mapping[str, Type]) -> Plain:
    """An expression over columns of these types, by name. Raises NotPlain."""
    import sqlglot

    try:
        return _read(sqlglot.parse_one(sql, read="duckdb"), types)
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        message = "it cannot be read"
        raise NotPlain(message) from error


def columns(tree: Plain) -> set[str]:
    """The columns that an expression reads."""
    if isinstance(tree, Column):
        return {tree.name}
    if isinstance(tree, Case):
        inside = [*(one for pair in tree.whens for one in pair), tree.otherwise]
    elif isinstance(tree, Compare | Arithmetic):
        inside = [tree.one, tree.other]
    else:
        inside = [*tree.parts] if isinstance(tree, Logic) else [] if isinstance(tree, Value) else [tree.of]
    return set().union(*map(columns, inside))


def _read(tree: exp.Expr, types: Mapping[str, Type]) -> Plain:
    from sqlglot import exp

    if isinstance(tree, exp.Paren):
        return _read(tree.this, types)
    if isinstance(tree, exp.Column):
        return _column(tree, types)
    if isinstance(tree, exp.Literal | exp.Boolean | exp.Null | exp.Neg):
        return _value(tree)
    if isinstance(tree, exp.Cast):
        return _cast(tree, types)
    if isinstance(tree, exp.And | exp.Or):
        parts = tuple(_condition(side, types) for side in (tree.this, tree.expression))
        return Logic("AND" if isinstance(tree, exp.And) else "OR", parts)
    if isinstance(tree, exp.Not):
        return Not(_condition(tree.this, types))
    if isinstance(tree, exp.Is) and isinstance(tree.expression, exp.Null):
        return IsNull(_read(tree.this, types))
    return _compound(tree, types)


def _compound(tree: exp.Expr, types: Mapping[str, Type]) -> Plain:
    from sqlglot import exp

    compared: dict[type[exp.Expr], Operator] = {
        exp.EQ: "=",
        exp.NEQ: "<>",
        exp.LT: "<",
        exp.LTE: "<=",
        exp.GT: ">",
        exp.GTE: ">=",
    }
    if type(tree) in compared:
        return _compare(compared[type(tree)], _read(tree.this, types), _read(tree.expression, types))
    if isinstance(tree, exp.Between) and not tree.args.get("symmetric"):
        of, low, high = (_read(tree.args[name], types) for name in ("this", "low", "high"))
        return Logic("AND", (_compare(">=", of, low), _compare("<=", of, high)))
    if isinstance(tree, exp.In) and tree.expressions and not tree.args.get("query"):
        of = _read(tree.this, types)
        return Logic("OR", tuple(_compare("=", of, _read(one, types)) for one in tree.expressions))
    if isinstance(tree, exp.Case) and tree.this is None:
        otherwise = tree.args.get("default")
        whens = [(_condition(one.this, types), _read(one.args["true"], types)) for one in tree.args["ifs"]]
        return _chosen(whens, _NULL if otherwise is None else _read(otherwise, types))
    if isinstance(tree, exp.Coalesce):
        parts = [_read(one, types) for one in (tree.this, *tree.expressions)]
        return _chosen([(Not(IsNull(one)), one) for one in parts[:-1]], parts[-1])
    calculated: dict[type[exp.Expr], Literal["+", "-", "*"]] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*"}
    if type(tree) in calculated:
        return _arithmetic(calculated[type(tree)], _read(tree.this, types), _read(tree.expression, types))
    message = f"`{tree.sql(dialect='duckdb')[:60]}` is not computed alike everywhere"
    raise NotPlain(message)


def _column(tree: exp.Column, types: Mapping[str, Type]) -> Column:
    spelled = {name.lower(): name for name in types}
    name = spelled.get(tree.name.lower())
    if name is None or tree.table:
        cure = did_you_mean(tree.name, types)
        message = f"`{tree.name}` is no column with a plain type" + (f"; {cure}" if cure else "")
        raise NotPlain(message)
    return Column(name, types[name])


def _value(tree: exp.Expr) -> Value:
    from sqlglot import exp

    if isinstance(tree, exp.Null):
        return _NULL
    if isinstance(tree, exp.Boolean):
        return Value("true" if tree.this else "false", Type("boolean"))
    sign, literal = ("-", tree.this) if isinstance(tree, exp.Neg) else ("", tree)
    if not isinstance(literal, exp.Literal) or (sign and literal.is_string):
        message = f"`{tree.sql(dialect='duckdb')[:60]}` is not computed alike everywhere"
        raise NotPlain(message)
    text = f"{sign}{literal.this}"
    if literal.is_string:
        return Value(text, Type("string"))
    if re.fullmatch(r"-?\d+", text):
        if not -_LONG <= int(text) < _LONG:
            message = f"{text} has more than 64 bits"
            raise NotPlain(message)
        return Value(text, Type("integer"))
    if re.fullmatch(r"-?\d*\.\d*", text) and sum(map(str.isdigit, text)) <= _DIGITS:
        whole, _, behind = text.lstrip("-").partition(".")
        return Value(
            f"{sign}{whole or '0'}.{behind or '0'}",
            Type("decimal", len(whole) + len(behind or "0"), len(behind or "0")),
        )
    return Value(repr(float(text)), Type("number"))


def _cast(tree: exp.Cast, types: Mapping[str, Type]) -> Plain:
    """One to the type that it has already, and a literal day or instant."""
    from sqlglot import exp

    to, inside = tree.to.this, _read(tree.this, types)
    if to == exp.DType.BOOLEAN and inside.type.kind == "boolean":
        return inside
    if to == exp.DType.DATE and isinstance(inside, Value) and inside.type.kind == "string":
        return _told(inside, Type("date"))
    if to == exp.DType.TIMESTAMPTZ and isinstance(inside, Value) and inside.type.kind == "string":
        return _told(inside, Type("timestamp"))
    message = f"`{tree.sql(dialect='duckdb')[:60]}`: casts are not computed alike everywhere"
    raise NotPlain(message)


def _condition(tree: exp.Expr, types: Mapping[str, Type]) -> Plain:
    found = _read(tree, types)
    if found.type.kind == "null":
        return Value(None, Type("boolean"))
    if found.type.kind != "boolean":
        message = f"`{tree.sql(dialect='duckdb')[:60]}` is {found.type.kind} and no condition"
        raise NotPlain(message)
    return found


def _compare(operator: Operator, one: Plain, other: Plain) -> Plain:
    if "null" in (one.type.kind, other.type.kind):
        return Value(None, Type("boolean"))
    return Compare(operator, *_alike(one, other))


def _chosen(whens: Sequence[tuple[Plain, Plain]], otherwise: Plain) -> Plain:
    values = [*(value for _, value in whens), otherwise]
    known = [value for value in values if value.type.kind != "null"]
    if not known:
        message = "it is always NULL"
        raise NotPlain(message)
    most = known[0]
    for value in known[1:]:
        most = _alike(most, value)[0]
    fitting = [Value(None, most.type) if value.type.kind == "null" else _alike(value, most)[0] for value in values]
    conditions = [condition for condition, _ in whens]
    return Case(tuple(zip(conditions, fitting[:-1], strict=True)), fitting[-1], most.type)


def _arithmetic(operator: Literal["+", "-", "*"], one: Plain, other: Plain) -> Plain:
    kinds = {one.type.kind, other.type.kind}
    if not kinds <= {"integer", "decimal", "number"}:
        message = f"{operator} of {one.type.kind} and {other.type.kind} is not computed alike everywhere"
        raise NotPlain(message)
    if "number" in kinds or kinds == {"integer"}:
        a, b = _alike(one, other)
        return Arithmetic(operator, a, b, a.type)
    a, b = _decimal(one), _decimal(other)
    if operator == "*":
        made = Type("decimal", a.type.precision + b.type.precision, a.type.scale + b.type.scale)
    else:
        a, b = _alike(a, b)
        made = Type("decimal", max(a.type.precision, b.type.precision) + 1, a.type.scale)
    if made.precision > _DIGITS:
        message = f"{operator} of such decimals may have more than {_DIGITS} digits"
        raise NotPlain(message)
    return Arithmetic(operator, a, b, made)


def _alike(one: Plain, other: Plain) -> tuple[Plain, Plain]:
    """Both as the type in which DuckDB compares them."""
    a, b = one.type.kind, other.type.kind
    for left, right, flipped in ((one, other, False), (other, one, True)):
        if left.type.kind in ("date", "timestamp") and isinstance(right, Value) and right.type.kind == "string":
            told = _told(right, left.type)
            return (told, left) if flipped else (left, told)
    if {a, b} == {"integer", "decimal"} or (a == b == "decimal" and one.type.scale != other.type.scale):
        c, d = _decimal(one), _decimal(other)
        scale = max(c.type.scale, d.type.scale)
        return _scaled(c, scale), _scaled(d, scale)
    if "number" in (a, b) and a != b:
        return _floating(one), _floating(other)
    if a != b:
        message = f"{a} and {b} are not compared alike everywhere"
        raise NotPlain(message)
    return one, other


def _decimal(of: Plain) -> Plain:
    return of if of.type.kind == "decimal" else As(of, Type("decimal", 19, 0))


def _scaled(of: Plain, scale: int) -> Plain:
    if of.type.scale == scale:
        return of
    precision = of.type.precision + scale - of.type.scale
    if precision > _DIGITS:
        message = f"such decimals may have more than {_DIGITS} digits side by side"
        raise NotPlain(message)
    return As(of, Type("decimal", precision, scale))


def _floating(of: Plain) -> Plain:
    number = Type("number")
    if of.type.kind == "number":
        return of
    if isinstance(of, Value) and of.text is not None and of.type.kind in ("integer", "decimal"):
        return Value(repr(float(of.text)), number)
    if of.type.kind == "integer":
        return As(of, number)
    message = f"{of.type.kind} and number are not compared alike everywhere"
    raise NotPlain(message)


def _told(value: Value, kind: Type) -> Value:
    """A text that says a day or an instant, in UTC where it says no more."""
    text = (value.text or "").strip()
    if _INSTANT.fullmatch(text) is None:
        message = f"`{text[:40]}` is no {kind.kind} such as 2026-11-01" + (" 10:00:00" if kind.kind != "date" else "")
        raise NotPlain(message)
    try:
        if kind.kind == "date":
            return Value(date.fromisoformat(text).isoformat(), kind)
        plain_text = re.sub(r"(Z|\+00(:?00)?)$", "", text)
        return Value(datetime.fromisoformat(plain_text).isoformat(" ", "microseconds"), kind)
    except ValueError as error:
        message = f"`{text[:40]}` is no {kind.kind}"
        raise NotPlain(message) from error
