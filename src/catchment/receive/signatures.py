"""Who sent a webhook: what its signature says, in the ways in which senders sign. Pure: bytes and a clock in, words
out.

No message tells a secret, nor what a right signature would have been.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catchment.errors import ConfigError

# Longer ids are nobody's; they would only fill the memory of what was seen.
LONGEST_ID = 256

Headers = Mapping[str, str]  # names in lower case

_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_PREFIX = "whsec_"
_SHORTEST_KEY = 16  # bytes: shorter ones can be guessed; the specification asks for 24


@dataclass(frozen=True)
class Refusal:
    """Why a delivery is not taken: `reason` is the word under which it is counted, `message` is for the sender."""

    reason: str
    status: int
    message: str


class Scheme(ABC):
    """One way of signing. `check` is None where a delivery is genuine and fresh; `id_of` names a genuine one."""

    @abstractmethod
    def check(self, headers: Headers, body: bytes, now: float) -> Refusal | None:
        """`now` in seconds since 1970."""

    @abstractmethod
    def sign(self, delivery: str, body: bytes, now: float) -> dict[str, str]:
        """The headers that a sender would add, for tests and for trying an endpoint."""

    def id_of(self, headers: Headers, body: bytes) -> str:
        """The same for the same delivery, however often it is sent; without an id of the sender's, made of the body."""
        return digest(body)


def digest(body: bytes) -> str:
    """What names a body that has no id of its own."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def scheme(name: str, secrets: Sequence[str], tolerance_s: int) -> Scheme:
    """The scheme of that name. Raises ConfigError for a secret that is none; its message does not tell it."""
    if name == "standard":
        return Standard(tuple(standard_key(secret) for secret in secrets), tolerance_s)
    if name == "github":
        return GitHub(tuple(secret.encode() for secret in secrets))
    if name == "stripe":
        return Stripe(tuple(secret.encode() for secret in secrets), tolerance_s)
    return Unsigned()


def standard_key(secret: str) -> bytes:
    """The bytes that a secret of Standard Webhooks stands for. Raises ConfigError."""
    text = secret.removeprefix(_PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _SHORTEST_KEY:
        message = "a secret of Standard Webhooks is Base64 of 24 to 64 bytes behind a prefix, and this one is not"
        raise ConfigError(message, hint="copy it whole from the sender's settings")
    return key


@dataclass(frozen=True)
class Standard(Scheme):
    """Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, one or more `v1,<Base64>`."""

    keys: Sequence[bytes]
    tolerance_s: int = 300

    def check(self, headers: Headers, body: bytes, now: float) -> Refusal | None:
        names = ("webhook-id", "webhook-timestamp", "webhook-signature")
        delivery, stamp, given = (headers.get(name, "") for name in names)
        missing = [name for name in names if not headers.get(name)]
        if missing:
            return Refusal("unsigned", 401, f"header {missing[0]} is missing")
        if not _TIMESTAMP.fullmatch(stamp):
            return Refusal("unsigned", 401, "header webhook-timestamp is not in whole seconds since 1970")
        versions = [one.partition(",") for one in given.split(" ")]
        found = [_base64(signature) for version, _, signature in versions if version == "v1"]
        if not found:
            return Refusal("unsigned", 401, "header webhook-signature has no signature of version v1")
        signed = delivery.encode("latin-1", "replace") + b"." + stamp.encode() + b"." + body
        if not _any_equal(found, [_hmac(key, signed) for key in self.keys]):
            return _FORGED
        return _stale("webhook-timestamp", int(stamp), now, self.tolerance_s)

    def sign(self, delivery: str, body: bytes, now: float) -> dict[str, str]:
        stamp = str(int(now))
        signed = delivery.encode("latin-1", "replace") + b"." + stamp.encode() + b"." + body
        signatures = (base64.b64encode(_hmac(key, signed)).decode() for key in self.keys)
        return {
            "webhook-id": delivery,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(f"v1,{one}" for one in signatures),
        }

    def id_of(self, headers: Headers, body: bytes) -> str:
        return headers["webhook-id"]


@dataclass(frozen=True)
class GitHub(Scheme):
    """GitHub: `X-Hub-Signature-256`, over the body alone, so that nothing tells how old a delivery is."""

    keys: Sequence[bytes]

    def check(self, headers: Headers, body: bytes, now: float) -> Refusal | None:
        method, _, signature = headers.get("x-hub-signature-256", "").partition("=")
        if method != "sha256":
            return Refusal("unsigned", 401, "header X-Hub-Signature-256 with sha256=<signature> is missing")
        return None if _any_equal([_hex(signature)], [_hmac(key, body) for key in self.keys]) else _FORGED

    def sign(self, delivery: str, body: bytes, now: float) -> dict[str, str]:
        signature = _hmac(self.keys[0], body).hex()
        return {"x-github-delivery": delivery, "x-hub-signature-256": f"sha256={signature}"}

    def id_of(self, headers: Headers, body: bytes) -> str:
        return headers.get("x-github-delivery") or digest(body)


@dataclass(frozen=True)
class Stripe(Scheme):
    """Stripe: `Stripe-Signature`, `t=<seconds>` and one or more `v1=<signature>`; the event's `id` names a delivery."""

    keys: Sequence[bytes]
    tolerance_s: int = 300

    def check(self, headers: Headers, body: bytes, now: float) -> Refusal | None:
        parts = [part.strip().partition("=") for part in headers.get("stripe-signature", "").split(",")]
        stamp = next((value for name, _, value in parts if name == "t"), "")
        found = [_hex(value) for name, _, value in parts if name == "v1"]
        if not found or not _TIMESTAMP.fullmatch(stamp):
            return Refusal("unsigned", 401, "header Stripe-Signature with t=<seconds>,v1=<signature> is missing")
        signed = stamp.encode() + b"." + body
        if not _any_equal(found, [_hmac(key, signed) for key in self.keys]):
            return _FORGED
        return _stale("Stripe-Signature", int(stamp), now, self.tolerance_s)

    def sign(self, delivery: str, body: bytes, now: float) -> dict[str, str]:
        stamp = str(int(now))
        signatures = (_hmac(key, stamp.encode() + b"." + body).hex() for key in self.keys)
        return {"stripe-signature": ",".join([f"t={stamp}", *(f"v1={one}" for one in signatures)])}

    def id_of(self, headers: Headers, body: bytes) -> str:
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return digest(body)
        delivery = found.get("id") if isinstance(found, dict) else None
        return delivery if isinstance(delivery, str) and delivery else digest(body)


class Unsigned(Scheme):
    """Nobody signs: whoever reaches the address is believed."""

    def check(self, headers: Headers, body: bytes, now: float) -> Refusal | None:
        return None

    def sign(self, delivery: str, body: bytes, now: float) -> dict[str, str]:
        return {"webhook-id": delivery}

    def id_of(self, headers: Headers, body: bytes) -> str:
        return headers.get("webhook-id") or digest(body)


_FORGED = Refusal("forged", 401, "no signature fits: another secret, or a body that was changed on its way")


def _hmac(key: bytes, signed: bytes) -> bytes:
    return hmac.digest(key, signed, "sha256")


def _any_equal(given: Sequence[bytes], right: Sequence[bytes]) -> bool:
    """In a time that does not tell how much of them is equal, nor which."""
    found = False
    for one in given:
        for other in right:
            found |= hmac.compare_digest(one, other)
    return found


def _stale(header: str, stamp: int, now: float, tolerance_s: int) -> Refusal | None:
    behind = now - stamp
    if abs(behind) <= tolerance_s:
        return None
    words = "behind" if behind > 0 else "ahead of"
    message = f"{header} is {abs(behind):,.0f} s {words} the receiver's clock, which takes {tolerance_s:,} s"
    return Refusal("stale", 400, message)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        return b""
