"""Files in folders: CSV, JSON and Parquet, plain, gzip or Zstandard.

A file is known by its path and read once. Guarantee: at least once from here, exactly once in bronze, because the names
of the files read ride in the commit that adds their rows. A file that changed after it was read is read again only
where its stream says `changed: reload`, as a whole.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from catchment import naming
from catchment.errors import ChangedFile, ConfigError, DataError, SchemaDrift
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.sources import listing
from catchment.sources.file_bytes import FoundFile, ReadFile, ahead, content_hash
from catchment.sources.file_shape import FileStream, Pinned, Shape
from catchment.sources.text_files import Piece

SEEN = pa.schema(
    [
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified_us", pa.int64()),
        ("sha256", pa.string()),
        ("rows", pa.int64()),
        ("read_us", pa.int64()),
    ]
)

_FORMATS = {
    "csv": "csv",
    "tsv": "csv",
    "psv": "csv",
    "txt": "csv",
    "json": "jsonl",
    "jsonl": "jsonl",
    "ndjson": "jsonl",
    "parquet": "parquet",
    "pq": "parquet",
}

_PACKED = (".gz", ".zst")

# What a file that is gone was, for those that are known by their rows in bronze alone: no file is so.
_GONE = -1

# Rows of small pieces wait for each other until they are worth handing on.
_BATCH = 8 << 20


class _Format(Protocol):
    def read(self, files: Sequence[FoundFile]) -> Iterator[Piece]: ...


class FilesSource(Source):
    """Streams of files under `folder`, the project's own."""

    abilities: ClassVar[Abilities] = Abilities(keeps_types=True)

    def __init__(self, name: str, streams: Mapping[str, FileStream], folder: Path) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = folder

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Looks at the folder, and into files whose size or time is another than when they were read."""
        settings = self._settings(feed)
        shape = _shape(feed, settings, since)
        found = self._list(settings, shape)
        known = Known(None if since is None else since.seen)
        new, doubtful = known.sort(found)
        fates = [(file, _fate(settings, file, found)) for file in doubtful if not known.same(file)]
        new += [file for file, fate in fates if fate == "reload"]
        notices = [_changed_notice(feed, file, known, fate) for file, fate in fates]
        if not found and not len(known):
            notices.append(
                Notice("nothing_found", f"no file matches {settings.path} ({feed.name})", {"stream": feed.name})
            )
        return Description(len(new), sum(file.size for file in new), "file", notices)

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """New files by path. Cursors come where a file ends: after `budget`, before columns are added, and last; after
        each file where it is a load of its own."""
        settings = self._settings(feed)
        shape = _shape(feed, settings, since)
        found = self._list(settings, shape)
        known = Known(None if since is None else since.seen)
        new, doubtful = known.sort(found)
        again, ignored, notices = self._changed(feed, settings, known, doubtful, found)
        new = sorted([*new, *again], key=lambda file: file.origin)
        if not new and not notices:
            return
        reader = self._reader(shape, settings, new)
        carried = Gathered(shape.pinned, ignored, notices)
        for group in _groups(new, 0 if settings.full or settings.load_per_file else budget.bytes):
            for piece in ahead(reader.read(group)):
                if settings.full:
                    _refuse_halves(feed, piece)
                    carried.tell(_emptied(feed, piece))
                yield from carried.add(piece)
            yield carried.end()
        if not new:
            yield carried.end()

    def acknowledge(self, feed: Feed, cursor: Cursor) -> None:
        """A folder does not want to hear."""

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Looks at the folder."""
        found = self.describe(feed, None)
        if not found.notices:
            size = f"{found.bytes / 1e6:,.1f} MB"
            return [Finding(feed.name, "ok", f"{found.items:,} {'file' if found.items == 1 else 'files'}, {size}")]
        return [Finding(feed.name, "warning", notice.message) for notice in found.notices]

    def close(self) -> None:
        """Files are open while they are read."""

    def recognize(self, feed: Feed, origins: pa.Table) -> Cursor:
        """Reads again what is still there, for its shape; files that have other rows now count as changed."""
        settings = self._settings(feed)
        shape = _shape(feed, settings, None)
        landed = dict(zip(origins.column("_origin").to_pylist(), origins.column("rows").to_pylist(), strict=True))
        present = [file for file in self._list(settings, shape) if file.origin in landed]
        read: dict[str, ReadFile] = {}
        if present:
            for piece in ahead(self._reader(shape, settings, present).read(present)):
                read |= {file.origin: file for file in piece.ended}
        files = [
            found if (found := read.get(origin)) is not None and found.rows == rows else _unknown(origin, rows)
            for origin, rows in landed.items()
        ]
        return Cursor(shape.pinned.value(), _seen_table(files))

    def _settings(self, feed: Feed) -> FileStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]

    def _changed(
        self, feed: Feed, settings: FileStream, known: Known, doubtful: Iterable[FoundFile], found: Sequence[FoundFile]
    ) -> tuple[list[FoundFile], list[ReadFile], list[Notice]]:
        """Files to read again, files to note as seen in their new state, and what to tell; raises ChangedFile."""
        again, noted, notices = [], [], []
        for file in doubtful:
            digest = content_hash(file)
            if not known.same(file, digest):
                fate = _fate(settings, file, found)
                if fate == "fail":
                    message = f"{file.origin} changed after it was read{known.when(file)}; {feed.name} stops before it"
                    hint = (
                        "restore it, give the new content a new name, or say what to do: `changed: ignore`, or `reload`"
                    )
                    raise ChangedFile(message, hint=hint)
                notices.append(_changed_notice(feed, file, known, fate))
                if fate == "reload":
                    again.append(file)
                    continue
            noted.append(ReadFile(file.origin, file.size, file.modified_us, digest, known.rows(file)))
        return again, noted, notices

    def _list(self, settings: FileStream, shape: Shape) -> list[FoundFile]:
        """The stream's files as the folder has them now, by path."""
        path = self._folder / settings.path
        names = listing.names(path, settings.path, self._folder)
        known = _family(settings.format) or shape.dialect.get("format")
        if path.is_dir():
            kinds = {_kind(name) for name in names} - {None}
            if known is None and len(kinds) > 1:
                several = " and ".join(sorted(map(str, kinds)))
                message = f"{shape.feed}: {settings.path} holds files of several formats: {several}"
                raise ConfigError(message, hint="say which: `format:`, or write a pattern such as `*.csv`")
            wanted = known or next(iter(kinds), None)
            names = [name for name in names if _kind(name) == wanted or (settings.format and _kind(name) is None)]
        found = [file for name in names if (file := self._file(name)) is not None]
        return sorted(found, key=lambda file: file.origin)

    def _file(self, name: str) -> FoundFile | None:
        path = self._folder / name
        try:
            status = path.stat()
        except OSError:
            return None  # gone between two looks
        if not stat.S_ISREG(status.st_mode):
            return None
        return FoundFile(_origin(name, self._folder), path, status.st_size, status.st_mtime_ns // 1000)

    def _reader(self, shape: Shape, settings: FileStream, new: Sequence[FoundFile]) -> _Format:
        from catchment.sources.csv_head import CsvHeads
        from catchment.sources.json_head import JsonHeads
        from catchment.sources.parquet import ParquetFiles
        from catchment.sources.text_files import TextFiles

        kind = self._format(shape, settings, new)
        if kind == "parquet":
            return ParquetFiles(shape)
        heads = CsvHeads(shape, settings) if kind == "csv" else JsonHeads(shape, settings)
        return TextFiles(shape, heads, settings.encoding)

    def _format(self, shape: Shape, settings: FileStream, new: Sequence[FoundFile]) -> str:
        said, pinned = _family(settings.format), shape.dialect.get("format")
        if said is not None and pinned is not None and said != pinned:
            message = f"{shape.feed} landed as {pinned}; the project now says `format: {settings.format}`"
            raise SchemaDrift(message, hint=f"write `format: {pinned}` again, or land the files as a new stream")
        if said is not None or pinned is not None:
            return str(said or pinned)
        kinds = {_kind(file.origin) for file in new}
        kind = next(iter(kinds), None)
        if kind is None or len(kinds) > 1:
            message = f"{shape.feed}: the format of {settings.path} cannot be told from its files' names"
            raise ConfigError(message, hint="say which: `format: csv`, `jsonl`, `json` or `parquet`")
        return kind


class Known:
    """Files that were read, and as what; the newest line about a path is the one that counts."""

    def __init__(self, seen: pa.Table | None) -> None:
        table = SEEN.empty_table() if seen is None else seen.select(SEEN.names).cast(SEEN)
        self._seen = table.sort_by([("read_us", "descending")])

    def __len__(self) -> int:
        return int(self._seen.num_rows)

    def sort(self, found: Sequence[FoundFile]) -> tuple[list[FoundFile], list[FoundFile]]:
        """Those never read, and those whose size or time is another now.

        A file that held no row when it was looked into, because it was just being made, has not been read.
        """
        paths = pa.array([file.origin for file in found], pa.string())
        places = pc.index_in(paths, value_set=self._seen.column("path").combine_chunks()).to_pylist()
        known = self._seen.select(["size", "modified_us"]).take(pa.array(places, pa.int64())).to_pydict()
        filled = set(self._seen.filter(pc.greater(self._seen.column("rows"), 0)).column("path").to_pylist())
        new: list[FoundFile] = []
        doubtful: list[FoundFile] = []
        for file, size, modified in zip(found, known["size"], known["modified_us"], strict=True):
            if size is None:
                new.append(file)
            elif (size, modified) != (file.size, file.modified_us):
                (doubtful if file.origin in filled else new).append(file)
        return new, doubtful

    def same(self, file: FoundFile, digest: str | None = None) -> bool:
        """Whether the file holds what it held when it was last looked into."""
        lines = self._of(file)
        return bool(lines.num_rows) and lines.column("sha256")[0].as_py() == (digest or content_hash(file))

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


class Gathered:
    """Pieces on their way into batches: rows wait until they are enough, and for the cursor that may follow."""

    def __init__(self, pinned: Pinned, noted: Sequence[ReadFile], notices: Sequence[Notice]) -> None:
        self._pinned = pinned
        self._tables: list[pa.Table] = []
        self._bytes = 0
        self._ended = list(noted)
        self._notices = list(notices)

    def add(self, piece: Piece) -> Iterator[Batch]:
        """Take a piece in; batches that are full come out, and one with a cursor before rows with other columns."""
        waiting = sum(table.nbytes for table in self._tables)
        if self._tables and piece.rows.schema != self._tables[0].schema:
            if any(table.num_rows for table in self._tables):
                yield self.end()
            else:
                self._tables = []
        elif waiting >= _BATCH:
            yield self._batch(None)
        self._tables.append(piece.rows)
        self._bytes += piece.bytes
        self._ended.extend(piece.ended)
        self._notices.extend(piece.notices)
        self._pinned = piece.pinned

    def tell(self, notices: Sequence[Notice]) -> None:
        """With the next batch."""
        self._notices.extend(notices)

    def end(self) -> Batch:
        """What waits, with the cursor after it: every file that ended is whole in this batch or one before."""
        cursor = Cursor(self._pinned.value(), _seen_table(self._ended))
        self._ended = []
        return self._batch(cursor)

    def _batch(self, cursor: Cursor | None) -> Batch:
        rows = pa.concat_tables(self._tables) if self._tables else self._pinned.schema.empty_table()
        batch = Batch(rows, cursor, self._bytes, tuple(self._notices))
        self._tables, self._bytes, self._notices = [], 0, []
        return batch


def _seen_table(files: Sequence[ReadFile]) -> pa.Table:
    now = int(datetime.now(UTC).timestamp() * 1e6)
    return pa.table(
        [
            [file.origin for file in files],
            [file.size for file in files],
            [file.modified_us for file in files],
            [file.sha256 for file in files],
            [file.rows for file in files],
            [now] * len(files),
        ],
        schema=SEEN,
    )


def _groups(files: Sequence[FoundFile], limit: int) -> Iterator[list[FoundFile]]:
    """Files in order, each group just above so many bytes."""
    group: list[FoundFile] = []
    size = 0
    for file in files:
        group.append(file)
        size += file.size
        if size >= limit:
            yield group
            group, size = [], 0
    if group:
        yield group


def _origin(name: str, folder: Path) -> str:
    """A file's name relative to the project; absolute where the project says so and it lies elsewhere.

    Bytes in it that are no UTF-8 are spelled out (`\\xff`).
    """
    plain = os.path.normpath(name).removeprefix(f"{folder}{os.sep}")
    return os.fsencode(plain.replace(os.sep, "/")).decode("utf-8", "backslashreplace")


def _kind(name: str) -> str | None:
    """The format that a file's name tells."""
    plain = name.lower()
    for ending in _PACKED:
        plain = plain.removesuffix(ending)
    return _FORMATS.get(plain.rpartition(".")[2])


def _family(said: str | None) -> str | None:
    """What is pinned of a declared format: documents are documents, one a line or not."""
    return "jsonl" if said == "json" else said


def _shape(feed: Feed, settings: FileStream, since: Cursor | None) -> Shape:
    return Shape(feed.name, settings.columns, {} if since is None else since.value)


def _fate(settings: FileStream, file: FoundFile, found: Sequence[FoundFile]) -> Literal["fail", "ignore", "reload"]:
    """What becomes of a changed file: of those that each hold the whole, only the last one is worth reading again."""
    superseded = settings.full and settings.changed == "reload" and file.origin != found[-1].origin
    return "ignore" if superseded else settings.changed


def _changed_notice(feed: Feed, file: FoundFile, known: Known, fate: Literal["fail", "ignore", "reload"]) -> Notice:
    what = {"fail": "the next run stops before it", "ignore": "it is not read again", "reload": "it is read again"}[
        fate
    ]
    message = f"{file.origin} changed after it was read{known.when(file)}; {what}"
    return Notice("file_changed", message, {"stream": feed.name, "origin": file.origin})


def _refuse_halves(feed: Feed, piece: Piece) -> None:
    """What a half does not hold would count as deleted."""
    for file in piece.ended:
        if file.broken is not None:
            message = (
                f"{file.origin} cannot be read to its end, and each file of {feed.name} is the whole: {file.broken}"
            )
            raise DataError(message, hint="put the whole file in its place, or take it out of the stream's path")


def _emptied(feed: Feed, piece: Piece) -> list[Notice]:
    return [
        Notice(
            "empty_file",
            f"{file.origin} holds no rows; an empty file deletes nothing",
            {"stream": feed.name, "origin": file.origin},
        )
        for file in piece.ended
        if not file.rows
    ]


def _unknown(origin: str, rows: int) -> ReadFile:
    """A file of which only its rows in bronze are known; one of that name counts as changed."""
    return ReadFile(origin, _GONE, _GONE, "", rows)
