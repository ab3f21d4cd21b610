"""What a query makes its columns of, read from its SQL alone.

A column is made *of* the columns that its expression names, through every CTE, subquery and union, those of windows,
conditions and scalar subqueries among them. What only decides which rows there are (joins, filters, groups) is told of
the rows, not of each column. An aggregate that names no column, `count(*)` above all, is made of the rows themselves,
those of a LEFT JOIN being the left side's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlglot import exp


@dataclass(frozen=True)
class Uses:
    """(table, column) pairs in small letters, and tables whose rows are counted."""

    columns: frozenset[tuple[str, str]] = frozenset()
    rows: frozenset[str] = frozenset()

    def __or__(self, other: Uses) -> Uses:
        return Uses(self.columns | other.columns, self.rows | other.rows)


NOTHING = Uses()


@dataclass(frozen=True)
class Derived:
    """What a query's columns are made of, in its order, and what decides its `rows`.

    `unsure` says why the columns may not be all, or be made of less than is told; None where nothing was left open.
    """

    columns: Mapping[str, Uses]
    rows: Uses
    other: Uses | None = None  # of columns that are not among them
    unsure: str | None = None
    words: Mapping[str, str] = field(default_factory=dict)  # the expression of each column that is not just another one


@dataclass(frozen=True)
class _Relation:
    """What stands in a FROM. `other` is what a column is made of that is not among `columns`; of a table whose columns
    nobody knows, called `unknown`, every name is one of its own."""

    columns: Mapping[str, Uses]
    rows: Uses = NOTHING
    other: Uses | None = None
    unknown: str | None = None

    def all(self) -> Uses:
        return _union([*self.columns.values(), *([] if self.other is None else [self.other])])

    def column(self, name: str) -> Uses | None:
        if self.unknown is not None and name.lower() not in self.columns:
            return Uses(frozenset({(self.unknown, name.lower())}))
        return self.columns.get(name.lower(), self.other)


Sources = Mapping[str, _Relation]
Ctes = Mapping[str, _Relation]

# Recursion adds to what a column is made of until it adds nothing; a chain longer than this is cut.
_ROUNDS = 8


def derive(tree: exp.Expr, tables: Mapping[str, Sequence[str]], dialect: str) -> Derived:
    """What `tree` makes its columns of. `tables` are the known columns by the name that a table has in the tree, as
    `named` gives it; of others it is told that they are read."""
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.qualify import qualify

    words = dict(_words(tree, dialect))
    plain, names = _plain(tree, tables)
    schema: dict[str, object] = {
        short: {column.lower(): "unknown" for column in tables[name]} for short, name in names.items() if name in tables
    }
    try:
        qualified: exp.Expr = qualify(
            plain,
            dialect=dialect,
            schema=schema,
            validate_qualify_columns=False,
            quote_identifiers=False,
            allow_partial_qualification=True,
        )
        relation = _Reader(_leaves(names, tables)).relation(qualified, {}, {})
    except (SqlglotError, _Unread) as error:
        return _opaque(names, tables, str(error).partition("\n")[0])
    columns = relation.columns
    unknown = sorted(name for short, name in names.items() if name not in tables)
    unsure = None
    if relation.other is not None:
        unsure = f"it takes all columns of {', '.join(unknown) or 'a table'}, which are not known"
    return Derived(columns, relation.rows, relation.other, unsure, words)


def to_remember(derived: Derived) -> dict[str, Any]:
    """As JSON values; `remembered` gives it back."""

    def plain(uses: Uses | None) -> Any:
        return None if uses is None else [sorted(uses.columns), sorted(uses.rows)]

    columns = {name: plain(uses) for name, uses in derived.columns.items()}
    told = {"columns": columns, "rows": plain(derived.rows), "other": plain(derived.other)}
    return {**told, "unsure": derived.unsure, "words": dict(derived.words)}


def remembered(told: Mapping[str, Any]) -> Derived:
    def uses(plain: Any) -> Uses:
        return Uses(frozenset((table, column) for table, column in plain[0]), frozenset(plain[1]))

    columns = {name: uses(plain) for name, plain in told["columns"].items()}
    other = None if told["other"] is None else uses(told["other"])
    return Derived(columns, uses(told["rows"]), other, told["unsure"], told["words"])


def named(table: exp.Table) -> str:
    """A table's name as `schema.table` in small letters, the database left out."""
    return ".".join(part.lower() for part in (table.db, table.name) if part)


class _Unread(Exception):
    """A construct that nothing is known about."""


def _opaque(names: Mapping[str, str], tables: Mapping[str, Sequence[str]], why: str) -> Derived:
    """Where the SQL is not understood: anything may be made of everything that it reads."""
    everything = frozenset((name, column.lower()) for name in names.values() for column in tables.get(name, ()))
    uses = Uses(everything, frozenset(names.values()))
    return Derived({}, uses, uses, f"its SQL is not understood: {why}")


def _plain(tree: exp.Expr, tables: Mapping[str, Sequence[str]]) -> tuple[exp.Expr, dict[str, str]]:
    """The tree with small, unquoted names and a short name for each table, so that dialects do not differ."""
    from sqlglot import exp

    copy = tree.copy()
    ctes = {cte.alias.lower() for cte in copy.find_all(exp.CTE)}
    shorts: dict[str, str] = {}
    for table in list(copy.find_all(exp.Table)):
        if not isinstance(table.this, exp.Identifier) or (not table.db and table.name.lower() in ctes):
            continue
        name = named(table)
        short = shorts.setdefault(name, f"t_{len(shorts)}")
        if not table.alias:
            table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
        table.set("this", exp.to_identifier(short))
        table.set("db", None)
        table.set("catalog", None)
    for column in copy.find_all(exp.Column):
        if f"{column.args['db'].name}.{column.table}".lower() in shorts if column.args.get("db") else False:
            column.set("db", None)
            column.set("catalog", None)
    for identifier in copy.find_all(exp.Identifier):
        identifier.set("this", identifier.name.lower())
        identifier.set("quoted", False)
    return copy, {short: name for name, short in shorts.items()}


def _leaves(names: Mapping[str, str], tables: Mapping[str, Sequence[str]]) -> dict[str, _Relation]:
    found = {}
    for short, name in names.items():
        columns = {column.lower(): Uses(frozenset({(name, column.lower())})) for column in tables.get(name, ())}
        rows = Uses(rows=frozenset({name}))
        found[short] = _Relation(columns, rows) if name in tables else _Relation({}, rows, NOTHING, unknown=name)
    return found


def _union(uses: Iterable[Uses]) -> Uses:
    return reduce(Uses.__or__, uses, NOTHING)


def _refuse(node: exp.Expr) -> _Relation:
    message = f"a {type(node).__name__.lower()} is no query"
    raise _Unread(message)


@dataclass(frozen=True)
class _Reader:
    """Reads queries over tables that are known by their short names."""

    leaves: Mapping[str, _Relation]

    def relation(self, query: exp.Expr, ctes: Ctes, outer: Sources) -> _Relation:
        from sqlglot import exp

        ctes = self._with(query, ctes, outer)
        if isinstance(query, exp.Subquery):
            return self._aliased(query, self._pivoted(query, self.relation(query.this, ctes, outer), outer, ctes))
        if isinstance(query, exp.SetOperation):
            return self._combined(query, ctes, outer)
        if isinstance(query, exp.Select):
            return self._selected(query, ctes, outer)
        if isinstance(query, exp.Values):
            return self._aliased(query, _Relation({}, other=self._uses(query, outer, ctes)))
        if isinstance(query, exp.Table):
            return self._source(query, ctes, outer)
        return self._pivot(query, ctes, outer) if isinstance(query, exp.Pivot) else _refuse(query)

    def _with(self, query: exp.Expr, ctes: Ctes, outer: Sources) -> Ctes:
        clause = query.args.get("with_") or query.args.get("with")
        if clause is None:
            return ctes
        found = dict(ctes)
        for cte in clause.expressions:
            name = cte.alias.lower()
            if clause.args.get("recursive"):
                found[name] = _Relation({}, other=NOTHING)
                for _ in range(_ROUNDS):
                    made = self._aliased(cte, self.relation(cte.this, found, outer))
                    if made == found[name]:
                        break
                    found[name] = made
            else:
                found[name] = self._aliased(cte, self.relation(cte.this, found, outer))
        return found

    def _combined(self, query: exp.SetOperation, ctes: Ctes, outer: Sources) -> _Relation:
        from sqlglot import exp

        left, right = (self.relation(side, ctes, outer) for side in (query.this, query.expression))
        rows = left.rows | right.rows
        if isinstance(query, exp.Except | exp.Intersect):
            return replace(left, rows=rows | left.all() | right.all())
        if query.args.get("distinct"):
            rows |= left.all() | right.all()
        other = None if left.other is None and right.other is None else _union([left.all(), right.all()])
        if query.args.get("by_name"):
            names = [*left.columns, *(name for name in right.columns if name not in left.columns)]
            both = {n: left.columns.get(n, NOTHING) | right.columns.get(n, NOTHING) for n in names}
        else:
            pairs = zip(left.columns.items(), right.columns.values(), strict=False)
            both = {**left.columns, **{name: one | two for (name, one), two in pairs}}
        return _Relation(both, rows, other)

    def _selected(self, query: exp.Select, ctes: Ctes, outer: Sources) -> _Relation:
        from sqlglot import exp

        sources = self._sources(query, ctes, outer)
        inside = {**outer, **sources}
        looked_up = {_called(join.this) for join in query.args.get("joins") or () if _looks_up(join)}
        parts = [Uses(source.rows.columns) if name in looked_up else source.rows for name, source in sources.items()]
        counted = Uses(rows=_union(parts).rows)
        columns: dict[str, Uses] = {}
        other = None
        for projected in query.selects:
            if projected.is_star or projected.find(exp.Columns) is not None:
                other = _union([other or NOTHING, *(source.all() for source in sources.values())])
                continue
            name, uses = projected.alias_or_name.lower(), self._uses(projected, inside, ctes, query)
            columns[name] = columns.get(name, NOTHING) | uses | (counted if _counts(projected) else NOTHING)
        rows = _union(parts) | self._deciding(query, inside, ctes, columns)
        distinct = query.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is None:
            rows |= _union(columns.values())
        return _Relation(columns, rows, other)

    def _sources(self, query: exp.Select, ctes: Ctes, outer: Sources) -> dict[str, _Relation]:
        found: dict[str, _Relation] = {}
        for place in _places(query):
            found[_called(place) or f"_{len(found)}"] = self._source(place, ctes, {**outer, **found})
        return found

    def _source(self, place: exp.Expr, ctes: Ctes, before: Sources) -> _Relation:
        """One thing in a FROM; `before` are those that a lateral one may name."""
        from sqlglot import exp

        if isinstance(place, exp.Table) and isinstance(place.this, exp.Identifier):
            name = place.name.lower()
            relation = self.leaves.get(name) or ctes.get(name) or _Relation({}, other=NOTHING)
            return self._aliased(place, self._pivoted(place, relation, before, ctes))
        if isinstance(place, exp.Lateral) and isinstance(place.this, exp.Subquery):
            return self._aliased(place, self.relation(place.this, ctes, before))
        if isinstance(place, exp.Query | exp.Values) and not isinstance(place, exp.Table):
            return self.relation(place, ctes, before)
        # UNNEST, FLATTEN, EXPLODE, generate_series(…): whatever comes out is made of what goes in.
        uses = self._uses(place, before, ctes)
        return _Relation({}, Uses(uses.columns), uses)

    def _pivoted(self, place: exp.Expr, relation: _Relation, sources: Sources, ctes: Ctes) -> _Relation:
        from sqlglot import exp

        for pivot in place.args.get("pivots") or ():
            named = {column.name.lower() for column in pivot.find_all(exp.Column)}
            uses = _union((relation.column(name) or NOTHING) for name in named)
            uses |= _union(self._subquery(query, sources, ctes) for query in pivot.find_all(exp.Select))
            left = {name: one for name, one in relation.columns.items() if name not in named}
            deciding = uses if pivot.args.get("unpivot") else _union(left.values())
            relation = _Relation(left, relation.rows | Uses(deciding.columns), uses)
        return relation

    def _pivot(self, pivot: exp.Expr, ctes: Ctes, outer: Sources) -> _Relation:
        """DuckDB's statement `pivot … on … using … group by …`: the new columns are known to the rows only."""
        from sqlglot import exp

        source = self._source(pivot.this, ctes, outer)
        inside = {pivot.this.alias_or_name.lower(): source}
        turned = [*pivot.expressions, *(pivot.args.get("using") or ())]
        uses = _union(self._uses(part, inside, ctes) for part in turned)
        named = {column.name.lower() for part in turned for column in part.find_all(exp.Column)}
        group = pivot.args.get("group")
        names = (
            [column.name.lower() for column in group.expressions] if group is not None else set(source.columns) - named
        )
        kept = {name: one for name, one in source.columns.items() if name in names}
        return _Relation(kept, source.rows | Uses(_union(kept.values()).columns), uses)

    @staticmethod
    def _aliased(place: exp.Expr, relation: _Relation) -> _Relation:
        """With the column names that stand behind the alias: `as t(a, b)`."""
        alias = place.args.get("alias")
        names = [column.name.lower() for column in (alias.args.get("columns") or ())] if alias is not None else []
        if not names or not relation.columns:
            return relation
        before = list(relation.columns.items())
        renamed = {names[at] if at < len(names) else name: uses for at, (name, uses) in enumerate(before)}
        return replace(relation, columns=renamed)

    def _deciding(self, query: exp.Select, sources: Sources, ctes: Ctes, columns: Mapping[str, Uses]) -> Uses:
        """What decides which rows a SELECT has."""
        clauses = [query.args.get(name) for name in ("where", "having", "qualify", "group", "distinct")]
        clauses += [join.args.get("on") for join in query.args.get("joins") or ()]
        clauses += [join.args.get("on") for place in _places(query) for join in place.args.get("joins") or ()]
        distinct = query.args.get("distinct")
        first_ones = distinct is not None and distinct.args.get("on") is not None
        if first_ones or query.args.get("limit") is not None or query.args.get("offset") is not None:
            clauses.append(query.args.get("order"))
        uses = _union(self._uses(clause, sources, ctes, query) for clause in clauses if clause is not None)
        group = query.args.get("group")
        if group is not None and group.args.get("all"):
            uses |= _union(columns[p.alias_or_name.lower()] for p in query.selects if not _aggregates(p))
        return uses

    def _uses(self, node: exp.Expr, sources: Sources, ctes: Ctes, select: exp.Select | None = None) -> Uses:
        """What an expression names; in `select` named windows stand."""
        from sqlglot import exp

        found = NOTHING
        for part in node.walk(prune=lambda n: isinstance(n, exp.Query) and n is not node):
            if isinstance(part, exp.Column):
                found |= _resolved(part, sources)
            elif isinstance(part, exp.TableColumn):
                found |= sources[part.name.lower()].all() if part.name.lower() in sources else NOTHING
            elif isinstance(part, exp.Query) and part is not node:
                found |= self._subquery(part, sources, ctes)
            elif isinstance(part, exp.Window) and select is not None and part.alias:
                for window in select.args.get("windows") or ():
                    if window.name.lower() == part.alias.lower():
                        found |= self._uses(window, sources, ctes)
        return found

    def _subquery(self, query: exp.Expr, sources: Sources, ctes: Ctes) -> Uses:
        """Inside an expression what decides a subquery's rows decides the value."""
        relation = self.relation(query, ctes, sources)
        return _union([relation.all(), Uses(relation.rows.columns)])


def _places(query: exp.Expr) -> Iterator[exp.Expr]:
    """What stands in a FROM, from left to right; parentheses around joins are taken off."""
    from sqlglot import exp

    clause = query.args.get("from_")
    joined = [join.this for join in query.args.get("joins") or ()]
    for place in [*([] if clause is None else [clause.this]), *joined, *(query.args.get("laterals") or ())]:
        inner = place.this if isinstance(place, exp.Subquery | exp.Paren) and not place.alias else place
        if inner is not place and isinstance(inner, exp.Table):
            place = inner  # noqa: PLW2901
        yield place
        yield from (join.this for join in place.args.get("joins") or () if isinstance(place, exp.Table))


def _looks_up(join: exp.Join) -> bool:
    return join.side == "LEFT" and join.kind not in ("SEMI", "ANTI")


def _called(place: exp.Expr) -> str:
    pivots = place.args.get("pivots") or ()
    alias = next((pivot.alias for pivot in pivots if pivot.alias), "")
    return str(alias or place.alias_or_name).lower()


def _resolved(column: exp.Column, sources: Sources) -> Uses:
    name, table = column.name.lower(), column.table.lower()
    if table:
        source = sources.get(table)
        return (source.column(name) if source is not None else None) or NOTHING
    having = [source.columns[name] for source in sources.values() if name in source.columns]
    return having[-1] if having else _union(source.column(name) or NOTHING for source in sources.values())


def _counts(projected: exp.Expr) -> bool:
    """Whether a value is made of rows as such: `count(*)`, `sum(1)`, `row_number() over (order by a)`."""
    from sqlglot import exp

    for found in _aggregating(projected):
        called = found
        while isinstance(called, exp.Filter | exp.Window | exp.IgnoreNulls | exp.RespectNulls):
            called = called.this
        if isinstance(called, exp.Func) and called.find(exp.Column) is None:
            return True
    return False


def _aggregates(projected: exp.Expr) -> bool:
    from sqlglot import exp

    return any(not isinstance(node, exp.Window) for node in _aggregating(projected))


def _aggregating(node: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost aggregates and windows of an expression, but for those of subqueries."""
    from sqlglot import exp

    stack = [node]
    while stack:
        part = stack.pop()
        if isinstance(part, exp.Query):
            continue
        if isinstance(part, exp.AggFunc | exp.Window | exp.Filter):
            yield part
            continue
        stack.extend(part.iter_expressions())


def _words(tree: exp.Expr, dialect: str) -> Iterator[tuple[str, str]]:
    """How the outermost SELECT says its columns, where it says more than a name."""
    from sqlglot import exp

    select = tree
    while isinstance(select, exp.Subquery | exp.SetOperation):
        select = select.this
    if isinstance(select, exp.Select):
        for projected in select.selects:
            if not isinstance(projected.unalias(), exp.Column | exp.Literal) and projected.alias:
                yield projected.alias.lower(), projected.unalias().sql(dialect=dialect, normalize_functions=False)
