"""Silver's commits into a topic: in the order of commits, in transactions of a bounded size, each row once.

Rows name the commit that brought them (`_judged`), so that what is new is found by file statistics, and how far one has
come is a place in their order. It holds whatever happens to files; after an order that changes rows of older commits
it does not, and publishing stops until somebody says how to go on.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from catchment.errors import ConfigError
from catchment.naming import quoted
from catchment.records import ADDITIVE, Scan
from catchment.refined.place import ORDER, Place

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.interfaces import Engine, Publication, Table
    from catchment.records import Message
    from catchment.refined.messages import Outgoing

# Messages of one transaction, and rows that are in memory at once.
TRANSACTION, CHUNK = 20_000, 100_000


@dataclass(frozen=True)
class Sent:
    """How many messages a call has published, and up to which commit of silver."""

    rows: int
    generation: int


@dataclass
class Sending:
    """A table and the publication of its rows. `then` opens the table at an earlier version; raises ConfigError.

    `displaces` are the columns that tell rows apart where one that comes late may put out one of an older commit (mode
    `window`), which is then published once more as one that went; `makes_several` says that one row of bronze may have
    become several.
    """

    table: Table
    engine: Engine[Any]
    outgoing: Outgoing
    publication: Publication
    then: Callable[[int], Table | None]
    displaces: Sequence[str] = ()
    makes_several: bool = False
    size: int = TRANSACTION
    reached: Callable[[str], None] = lambda _: None

    def run(self) -> Sent:
        """Publish what is new. Raises ConfigError where an order has changed what was published."""
        before, now = Place.of(self.publication.progress()), here(self.table)
        start = before or Place(sent=0)
        gone: Sequence[Message] = ()
        if before is not None:
            if before.is_at(now.generation) and before.version <= now.version:
                return Sent(0, now.generation)
            self.refuse()
            gone = self._gone(before, now) if self.displaces else ()
        scan = self.table.scan(within={"_judged": (start.least, None)}, hidden=True)
        return self.send(scan, start, now, gone)

    def send(self, scan: Scan, start: Place, now: Place, gone: Sequence[Message] = (), *, quiet: bool = False) -> Sent:
        """Publish the rows of a scan behind `start`; then the publication is at `now`, unless `quiet` and there are
        none."""
        count, left = 0, list(gone)
        for rows, is_last in self._transactions(scan, start):
            if quiet and not rows.num_rows and not left:
                break
            self.reached("refined.began")
            place = now if is_last else replace(now, sent=start.sent, part=_place(rows, rows.num_rows - 1))
            messages = itertools.chain(left, self.outgoing.messages(rows))
            self.publication.write(self._heard(messages), place.progress())
            self.reached("refined.written")
            count, left = count + len(left) + rows.num_rows, []
        return Sent(count, now.generation)

    def _heard(self, messages: Iterator[Message]) -> Iterator[Message]:
        """The messages, with a point amid a transaction at which a test can kill us."""
        for place, message in enumerate(messages):
            if place == 1:
                self.reached("refined.sending")
            yield message

    # Which rows.

    def _transactions(self, scan: Scan, start: Place) -> Iterator[tuple[pa.Table, bool]]:
        """Rows in their order, cut where no two of one place are parted; the last ones, maybe none, are told."""
        chunks = self._chunks(scan, start)
        rows, following = next(chunks), next(chunks, None)
        while True:
            cut = _cut(rows, self.size)
            is_end = cut == rows.num_rows
            yield rows.slice(0, cut), is_end and following is None
            if not is_end:
                rows = rows.slice(cut)
            elif following is None:
                return
            else:
                rows, following = following, next(chunks, None)

    def _chunks(self, scan: Scan, start: Place) -> Iterator[pa.Table]:
        """Rows in their order, as many at once as memory may hold; one table at least."""
        selected = self.outgoing.select(scan.schema.names)
        new = self._query(f"SELECT * FROM ({selected}) WHERE {start.follows()}", rows=self.engine.frame(scan))
        ordered = ", ".join(ORDER)
        if scan.rows <= CHUNK or self._count(new) <= CHUNK:
            yield self._fetch(f"SELECT * FROM new ORDER BY {ordered}", new=new)
            return
        # Rows of one place have one number, so that they come together.
        ranked = f"SELECT *, dense_rank() OVER (ORDER BY {ordered}) AS _place FROM new"
        kept = self.engine.kept(self._query(ranked, new=new))
        last = int(self._fetch("SELECT max(_place) AS n FROM kept", kept=kept).column("n")[0].as_py())
        for after in range(0, last, CHUNK):
            chosen = f"SELECT * EXCLUDE (_place) FROM kept WHERE _place > {after} AND _place <= {after + CHUNK}"
            yield self._fetch(f"{chosen} ORDER BY {ordered}", kept=kept)

    def _query(self, sql: str, **frames: Any) -> Any:
        return self.engine.query(_parsed(sql), frames)

    def _fetch(self, sql: str, **frames: Any) -> pa.Table:
        return self.engine.fetch(_parsed(sql), frames)

    def _count(self, frame: Any) -> int:
        return int(self._fetch("SELECT count(*) AS n FROM f", f=frame).column("n")[0].as_py())

    # What happened to rows of older commits.

    def refuse(self) -> None:
        """Raises ConfigError where rows that were published may not be what they were."""
        before = Place.of(self.publication.progress())
        why = None if before is None else self._changed(before, self.table.pin.version)
        if why is not None:
            raise self._stopped(why)

    def _stopped(self, why: str) -> ConfigError:
        message = f"{self.table.name} cannot be published into {self.outgoing.topic} any further: {why}"
        hint = (
            f"go on behind what is there: catchment publish {self.table.name} --from-now   ·   publish all of it again,"
            f" under the same ids: catchment publish {self.table.name} --again"
        )
        return ConfigError(message, hint=hint)

    def _changed(self, before: Place, version: int) -> str | None:
        if before.version > version or not self.table.descends(before.generation):
            return "the table was put back"
        count = version - before.version
        told = self.table.history(count + 1)
        if len(told) <= count:
            return None if self._is_whole(before) else "it is so much later that nobody knows what was done since"
        if told[-1].at.isoformat() != before.at:
            return "it is another table"
        # A replay only adds rows, unless one row of bronze becomes several, of which some are there.
        allowed = ADDITIVE if self.makes_several else ADDITIVE | {"replay"}
        done = {commit.operation for commit in told[:-1]} - allowed
        return f"rows of older commits were changed ({', '.join(sorted(done))})" if done else None

    def _is_whole(self, before: Place) -> bool:
        """Whether no order changed older rows, told by the table's state, without its log: after a rebuild, a replay or
        a backfill only verdicts under the order's number and later ones count, `forward` has another definition, and
        what was put back does not descend."""
        progress = self.table.progress()
        first = progress.judged[0][0] if progress.judged else None
        return progress.definition == before.definition and first is not None and first <= before.generation

    def _gone(self, before: Place, now: Place) -> list[Message]:
        """Rows that were published and have left the table since, as messages that say so."""
        new = self.engine.frame(self.table.scan(within={"_judged": (before.generation + 1, None)}, hidden=True))
        came = self._query(f"SELECT * FROM new WHERE _judged > {before.generation:d}", new=new)
        if before.rows + self._count(came) == now.rows:
            return []
        try:
            earlier = self.then(before.version)
        except ConfigError:
            earlier = None
        if earlier is None:
            why = "late rows put out others, and nobody knows any more which"
            raise self._stopped(why)
        was, there = earlier.scan(hidden=True), self.table.scan(hidden=True)
        left = replace(was, files=tuple(sorted(set(was.files) - set(there.files))))
        came_in = replace(there, files=tuple(sorted(set(there.files) - set(was.files))))
        same = ", ".join(map(quoted, self.displaces))
        rows = self._query(
            f"SELECT * FROM w ANTI JOIN t USING ({same})", w=self.engine.frame(left), t=self.engine.frame(came_in)
        )
        selected = self.outgoing.select(was.schema.names, gone=True)
        listed = f"SELECT * FROM ({selected}) WHERE {before.precedes()} ORDER BY {', '.join(ORDER)}"
        return list(self.outgoing.messages(self._fetch(listed, rows=rows)))


def here(table: Table) -> Place:
    """The place behind everything that a table holds."""
    progress, at = table.progress(), table.history(1)[0].at.isoformat()
    generation, rows = progress.generation, int(table.scan().rows)
    return Place(generation, None, generation, table.pin.version, at, rows, progress.definition)


def _place(rows: pa.Table, row: int) -> tuple[Any, ...]:
    (found,) = rows.select(list(ORDER)).slice(row, 1).to_pylist()
    return tuple(found[name] for name in ORDER)


def _cut(rows: pa.Table, size: int) -> int:
    """Where a transaction of about so many rows ends: behind the last row of its place."""
    cut: int = min(size, rows.num_rows)
    while 0 < cut < rows.num_rows and _place(rows, cut) == _place(rows, cut - 1):
        cut += 1
    return cut


def _parsed(sql: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(sql, read="duckdb")
