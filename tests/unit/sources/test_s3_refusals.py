"""What an S3 server answers, in words: a server of ours that answers as AWS and others are known to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from catchment.errors import CatchmentError, ConfigError, DataError, MissingExtra, RetryableError
from catchment.reading.kinds.files import FileStream
from catchment.records import Budget
from catchment.sources.files import s3
from catchment.sources.files.source import FilesSource

SECRET = "wJalrXUtnFEMI-not-to-be-shown"
LISTING = """<?xml version="1.0"?><ListBucketResult><Name>b</Name><KeyCount>1</KeyCount><IsTruncated>false</IsTruncated>
<Contents><Key>in/a.csv</Key><LastModified>2026-11-21T10:00:00.000Z</LastModified><ETag>&quot;one&quot;</ETag>
<Size>5</Size></Contents></ListBucketResult>"""


@dataclass
class Answering:
    """Answers lists and gets with a status, a body and headers; keeps what was asked."""

    port: int = 0
    lists: tuple[int, str] = (200, LISTING)
    gets: tuple[int, str, dict[str, str]] = (200, "id\n1\n", {"ETag": '"one"'})
    asked: list[str] = field(default_factory=list)

    def refuse(self, what: str, status: int, code: str, more: str = "") -> None:
        body = f"<Error><Code>{code}</Code><Message>words, and {SECRET}</Message>{more}</Error>"
        if what == "lists":
            self.lists = (status, body)
        else:
            self.gets = (status, body, {})

    def source(self, **access: Any) -> FilesSource:
        streams = {"sales": FileStream(path="s3://shop-drops/in/*.csv")}
        keys = {"access_key": "AKIA-TESTS", "secret_key": SECRET, **access}
        return FilesSource("drops", streams, Path(), endpoint=f"http://127.0.0.1:{self.port}", **keys)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    answering = Answering()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answering.asked.append(self.path)
            status, body, headers = (*answering.lists, {}) if "list-type" in self.path else answering.gets
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                if value:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None: ...

    monkeypatch.setattr(s3, "TRIES", 1)
    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    answering.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    yield answering
    listening.shutdown()
    thread.join()
    listening.server_close()


def refusal(source: FilesSource) -> CatchmentError:
    """What reading raises, which never holds what was sent, or what the server said of it."""
    with pytest.raises(CatchmentError) as raised:
        list(source.read(source.feeds()[0], None, Budget()))
    source.close()
    error = raised.value
    assert error.hint
    assert error.__suppress_context__ or error.__cause__ is None
    assert SECRET not in f"{error} {error.hint} {error.__notes__}"
    return error


LISTS = [
    (404, "NoSuchBucket", ConfigError, "there is no bucket shop-drops at http://127.0.0.1", "endpoint"),
    (403, "AccessDenied", ConfigError, "no right to read s3://shop-drops/in/*.csv", "s3:ListBucket"),
    (403, "InvalidAccessKeyId", ConfigError, "not known there, or its secret is wrong", "access_key"),
    (403, "SignatureDoesNotMatch", ConfigError, "not known there, or its secret is wrong", "access_key"),
    (400, "ExpiredToken", ConfigError, "has run out", "session_token"),
    (403, "RequestTimeTooSkewed", ConfigError, "clocks of this machine and of the server", "NTP"),
    (400, "InvalidBucketName", ConfigError, "no name of a bucket", "s3://bucket"),
    (503, "SlowDown", RetryableError, "too much to do, or an error of its own (SlowDown)", "again"),
    (500, "InternalError", RetryableError, "InternalError", "again"),
    (429, "TooManyRequestsOfSomeKind", RetryableError, "TooManyRequestsOfSomeKind", "again"),
]


@pytest.mark.parametrize(("status", "code", "kind", "words", "cure"), LISTS)
def test_a_listing_that_is_refused(
    server: Answering, status: int, code: str, kind: type[CatchmentError], words: str, cure: str
) -> None:
    server.refuse("lists", status, code)
    error = refusal(server.source())
    assert type(error) is kind
    assert words in error.message
    assert cure in (error.hint or "")


@pytest.mark.parametrize("code", ["AuthorizationHeaderMalformed", "PermanentRedirect"])
def test_a_bucket_in_another_region_is_told_with_the_region(server: Answering, code: str) -> None:
    server.refuse("lists", 301 if code == "PermanentRedirect" else 400, code, "<Region>eu-west-1</Region>")
    error = refusal(server.source(region="us-east-1"))
    assert type(error) is ConfigError
    assert "lies in region eu-west-1" in error.message
    assert error.hint == "write region: eu-west-1 at the source"


GETS = [
    (404, "NoSuchKey", RetryableError, "s3://shop-drops/in/a.csv is gone"),
    (412, "PreconditionFailed", RetryableError, "s3://shop-drops/in/a.csv was replaced"),
    (403, "AccessDenied", ConfigError, "no right to read s3://shop-drops/in/a.csv"),
    (403, "InvalidObjectState", DataError, "lies in an archive"),
    (503, "SlowDown", RetryableError, "too much to do"),
]


@pytest.mark.parametrize(("status", "code", "kind", "words"), GETS)
def test_an_object_that_is_refused(
    server: Answering, status: int, code: str, kind: type[CatchmentError], words: str
) -> None:
    server.refuse("gets", status, code)
    error = refusal(server.source())
    assert type(error) is kind
    assert words in error.message


def test_a_server_that_does_not_know_if_match_mixes_nothing(server: Answering) -> None:
    server.gets = (200, "id\n2\n", {"ETag": '"two"'})
    assert "was replaced while it was read" in refusal(server.source()).message


def test_an_answer_that_is_no_s3_is_told(server: Answering) -> None:
    server.lists = (200, "<html><body>Welcome</body></html>")
    error = refusal(server.source())
    assert type(error) is ConfigError
    assert "does not answer as S3 does" in error.message


@pytest.mark.parametrize("length", [{"Content-Length": "5"}, {}])
def test_an_object_that_ends_early_is_asked_for_again_and_told(server: Answering, length: dict[str, str]) -> None:
    server.gets = (200, "", {"ETag": '"one"', "Connection": "close", "Content-Length": "", **length})
    error = refusal(server.source())
    assert type(error) is RetryableError
    assert len([path for path in server.asked if "list-type" not in path]) > 1


def test_a_host_that_is_not_known_is_the_projects_mistake() -> None:
    streams = {"sales": FileStream(path="s3://shop-drops/in/*.csv")}
    keys = {"access_key": "AKIA-TESTS", "secret_key": SECRET}
    source = FilesSource("drops", streams, Path(), endpoint="http://nowhere.invalid:9000", **keys)
    with pytest.raises(ConfigError, match=r"the host of http://nowhere\.invalid:9000 is not known"):
        source.describe(source.feeds()[0], None)


def test_no_more_than_the_stream_needs_is_asked(server: Answering) -> None:
    source = server.source()
    assert source.describe(source.feeds()[0], None).items == 1
    assert len(server.asked) == 1
    assert "delimiter=%2F" in server.asked[0]
    assert "prefix=in%2F" in server.asked[0]
    source.close()


@pytest.mark.parametrize("endpoint", ["minio", f"http://user:{SECRET}@127.0.0.1:1", f"http://u:{SECRET}@ /"])
def test_an_endpoint_from_outside_may_be_wrong_and_hold_a_password(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "TRIES", 1)
    streams = {"sales": FileStream(path="s3://shop-drops/in/*.csv")}
    refusal(FilesSource("drops", streams, Path(), endpoint=endpoint, access_key="AKIA-TESTS", secret_key=SECRET))


def test_without_its_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "catchment.sources.files.s3")
    monkeypatch.setitem(sys.modules, "boto3", None)
    source = FilesSource("drops", {"sales": FileStream(path="s3://shop-drops/in/*.csv")}, Path())
    with pytest.raises(MissingExtra, match="package `boto3` is not installed") as caught:
        source.describe(source.feeds()[0], None)
    assert caught.value.hint == "pip install 'catchment[aws]'"
