"""S3 as a place of files: AWS, and whoever else speaks its protocol.

Through boto3 and not Arrow's own file system: that one lists no ETags, so that each object would have to be asked for
its own, cannot ask for one version of an object (`If-Match`), and knows no other credentials than keys and roles.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import cache, cached_property, partial
from typing import IO, Any, ClassVar, TypedDict, Unpack
from urllib.parse import urlsplit

import boto3
import botocore.exceptions
import botocore.loaders
import botocore.session
import botocore.utils
from botocore import UNSIGNED
from botocore.config import Config

from catchment.errors import ConfigError, RetryableError, refused
from catchment.sources.files.found import FoundFile, Listing, ReadFile, in_order
from catchment.sources.files.listing import S3
from catchment.sources.files.s3_names import Meant, meant
from catchment.sources.files.s3_refusals import in_words, no_listing
from catchment.sources.places import hosts

# Large objects come in such parts, so many at a time: 32 MB of memory, and a cut connection costs one part at most.
PART = 8 << 20
_PARTS = 4

# In all, of a request; the step that reads tries again after that.
TRIES = 4
_PIECE = 1 << 20

# Parquet up to this size waits in memory while it is read.
_IN_MEMORY = 32 << 20


class Access(TypedDict, total=False):
    """How buckets are reached; without a key as AWS does it: environment, profile, role."""

    endpoint: str | None
    region: str | None
    access_key: str | None
    secret_key: str | None
    session_token: str | None
    anonymous: bool


class Buckets:
    """Objects by `s3://bucket/key`. An object is what its ETag says: no read ever mixes two."""

    workers: ClassVar[int] = 16

    def __init__(self, **access: Unpack[Access]) -> None:
        self._access = access

    def found(self, path: str, after: str | None = None) -> Listing:
        """What a stream's path means now, by key; a thousand objects a request, and none for each of them."""
        bucket, _, key = path.removeprefix(S3).partition("/")
        with in_words(path, "s3:ListBucket", self._where):
            what = meant(key, exists=partial(self._exists, bucket))
            files = [self._file(bucket, told) for told in self._listed(bucket, what, after)]
        return Listing(files, what.is_folder)

    @contextmanager
    def open(self, file: FoundFile) -> Iterator[_Object]:
        """The object that was found; raises RetryableError where it is gone or another one by now."""
        opened = _Object(self, file)
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def whole(self, file: FoundFile) -> Iterator[tuple[IO[bytes], ReadFile]]:
        """A copy on disk (unnamed, below TMPDIR) that lasts as long as it is read: one pass over the network."""
        told = hashlib.sha256()
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=_spool()) as copy:
            with self.open(file) as opened:
                while data := opened.read():
                    told.update(data)
                    _keep(data, copy)
            copy.seek(0)
            yield copy, ReadFile(file.origin, file.size, file.modified_us, told.hexdigest(), tag=file.tag)

    def touch(self, file: FoundFile) -> None:
        """Asks for its first byte."""
        self.part(file, 0, min(1, file.size))

    def close(self) -> None:
        """Gives back the connections."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def part(self, file: FoundFile, start: int, stop: int) -> bytes:
        """Bytes of an object; goes on where a connection broke off."""
        parts: list[bytes] = []
        at, tries = start, 0
        with in_words(file.origin, "s3:GetObject", self._where):
            while at < stop:
                before = at
                try:
                    for data in self._pieces(file, at, stop):
                        parts.append(data)
                        at += len(data)
                except (botocore.exceptions.HTTPClientError, botocore.exceptions.IncompleteReadError):
                    if at == before and tries == TRIES:
                        raise
                    time.sleep(0.1 * 2**tries)
                tries = 0 if at > before else tries + 1
                if tries > TRIES:
                    message = f"{file.origin} ends before its end, again and again"
                    raise RetryableError(message, hint="is something between here and the server that cuts answers?")
        return b"".join(parts)

    def _pieces(self, file: FoundFile, start: int, stop: int) -> Iterator[bytes]:
        bucket, _, key = file.at.partition("/")
        asked = {} if (start, stop) == (0, file.size) else {"Range": f"bytes={start}-{stop - 1}"}
        told = self._client.get_object(Bucket=bucket, Key=key, IfMatch=file.tag, **asked)
        with closing(told["Body"]) as body:
            # Not everybody who speaks S3 knows If-Match.
            if told.get("ETag", file.tag) != file.tag or told.get("ContentLength", stop - start) != stop - start:
                message = f"{file.origin} was replaced while it was read"
                raise RetryableError(message, hint="it is listed and read again")
            yield from body.iter_chunks(_PIECE)

    def _listed(self, bucket: str, what: Meant, after: str | None) -> Iterator[dict[str, Any]]:
        asked = {"Delimiter": "/"} if what.is_flat else {}
        if after is not None and after.startswith(f"{S3}{bucket}/"):
            asked["StartAfter"] = after.removeprefix(f"{S3}{bucket}/")
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=what.prefix, **asked):
            if not page.keys() & {"Name", "KeyCount", "Contents"}:
                raise no_listing(bucket, self._where)
            yield from (told for told in page.get("Contents", ()) if what.takes(told["Key"]))

    def _exists(self, bucket: str, key: str) -> bool:
        """Whether there is an object of that very name: it sorts before all that begin with it."""
        first = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
        return any(told["Key"] == key for told in first)

    def _file(self, bucket: str, told: dict[str, Any]) -> FoundFile:
        at = f"{bucket}/{told['Key']}"
        modified = int(told["LastModified"].timestamp() * 1e6)
        return FoundFile(f"{S3}{at}", self, at, told["Size"], modified, told["ETag"])

    @property
    def _where(self) -> str:
        """The endpoint, for people: it may hold a password."""
        client = self.__dict__.get("_client")
        url = self._access.get("endpoint") or (client.meta.endpoint_url if client is not None else None)
        return "AWS" if url is None else f"{url.partition('://')[0]}://{hosts(url)}" if "://" in url else "the endpoint"

    @cached_property
    def _client(self) -> Any:
        """Thread-safe, unlike the session that makes it. Elsewhere than at AWS `bucket.host` seldom is a name."""
        if self._access.get("endpoint") is not None:
            return self._made("path")
        found = self._made("auto")
        host = urlsplit(found.meta.endpoint_url).hostname or ""
        if host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
            return found
        found.close()
        return self._made("path")

    def _made(self, style: str) -> Any:
        access = self._access
        config = Config(
            retries={"mode": "standard", "total_max_attempts": TRIES},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=self.workers + _PARTS,
            # Others than AWS refuse requests with checksums, or answer without them.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": style},
            **({"signature_version": UNSIGNED} if access.get("anonymous") else {}),
        )
        basis = botocore.session.get_session()
        basis.register_component("data_loader", _loader())
        basis.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
        session = boto3.Session(
            botocore_session=basis,
            aws_access_key_id=access.get("access_key"),
            aws_secret_access_key=access.get("secret_key"),
            aws_session_token=access.get("session_token"),
            region_name=access.get("region"),
        )
        region = session.region_name or "us-east-1"  # AWS tells where a bucket is, and boto3 asks again there
        try:
            return session.client("s3", region_name=region, endpoint_url=access.get("endpoint"), config=config)
        except ValueError:  # its text holds the endpoint
            message = "the endpoint of the buckets is not an address of a host"
            raise ConfigError(message, hint="write https://host or http://host:port") from None


class _Object:
    """One object from its beginning, the next parts on their way while one is used."""

    def __init__(self, place: Buckets, file: FoundFile) -> None:
        self.modified_us = file.modified_us
        self._small = file.size <= PART
        spans = ((start, min(start + PART, file.size)) for start in range(0, file.size, PART))
        self._parts = in_order(lambda span: place.part(file, *span), spans, 1 if self._small else _PARTS)

    def read(self, _: int = -1, /) -> bytes:
        """The next part, whatever is asked for; all of a small object."""
        return next(self._parts, b"")

    def close(self) -> None:
        """Waits for what is on its way."""
        self._parts.close()


@cache
def _loader() -> Any:
    """botocore's models of services: to read them is most of the time that a client takes."""
    return botocore.loaders.create_loader()


def _moment(text: Any) -> datetime:
    """botocore's own parser takes three quarters of the time of a listing."""
    try:
        return datetime.fromisoformat(text)
    except (TypeError, ValueError):
        found: datetime = botocore.utils.parse_timestamp(text)
        return found


def _keep(data: bytes, copy: Any) -> None:
    try:
        copy.write(data)
    except OSError as error:
        raise refused(error) from error


def _spool() -> str | None:
    """A folder on disk: /tmp is memory on some machines."""
    return os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else None)
