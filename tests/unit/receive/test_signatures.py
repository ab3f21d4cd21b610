"""Signatures: against the library of Standard Webhooks both ways, and what is refused with which word."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from catchment.errors import ConfigError
from catchment.receive.signatures import GitHub, Refusal, Standard, Stripe, Unsigned, digest, scheme, standard_key

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = 1_780_000_000.0

bodies = st.text().map(str.encode) | st.dictionaries(st.text(), st.integers() | st.text()).map(
    lambda found: json.dumps(found, ensure_ascii=False).encode()
)
ids = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60)


def standard(*secrets: str, tolerance_s: int = 300) -> Standard:
    return Standard([standard_key(secret) for secret in secrets or (SECRET,)], tolerance_s)


def reason(refusal: Refusal | None) -> str | None:
    return None if refusal is None else refusal.reason


@given(ids, bodies)
def test_what_the_library_signs_is_taken(delivery: str, body: bytes) -> None:
    now = datetime.now(UTC)
    signature = Webhook(SECRET).sign(delivery, now, body.decode())
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    assert standard().check(headers, body, time.time()) is None
    assert reason(standard(OTHER).check(headers, body, time.time())) == "forged"
    assert reason(standard().check({**headers, "webhook-id": delivery + "x"}, body, time.time())) == "forged"


@given(ids, bodies)
def test_what_is_signed_here_the_library_takes(delivery: str, body: bytes) -> None:
    headers = standard().sign(delivery, body, time.time())
    Webhook(SECRET).verify(body, headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body + b" ", headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(body, headers, json_parse=False)


@given(ids, bodies, st.integers(-400, 400), st.sampled_from(("body", "id", "stamp", "signature", "none")))
def test_both_take_the_same_and_refuse_the_same(delivery: str, body: bytes, behind: int, changed: str) -> None:
    now = time.time()
    headers = standard().sign(delivery, body, now - behind)
    if changed == "id":
        headers["webhook-id"] += "0"
    elif changed == "stamp":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) + 1)
    elif changed == "signature":
        headers["webhook-signature"] = "v1," + base64.b64encode(hashlib.sha256(body).digest()).decode()
    sent = body + b"." if changed == "body" else body
    try:
        Webhook(SECRET).verify(sent, headers, json_parse=False)
        theirs = True
    except WebhookVerificationError:
        theirs = False
    if abs(abs(behind) - 300) > 2:  # the two clocks are not asked at the same moment
        assert (standard().check(headers, sent, now) is None) == theirs


def test_the_example_of_the_standard_is_taken() -> None:
    """From the specification: https://github.com/standard-webhooks/standard-webhooks."""
    body = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert standard().check(headers, body, 1614265330) is None
    assert standard().id_of(headers, body) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({"webhook-id": ""}, "unsigned"),
        ({"webhook-timestamp": ""}, "unsigned"),
        ({"webhook-timestamp": "yesterday"}, "unsigned"),
        ({"webhook-timestamp": "1e9"}, "unsigned"),
        ({"webhook-timestamp": "٣٣"}, "unsigned"),
        ({"webhook-signature": ""}, "unsigned"),
        ({"webhook-signature": "v1a,AAAA"}, "unsigned"),
        ({"webhook-signature": "v1"}, "forged"),
        ({"webhook-signature": "v1,"}, "forged"),
        ({"webhook-signature": "v1,no base64"}, "forged"),
        ({"webhook-signature": "v1,AAAA v1,BBBB"}, "forged"),
    ],
)
def test_headers_that_sign_nothing_are_refused(headers: dict[str, str], why: str) -> None:
    whole = {**standard().sign("msg_1", b"{}", NOW), **headers}
    assert reason(standard().check(whole, b"{}", NOW)) == why


@pytest.mark.parametrize("name", ["standard", "stripe"])
def test_what_is_older_or_newer_than_the_tolerance_is_stale_and_the_sender_hears_by_how_much(name: str) -> None:
    signing = scheme(name, [SECRET], 300)
    headers = signing.sign("msg_1", b"{}", NOW)
    assert signing.check(headers, b"{}", NOW + 300) is None
    assert signing.check(headers, b"{}", NOW - 300) is None
    late, early = signing.check(headers, b"{}", NOW + 4000), signing.check(headers, b"{}", NOW - 301)
    assert late is not None
    assert (late.reason, late.status) == ("stale", 400)
    assert "is 4,000 s behind the receiver's clock, which takes 300 s" in late.message
    assert early is not None
    assert "is 301 s ahead of the receiver's clock" in early.message


@pytest.mark.parametrize("name", ["standard", "github", "stripe"])
def test_while_a_secret_is_changed_both_are_taken_and_afterwards_the_new_one_only(name: str) -> None:
    old, new, both = (scheme(name, secrets, 300) for secrets in ([OTHER], [SECRET], [SECRET, OTHER]))
    for signing in (old, new, both):
        assert both.check(signing.sign("msg_1", b"{}", NOW), b"{}", NOW) is None
    assert reason(new.check(old.sign("msg_1", b"{}", NOW), b"{}", NOW)) == "forged"


def test_a_signature_of_github_is_taken() -> None:
    """From GitHub's own documentation of how to test it."""
    secret, body = "It's a Secret to Everybody", b"Hello, World!"
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    github = scheme("github", [secret], 0)
    assert github.check({"x-hub-signature-256": signature}, body, NOW) is None
    assert reason(github.check({"x-hub-signature-256": signature}, body + b"!", NOW)) == "forged"
    assert reason(github.check({"x-hub-signature-256": "sha256=zz"}, body, NOW)) == "forged"
    assert reason(github.check({"x-hub-signature-256": "sha1=00"}, body, NOW)) == "unsigned"
    assert reason(github.check({}, body, NOW)) == "unsigned"
    assert github.id_of({"x-github-delivery": "72d3162e"}, body) == "72d3162e"
    assert github.id_of({}, body) == digest(body)


def test_a_signature_of_stripe_is_taken() -> None:
    body = b'{"id": "evt_1", "object": "event"}'
    right = hmac.new(SECRET.encode(), b"1780000000." + body, hashlib.sha256).hexdigest()
    stripe = Stripe([SECRET.encode()])
    for header in (f"t=1780000000,v1={right}", f"t=1780000000, v0=ff, v1={'0' * 64}, v1={right}"):
        assert stripe.check({"stripe-signature": header}, body, NOW) is None
    for header, why in (
        (f"t=1780000001,v1={right}", "forged"),
        (f"t=1780000000,v0={right}", "unsigned"),
        (f"v1={right}", "unsigned"),
        ("", "unsigned"),
    ):
        assert reason(stripe.check({"stripe-signature": header}, body, NOW)) == why
    assert stripe.id_of({}, body) == "evt_1"


@pytest.mark.parametrize("body", [b"[1]", b"{}", b'{"id": 7}', b'{"id": ""}', b"no json", b"[" * 100_000])
def test_a_body_of_stripe_without_an_id_is_known_by_what_it_holds(body: bytes) -> None:
    assert Stripe([b"s"]).id_of({}, body) == digest(body)


def test_who_does_not_sign_is_believed_and_known_by_its_id_or_its_body() -> None:
    assert Unsigned().check({}, b"{}", NOW) is None
    assert Unsigned().id_of({"webhook-id": "7"}, b"{}") == "7"
    assert Unsigned().id_of({}, b"{}") == digest(b"{}")


@pytest.mark.parametrize("secret", ["whsec_", "", "whsec_*", "not base64!", "foo", "whsec_c2hvcnQ="])
def test_a_secret_that_is_none_is_refused_without_being_told(secret: str) -> None:
    with pytest.raises(ConfigError) as refused:
        standard_key(secret)
    assert "and this one is not" in refused.value.message
    assert not secret or secret not in refused.value.message


@given(bodies, st.dictionaries(st.sampled_from(("webhook-id", "webhook-timestamp", "webhook-signature")), st.text()))
def test_no_header_brings_it_down_and_none_is_taken(body: bytes, headers: dict[str, str]) -> None:
    assert standard().check(headers, body, NOW) is not None


@given(bodies, st.text())
def test_no_header_brings_the_others_down(body: bytes, text: str) -> None:
    assert GitHub([b"s"]).check({"x-hub-signature-256": "sha256=" + text}, body, NOW) is not None
    assert Stripe([b"s"]).check({"stripe-signature": text}, body, NOW) is not None
    assert Stripe([b"s"]).check({"stripe-signature": "t=1780000000,v1=" + text}, body, NOW) is not None
