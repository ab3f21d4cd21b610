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
from catchment.records import Message, Scan
from catchment.refined.continuing import changed, cure, is_done
from catchment.refined.place import ORDER, Place

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.interfaces import Engine, Publication, Table
    from catchment.refined.messages import Outgoing

# Messages of one transaction, and rows that are in memory at once.
TRANSACTION, CHUNK = 20_000, 100_000

# A broker ends a transaction that is open for too long: so many bytes go within that time where the way is slow, too.
TRANSACTION_BYTES = 16 << 20

_UNKNOWN = "late rows put out others, and nobody knows any more which"


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
    become several; `topic` tells the topic from others of its name.
    """

    table: Table
    engine: Engine[Any]
    outgoing: Outgoing
    publication: Publication
    then: Callable[[int], Table | None]
    displaces: Sequence[str] = ()
    makes_several: bool = False
    topic: str | None = None
    size: int = TRANSACTION
    reached: Callable[[str], None] = lambda _: None

    def run(self) -> Sent:
        """Publish what is new. Raises ConfigError where an order has changed what was published."""
        before, now = Place.of(self.publication.progress()), replace(here(self.table), topic=self.topic)
        if before is not None and before.until not in (None, now.version):
            return self._finish(before)
        start, left, count = before or Place(sent=0, messages=0), list[Message](), 0
        if before is not None:
            if is_done(self.table, before):
                return Sent(0, now.generation)
            self.refuse()
            if self.displaces:
                start, left, count = self._tell_gone(before, now)
        scan = self.table.scan(within={"_judged": (start.least, None)}, hidden=True)
        sent = self.send(scan, start, now, left)
        return replace(sent, rows=sent.rows + count)

    def _finish(self, before: Place) -> Sent:
        """Go on where telling what went from the table broke off, up to the version that it went from; then with what
        is new since."""
        then = self._then(before.until or 0)
        if then is None:
            raise self._stopped(_UNKNOWN)
        sent = replace(self, table=then).run()
        rest = self.run()
        return replace(rest, rows=rest.rows + sent.rows)

    def send(self, scan: Scan, start: Place, now: Place, left: Sequence[Message] = (), *, quiet: bool = False) -> Sent:
        """Publish the rows of a scan behind `start`, and what is `left` before them; then the publication is at `now`,
        unless `quiet` and there are none."""
        count, total = 0, start.messages
        now = replace(now, passed=start.passed)
        selected = self.outgoing.select(scan.schema.names)
        new = self._query(f"SELECT * FROM ({selected}) WHERE {start.follows()}", rows=self.engine.frame(scan))
        for rows, is_last in self._transactions(self._chunks(new, scan.rows)):
            if quiet and not rows.num_rows and not left:
                break
            count, total = count + len(left) + rows.num_rows, _more(total, len(left) + rows.num_rows)
            place = now if is_last else replace(now, sent=start.sent, part=_place(rows, rows.num_rows - 1))
            self._write(itertools.chain(left, self.outgoing.messages(rows)), replace(place, messages=total))
            left = ()
        return Sent(count, now.generation)

    def _write(self, messages: Iterator[Message], place: Place) -> None:
        self.reached("refined.began")
        self.publication.write(self._heard(messages), place.progress())
        self.reached("refined.written")

    def _heard(self, messages: Iterator[Message]) -> Iterator[Message]:
        """The messages, with a point amid a transaction at which a test can kill us."""
        for place, message in enumerate(messages):
            if place == 1:
                self.reached("refined.sending")
            yield message

    # Which rows.

    def _transactions(self, chunks: Iterator[pa.Table]) -> Iterator[tuple[pa.Table, bool]]:
        """Rows in their order, cut where no two of one place are parted; the last ones, maybe none, are told."""
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

    def _chunks(self, new: Any, most: int | None = None) -> Iterator[pa.Table]:
        """The rows of a frame, `most` where that is known, in their order, as many at once as memory may hold; one
        table at least."""
        ordered = ", ".join(ORDER)
        if (most is not None and most <= CHUNK) or self._count(new) <= CHUNK:
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
        why = None if before is None else changed(self.table, before, self.then, makes_several=self.makes_several)
        if why is not None:
            raise self._stopped(why)

    def _stopped(self, why: str) -> ConfigError:
        message = f"{self.table.name} cannot be published into {self.outgoing.topic} any further: {why}"
        return ConfigError(message, hint=cure(str(self.table.name), why))

    def _tell_gone(self, before: Place, now: Place) -> tuple[Place, list[Message], int]:
        """Publish which rows have left the table since, in transactions of their own but for the last of them, which go
        with the first new rows: where it stands then, those that are left, and how many were published."""
        gone = self._gone(before, now)
        if gone is None:
            return before, [], 0
        place, count = before, 0
        for rows, is_last in self._transactions(self._chunks(gone)):
            if is_last:
                return place, list(self.outgoing.messages(rows)), count
            count += rows.num_rows
            told = _place(rows, rows.num_rows - 1)
            place = replace(place, gone=told, until=now.version, messages=_more(place.messages, rows.num_rows))
            self._write(self.outgoing.messages(rows), place)
        return place, [], count

    def _gone(self, before: Place, now: Place) -> Any:
        """Rows that were published and have left the table since, as messages that say so, those left out that were
        told; None where no row left."""
        new = self.engine.frame(self.table.scan(within={"_judged": (before.generation + 1, None)}, hidden=True))
        came = self._query(f"SELECT * FROM new WHERE _judged > {before.generation:d}", new=new)
        if before.rows + self._count(came) == now.rows:
            return None
        earlier = self._then(before.version)
        if earlier is None:
            raise self._stopped(_UNKNOWN)
        was, there = earlier.scan(hidden=True), self.table.scan(hidden=True)
        left = replace(was, files=tuple(sorted(set(was.files) - set(there.files))))
        came_in = replace(there, files=tuple(sorted(set(there.files) - set(was.files))))
        same = ", ".join(map(quoted, self.displaces))
        rows = self._query(
            f"SELECT * FROM w ANTI JOIN t USING ({same})", w=self.engine.frame(left), t=self.engine.frame(came_in)
        )
        selected = self.outgoing.select(was.schema.names, gone=True)
        wanted = f"{before.precedes()} AND {before.not_told()}"
        return self._query(f"SELECT * FROM ({selected}) WHERE {wanted}", rows=rows)

    def _then(self, version: int) -> Table | None:
        """The table at an earlier version; None where it is no longer kept."""
        try:
            return self.then(version)
        except ConfigError:
            return None


def here(table: Table) -> Place:
    """The place behind everything that a table holds."""
    progress, at = table.progress(), table.history(1)[0].at.isoformat()
    generation, rows = progress.generation, int(table.scan().rows)
    return Place(generation, None, generation, table.pin.version, at, rows, progress.definition)


def _more(messages: int | None, count: int) -> int | None:
    return None if messages is None else messages + count


def _place(rows: pa.Table, row: int) -> tuple[Any, ...]:
    (found,) = rows.select(list(ORDER)).slice(row, 1).to_pylist()
    return tuple(found[name] for name in ORDER)


def _cut(rows: pa.Table, size: int) -> int:
    """Where a transaction of about so many rows, and bytes, ends: behind the last row of its place."""
    cut: int = min(size, rows.num_rows)
    while cut > 1 and rows.slice(0, cut).nbytes > TRANSACTION_BYTES:
        cut //= 2
    while 0 < cut < rows.num_rows and _place(rows, cut) == _place(rows, cut - 1):
        cut += 1
    return cut


def _parsed(sql: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(sql, read="duckdb")
