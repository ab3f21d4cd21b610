"""Files in folders and buckets: CSV, JSON and Parquet, plain, gzip or Zstandard.

A file is known by its path and read once. Guarantee: at least once from here, exactly once in bronze, because the names
of the files read ride in the commit that adds their rows. A file that changed after it was read is read again only
where its stream says `changed: reload`, as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Unpack

import pyarrow as pa

from catchment import naming
from catchment.errors import ChangedFile, ConfigError, DataError, MissingExtra, SchemaDrift
from catchment.interfaces import Source
from catchment.records import Abilities, Batch, Budget, Cursor, Description, Feed, Finding, Notice
from catchment.sources.files.folders import Folder
from catchment.sources.files.found import FilePlace, FoundFile, ReadFile, ahead, content_hash
from catchment.sources.files.known import Known, seen_table, unknown
from catchment.sources.files.listing import S3, fixed_part
from catchment.sources.files.shape import FileStream, Pinned, Shape
from catchment.sources.files.text import Piece

if TYPE_CHECKING:
    from catchment.sources.files.s3 import Access, Buckets

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

# Rows of small pieces wait for each other until they are worth handing on.
_BATCH = 8 << 20


class _Format(Protocol):
    def read(self, files: Sequence[FoundFile]) -> Iterator[Piece]: ...


class FilesSource(Source):
    """Streams of files, in `folder`, the project's own, and in buckets as `access` lets us in."""

    abilities: ClassVar[Abilities] = Abilities(
        keeps_types=True, brings_documents=True, takes_new=True, takes_whole=True, resumes=True
    )

    def __init__(self, name: str, streams: Mapping[str, FileStream], folder: Path, **access: Unpack[Access]) -> None:
        self.name = name
        self._streams = dict(streams)
        self._folder = Folder(folder)
        self._access = access

    def feeds(self) -> Sequence[Feed]:
        names = [f"{self.name}.{stream}" for stream in self._streams]
        return [Feed(name, naming.bronze_table(name)) for name in names]

    def describe(self, feed: Feed, since: Cursor | None) -> Description:
        """Lists, and looks into files whose size, time or tag is another than when they were read."""
        settings = self._settings(feed)
        shape = _shape(feed, settings, since)
        known = Known(None if since is None else since.seen)
        found = self._list(settings, shape, known)
        new, doubtful = known.sort(found)
        fates = [(file, _fate(settings, file, found)) for file in doubtful if not known.same(file)]
        new += [file for file, fate in fates if fate == "reload"]
        notices = [_changed_notice(feed, file, known, fate) for file, fate in fates]
        if not found and not len(known):
            notices.append(_nothing(feed, settings))
        return Description(len(new), sum(file.size for file in new), "file", notices)

    def read(self, feed: Feed, since: Cursor | None, budget: Budget) -> Iterator[Batch]:
        """New files by path. Cursors come where a file ends: after `budget`, before columns are added, and last; after
        each file where it is a load of its own."""
        settings = self._settings(feed)
        shape = _shape(feed, settings, since)
        known = Known(None if since is None else since.seen)
        found = self._list(settings, shape, known)
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
        """Files do not want to hear."""

    def probe(self, feed: Feed) -> Sequence[Finding]:
        """Lists, and touches one file."""
        settings = self._settings(feed)
        found = self._list(settings, _shape(feed, settings, None))
        if not found:
            return [Finding(feed.name, "warning", _nothing(feed, settings).message)]
        found[0].place.touch(found[0])
        files = f"{len(found):,} {'file' if len(found) == 1 else 'files'}"
        return [Finding(feed.name, "ok", f"{files}, {sum(file.size for file in found) / 1e6:,.1f} MB")]

    def close(self) -> None:
        """Files are open while they are read; connections to buckets are kept until here."""
        if "_buckets" in self.__dict__:
            self._buckets.close()

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
            found if (found := read.get(origin)) is not None and found.rows == rows else unknown(origin, rows)
            for origin, rows in landed.items()
        ]
        return Cursor(shape.pinned.value(), seen_table(files))

    def _settings(self, feed: Feed) -> FileStream:
        return self._streams[feed.name.removeprefix(f"{self.name}.")]

    def _changed(
        self, feed: Feed, settings: FileStream, known: Known, doubtful: Iterable[FoundFile], found: Sequence[FoundFile]
    ) -> tuple[list[FoundFile], list[ReadFile], list[Notice]]:
        """Files to read again, files to note as seen in their new state, and what to tell; raises ChangedFile."""
        again, noted, notices = [], [], []
        for file in doubtful:
            digest = None if known.resized(file) else content_hash(file)
            if digest is None or not known.holds(file, digest):
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
            digest = digest or content_hash(file)
            noted.append(ReadFile(file.origin, file.size, file.modified_us, digest, known.rows(file), tag=file.tag))
        return again, noted, notices

    @cached_property
    def _buckets(self) -> Buckets:
        try:
            from catchment.sources.files.s3 import Buckets
        except ModuleNotFoundError as error:
            message = f"source {self.name} reads from S3, and package `{error.name}` is not installed"
            raise MissingExtra(message, hint="pip install 'catchment[aws]'") from error
        return Buckets(**self._access)

    def _list(self, settings: FileStream, shape: Shape, known: Known | None = None) -> list[FoundFile]:
        """The stream's files as their place has them now, by path; of an ordered one those behind the `known`."""
        place: FilePlace = self._buckets if settings.path.startswith(S3) else self._folder
        after = known.last(fixed_part(settings.path)) if known is not None and settings.ordered else None
        found = place.found(settings.path, after)
        pinned = _family(settings.format) or shape.dialect.get("format")
        if not found.is_folder:
            return list(found.files)
        kinds = {_kind(file.origin) for file in found.files} - {None}
        if pinned is None and len(kinds) > 1:
            several = " and ".join(sorted(map(str, kinds)))
            message = f"{shape.feed}: {settings.path} holds files of several formats: {several}"
            raise ConfigError(message, hint="say which: `format:`, or write a pattern such as `*.csv`")
        wanted = pinned or next(iter(kinds), None)
        return [
            file for file in found.files if (kind := _kind(file.origin)) == wanted or (settings.format and kind is None)
        ]

    def _reader(self, shape: Shape, settings: FileStream, new: Sequence[FoundFile]) -> _Format:
        from catchment.sources.files.csv_head import CsvHeads
        from catchment.sources.files.json_head import JsonHeads
        from catchment.sources.files.parquet import ParquetFiles
        from catchment.sources.files.text import TextFiles

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
        cursor = Cursor(self._pinned.value(), seen_table(self._ended))
        self._ended = []
        return self._batch(cursor)

    def _batch(self, cursor: Cursor | None) -> Batch:
        rows = pa.concat_tables(self._tables) if self._tables else self._pinned.schema.empty_table()
        batch = Batch(rows, cursor, self._bytes, tuple(self._notices))
        self._tables, self._bytes, self._notices = [], 0, []
        return batch


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


def _nothing(feed: Feed, settings: FileStream) -> Notice:
    return Notice("nothing_found", f"no file matches {settings.path} ({feed.name})", {"stream": feed.name})


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
