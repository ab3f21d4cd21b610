"""What a delivery has to be, what is kept of it, and how a project's addresses are found."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.connected import Connected
from catchment.errors import ConfigError
from catchment.project import load_project
from catchment.receive.endpoints import Delivery, Endpoint, endpoints
from catchment.receive.signatures import Refusal, Unsigned

PROJECT = """\
name: shop
sources:
  payments:
    type: webhooks
    streams:
      notices: {path: /payments, scheme: standard, secret: "${env:PAYMENTS_SECRET}", topic: payment_notices}
      charges: {path: /stripe, scheme: stripe, secret: ["${env:NEW}", "${env:OLD}"], tolerance: 1 minute, keep: 3 days}
  code:
    type: webhooks
    streams:
      pushes: {path: /github, scheme: github, secret: "${env:NEW}", largest: 256 KB, format: text}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAYMENTS_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    monkeypatch.setenv("NEW", "new secret")
    monkeypatch.setenv("OLD", "old secret")
    (tmp_path / "catchment.yaml").write_text(PROJECT)
    return tmp_path


def judged(body: bytes, headers: dict[str, str] | None = None, *, is_json: bool = True) -> Delivery | Refusal:
    return Endpoint("a.b", "/b", Unsigned(), "b", is_json).judge(headers or {}, body, 1_780_000_000.5)


def test_every_stream_is_an_endpoint_with_its_secrets_resolved(folder: Path) -> None:
    found = {endpoint.stream: endpoint for endpoint in endpoints(load_project(folder))}
    assert {name: (one.path, one.topic, one.is_json) for name, one in found.items()} == {
        "payments.notices": ("/payments", "payment_notices", True),
        "payments.charges": ("/stripe", "charges", True),
        "code.pushes": ("/github", "pushes", False),
    }
    assert (found["code.pushes"].largest, found["payments.charges"].keep_s) == (256_000, 3 * 86_400)
    scheme = found["payments.charges"].scheme
    assert scheme.check(scheme.sign("", b"{}", 100), b"{}", 160) is None
    assert scheme.check(scheme.sign("", b"{}", 100), b"{}", 161) is not None


def test_one_source_can_be_asked_for(folder: Path) -> None:
    assert [one.stream for one in endpoints(load_project(folder), ["code"])] == ["code.pushes"]
    with pytest.raises(ConfigError, match="no source `cod` of type webhooks") as refused:
        endpoints(load_project(folder), ["cod"])
    assert refused.value.hint == "did you mean `code`?"


def test_a_run_needs_no_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PAYMENTS_SECRET", "NEW", "OLD"):
        monkeypatch.delenv(name)
    assert Connected.of(load_project(folder)).source("payments").feeds()
    with pytest.raises(ConfigError, match=r"sources\.payments\.streams\.notices\.secret: environment variable"):
        endpoints(load_project(folder))


@pytest.mark.parametrize(("name", "value"), [("PAYMENTS_SECRET", "hunter-2!"), ("NEW", " "), ("OLD", "")])
def test_a_secret_that_is_none_is_refused_with_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=r"^sources\.payments\.streams\.\w+\.secret: a secret") as refused:
        endpoints(load_project(folder), ["payments"])
    assert "hunter-2!" not in str(refused.value)


@pytest.mark.parametrize(("key", "slip"), [("path", "/github"), ("topic", "pushes")])
def test_two_sources_cannot_share_a_path_or_a_topic(folder: Path, key: str, slip: str) -> None:
    text = PROJECT.replace("path: /payments" if key == "path" else "topic: payment_notices", f"{key}: {slip}")
    (folder / "catchment.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"payments.notices and code.pushes have the same {key} `{slip}`"):
        endpoints(load_project(folder))


def test_a_project_without_webhooks_has_nothing_to_take(folder: Path) -> None:
    (folder / "catchment.yaml").write_text("name: shop\n")
    with pytest.raises(ConfigError, match="project shop takes no webhooks"):
        endpoints(load_project(folder))


def test_the_body_is_kept_byte_for_byte_under_the_id_of_the_delivery() -> None:
    found = judged(b' {"a":  1}\n', {"webhook-id": "msg_1"})
    assert isinstance(found, Delivery)
    assert (found.id, found.message.key, found.message.value) == ("msg_1", b"msg_1", b' {"a":  1}\n')
    assert found.message.at is not None
    assert found.message.at.timestamp() == 1_780_000_000.5


def test_headers_that_tell_of_the_delivery_are_kept_and_those_that_let_in_are_not() -> None:
    headers = {
        "content-type": "application/json",
        "x-github-event": "push",
        "webhook-id": "msg_1",
        "user-agent": "sender",
        "host": "here",
        "authorization": "Bearer secret",
        "cookie": "session",
        "x-hub-signature-256": "sha256=00",
        "webhook-signature": "v1,AA",
        "x-gitlab-token": "secret",
        "x-api-key": "secret",
        "x-forwarded-for": "192.0.2.1",
    }
    found = judged(b"{}", headers)
    assert isinstance(found, Delivery)
    assert dict(found.message.headers) == {
        "content-type": b"application/json",
        "x-github-event": b"push",
        "webhook-id": b"msg_1",
        "user-agent": b"sender",
    }


@pytest.mark.parametrize(
    "body",
    [
        b'{"\\ud800": 1}',
        b'["\\udc00\\ud800"]',
        b"",
        b"{",
        b'{"a": NaN}',
        b"-Infinity",
        b"\xff",
        b'"\x00"',
        b"[" * 100_000,
        b"{} {}",
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_no_json_is_malformed(body: bytes) -> None:
    found = judged(body)
    assert isinstance(found, Refusal)
    assert (found.reason, found.status) == ("malformed", 400)


def test_a_body_that_is_compressed_is_told_so() -> None:
    found = judged(b"\x1f\x8b\x08\x00", {"content-encoding": "gzip"})
    assert isinstance(found, Refusal)
    assert "compressed" in found.message
    assert isinstance(judged(b'"\\ud83d\\ude00"', {"content-encoding": "identity"}), Delivery)


def test_text_is_any_utf_8_that_holds_something() -> None:
    assert isinstance(judged("größer=1".encode(), is_json=False), Delivery)
    for body in (b"", b"\xff", b"a\x00"):
        assert isinstance(judged(body, is_json=False), Refusal)


@pytest.mark.parametrize("delivery", ["x" * 257, "a\tb", "é"])
def test_an_id_that_nobody_gives_is_refused(delivery: str) -> None:
    assert isinstance(judged(b"{}", {"webhook-id": delivery}), Refusal)
