"""References to AWS Secrets Manager: resolved once and late, never shown, refused in words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.services.moto.conftest import forget
from tests.services.servers import free_port

from catchment.cli.group import catchment
from catchment.errors import ConfigError, RetryableError
from catchment.settings import redact, resolve

LOGIN = {"user": "alice", "password": "s3cr3t-of-alice", "port": 5432, "none": None, "tags": ["a"]}


def test_a_secret_is_its_text(client: Any, tmp_path: Path) -> None:
    client.create_secret(Name="prod/shop-db.password", SecretString="tops3cret")
    assert resolve("x:${aws-secret:prod/shop-db.password}@y", tmp_path) == "x:tops3cret@y"
    assert redact("no entry with tops3cret") == "no entry with ${aws-secret:prod/shop-db.password}"


def test_a_key_of_a_secret_is_one_value_of_its_object(client: Any, tmp_path: Path) -> None:
    arn = client.create_secret(Name="shop/db", SecretString=json.dumps(LOGIN))["ARN"]
    assert resolve("${aws-secret:shop/db#user}:${aws-secret:shop/db#password}", tmp_path) == "alice:s3cr3t-of-alice"
    assert resolve("${aws-secret:shop/db#port} ${aws-secret:shop/db#tags}", tmp_path) == '5432 ["a"]'
    assert resolve(f"${{aws-secret:{arn}#user}}", tmp_path) == "alice"
    assert redact("s3cr3t-of-alice") == "${aws-secret:shop/db#password}"


def test_a_secret_kept_as_bytes_is_text_too(client: Any, tmp_path: Path) -> None:
    client.create_secret(Name="bytes", SecretBinary=b"as-bytes")
    client.create_secret(Name="no-text", SecretBinary=b"\xff\xfe")
    assert resolve("${aws-secret:bytes}", tmp_path) == "as-bytes"
    with pytest.raises(ConfigError, match="AWS secret no-text is not UTF-8 text"):
        resolve("${aws-secret:no-text}", tmp_path)


def test_a_secret_is_asked_for_once_in_a_process(client: Any, tmp_path: Path) -> None:
    client.create_secret(Name="once", SecretString="first-value")
    assert resolve("${aws-secret:once}", tmp_path) == "first-value"
    client.put_secret_value(SecretId="once", SecretString="second-value")
    assert resolve("${aws-secret:once}", tmp_path) == "first-value"
    forget()
    assert resolve("${aws-secret:once}", tmp_path) == "second-value"


def test_what_is_not_there_is_told_with_its_place(client: Any, tmp_path: Path) -> None:
    client.create_secret(Name="login", SecretString=json.dumps(LOGIN))
    client.create_secret(Name="word", SecretString="open-sesame")
    for reference, words, cure in (
        ("nothing", "there is no AWS secret nothing", "correct the name"),
        ("login#pasword", "the secret has nothing under `pasword`", "did you mean `password`?"),
        ("login#none", "the secret has nothing under `none`", ""),
        ("word#user", "the secret is no JSON object", "ask for the whole of it"),
    ):
        with pytest.raises(ConfigError, match=rf"^sources\.db\.url: {words}.*{reference}") as refused:
            resolve(f"${{aws-secret:{reference}}}", tmp_path, place="sources.db.url")
        assert cure in (refused.value.hint or "")
        assert "sesame" not in refused.value.message
        assert "alice" not in refused.value.message


def test_a_secret_that_was_made_after_it_was_missed_is_found(client: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        resolve("${aws-secret:late}", tmp_path)
    client.create_secret(Name="late", SecretString="here-now")
    assert resolve("${aws-secret:late}", tmp_path) == "here-now"


def test_no_region_no_key_and_no_way_are_told(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.delenv("AWS_DEFAULT_REGION")
        forget()
        with pytest.raises(ConfigError, match="no region is set") as refused:
            resolve("${aws-secret:any}", tmp_path)
        assert "AWS_DEFAULT_REGION" in (refused.value.hint or "")
    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        without.delenv("AWS_SECRET_ACCESS_KEY")
        forget()
        with pytest.raises(ConfigError, match="without a good key") as refused:
            resolve("${aws-secret:any}", tmp_path)
        assert "AWS_PROFILE" in (refused.value.hint or "")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", f"http://127.0.0.1:{free_port()}")
    forget()
    with pytest.raises(RetryableError, match="AWS Secrets Manager cannot be reached"):
        resolve("${aws-secret:any}", tmp_path)


def test_a_command_never_prints_a_secret(client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client.create_secret(Name="lake", SecretString="nowhere-in-particular")
    (tmp_path / "catchment.yaml").write_text(
        "name: shop\nsources:\n  drops:\n    type: files\n    streams:\n"
        '      sales: {path: "data/${aws-secret:lake}/*.csv"}\n'
    )
    monkeypatch.chdir(tmp_path)
    planned = CliRunner().invoke(catchment, ["plan"])
    assert planned.exit_code == 0, planned.output
    assert "${aws-secret:lake}" in planned.output
    assert "nowhere-in-particular" not in planned.output
