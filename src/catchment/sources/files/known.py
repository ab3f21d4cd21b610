"""Which files were read, and as what: a line for each, carried in the commits that added their rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc

from catchment.sources.files.found import FoundFile, ReadFile, content_hash

SEEN = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified_us", pa.int64()),
        ("sha256", pa.string()),
        ("rows", pa.int64()),
        ("read_us", pa.int64()),
        ("tag", pa.string()),  # absent in tables of older versions
    ]
)

# What a file that is gone was, for those that are known by their rows in bronze alone: no file is so.
_GONE = -1


class Known:
    """Files that were read, and as what; the newest line about a path is the one that counts."""

    def __init__(self, seen: pa.Table | None) -> None:
        table = SEEN.empty_table() if seen is None else seen
        if "tag" not in table.column_names:
            table = table.append_column("tag", pa.nulls(table.num_rows, pa.string()))
        self._seen = table.select(SEEN.names).cast(SEEN).sort_by([("read_us", "descending")])

    def __len__(self) -> int:
        return int(self._seen.num_rows)

    def last(self, beginning: str) -> str | None:
        """Of the paths that begin so, the one that sorts behind the others."""
        paths = self._seen.column("path")
        found: str | None = pc.max(paths.filter(pc.starts_with(paths, beginning))).as_py()
        return found

    def sort(self, found: Sequence[FoundFile]) -> tuple[list[FoundFile], list[FoundFile]]:
        """Those never read, and those whose size, or tag or time, is another now.

        A file that held no row when it was looked into, because it was just being made, has not been read.
        """
        paths = pa.array([file.origin for file in found], pa.string())
        places = pc.index_in(paths, value_set=self._seen.column("path").combine_chunks())
        known = self._seen.select(["size", "modified_us", "tag"]).take(places).to_pydict()
        filled = set(self._seen.filter(pc.greater(self._seen.column("rows"), 0)).column("path").to_pylist())
        new: list[FoundFile] = []
        doubtful: list[FoundFile] = []
        for file, size, modified, tag in zip(found, known["size"], known["modified_us"], known["tag"], strict=True):
            if size is None:
                new.append(file)
            elif size != file.size or (tag != file.tag if tag and file.tag else modified != file.modified_us):
                (doubtful if file.origin in filled else new).append(file)
        return new, doubtful

    def resized(self, file: FoundFile) -> bool:
        """Whether its size alone tells that it holds something else now."""
        return bool(self._of(file).column("size")[0].as_py() != file.size)

    def holds(self, file: FoundFile, digest: str) -> bool:
        """Whether this was its content when it was last looked into."""
        return bool(self._of(file).column("sha256")[0].as_py() == digest)

    def same(self, file: FoundFile) -> bool:
        """Whether the file holds what it held when it was last looked into."""
        return not self.resized(file) and self.holds(file, content_hash(file))

    def rows(self, file: FoundFile) -> int:
        """How many rows the file had when it was last read."""
        return int(self._of(file).column("rows")[0].as_py())

    def when(self, file: FoundFile) -> str:
        """` (2026-11-20 09:14 UTC)`, or nothing where it is not known."""
        times = self._of(file).column("read_us").drop_null()
        if not len(times):
            return ""
        return datetime.fromtimestamp(pc.min(times).as_py() / 1e6, UTC).strftime(" (%Y-%m-%d %H:%M UTC)")

    def _of(self, file: FoundFile) -> pa.Table:
        return self._seen.filter(pc.equal(self._seen.column("path"), file.origin))


def seen_table(files: Sequence[ReadFile]) -> pa.Table:
    """Lines for files that were read just now."""
    now = int(datetime.now(UTC).timestamp() * 1e6)
    return pa.table(
        [
            [file.origin for file in files],
            [file.size for file in files],
            [file.modified_us for file in files],
            [file.sha256 for file in files],
            [file.rows for file in files],
            [now] * len(files),
            [file.tag or None for file in files],
        ],
        schema=SEEN,
    )


def unknown(origin: str, rows: int) -> ReadFile:
    """A file of which only its rows in bronze are known; one of that name counts as changed."""
    return ReadFile(origin, _GONE, _GONE, "", rows)
