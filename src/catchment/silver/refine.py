"""The user's refine function: loaded, shown only what it may use, and traced before any row is touched.

A refine function is row-wise on its first frame: what it makes of a row depends on that row and on look-ups, never on
its neighbours. That is what lets one definition serve a whole table, an increment and a stream. The frames given to it
refuse everything else at the line where it is asked for.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import re
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any, ClassVar, NoReturn

import narwhals as nw

from catchment.errors import ConfigError
from catchment.interfaces import Engine
from catchment.naming import VALID_FROM, VALID_TO, quoted
from catchment.silver.judge import parsed

_PLACE = "Aggregate in gold, or aggregate a look-up first."


class Refused(ConfigError):
    """A refine function asked for something that is not row-wise."""


class _Unremembered(importlib.machinery.SourceFileLoader):
    """Compiles what the file says now: Python's cache tells an edit by size and second, so that one of the same length
    within a second would run as it was; nor is a cache written into the user's folder."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


@dataclass(frozen=True)
class RefineFunction:
    """`refine(first_frame, look-ups by name)` of one file; `file` is relative to the project."""

    file: str
    path: Path

    def call(self, engine: Engine[Any], rows: Any, lookups: Mapping[str, Lookup], *, explodes: bool) -> Any:
        """The function's frame. Raises Refused, or ConfigError with the line of whatever it raised itself."""
        return engine.native(self.made(engine, rows, lookups, explodes=explodes))

    def made(self, engine: Engine[Any], rows: Any, lookups: Mapping[str, Lookup], *, explodes: bool) -> _Rows:
        """As `call`; the frame as the function gave it back."""
        function = self._function()
        first = _as(_rows_class(engine, explodes=explodes), engine.lazy(rows))
        given = {
            name: _as(_lookup_class(engine, name, lookup.key, lookup.as_of), engine.lazy(lookup.frame))
            for name, lookup in lookups.items()
        }
        try:
            refined = function(first, **given)
        except Refused as error:
            message = f"{self._place(error)}  {error.message}"
            raise Refused(message, hint=error.hint) from None
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # sys.exit() in here would end the run as if all were done
            message = f"{self._place(error)}  refine failed: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
            raise ConfigError(message) from error
        if not isinstance(refined, _Rows):
            message = (
                f"{self.file}  refine returns {_called(refined)}; it must return its first frame, changed row by row"
            )
            raise Refused(message)
        beyond = _beyond(engine.tree(engine.native(refined)), refined.unions)
        if beyond is not None:
            message = f"{self.file}  {beyond}"
            raise Refused(message)
        return refined

    def _place(self, error: BaseException) -> str:
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == self.path]
        return f"{self.file}:{lines[-1]}" if lines else self.file

    def _function(self) -> Callable[..., Any]:
        name = f"catchment_refine_{self.path.stem}"
        loader = _Unremembered(name, str(self.path))
        spec = importlib.util.spec_from_file_location(name, self.path, loader=loader)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:
            message = f"{self._place(error)}  cannot be loaded: {type(error).__name__}: {error}"
            raise ConfigError(message) from error
        function = getattr(module, "refine", None)
        if not callable(function):
            message = f"{self.file}  has no function `refine`"
            raise ConfigError(message, hint="write: def refine(rows): return rows.with_columns(...)")
        return function  # type: ignore[no-any-return]

    def syntax(self) -> str:
        """The file's syntax tree without docstrings and comments: what decides rows, not how it is written down."""
        try:
            tree = ast.parse(self.path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError) as error:
            line = getattr(error, "lineno", None)
            message = f"{self.file}{'' if line is None else f':{line}'}  is not Python: {error}"
            raise ConfigError(message) from error
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
                value = body[0].value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    body[0].value = ast.Constant(value=None)
        return ast.dump(tree)


@dataclass(frozen=True)
class Lookup:
    """A silver table beside the first frame: its contract's columns only, one row a key.

    With `as_of`, a column of the first frame, it holds every version of a key, of which each row of the first frame
    meets the one that was valid at that time.
    """

    frame: Any
    key: tuple[str, ...]
    as_of: str | None = None


def _as(kind: type[Any], lazy: nw.LazyFrame[Any]) -> Any:
    return kind(lazy._compliant_frame, level="lazy")


def _path(tree: Any, kind: type[Any]) -> list[Any]:
    """Nodes of a kind on the path of the first frame: look-ups, which come in by joins, may hold them."""
    from sqlglot import exp

    return [node for node in tree.walk(prune=lambda n: isinstance(n, exp.Join)) if isinstance(node, kind)]


def _beyond(tree: Any, unions: int) -> str | None:
    """What no single operation shows: a look at other rows inside a filter, frames put one under the other."""
    from sqlglot import exp

    if _path(tree, exp.Window):
        return f"refine {_BEYOND['Window']}: a refine function works row by row. {_PLACE}"
    if len(_path(tree, exp.SetOperation)) > unions:
        return "refine puts frames one under the other (concat): a row may come out once only"
    return None


def _called(value: object) -> str:
    if isinstance(value, _LookupFrame):
        return f"look-up `{value.name}`"
    return "nothing" if value is None else f"a {type(value).__name__}"


def _rows_class(engine: Engine[Any], *, explodes: bool) -> type[_Rows]:
    return type("Rows", (_Rows,), {"engine": engine, "explodes": explodes})


def _lookup_class(engine: Engine[Any], name: str, key: Iterable[str], as_of: str | None = None) -> type[_LookupFrame]:
    told = {"engine": engine, "name": name, "key": frozenset(key), "as_of": as_of}
    return type("LookupFrame", (_LookupFrame,), told)


class _Frame(nw.LazyFrame[Any]):
    """What both kinds refuse: eager frames end the plan that batch and stream share."""

    engine: ClassVar[Engine[Any]]

    def collect(self, *_: Any, **__: Any) -> NoReturn:
        message = "refine collects a frame (collect): it must stay lazy. Return the frame itself."
        raise Refused(message)

    def sink_parquet(self, *_: Any, **__: Any) -> NoReturn:
        message = "refine writes a file (sink_parquet): it only describes rows."
        raise Refused(message)


class _LookupFrame(_Frame):
    """A look-up; it may be aggregated, and knows which columns name one of its rows."""

    name: ClassVar[str]
    key: ClassVar[frozenset[str]]
    as_of: ClassVar[str | None]

    def _keyed(self, key: Iterable[str]) -> Any:
        return _lookup_class(self.engine, self.name, key, self.as_of)(self._compliant_frame, level="lazy")

    def _refuse_of_versions(self, what: str) -> None:
        if self.as_of is not None:
            message = (
                f"refine {what} look-up `{self.name}`, which is as of {self.as_of} and holds every version of a key:"
                " there is no one table to do that in. Do it in a silver table of its own, or look at it as `current`."
            )
            raise Refused(message)

    def select(self, *exprs: Any, **named: Any) -> Any:
        selected = nw.LazyFrame.select(self, *exprs, **named)
        if self.as_of is None:
            return selected
        lost = [name for name in (VALID_FROM, VALID_TO) if name not in selected.collect_schema().names()]
        return nw.LazyFrame.select(self, *exprs, *map(nw.col, lost), **named)

    def group_by(self, *keys: Any, drop_null_keys: bool = False) -> Any:
        self._refuse_of_versions("groups")
        names = [key for given in keys for key in ([given] if isinstance(given, str) else given)]
        grouped: Any = nw.LazyFrame.group_by
        return grouped(self._keyed(names), *keys, drop_null_keys=drop_null_keys)

    def unique(self, subset: Any = None, **options: Any) -> Any:
        self._refuse_of_versions("drops duplicates of")
        plain = nw.LazyFrame.unique(self, subset, **options)
        return plain if subset is None else plain._keyed([subset] if isinstance(subset, str) else subset)

    def rename(self, mapping: Mapping[str, str]) -> Any:
        return nw.LazyFrame.rename(self, dict(mapping))._keyed({mapping.get(column, column) for column in self.key})

    def drop(self, *columns: Any, strict: bool = True) -> Any:
        names = [name for given in columns for name in ([given] if isinstance(given, str) else given)]
        kept = () if self.as_of is None else (VALID_FROM, VALID_TO)
        return nw.LazyFrame.drop(self, *[name for name in names if name not in kept], strict=strict)

    def explode(self, columns: Any, *more: str, **options: Any) -> Any:
        return nw.LazyFrame.explode(self, columns, *more, **options)._keyed(())

    def join(self, other: Any, *args: Any, **options: Any) -> Any:
        if isinstance(other, _Rows):
            message = (
                f"refine starts from look-up `{self.name}` and joins the first frame to it. Start from the first frame."
            )
            raise Refused(message)
        for frame in (self, other):
            if isinstance(frame, _LookupFrame):
                frame._refuse_of_versions("joins")
        return nw.LazyFrame.join(self, _as(type(self), other), *args, **options)._keyed(())

    def versions(self) -> Any:
        """How the versions of keys will be computed. Raises Refused where one is no longer one by itself."""
        from sqlglot import exp

        names = self.collect_schema().names()
        lost = [name for name in (VALID_FROM, VALID_TO) if name not in names]
        if lost:
            message = (
                f"refine takes {' and '.join(lost)} from look-up `{self.name}`, which is as of {self.as_of}: they say"
                " when a version was valid. Give a copy another name: with_columns(since=nw.col('_valid_from'))."
            )
            raise Refused(message)
        tree = self.engine.tree(self.engine.native(self))
        if tree.find(exp.Window, exp.AggFunc, exp.Group, exp.Distinct, exp.Limit, exp.Offset):
            self._refuse_of_versions("looks at several rows of")
        return tree


def _refused(method: str, words: str) -> Callable[..., NoReturn]:
    def refuse(_: Any, *__: Any, **___: Any) -> NoReturn:
        message = f"refine {words} ({method}): a refine function works row by row. {_PLACE}"
        raise Refused(message)

    return refuse


class _Rows(_Frame):
    """The first frame. Our own columns, which begin with an underscore, go with it through every `select`."""

    explodes: ClassVar[bool]
    unions: ClassVar[int] = 0  # of its own making: `explode` puts rows with nothing to explode under the others
    joined: ClassVar[tuple[str, ...]] = ()  # how frames were computed that the frame's own tree only names

    group_by = _refused("group_by", "groups rows")
    unique = _refused("unique", "drops duplicates")
    sort = _refused("sort", "sorts rows")
    head = _refused("head", "takes the first rows")
    tail = _refused("tail", "takes the last rows")
    top_k = _refused("top_k", "takes the largest rows")
    gather_every = _refused("gather_every", "takes every n-th row")
    with_row_index = _refused("with_row_index", "numbers rows")
    unpivot = _refused("unpivot", "turns columns into rows")
    join_asof = _refused("join_asof", "joins to the nearest row")

    def _ours(self) -> list[str]:
        return [name for name in self.collect_schema().names() if name.startswith("_")]

    def select(self, *exprs: Any, **named: Any) -> Any:
        wanted = [expr for given in exprs for expr in ([given] if isinstance(given, str | nw.Expr) else given)]
        selected = nw.LazyFrame.select(self, *wanted, **named)
        lost = [name for name in self._ours() if name not in selected.collect_schema().names()]
        return self._checked(nw.LazyFrame.select(self, *wanted, *map(nw.col, lost), **named) if lost else selected)

    def with_columns(self, *exprs: Any, **named: Any) -> Any:
        return self._checked(nw.LazyFrame.with_columns(self, *exprs, **named))

    def filter(self, *predicates: Any, **constraints: Any) -> Any:
        return self._checked(nw.LazyFrame.filter(self, *predicates, **constraints))

    def drop(self, *columns: Any, strict: bool = True) -> Any:
        names = [name for given in columns for name in ([given] if isinstance(given, str) else given)]
        return nw.LazyFrame.drop(self, *[name for name in names if not name.startswith("_")], strict=strict)

    def explode(self, columns: Any, *more: str, **options: Any) -> Any:
        if not self.explodes:
            message = "refine makes several rows of one (explode): then the contract needs a key (primaryKey)."
            raise Refused(message)
        from sqlglot import exp

        made = nw.LazyFrame.explode(self, columns, *more, **options)
        unions = len(_path(self.engine.tree(self.engine.native(made)), exp.SetOperation))
        return _as(type("Rows", (type(self),), {"unions": unions}), made)

    def rename(self, mapping: Mapping[str, str]) -> Any:
        return self._checked(nw.LazyFrame.rename(self, dict(mapping)))

    def join(self, other: Any, on: Any = None, how: Any = "inner", **options: Any) -> Any:
        if isinstance(other, _Rows):
            message = f"refine joins its first frame to itself: a refine function works row by row. {_PLACE}"
            raise Refused(message)
        if not isinstance(other, _LookupFrame):
            message = f"refine joins to {_called(other)}: only the look-ups named under `with:` can be joined."
            raise Refused(message)
        if how not in ("left", "inner", "semi", "anti"):
            message = f"refine makes a {how} join: left, inner, semi and anti are row-wise."
            raise Refused(message)
        right = options.get("right_on") or on or ()
        covered = {right} if isinstance(right, str) else set(right)
        if how in ("left", "inner") and not (other.key and other.key <= covered):
            named = ", ".join(sorted(other.key)) or "unknown after what was done to it"
            message = (
                f"refine joins look-up `{other.name}` on {', '.join(sorted(covered))}, but its key is {named}:"
                " one row could become several. Join on the whole key, or group the look-up by the columns of the join."
            )
            raise Refused(message)
        if other.as_of is not None:
            return self._join_versions(other, on=on, how=how, **options)
        return nw.LazyFrame.join(self, _as(type(self), other), on=on, how=how, **options)

    def _join_versions(self, other: _LookupFrame, *, on: Any, how: str, **options: Any) -> Any:
        """A join to the versions that were valid at the time that a column of the row tells."""
        left, right = (_names(options.get(side) or on) for side in ("left_on", "right_on"))
        if not left or len(left) != len(right):
            message = (
                f"refine joins look-up `{other.name}` on {len(left)} columns to {len(right)}. Name as many of each."
            )
            raise Refused(message)
        ours = self.collect_schema().names()
        if other.as_of not in ours:
            message = (
                f"refine joins look-up `{other.name}` as of {other.as_of}, which the first frame has no longer:"
                " join before it is dropped or renamed."
            )
            raise Refused(message)
        before, versions = self.engine.tree(self.engine.native(self)), other.versions()
        beyond = _beyond(before, self.unions)
        if beyond is not None:
            raise Refused(beyond)
        columns = "l.*"
        if how in ("left", "inner"):
            columns += _taken(ours, other.collect_schema().names(), right, options.get("suffix", "_right"))
        at = f"CAST(l.{quoted(other.as_of)} AS TIMESTAMPTZ)"
        conditions = [f"l.{quoted(a)} = r.{quoted(b)}" for a, b in zip(left, right, strict=True)]
        # One side of a comparison for each table: with an OR over both, DuckDB tries every version for every row.
        until = f"COALESCE(r.{VALID_TO}, CAST('infinity' AS TIMESTAMPTZ))"
        conditions += [f"r.{VALID_FROM} <= {at}", f"{at} < {until}"]
        sql = parsed(f"SELECT {columns} FROM l {how.upper()} JOIN r ON {' AND '.join(conditions)}")
        frames = {"l": self.engine.native(self), "r": self.engine.native(other)}
        # The finished tree will not show what goes into a query by name.
        told = (*self.joined, _lasting(before), _lasting(versions))
        kind = type("Rows", (type(self),), {"unions": 0, "joined": told})
        return _as(kind, self.engine.lazy(self.engine.query(sql, frames)))

    def _checked(self, frame: Any) -> Any:
        """Refuse expressions that look beyond their row; only the outermost select is this operation's."""
        from sqlglot import exp

        tree = self.engine.tree(self.engine.native(frame))
        for node in tree.walk(prune=lambda n: isinstance(n, exp.From | exp.Join)):
            found = _BEYOND.get(type(node).__name__)
            if found is None and isinstance(node, exp.AggFunc):
                found = f"aggregates rows ({node.sql_name().lower()})"
            if found is None and isinstance(node, exp.Anonymous):
                found = _BEYOND_BY_NAME.get(node.name.lower())
            if found is not None:
                message = f"refine {found}: a refine function works row by row. {_PLACE}"
                raise Refused(message)
        self._refuse_lost_identity(frame, tree)
        return frame

    def _refuse_lost_identity(self, frame: Any, tree: Any) -> None:
        """Our own columns must come out of an operation as they went in."""
        from sqlglot import exp

        ours, names = self._ours(), frame.collect_schema().names()
        changed = [name for name in ours if name not in names]
        for projected in tree.selects:
            name, value = projected.alias_or_name, projected.unalias()
            if name in ours and not (isinstance(value, exp.Column) and value.name == name):
                changed.append(name)
        if changed:
            message = (
                f"refine changes {', '.join(changed)}: columns that begin with an underscore are a row's identity."
            )
            raise Refused(message)


_BEYOND = {
    "Window": "looks at other rows (over)",
    "Distinct": "drops duplicates",
    "Group": "groups rows",
    "CurrentTimestamp": "asks for the time of day, which differs at every run",
    "CurrentDate": "asks for today's date, which differs at every run",
    "Rand": "uses chance (random), which differs at every run",
    "Uuid": "makes random ids, which differ at every run",
    "Subquery": "reads a table of its own",
}
_BEYOND_BY_NAME = {
    "now": _BEYOND["CurrentTimestamp"],
    "random": _BEYOND["Rand"],
    "uuid": _BEYOND["Uuid"],
    "gen_random_uuid": _BEYOND["Uuid"],
}


def trace(
    function: RefineFunction, engine: Engine[Any], rows: Any, lookups: Mapping[str, Lookup], *, explodes: bool
) -> Any:
    """The function's frame over empty ones, made twice: what differs changes by itself. Raises Refused."""
    first, second = (function.made(engine, rows, lookups, explodes=explodes) for _ in range(2))
    trees = [_lasting(engine.tree(engine.native(made))) for made in (first, second)]
    if trees[0] != trees[1] or first.joined != second.joined:
        message = f"{function.file}  refine gives another result each time it is called: it uses the clock or chance"
        raise Refused(message, hint="use a column of the row, such as its own time, instead of now()")
    return engine.native(first)


def _taken(ours: Sequence[str], theirs: Sequence[str], right: Sequence[str], suffix: str) -> str:
    """What a join takes of a look-up, as Narwhals would: all but the columns joined on."""
    taken = {
        name: name + suffix if name in ours else name for name in theirs if name not in (*right, VALID_FROM, VALID_TO)
    }
    twice = [called for called in taken.values() if called in ours or list(taken.values()).count(called) > 1]
    if twice:
        message = f"refine would have two columns `{twice[0]}` after a join. Give another suffix, or select fewer."
        raise Refused(message)
    return "".join(f", r.{quoted(name)} AS {quoted(called)}" for name, called in taken.items())


def _names(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else list(given or ())


# Narwhals names what it needs for a moment by chance, in `unique` of a look-up for example; an engine its frames.
_MOMENTARY = re.compile(r"(nw|row_index_?|unnamed_relation_)[0-9a-f]{8,}|frame_[0-9]+")


def _lasting(tree: Any) -> str:
    """How a frame is computed, without names that mean nothing."""
    from sqlglot import exp

    plain = tree.copy()
    for identifier in plain.find_all(exp.Identifier):
        if _MOMENTARY.fullmatch(identifier.name):
            identifier.set("this", "momentary")
    text: str = plain.sql()
    return text
