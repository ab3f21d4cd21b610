"""The first rows of a stream, as they would land; nothing is written."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.interfaces import Source
from catchment.naming import did_you_mean
from catchment.records import Batch, Budget, Feed, Notice

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Peeked:
    """`rows` begin with `_origin`, `_position`, `_defect` and `_raw`; `is_all` where there are no more of them."""

    stream: str
    table: str  # where they would land
    rows: pa.Table
    is_all: bool
    notices: Sequence[Notice] = ()

    @property
    def defects(self) -> int:
        """How many of the rows cannot be read."""
        return self.rows.num_rows - int(self.rows.column("_defect").null_count) if self.rows.num_columns else 0


def peek(connected: Connected, stream: str, limit: int) -> Peeked:
    """At most so many rows of `source.stream`, as a first read gives them.

    Raises ConfigError where there is no such stream, and what `Source.read` may.
    """
    source = connected.source(_known(connected, stream), only=stream.partition(".")[2])
    feeds = connected.project.feeds_of(stream)
    tables: list[pa.Table] = []
    notices: list[Notice] = []
    count = 0
    try:
        for feed in feeds:
            for batch in _batches(source, feed, limit + 1 - count):
                tables.append(batch.rows)
                notices += batch.notices
                count += batch.rows.num_rows
            if count > limit:
                break
    finally:
        source.close()
    return Peeked(stream, str(feeds[0].table), _joined(tables, limit), count <= limit, tuple(notices))


def _batches(source: Source, feed: Feed, wanted: int) -> Iterator[Batch]:
    """Those of a first read until there are so many rows."""
    batches = source.read(feed, None, Budget(rows=wanted))
    count = 0
    try:
        for batch in batches:
            yield batch
            count += batch.rows.num_rows
            if count >= wanted:
                return
    finally:
        if isinstance(batches, Generator):
            batches.close()


def _joined(tables: Sequence[pa.Table], limit: int) -> pa.Table:
    import pyarrow as pa

    if not tables:
        return pa.table({})
    return pa.concat_tables(tables, promote_options="default").slice(0, limit)


def _known(connected: Connected, stream: str) -> str:
    """The source that a stream belongs to."""
    known = connected.project.streams()
    if stream in known:
        return stream.partition(".")[0]
    own = [name for name in known if stream in (name.partition(".")[0], name.partition(".")[2])]
    message = f"no stream `{stream}`"
    near = did_you_mean(stream, known)
    if own:
        near = f"did you mean {' or '.join(f'`{name}`' for name in own[:5])}?"
    raise ConfigError(message, hint=near or (f"there are {', '.join(known[:20])}" if known else "there are none yet"))
