"""What silver committed since a live store last heard of it, as rows for the store.

Rows name the commit that brought them (`_judged`), so that what is new is found by file statistics. What left silver
without a trace is found in the files that left, which are kept for the retention. After any order but a refine, and
where nobody knows any more, all rows are taken anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from catchment.errors import ConfigError, DataError
from catchment.live.metrics import metric_of
from catchment.metric import DELETED, EXPIRES, LiveFeed
from catchment.naming import HIDDEN, literal, quoted
from catchment.records import ADDITIVE, Token

if TYPE_CHECKING:
    from catchment.interfaces import Engine, LiveStore, Table

_BATCH_ROWS = 250_000

# So many come through memory.
_FEW_ROWS = 20_000

# No row of an ordinary age expires where nothing does.
_NEVER = "TIMESTAMPTZ '2100-01-01 00:00:00+00'"


@dataclass(frozen=True)
class Fed:
    """What one feeding did: how many rows the store took, and whether it took all of them anew, and why."""

    feed: str
    rows: int
    token: Token
    anew: str | None = None


class Feeds(Protocol):
    """What of a live store takes rows."""

    def progress(self, feed: LiveFeed) -> Token | None: ...
    def feed(
        self,
        feed: LiveFeed,
        rows: pa.RecordBatchReader,
        token: Token,
        *,
        anew: bool = False,
        since: Token | None = None,
    ) -> int: ...


@dataclass(frozen=True)
class Feeding:
    """One feed of a store, from a handle of its silver table."""

    feed: LiveFeed
    silver: Table
    engine: Engine[Any]
    scratch: Path
    then: Callable[[int], Table | None]  # the table at an earlier version; raises ConfigError

    def feed_into(self, store: LiveStore) -> Fed | None:
        """Take over what is new; None where nothing is. Raises what the store raises."""
        return self.feed_since(store.progress(self.feed), store)

    def feed_since(self, before: Token | None, store: LiveStore) -> Fed | None:
        """The same for who knows the store's progress; raises Conflict where it is another by now."""
        token = self.now
        why = self._anew(before, token)
        if why is None and before is not None and before.generation == token.generation:
            return None
        frame = None
        if why is None and before is not None:
            with self._named():
                frame, why = self._since(before, token)
        with self._named(), self._batches(self._all() if frame is None else frame) as rows:
            taken = store.feed(self.feed, rows, token, anew=why is not None, since=before)
        return Fed(self.feed.name, taken, token, why)

    def all_into(self, store: Feeds, why: str) -> Fed:
        """Every row, in the place of those that are there."""
        with self._named(), self._batches(self._all()) as rows:
            taken = store.feed(self.feed, rows, self.now, anew=True)
        return Fed(self.feed.name, taken, self.now, why)

    def why_anew(self, before: Token | None) -> str | None:
        """Why all rows are to be taken; None where those of newer commits are enough."""
        return self._anew(before, self.now)

    @cached_property
    def now(self) -> Token:
        """Where the store will be."""
        progress, pin = self.silver.progress(), self.silver.pin
        rows = self.silver.scan().rows
        return Token(
            progress.generation, pin.version, self.silver.history(1)[0].at.isoformat(), progress.definition, rows
        )

    def _anew(self, before: Token | None, now: Token) -> str | None:
        """Why all rows are to be taken; None where those of newer commits are enough."""
        if before is None:
            return "it has none yet"
        if before.definition != now.definition:
            return "the table's definition changed"
        if before.version > now.version or not self.silver.descends(before.generation):
            return "the table was put back"
        done = self._done_since(before)
        if done is None:
            return "it is another table, or so much later that nobody knows what was done since"
        if self.feed.anew and before.generation != now.generation:
            return "each commit replaces all of them"
        if done - ADDITIVE:
            return f"somebody ordered {', '.join(sorted(done - ADDITIVE))}"
        return None

    def _done_since(self, before: Token) -> frozenset[str] | None:
        """What later commits did; None where some of them, or the one before them, are not told any more."""
        count = self.silver.pin.version - before.version
        told = self.silver.history(count + 1)
        known = len(told) == count + 1 and told[-1].at.isoformat() == before.at
        return frozenset(commit.operation for commit in told[:-1]) if known else None

    def _since(self, before: Token, now: Token) -> tuple[Any, str | None]:
        """The rows of later commits and those that left; or why all are to be taken instead."""
        new = self._came(before.generation)
        # A few are read once; of many it is worth not to keep them.
        if not self.feed.whole_keys and self._new(before.generation).rows <= _FEW_ROWS:
            new = self.engine.fetch(_parsed("SELECT * FROM new"), {"new": new})
        if self.feed.traces or not self._left(before, now, new):
            return new, None
        try:
            earlier = self.then(before.version)
        except ConfigError:
            earlier = None
        if earlier is None:
            return None, "rows left the table, and nobody knows any more which"
        gone = self.engine.kept(self._gone(earlier))
        if self._count("SELECT * FROM gone", gone=gone) > now.rows // 2:
            return None, "most of its rows left the table"
        stacked = "SELECT * FROM new UNION ALL BY NAME SELECT * FROM gone"
        came = new if isinstance(new, pa.Table) else None
        return self._query(stacked, new=new if came is None else self.engine.frame(came), gone=gone), None

    def _left(self, before: Token, now: Token, new: Any) -> bool:
        """Whether a row that was there may not be any more: there would be more of them."""
        if isinstance(new, pa.Table):
            return bool(before.rows + new.num_rows != now.rows)
        came = self.engine.frame(self._new(before.generation))
        return (
            before.rows + self._count(f"SELECT * FROM came WHERE _judged > {before.generation:d}", came=came)
            != now.rows
        )

    def _gone(self, earlier: Table) -> Any:
        """The keys of rows that are in files which left, and in none that came, as rows that say so."""
        before, after = earlier.scan(hidden=True), self.silver.scan(hidden=True)
        files = (set(before.files) - set(after.files), set(after.files) - set(before.files))
        left, came = (
            self.engine.frame(replace(scan, files=tuple(sorted(some))))
            for scan, some in zip((before, after), files, strict=True)
        )
        keyed = ", ".join(f"l.{quoted(name)}" for name in self.feed.key)
        same = " AND ".join(f"l.{quoted(name)} IS NOT DISTINCT FROM c.{quoted(name)}" for name in self.feed.key)
        ours = {
            "_latest": f"CAST({self._generation} AS BIGINT)",
            "_load": "CAST(l._load AS BIGINT)",
            "_row": "CAST(l._row AS BIGINT)",
            "_rank": "CAST(0 AS INTEGER)",
            DELETED: "TRUE",
            EXPIRES: _expires(self.feed, "NULL", self.now.at),
        }
        listed = [keyed, *(f"{sql} AS {name}" for name, sql in ours.items() if name not in self.feed.key)]
        return self._query(f"SELECT {', '.join(listed)} FROM l ANTI JOIN c ON {same}", l=left, c=came)

    def _query(self, sql: str, **frames: Any) -> Any:
        return self.engine.query(_parsed(sql), frames)

    def _count(self, sql: str, **frames: Any) -> int:
        counted = self.engine.fetch(_parsed(f"SELECT count(*) AS n FROM ({sql})"), frames)
        return int(counted.column("n")[0].as_py())

    @property
    def _generation(self) -> int:
        return self.now.generation

    def _new(self, after: int) -> Any:
        return self.silver.scan(within={"_judged": (after + 1, None)}, hidden=True)

    @contextmanager
    def _batches(self, frame: Any) -> Iterator[pa.RecordBatchReader]:
        """A frame in batches, through files: so memory is bounded. Few rows are in an Arrow table already."""
        from pyarrow import parquet

        if isinstance(frame, pa.Table):
            yield frame.to_reader()
            return
        schema = self.engine.schema(frame)
        self.scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="live-", dir=self.scratch) as folder:
            files = self.engine.write(frame, folder, "rows")

            def batches() -> Iterator[pa.RecordBatch]:
                for file in files:
                    with parquet.ParquetFile(file.path) as opened:
                        for batch in opened.iter_batches(_BATCH_ROWS):
                            # Parquet has no seconds.
                            yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

            yield pa.RecordBatchReader.from_batches(schema, batches())

    @contextmanager
    def _named(self) -> Iterator[None]:
        """What cannot be computed of a row tells the metric that wants it computed."""
        try:
            yield
        except (ConfigError, DataError) as error:
            rows = self.engine.frame(self.silver.scan(hidden=True))
            for name, sql in self.feed.columns.items():
                metric = metric_of(name)
                if metric is None or sql == quoted(name):
                    continue
                try:
                    self.engine.fetch(_parsed(f"SELECT count({sql}) AS n FROM rows"), {"rows": rows})
                except (ConfigError, DataError) as found:
                    words = found.message.rpartition("Error: ")[2]
                    message = f"live.{metric}: `{sql}` stops all figures over silver.{self.feed.name}: {words}"
                    hint = "write try_cast(… as …), or try(…), which are null then: the figures are those of before"
                    raise DataError(message, hint=hint) from error
            raise

    def _all(self) -> Any:
        """Every row that is shown: a first feeding has nothing to put out."""
        whole = self.silver.scan(hidden=True)
        shown = replace(whole, shown=HIDDEN in whole.schema.names)
        return self._query(self._select(), rows=self.engine.frame(shown))

    def _came(self, after: int) -> Any:
        """The rows that commits after `after` brought, those among them that say that a key went."""
        feed, new = self.feed, self.engine.frame(self._new(after))
        if not feed.whole_keys:
            return self._query(f"{self._select()} WHERE _judged > {after:d}", rows=new)
        keyed = ", ".join(map(quoted, feed.group))
        touched = f"SELECT DISTINCT {keyed} FROM new WHERE _judged > {after:d}"
        whole = self.engine.frame(self.silver.scan(hidden=True))
        of_keys = f"SELECT * FROM whole SEMI JOIN ({touched}) AS touched USING ({keyed})"
        return self._query(self._select(), rows=self._query(of_keys, whole=whole, new=new))

    def _select(self) -> str:
        return _selected(self.feed, self.silver.schema().names, self._generation, self.now.at)


def columns_of(feed: LiveFeed, silver: pa.Schema, engine: Engine[Any]) -> pa.Schema:
    """The columns of the rows that a store is given, over silver rows of that schema. Reads no row."""
    sql = _selected(feed, silver.names, 0, "1970-01-01T00:00:00+00:00")
    return engine.schema(engine.query(_parsed(sql), {"rows": engine.frame(silver.empty_table())}))


def _selected(feed: LiveFeed, silver: Sequence[str], generation: int, at: str) -> str:
    """Rows of silver as a store is given them, by the commit that it will then have heard of."""
    keyed = {name: quoted(name) for name in feed.key}
    listed = {**keyed, **feed.columns, **_ours(feed, generation, at, hidden=HIDDEN in silver)}
    return f"SELECT {', '.join(f'{sql} AS {quoted(name)}' for name, sql in listed.items())} FROM rows"


def _ours(feed: LiveFeed, generation: int, at: str, *, hidden: bool) -> dict[str, str]:
    """What tells the newest of several rows of a key, whether it is gone, and when it may be forgotten."""
    ranked = " ".join(f"WHEN {literal(name)} THEN {place}" for place, name in enumerate(sorted(feed.streams)))
    latest = str(generation) if feed.latest is None else feed.latest
    return {
        "_latest": f"COALESCE(CAST({latest} AS BIGINT), -9223372036854775807)",
        "_load": "CAST(_load AS BIGINT)",
        "_row": "CAST(_row AS BIGINT)",
        "_rank": f"CAST(_shard * 256 + CASE _stream {ranked} ELSE 255 END AS INTEGER)",
        DELETED: f"CAST({f'{HIDDEN} IS NOT NULL' if hidden else 'FALSE'} AS BOOLEAN)",
        EXPIRES: _expires(feed, feed.moment, at),
    }


def _expires(feed: LiveFeed, moment: str | None, at: str) -> str:
    """Kept from when it happened, and from when it came, so that no version of a key goes before an older one."""
    if moment is None or feed.keep_s is None:
        return f"CAST({_NEVER} AS TIMESTAMP_S)"
    came = f"CAST({literal(at)} AS TIMESTAMPTZ)"
    latest = f"least(greatest({came}, {moment}) + INTERVAL {feed.keep_s} SECOND, {_NEVER})"
    return f"CAST(CAST({latest} AS TIMESTAMP) AS TIMESTAMP_S)"


def _parsed(sql: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(sql, read="duckdb")
