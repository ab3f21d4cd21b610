"""Whether an expression of a stg model renames, casts and handles nulls, or decides and derives.

What is a cast, and what a decision:

- a test for null, for '' or for a yes/no mark ('Y', 'true', 1, …) reads a value; a test for any other reads a meaning
- arithmetic with a constant changes a unit; with a second column it derives
- coalescing and putting keys together from several columns are neither
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

MARKS = frozenset({"", "y", "n", "yes", "no", "t", "f", "true", "false", "1", "0", "x", "on", "off"})

_ARITHMETIC = (exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Pow)
_DISTANCES = (exp.DateDiff, exp.TimestampDiff, exp.DatetimeDiff, exp.TimeDiff, exp.MonthsBetween)
_TESTS = (exp.Predicate,)
_CHOICES = (exp.Case, exp.If, exp.DecodeCase)
_CHOOSING = frozenset({"if", "iff", "iif", "decode"})
_OF_SEVERAL: tuple[tuple[tuple[type[exp.Expr], ...], str], ...] = (
    (_ARITHMETIC, "computes with several columns"),
    (_DISTANCES, "measures between two columns"),
    ((exp.Connector,), "combines several columns"),
    ((exp.Greatest, exp.Least), "compares several columns"),
)
_LATER = (exp.Window, exp.AggFunc, exp.Query, exp.Lambda)


def decisions(node: exp.Expr) -> Iterator[tuple[exp.Expr, str]]:
    """The parts of a column that decide or derive, with words for it; each as a whole, not its parts again."""
    if isinstance(node, _LATER):
        return
    words = _words(node)
    if words is not None:
        yield node, words
    elif not isinstance(node, _CHOICES):
        for part in node.iter_expressions():
            yield from decisions(part)


def _words(node: exp.Expr) -> str | None:
    if isinstance(node, _CHOICES) or (isinstance(node, exp.Anonymous) and node.name.lower() in _CHOOSING):
        return None if _handles_nulls(node) else "chooses by what a value means"
    if isinstance(node, _TESTS):
        return None if _reads_a_value(node) else "tests what a value means"
    words = next((words for kinds, words in _OF_SEVERAL if isinstance(node, kinds)), None)
    return words if words is not None and len(_columns(node)) > 1 else None


def keeps(condition: exp.Expr) -> bool:
    """Whether a filter only leaves out rows without a value, and rows that a flag marks."""
    bare = condition.unnest()
    if isinstance(bare, exp.Connector):
        return keeps(bare.left) and keeps(bare.right)
    if isinstance(bare, exp.Not):
        return keeps(bare.this)
    return isinstance(bare, exp.Column | exp.Boolean | exp.Literal) or _reads_a_value(bare)


def _columns(node: exp.Expr) -> set[str]:
    return {column.sql().lower() for column in node.find_all(exp.Column)}


def _is_null_test(test: exp.Expr) -> bool:
    bare = test.unnest()
    if isinstance(bare, exp.Not):
        return _is_null_test(bare.this)
    if isinstance(bare, exp.Connector):
        return _is_null_test(bare.left) and _is_null_test(bare.right)
    if isinstance(bare, exp.Is):
        return isinstance(bare.expression, exp.Null)
    return isinstance(bare, exp.EQ | exp.NEQ) and _constants(bare) == [""]


def _reads_a_value(test: exp.Expr) -> bool:
    """One column, held against null or against yes/no marks."""
    bare = test.unnest()
    if isinstance(bare, exp.Not):
        return _reads_a_value(bare.this)
    if isinstance(bare, exp.Connector):
        return len(_columns(bare)) <= 1 and _reads_a_value(bare.left) and _reads_a_value(bare.right)
    if isinstance(bare, exp.Column | exp.Boolean):
        return True
    if _is_null_test(bare):
        return True
    found = _constants(bare)
    return found is not None and all(constant in MARKS for constant in found)


def _constants(test: exp.Expr) -> list[str] | None:
    """What one column is held against, in lower case; None for any other test."""
    if isinstance(test, exp.In):
        if test.args.get("query") is not None or test.args.get("unnest") is not None:
            return None
        sides = [test.this, *test.expressions]
    elif isinstance(test, exp.EQ | exp.NEQ | exp.NullSafeEQ | exp.NullSafeNEQ | exp.Is):
        sides = [test.this, test.expression]
    else:
        return None
    constants = [constant for side in sides if (constant := _constant(side)) is not None]
    return constants if len(sides) - len(constants) <= 1 and len(_columns(test)) <= 1 else None


def _constant(node: exp.Expr) -> str | None:
    bare = node.unnest()
    if isinstance(bare, exp.Literal):
        return str(bare.this).strip().lower()
    if isinstance(bare, exp.Boolean):
        return "true" if bare.this else "false"
    return None


def _handles_nulls(choice: exp.Expr) -> bool:
    branches = _branches(choice)
    if branches is None:
        return False
    tests, results = branches
    if any(True for result in results for _ in decisions(result)):
        return False
    if all(_is_null_test(test) for test in tests):
        return True
    if len(_columns(choice)) > 1:
        return False
    if all(isinstance(result, exp.Null) or _columns(result) for result in results):
        return all(_constants(test.unnest()) is not None or _is_null_test(test) for test in tests)
    return all(_reads_a_value(test) for test in tests) and all(_is_flag(result) for result in results)


def _is_flag(result: exp.Expr) -> bool:
    bare = result.unnest()
    return isinstance(bare, exp.Null | exp.Boolean) or _constant(bare) in {"1", "0"}


def _branches(choice: exp.Expr) -> tuple[list[exp.Expr], list[exp.Expr]] | None:
    """Tests and results of a `case` or `if`; None for what has other forms."""
    if isinstance(choice, exp.If):
        otherwise = choice.args.get("false")
        return [choice.this], [choice.args["true"], *([otherwise] if otherwise is not None else [])]
    if not isinstance(choice, exp.Case):
        return None
    subject, default = choice.args.get("this"), choice.args.get("default")
    whens = choice.args["ifs"]
    tests = [
        when.this if subject is None else exp.EQ(this=subject.copy(), expression=when.this.copy()) for when in whens
    ]
    return tests, [*(when.args["true"] for when in whens), *([default] if default is not None else [])]
