"""SQL conditions of a contract: one row, its own columns, the same answer every time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catchment.naming import did_you_mean
from catchment.reading.documents import shorten

if TYPE_CHECKING:
    from sqlglot import exp


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What changes by itself or looks outside; sqlglot knows some of these as types of their own, the rest by name.
_UNSTEADY = _words(
    "now today random rand uuid gen_random_uuid uuidv4 uuidv7 get_current_timestamp get_current_time"
    " current_localtimestamp current_localtime transaction_timestamp current_date current_time current_timestamp"
    " localtime localtimestamp setseed nextval currval getenv getvariable current_setting current_user current_query"
    " current_database current_schema read_text read_blob txid_current version pg_sleep sleep_ms error"
)
_AGGREGATES = _words("list first last histogram mad product bit_and bit_or bit_xor any_value arbitrary")


def fault(condition: str, columns: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with a condition over `columns`, and the cure; None where it can be used."""
    import sqlglot
    from sqlglot import exp

    try:
        trees = sqlglot.parse(condition, dialect="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError, ValueError) as error:
        return f"condition cannot be read: {_cause(error)}", "write an SQL condition such as total >= 0"
    if len(trees) != 1 or trees[0] is None:
        return "condition is not one expression", "write one SQL condition such as total >= 0"
    tree = trees[0]
    if not isinstance(tree, exp.Condition | exp.Paren) or isinstance(tree, exp.Query | exp.PropertyEQ):
        return "condition is a statement", "write only what follows `where`, such as total >= 0"
    return _forbidden(tree) or _unknown_column(tree, columns)


def _cause(error: Exception) -> str:
    errors = getattr(error, "errors", None)
    if errors:
        near = errors[0].get("highlight")
        return f"near `{shorten(near, 30)}`" if near else "it ends too early"
    return "it is not SQL"


def _forbidden(tree: exp.Expr) -> tuple[str, str] | None:
    from sqlglot import exp

    once = "a condition sees one row; compare whole loads with a quality metric, or aggregate in gold"
    for node in tree.walk():
        if isinstance(node, exp.Query | exp.Subquery | exp.Exists):
            return "condition holds a subquery", "a condition sees one row; join look-ups in a refine function"
        if isinstance(node, exp.Window):
            return "condition holds a window function", once
        name = _function_name(node)
        if isinstance(node, exp.AggFunc) or name in _AGGREGATES:
            return f"condition holds an aggregate (`{name}`)", once
        if name in _UNSTEADY or isinstance(node, exp.Rand | exp.Uuid):
            return (
                f"condition uses `{name}()`, which changes by itself",
                "compare columns with each other or with constants",
            )
        if isinstance(node, exp.Placeholder | exp.Parameter | exp.Star):
            return (
                f"condition holds `{shorten(node.sql(dialect='duckdb'), 20)}`",
                "name the columns; there are no parameters",
            )
    return None


def _function_name(node: exp.Expr) -> str:
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return str(node.name).lower()
    if isinstance(node, exp.Func):
        return str(node.sql_name()).lower()
    return ""


def _unknown_column(tree: exp.Expr, columns: Sequence[str]) -> tuple[str, str] | None:
    from sqlglot import exp

    known = {name.lower() for name in columns}
    own = {str(name.name).lower() for found in tree.find_all(exp.Lambda) for name in found.expressions}
    for column in tree.find_all(exp.Column):
        if column.table:
            return f"condition names `{column.sql(dialect='duckdb')}`", "write the column's name alone"
        if column.name.lower() not in known | own:
            quoted = isinstance(column.this, exp.Identifier) and column.this.quoted
            cure = did_you_mean(column.name, columns)
            if cure is None:
                cure = (
                    f"text goes into single quotes: '{column.name}'"
                    if quoted
                    else f"columns are {shorten(', '.join(columns), 200)}"
                )
            return f"condition names `{column.name}`, which is no column of this contract", cure
    return None
