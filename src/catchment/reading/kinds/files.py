"""Files in folders and buckets."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.kinds.keys import SourceKeys, StreamKeys

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<rest>.*)", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")


class FileStream(StreamKeys):
    """One kind of file, landing in one bronze table."""

    planned: ClassVar[frozenset[str]] = frozenset({"external", "retention"})

    path: Annotated[
        str,
        Field(
            min_length=1,
            description="A glob or a folder, relative to the project or absolute; in a bucket `s3://bucket/sales/*.csv`.",
        ),
    ]
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
    ordered: Annotated[
        bool,
        Field(
            description="A new file always sorts behind all that were read, as names that begin with the time do. Only"
            " what lies behind them is listed: one that changed, or came late under an older name, is never seen."
        ),
    ] = False

    @field_validator("path")
    @classmethod
    def _place(cls, path: str) -> str:
        found = _SCHEME.fullmatch(path)
        if found is None or path.startswith("${"):
            return path
        if found["scheme"] != "s3":
            message = f"files cannot be read from `{found['scheme']}://`"
            raise ValueError(message, "write a path on this machine, or s3://bucket/folder/*.csv")
        bucket = found["rest"].partition("/")[0]
        if "${" not in bucket and not _BUCKET.fullmatch(bucket):
            message = f"`{path[:60]}` names no bucket"
            raise ValueError(message, "write s3://bucket/folder/*.csv")
        return path

    @model_validator(mode="after")
    def _looks_back(self) -> FileStream:
        if self.ordered and "changed" in self.model_fields_set and self.changed != "ignore":
            message = f"an ordered stream does not look at files again, so that changed: {self.changed} is never kept"
            raise ValueError(message, "remove one of them")
        return self

    @property
    def is_whole(self) -> bool:
        return self.full

    @property
    def brings_documents(self) -> bool:
        return self.format in ("jsonl", "json") or (self.format is None and "json" in self.path)


class FilesSource(SourceKeys):
    """Files in folders and in S3 buckets: CSV, JSON or Parquet, plain, gzipped or in Zstandard."""

    example: ClassVar[str] = """\
drops:
  type: files
  streams:
    orders: {path: "data/orders/*.csv"}
"""

    planned: ClassVar[frozenset[str]] = frozenset({"url"})

    type: Literal["files"]
    endpoint: Annotated[
        str | None,
        Field(min_length=1, description="Of buckets that are not on AWS, such as `https://minio.example.com:9000`."),
    ] = None
    region: Annotated[str | None, Field(min_length=1, description="Of the buckets; by default what AWS is set to.")] = (
        None
    )
    access_key: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Whose key, such as `${env:S3_KEY}`; by default what AWS finds in the environment, a profile or"
            " the machine's role.",
        ),
    ] = None
    secret_key: Annotated[
        str | None, Field(min_length=1, description="The secret that goes with it, such as `${env:S3_SECRET}`.")
    ] = None
    session_token: Annotated[
        str | None, Field(min_length=1, description="The token of a key that was lent for a while.")
    ] = None
    anonymous: Annotated[bool, Field(description="Ask without any key, for public buckets.")] = False
    streams: Annotated[dict[str, FileStream], Field(min_length=1, description="What it gives, by name.")]

    @field_validator("endpoint")
    @classmethod
    def _endpoint(cls, endpoint: str | None) -> str | None:
        if endpoint is None or "${" in endpoint:
            return endpoint
        if not re.fullmatch(r"https?://[^/?#@\s]+/?", endpoint):
            message = "the endpoint is not an address of a host"
            raise ValueError(message, "write https://host or http://host:port; keys go under access_key")
        return endpoint

    @model_validator(mode="after")
    def _one_identity(self) -> FilesSource:
        if (self.access_key is None) != (self.secret_key is None):
            missing = "access_key" if self.access_key is None else "secret_key"
            message = f"{missing} is missing"
            raise ValueError(message, "write access_key and secret_key, or neither")
        if self.session_token is not None and self.access_key is None:
            message = "a session_token goes with a key"
            raise ValueError(message, "write access_key and secret_key as well, or remove it")
        if self.anonymous and self.access_key is not None:
            message = "anonymous asks without a key, and there is one"
            raise ValueError(message, "remove one of them")
        return self
