"""What silver committed since a live store last heard of it, as rows for the store.

Rows name the commit that brought them (`_judged`), so that what is new is found by file statistics. What left silver
without a trace is found in the files that left, which are kept for the retention. After any order but a refine, and
where nobody knows any more, all rows are taken anew.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.errors import ConfigError
from catchment.metric import DELETED, EXPIRES, LiveFeed
from catchment.naming import HIDDEN, literal, quoted
from catchment.records import Token

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.interfaces import Engine, LiveStore, Table

_BATCH_ROWS = 250_000

# What a commit may have done for its new rows to be all that changed; the last two are an upkeep's and delta-rs' own.
_ADDITIVE = frozenset({"refine", "go on", "accept", "widen", "maintain", "OPTIMIZE"})

# No row of an ordinary age expires where nothing does.
_NEVER = "TIMESTAMPTZ '2100-01-01 00:00:00+00'"


@dataclass(frozen=True)
class Fed:
    """What one feeding did: how many rows the store took, and whether it took all of them anew, and why."""

    feed: str
    rows: int
    token: Token
    anew: str | None = None


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
        before, token = store.progress(self.feed), self._token()
        why = self._anew(before, token)
        if why is None and before is not None and before.generation == token.generation:
            return None
        frame = None
        if why is None and before is not None:
            frame, why = self._since(before, token)
        with self._batches(self._all() if frame is None else frame) as rows:
            taken = store.feed(self.feed, rows, token, anew=why is not None)
        return Fed(self.feed.name, taken, token, why)

    def _token(self) -> Token:
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
        if done - _ADDITIVE:
            return f"somebody ordered {', '.join(sorted(done - _ADDITIVE))}"
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
        if self.feed.traces or not self._left(before, now):
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
        return self._query(stacked, new=new, gone=gone), None

    def _left(self, before: Token, now: Token) -> bool:
        """Whether a row that was there may not be any more: there would be more of them."""
        new = self.engine.frame(self._new(before.generation))
        return (
            before.rows + self._count(f"SELECT * FROM new WHERE _judged > {before.generation:d}", new=new) != now.rows
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
            EXPIRES: self._expires("NULL"),
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
        return self.silver.progress().generation

    def _new(self, after: int) -> Any:
        return self.silver.scan(within={"_judged": (after + 1, None)}, hidden=True)

    @contextmanager
    def _batches(self, frame: Any) -> Iterator[pa.RecordBatchReader]:
        """A frame in batches, through files: so memory is bounded."""
        import pyarrow as pa
        from pyarrow import parquet

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
        hidden = HIDDEN in self.silver.schema().names
        keyed = {name: quoted(name) for name in self.feed.key}
        listed = {**keyed, **self.feed.columns, **self._ours(hidden=hidden)}
        return f"SELECT {', '.join(f'{sql} AS {quoted(name)}' for name, sql in listed.items())} FROM rows"

    def _ours(self, *, hidden: bool) -> dict[str, str]:
        """What tells the newest of several rows of a key, whether it is gone, and when it may be forgotten."""
        feed = self.feed
        ranked = " ".join(f"WHEN {literal(name)} THEN {place}" for place, name in enumerate(sorted(feed.streams)))
        latest = str(self._generation) if feed.latest is None else feed.latest
        return {
            "_latest": f"COALESCE(CAST({latest} AS BIGINT), -9223372036854775807)",
            "_load": "CAST(_load AS BIGINT)",
            "_row": "CAST(_row AS BIGINT)",
            "_rank": f"CAST(_shard * 256 + CASE _stream {ranked} ELSE 255 END AS INTEGER)",
            DELETED: f"CAST({f'{HIDDEN} IS NOT NULL' if hidden else 'FALSE'} AS BOOLEAN)",
            EXPIRES: self._expires(feed.moment),
        }

    def _expires(self, moment: str | None) -> str:
        """Kept from when it happened, and from when it came, so that no version of a key goes before an older one."""
        if moment is None or self.feed.keep_s is None:
            return f"CAST({_NEVER} AS TIMESTAMP_S)"
        came = f"CAST({literal(self.silver.history(1)[0].at.isoformat())} AS TIMESTAMPTZ)"
        at = f"greatest({came}, {moment})"
        latest = f"least({at} + INTERVAL {self.feed.keep_s} SECOND, {_NEVER})"
        return f"CAST(CAST({latest} AS TIMESTAMP) AS TIMESTAMP_S)"


def _parsed(sql: str) -> Any:
    import sqlglot

    return sqlglot.parse_one(sql, read="duckdb")
