"""One S3 server for the session, over a folder; a bucket for each test."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from tests.services.servers import Server, free_port, listens, running

from catchment.reading.kinds.files import FileStream
from catchment.sources.files.source import FilesSource

HERE = Path(__file__).parent
KEY, SECRET = "catchment-tests", "an-open-secret"


class S3Server(Server):
    """versitygw; what was answered is on disk."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        for name in ("buckets", "versions"):
            (folder / name).mkdir()
        words = [
            *(program, "--port", f"127.0.0.1:{self.port}", "--region", "us-east-1", "--quiet", "posix"),
            *("--versioning-dir", str(folder / "versions"), str(folder / "buckets")),
        ]
        keys = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
        super().__init__(f"versitygw-{self.port}", words, lambda: listens(self.port), environment=keys)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    with running(S3Server(installed.stdout.strip(), tmp_path_factory.mktemp("s3"))) as started:
        assert isinstance(started, S3Server)
        yield started


@pytest.fixture(scope="session")
def client(server: S3Server) -> Iterator[Any]:
    config = Config(s3={"addressing_style": "path"}, max_pool_connections=16)
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET, "region_name": "us-east-1"}
    found = boto3.client("s3", endpoint_url=server.endpoint, config=config, **keys)
    yield found
    found.close()


@pytest.fixture(autouse=True)
def no_keys_of_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


class Bucket:
    """A bucket of one test, and sources over it."""

    def __init__(self, server: S3Server, client: Any, name: str) -> None:
        self.server = server
        self.client = client
        self.name = name
        client.create_bucket(Bucket=name)

    def put(self, key: str, content: bytes | str) -> None:
        body = content.encode() if isinstance(content, str) else content
        self.client.put_object(Bucket=self.name, Key=key, Body=body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def source(self, path: str = "in/*.csv", *, port: int | None = None, **how: Any) -> FilesSource:
        streams = {"sales": FileStream(path=f"s3://{self.name}/{path}", **how)}
        endpoint = self.server.endpoint if port is None else f"http://127.0.0.1:{port}"
        return FilesSource("drops", streams, Path(), endpoint=endpoint, access_key=KEY, secret_key=SECRET)


@pytest.fixture
def bucket(server: S3Server, client: Any) -> Bucket:
    Bucket.made = getattr(Bucket, "made", 0) + 1  # type: ignore[attr-defined]
    return Bucket(server, client, f"tests-{Bucket.made}")  # type: ignore[attr-defined]
