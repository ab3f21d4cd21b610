"""moto's server, in memory; nothing of this machine's own AWS."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.services.servers import ENVIRONMENTS, Server, free_port, listens, running

from catchment import aws_secrets, settings

HERE = Path(__file__).parent


class MotoServer(Server):
    """It takes any key."""

    def __init__(self) -> None:
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        words = [str(ENVIRONMENTS / "moto/bin/moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]
        super().__init__(f"moto-{self.port}", words, lambda: listens(self.port))


@pytest.fixture(scope="session")
def moto() -> Iterator[MotoServer]:
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    with running(MotoServer()) as started:
        assert isinstance(started, MotoServer)
        yield started


def forget() -> None:
    """As in a process that has asked for nothing yet."""
    aws_secrets._secret.cache_clear()
    aws_secrets._client.cache_clear()
    settings._given_out.clear()


@pytest.fixture(autouse=True)
def aws(moto: MotoServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "eu-central-1" if name.endswith("REGION") else "tests")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", moto.endpoint)
    forget()
    yield
    forget()


@pytest.fixture
def client(aws: None, moto: MotoServer) -> Iterator[Any]:
    found = boto3.client("secretsmanager", endpoint_url=moto.endpoint)
    for told in found.list_secrets()["SecretList"]:
        found.delete_secret(SecretId=told["ARN"], ForceDeleteWithoutRecovery=True)
    yield found
    found.close()
