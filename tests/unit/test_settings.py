"""References to what lies outside: resolved late, never shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catchment import aws_secrets, settings
from catchment.connected import Connected
from catchment.errors import CatchmentError, ConfigError, MissingExtra, RetryableError
from catchment.project import load_project
from catchment.settings import Reference, fault, redact, references, resolve

SECRET = 'p@ss "word"/ü42'
CURE = "write ${env:NAME}, ${file:path} or ${aws-secret:name}"


@pytest.fixture(autouse=True)
def nothing_given_out() -> Iterator[None]:
    settings._given_out.clear()
    yield
    settings._given_out.clear()


def test_a_text_without_references_is_itself(tmp_path: Path) -> None:
    assert resolve("lake/of $5 {x}", tmp_path) == "lake/of $5 {x}"
    assert references("lake") == ()


def test_references_are_found_in_order() -> None:
    assert references("${env:A}/x/${file:b/c}") == (Reference("env", "A"), Reference("file", "b/c"))
    assert [str(found) for found in references("${ env : A }")] == ["${env:A}"]


def test_a_reference_becomes_its_value_anywhere_in_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKE_HOST", "host-7")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/name").write_text("lake-of-ours\n")
    assert resolve("s3://${env:LAKE_HOST}/${file:secrets/name}/x", tmp_path) == "s3://host-7/lake-of-ours/x"


def test_a_value_is_not_resolved_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTER", "${env:INNER}")
    monkeypatch.setenv("INNER", "never")
    assert resolve("${env:OUTER}", tmp_path) == "${env:INNER}"


def test_one_newline_at_the_end_of_a_file_is_not_its_value(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"value\r\n")
    (tmp_path / "b").write_bytes(b"value\n\n")
    assert resolve("${file:a}", tmp_path) == "value"
    assert resolve("${file:b}", tmp_path) == "value\n"


def test_a_missing_variable_is_named_with_its_place_and_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(
        ConfigError, match=r"targets\.local\.lake: .*`NOT_THERE` is not set.*\$\{env:NOT_THERE\}"
    ) as caught:
        resolve("x/${env:NOT_THERE}", tmp_path, place="targets.local.lake")
    assert caught.value.hint == "set it before the command: export NOT_THERE=…"


def test_an_empty_variable_is_a_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMPTY_ONE", "")
    assert resolve("x${env:EMPTY_ONE}", tmp_path) == "x"


@pytest.mark.parametrize(("content", "why"), [(None, "is not there"), (b"\xff\xfe", "is not UTF-8 text")])
def test_a_file_that_cannot_be_read_is_named(content: bytes | None, why: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError, match=why) as caught:
        resolve("${file:secret}", tmp_path)
    assert "${file:secret}" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        ("${evn:A}", "no kind of reference `evn`", "did you mean `env`?"),
        ("${vault:A}", "no kind of reference `vault`", CURE),
        ("${aws_secret:A}", "no kind of reference `aws_secret`", "did you mean `aws-secret`?"),
        ("${aws-secret:}", "names nothing", CURE),
        ("${aws-secret:A#}", "names half a secret", "write ${aws-secret:name} or ${aws-secret:name#key}"),
        ("${aws-secret:#k}", "names half a secret", "write ${aws-secret:name} or ${aws-secret:name#key}"),
        ("${HOME}", "does not say where to look", "write `${env:HOME}`"),
        ("${}", "does not say where to look", "write `${env:NAME}`"),
        ("${env:}", "names nothing", CURE),
        ("${env:A", "is not closed", CURE),
    ],
)
def test_a_reference_that_cannot_be_is_a_mistake(text: str, message: str, cure: str, tmp_path: Path) -> None:
    found = fault(text)
    assert found is not None
    assert message in found[0]
    assert found[1] == cure
    with pytest.raises(ConfigError, match=message.replace("$", r"\$")):
        resolve(text, tmp_path)


def test_what_was_given_out_is_replaced_by_its_reference_in_every_form(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_PASSWORD", SECRET)
    assert redact(f"with {SECRET}") == f"with {SECRET}"
    resolve("postgres://u:${env:DB_PASSWORD}@h", tmp_path)
    shown = [
        f"cannot log in with {SECRET}",
        json.dumps({"password": SECRET}),
        repr(SECRET),
        "u:p%40ss%20%22word%22%2F%C3%BC42@h",
    ]
    for text in shown:
        assert "42" not in redact(text), text
        assert "${env:DB_PASSWORD}" in redact(text)


def test_every_line_of_a_long_secret_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("-----BEGIN KEY-----\nMIIBVQIBADANBg\n-----END KEY-----\n")
    resolve("${file:key.pem}", tmp_path)
    assert redact("bad line MIIBVQIBADANBg in it") == "bad line ${file:key.pem} in it"


def test_the_longest_secret_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT_ONE", "secret")
    monkeypatch.setenv("LONG_ONE", "secret-and-more")
    resolve("${env:SHORT_ONE}${env:LONG_ONE}", tmp_path)
    assert redact("secret-and-more, secret") == "${env:LONG_ONE}, ${env:SHORT_ONE}"


def test_what_replaced_a_secret_is_not_replaced_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE", "OTHER_VALUE")
    monkeypatch.setenv("OTHER_VALUE", "anything")
    resolve("${env:ONE}${env:OTHER_VALUE}", tmp_path)
    assert redact("anything") == "${env:OTHER_VALUE}"


def test_short_values_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORY", "2GB")
    resolve("${env:MEMORY}", tmp_path)
    assert redact("memory 2GB") == "memory 2GB"


@pytest.mark.parametrize(
    "given",
    ["broker-1:9092", "broker-1.example.com:9092, 10.0.0.2:19092", "[2001:db8::1]:9092", "b_1:1"],
)
def test_an_address_is_shown_where_a_key_holds_one(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERS", given)
    assert resolve("${env:SERVERS}", tmp_path, address=True) == given
    assert redact(f"cannot reach Kafka at {given}") == f"cannot reach Kafka at {given}"
    resolve("${env:SERVERS}", tmp_path)
    assert redact(given) == "${env:SERVERS}", "any other key hides it"


def test_parts_of_an_address_are_shown_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER_HOST", "broker-1")
    monkeypatch.setenv("BROKER_PORT", "19092")
    resolve("${env:BROKER_HOST}:${env:BROKER_PORT}", tmp_path, address=True)
    assert redact("broker-1:19092") == "broker-1:19092"


@pytest.mark.parametrize(
    "given",
    [
        "an-open-secret",
        "user:an-open-secret@broker:9092",
        "SASL_SSL://user:an-open-secret@broker:9092",
        "broker:pass12",
    ],
)
def test_what_is_more_than_an_address_is_hidden_there_too(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERVERS", given)
    resolve("${env:SERVERS}", tmp_path, address=True)
    assert redact(f"at {given}") == "at ${env:SERVERS}"


def test_an_address_out_of_a_file_of_secrets_is_hidden(tmp_path: Path) -> None:
    (tmp_path / "servers").write_text("broker-1:9092\n")
    resolve("${file:servers}", tmp_path, address=True)
    assert redact("at broker-1:9092") == "at ${file:servers}"


def test_a_password_that_is_an_address_too_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "broker-1:9092")
    monkeypatch.setenv("SERVERS", "broker-1:9092")
    resolve("${env:PASSWORD}", tmp_path)
    resolve("${env:SERVERS}", tmp_path, address=True)
    assert redact("at broker-1:9092") == "at ${env:PASSWORD}"


def test_the_broker_of_a_project_is_told_by_its_address_and_its_password_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "catchment.yaml").write_text(
        "name: shop\n"
        "sources: {web: {type: topic, streams: {clicks: {}}}}\n"
        'targets: {local: {broker: {type: kafka, servers: "${env:KAFKA}", settings: {sasl.password: "${env:PASS}"}}}}\n'
    )
    monkeypatch.setenv("KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("PASS", "an-open-secret")
    assert Connected.of(load_project(tmp_path)).broker is not None
    assert redact("cannot reach Kafka at 127.0.0.1:9 with an-open-secret") == (
        "cannot reach Kafka at 127.0.0.1:9 with ${env:PASS}"
    )


def test_a_secret_of_aws_without_its_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    aws_secrets._secret.cache_clear()
    for name in ("botocore", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"`botocore.*` is not installed.*\$\{aws-secret:name\}") as caught:
        resolve("${aws-secret:name}", tmp_path)
    assert caught.value.hint == "pip install 'catchment[aws]'"


REFUSED: list[tuple[str, type[CatchmentError], str]] = [
    ("ResourceNotFoundException", ConfigError, "there is no AWS secret shop"),
    ("AccessDeniedException", ConfigError, "no right to read AWS secret shop"),
    ("DecryptionFailure", ConfigError, "no right to read AWS secret shop"),
    ("ExpiredTokenException", ConfigError, "is wrong or has run out"),
    ("UnrecognizedClientException", ConfigError, "is wrong or has run out"),
    ("InvalidRequestException", ConfigError, "about to be deleted"),
    ("ThrottlingException", RetryableError, "is busy"),
    ("SomethingElse", ConfigError, "refuses secret shop: SomethingElse"),
]


@pytest.mark.parametrize(("code", "kind", "words"), REFUSED)
def test_what_aws_refuses_is_told_in_words(
    code: str, kind: type[CatchmentError], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError

    class Refusing:
        def get_secret_value(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": code, "Message": "said by AWS"}}, "GetSecretValue")

    monkeypatch.setattr(aws_secrets, "_client", Refusing)
    with pytest.raises(kind, match=words) as caught:
        resolve("${aws-secret:shop}", tmp_path, place="sources.db.url")
    assert type(caught.value) is kind
    assert caught.value.message.startswith("sources.db.url: ")
    assert caught.value.hint
    assert "said by AWS" not in caught.value.message
