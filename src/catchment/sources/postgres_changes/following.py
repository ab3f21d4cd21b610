"""The log from a place on, as batches: one transaction after the other, a load never ends inside of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from catchment import naming
from catchment.naming import quoted
from catchment.records import Batch, Budget, Notice
from catchment.sources.postgres_changes import messages
from catchment.sources.postgres_changes.deferred import Deferred
from catchment.sources.postgres_changes.forms import Form, Gathered
from catchment.sources.postgres_changes.messages import HEAD, UNCHANGED, Fields, Relation
from catchment.sources.postgres_changes.place import POSTGRES_EPOCH_US, Place, instant_of
from catchment.sources.postgres_changes.session import Link, Session
from catchment.sources.postgres_changes.snapshot import BATCH_BYTES, BATCH_ROWS
from catchment.sources.postgres_changes.tables import Table, Types, columns

# Without a change of ours the cursor moves on after so much of others' log, so that the server need not keep it.
IDLE_BYTES = 64 << 20

_NOBODY = -1  # the place of a transaction that has landed, before all others


@dataclass(frozen=True, eq=False)
class _Target:
    """A table that a stream follows, as it is described in the log. Commits before `since` are in its snapshot.

    `key` are the places of the columns that name a row, among `form`'s; `is_deferred` where two rows may have one key
    until their transaction ends.
    """

    relation: Relation
    stream: str
    since: int
    form: Form
    key: tuple[int, ...]
    is_deferred: bool

    def key_of(self, row: Fields) -> Fields:
        return [row[at] for at in self.key]


class Following:
    """One link that is read, load after load, always of the same tables (by their number in the server)."""

    def __init__(self, link: Link, session: Session, types: Types, origin: str, tables: Mapping[int, Table]) -> None:
        self.link = link
        self._session = session
        self._types = types
        self._origin = origin
        self._tables = tables
        self._targets: dict[int, _Target | None] = {}
        self._unfilled: dict[Form, _Target] = {}
        self._notices: list[Notice] = []
        self._deferred = Deferred()
        self._lsn, self._at = _NOBODY, 0  # of the transaction at hand: its commit's place and instant
        self._open(Place("", 0))
        self._handlers: Mapping[int, Callable[[bytes], None]] = {
            messages.BEGIN: self._begin,
            messages.COMMIT: self._commit,
            messages.RELATION: self._relation,
            messages.INSERT: self._insert,
            messages.UPDATE: self._update,
            messages.DELETE: self._delete,
            messages.TRUNCATE: self._truncate,
        }

    def _open(self, place: Place) -> None:
        assert place.lsn is not None
        self._place, self._lies, self._end = place, place.lsn, place.lsn
        self._committed, self._rows = place.committed_us, place.rows
        self._gathered = Gathered(self._rows, self._origin)
        self._given = 0
        self._inside = self._loads = self._has_rows = False

    @property
    def place(self) -> Place:
        """After the last load that was given whole."""
        return self._place

    @property
    def is_within_a_load(self) -> bool:
        """Whether rows were given since then."""
        return self._rows != self._place.rows

    def read(self, place: Place, upto: int, budget: Budget) -> Iterator[Batch]:
        """What was committed up to a place of the log, with a cursor at the end if there was anything."""
        self._open(place)
        for item in self.link.items(upto, self._session):
            if item is None:
                yield self._batch(None)
            elif isinstance(item, bytes):
                self._take(item)
                if item[HEAD] == messages.COMMIT and self._loads and self._ends(upto, budget):
                    yield self._load()
                elif self._gathered.bytes >= BATCH_BYTES or len(self._gathered) >= BATCH_ROWS:
                    yield self._batch(None)
            if not self._inside and (item if isinstance(item, int) else self._end) >= upto:
                break
        if not self._loads and max(self._end, self.link.reached) - self._lies >= IDLE_BYTES:
            self._end, self._loads = max(self._end, self.link.reached), True
        if self._loads:
            yield self._load()

    def _ends(self, upto: int, budget: Budget) -> bool:
        """Whether the load at hand is large enough, or the last one."""
        return self._end >= upto or self._given + self._gathered.bytes >= budget.bytes

    def _take(self, message: bytes) -> None:
        handler = self._handlers.get(message[HEAD])
        if handler is not None:
            handler(message)
            self._gathered.bytes += len(message) - HEAD

    def _batch(self, place: Place | None) -> Batch:
        self._fill()
        notices, self._notices = tuple(self._notices), []
        rows, size = self._gathered.table(), self._gathered.bytes
        self._rows += len(self._gathered)
        self._given += size
        self._gathered = Gathered(self._rows, self._origin)
        return Batch(rows, None if place is None else place.cursor(), size, notices)

    def _load(self) -> Batch:
        """The last batch of a load, its cursor behind the last commit."""
        rows = self._rows + len(self._gathered)
        self._place = replace(self._place, lsn=self._end, rows=rows, committed_us=self._committed)
        self._lies, self._loads = self._end, False
        batch = self._batch(self._place)
        self._given = 0
        return batch

    # What a message says, one method a kind.

    def _begin(self, message: bytes) -> None:
        lsn, at_us = messages.begun(message)
        self._inside, self._has_rows = True, False
        self._deferred.begin()
        self._lsn = lsn if lsn >= self._lies else _NOBODY
        self._at = instant_of(at_us + POSTGRES_EPOCH_US, self._committed, lsn, self._place.tables)

    def _commit(self, message: bytes) -> None:
        self._inside = False
        self._end = max(self._end, messages.committed(message))
        if self._has_rows:
            self._committed, self._loads = self._at, True

    def _relation(self, message: bytes) -> None:
        relation = messages.relation(message)
        before = self._targets.get(relation.oid)
        self._targets[relation.oid] = self._target(relation)
        if before is not None:
            known = {one.name for one in before.relation.columns}
            self._tell(relation, before.stream, [one.name for one in relation.columns if one.name not in known])

    def _tell(self, relation: Relation, stream: str, added: Sequence[str]) -> None:
        if added:
            names = ", ".join(f"`{name}`" for name in added)
            said = f"new column{'s' * (len(added) > 1)} {names} in {relation.shown}"
            self._notices.append(Notice("columns_added", said, {"stream": stream, "columns": list(added)}))

    def _target(self, relation: Relation) -> _Target | None:
        table = self._tables.get(relation.oid)
        taken = None if table is None else self._place.tables.get(table.stream)
        if table is None or taken is None:
            return None
        renders = self._types.renders(self._session, [one.type for one in relation.columns])
        form = Form([(one.name, render) for one, render in zip(relation.columns, renders, strict=True)])
        # Where the whole row is its identity every column counts as its key: what names it is the primary key.
        is_whole = relation.identity == "f"
        key = tuple(
            at for at, one in enumerate(relation.columns) if (one.name in table.key if is_whole else one.is_key)
        )
        is_deferred = is_whole and bool(key) and not table.is_unique_at_once
        return _Target(relation, table.stream, taken.lsn, form, key, is_deferred)

    def _of(self, message: bytes) -> _Target | None:
        """The target of a row, None where nobody wants it or it has landed."""
        oid = int.from_bytes(message[HEAD + 1 : HEAD + 5], "big")
        target = self._targets.get(oid)
        if target is None or self._lsn < target.since:
            return None
        self._has_rows = True
        return target

    def _insert(self, message: bytes) -> None:
        target = self._of(message)
        if target is not None:
            row, _, _ = messages.fields(message, HEAD + 6)
            self._gathered.add(target.stream, naming.INSERT, self._at, target.form, row)
            if target.is_deferred:
                self._deferred.comes(target.relation.oid, target.key_of(row), row)

    def _update(self, message: bytes) -> None:
        target = self._of(message)
        if target is None:
            return
        at, kind, old = HEAD + 6, message[HEAD + 5], None
        if kind != messages.NEW:
            old, at, _ = messages.fields(message, at)
            at += 1
        row, _, some = messages.fields(message, at)
        if old is None and not some:
            self._gathered.add(target.stream, naming.UPDATE, self._at, target.form, row)
        elif kind == messages.OLD and old is not None:
            self._update_of(target, old, [one if new is UNCHANGED else new for new, one in zip(row, old, strict=True)])
        else:
            self._update_beside(target, old, row)

    def _update_of(self, target: _Target, old: Fields, row: Fields) -> None:
        """Of a row that the log tells as it was."""
        if any(row[at] != old[at] for at in target.key) and self._goes(target, old):
            self._gathered.add_changed(target.stream, naming.DELETE, self._at, target.form, old, old)
        self._gathered.add_changed(target.stream, naming.UPDATE, self._at, target.form, row, old)
        if target.is_deferred:
            self._deferred.comes(target.relation.oid, target.key_of(row), row)

    def _goes(self, target: _Target, old: Fields) -> bool:
        """Whether the key of a row that the log tells as it was is nobody's any more."""
        return not target.is_deferred or self._deferred.goes(target.relation.oid, target.key_of(old), old)

    def _update_beside(self, target: _Target, old: Fields | None, row: Fields) -> None:
        """Of a row of which the log has its old key, or not all values."""
        if old is not None:
            if any(row[at] is not UNCHANGED and row[at] != old[at] for at in target.key):
                self._gathered.add(target.stream, naming.DELETE, self._at, target.form.only(target.key), old)
            for at in target.key:
                row[at] = old[at] if row[at] is UNCHANGED else row[at]
        if UNCHANGED in row:
            self._unfilled[target.form] = target
            self._gathered.add_unfilled(target.stream, naming.UPDATE, self._at, target.form, row)
        else:
            self._gathered.add(target.stream, naming.UPDATE, self._at, target.form, row)

    def _delete(self, message: bytes) -> None:
        target = self._of(message)
        if target is None:
            return
        row, _, _ = messages.fields(message, HEAD + 6)
        if message[HEAD + 5] == messages.OLD:
            if self._goes(target, row):
                self._gathered.add_changed(target.stream, naming.DELETE, self._at, target.form, row, row)
        else:
            self._gathered.add(target.stream, naming.DELETE, self._at, target.form.only(target.key), row)

    def _truncate(self, message: bytes) -> None:
        self._deferred.begin()
        for oid in messages.truncated(message):
            target = self._targets.get(oid)
            if target is not None and self._lsn >= target.since:
                self._has_rows = True
                self._gathered.add_empty(target.stream, naming.TRUNCATE, self._at)

    # Values that are stored beside their rows.

    def _fill(self) -> None:
        for form, waiting in self._gathered.unfilled.items():
            target = self._unfilled[form]
            if target.key:
                self._fill_of(target, [row for _, row in waiting])
        self._unfilled.clear()

    def _fill_of(self, target: _Target, rows: Sequence[Fields]) -> None:
        """Values as they are now, by the rows' keys; of a row or column that is gone they stay out.

        A column of another type by now is another one: nobody can tell what its values were.
        """
        table = self._tables[target.relation.oid]
        names = [one.name for one in target.relation.columns]
        same_type = {(one.name, one.type) for one in target.relation.columns}
        now = {one.name: one for one in columns(self._session, table) if (one.name, one.type) in same_type}
        absent = [at for at in range(len(names)) if names[at] in now and any(row[at] is UNCHANGED for row in rows)]
        if not absent or not all(names[at] in now for at in target.key):
            return
        places = range(len(target.key))
        keys, arrays = (", ".join(word.format(place + 1) for place in places) for word in ("k{}", "${}::text[]"))
        wanted = ", ".join(f"t.{quoted(names[at])}" for at in absent)
        same = (
            f"t.{quoted(names[at])} = k.k{place + 1}::{now[names[at]].shown}" for place, at in enumerate(target.key)
        )
        sql = (
            f"SELECT k.place, {wanted} FROM unnest({arrays}) WITH ORDINALITY AS k({keys}, place)"
            f" JOIN {table.rows_of} AS t ON {' AND '.join(same)}"
        )
        for place, *found in self._session.fetch_raw(sql, [[row[at] for row in rows] for at in target.key]):
            row = rows[int(place or 0) - 1]
            for at, value in zip(absent, found, strict=True):
                row[at] = value if row[at] is UNCHANGED else row[at]
