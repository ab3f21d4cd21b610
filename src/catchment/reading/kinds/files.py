"""Files in folders."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from catchment.reading.kinds.keys import Keys, StreamKeys


class FileStream(StreamKeys):
    """One kind of file, landing in one bronze table."""

    planned: ClassVar[frozenset[str]] = frozenset({"external", "retention"})

    path: Annotated[str, Field(min_length=1, description="A glob or a folder, relative to the project or absolute.")]
    format: Annotated[
        Literal["csv", "jsonl", "json", "parquet"] | None,
        Field(
            description="By default what the file's ending says, `.gz` and `.zst` left aside. `jsonl` is one document a"
            " line; `json` an array of documents, or documents over several lines, as each file shows."
        ),
    ] = None
    encoding: Annotated[
        Literal["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"] | None,
        Field(description="By default what the first file shows; pinned once it is found."),
    ] = None
    delimiter: Annotated[
        str | None, Field(min_length=1, max_length=1, description="By default what the first file shows.")
    ] = None
    quote: Annotated[
        str | None, Field(min_length=1, max_length=1, description="By default what the first file shows.")
    ] = None
    header: Annotated[
        list[str] | None, Field(min_length=1, description="Column names, for files that have no header line.")
    ] = None
    columns: Annotated[
        Literal["evolve", "freeze", "quarantine"],
        Field(
            description="New or missing columns in a later file: `evolve` adds the new and goes on, `freeze` stops with"
            " the difference, `quarantine` holds the file's rows back as defects."
        ),
    ] = "evolve"
    changed: Annotated[
        Literal["fail", "ignore", "reload"],
        Field(
            description="A file that changed after it landed: `fail` stops, `ignore` goes on and tells, `reload` reads"
            " it again as a whole."
        ),
    ] = "fail"
    full: Annotated[
        bool,
        Field(description="Each file holds the whole table: a key that is not in the newest one was deleted."),
    ] = False
    load_per_file: Annotated[
        bool, Field(description="Each file is a load of its own, so that later ones replace its rows as a whole.")
    ] = False

    @property
    def is_whole(self) -> bool:
        return self.full

    @property
    def brings_documents(self) -> bool:
        return self.format in ("jsonl", "json") or (self.format is None and "json" in self.path)


class FilesSource(Keys):
    """Files in folders: CSV, JSON or Parquet, plain, gzipped or in Zstandard."""

    planned: ClassVar[frozenset[str]] = frozenset({"url"})

    type: Literal["files"]
    streams: Annotated[dict[str, FileStream], Field(min_length=1, description="What it gives, by name.")]
