"""Where deliveries are sent to, and what each delivery has to be. Pure but for reading the project's secrets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from catchment.errors import ConfigError
from catchment.naming import did_you_mean
from catchment.project import Project
from catchment.reading.durations import seconds
from catchment.reading.kinds.webhooks import WebhooksSource, WebhookStream, size_bytes
from catchment.receive.signatures import LONGEST_ID, Headers, Refusal, Scheme, Unsigned, scheme
from catchment.records import Message
from catchment.settings import resolve

# Headers that prove who sent, or let in: they are no part of what is kept.
_PRIVATE = ("authorization", "cookie", "proxy-authorization", "signature", "secret", "token", "api-key", "apikey")

# What proxies add.
_OF_THE_WAY = ("x-forwarded-", "x-real-ip", "x-envoy-", "x-amzn-trace-id")

_KEPT = ("content-type", "user-agent")
_KEPT_BEGIN = ("x-", "webhook-", "ce-", "svix-", "stripe-", "idempotency-")


@dataclass(frozen=True)
class Delivery:
    """A genuine delivery and the message that it becomes; `id` is the same whenever it is sent again."""

    id: str
    message: Message


@dataclass(frozen=True)
class Endpoint:
    """One path: which stream it fills, who may send there, what a body may be."""

    stream: str  # source.stream
    path: str
    scheme: Scheme
    topic: str
    is_json: bool = True
    largest: int = 1_000_000
    keep_s: int | None = None  # how long the topic keeps deliveries; None leaves it to the broker

    @property
    def is_signed(self) -> bool:
        return not isinstance(self.scheme, Unsigned)

    def judge(self, headers: Headers, body: bytes, now: float) -> Delivery | Refusal:
        """`now` in seconds since 1970."""
        refusal = self.scheme.check(headers, body, now) or _packed(headers) or _malformed(body, is_json=self.is_json)
        if refusal is not None:
            return refusal
        delivery = self.scheme.id_of(headers, body)
        if len(delivery) > LONGEST_ID or not (delivery.isascii() and delivery.isprintable()):
            return Refusal("malformed", 400, f"the delivery's id is longer than {LONGEST_ID} or no printable ASCII")
        kept = tuple((name, value.encode("latin-1", "replace")) for name, value in headers.items() if _is_kept(name))
        at = datetime.fromtimestamp(now, UTC)
        return Delivery(delivery, Message(value=body, key=delivery.encode(), headers=kept, at=at))


def _is_kept(name: str) -> bool:
    if any(word in name for word in _PRIVATE) or name.startswith(_OF_THE_WAY):
        return False
    return name in _KEPT or name.startswith(_KEPT_BEGIN)


def _packed(headers: Headers) -> Refusal | None:
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in ("", "identity"):
        return None
    return Refusal("malformed", 400, "the body is compressed (content-encoding): deliveries are taken as they are")


def _malformed(body: bytes, *, is_json: bool) -> Refusal | None:
    """What would be a defect in bronze is told to the sender instead."""
    try:
        if is_json:
            found = json.loads(body.decode("utf-8"), parse_constant=_no_number)
            if b"\\u" in body:
                json.dumps(found, ensure_ascii=False).encode()
        elif b"\0" in body or not body:
            return Refusal("malformed", 400, "the body is empty or holds a NUL byte")
        else:
            body.decode("utf-8")
    except UnicodeDecodeError as error:
        return Refusal("malformed", 400, f"the body is no UTF-8 at byte {error.start}")
    except UnicodeEncodeError:
        return Refusal("malformed", 400, "the body holds half a character (a surrogate without its other half)")
    except ValueError as error:
        return Refusal("malformed", 400, f"the body is no JSON: {getattr(error, 'msg', error)}"[:200])
    except RecursionError:
        return Refusal("malformed", 400, "the body is nested too deeply")
    return None


def _no_number(text: str) -> NoReturn:
    message = f"{text} is no number in JSON"
    raise ValueError(message)


def endpoints(project: Project, sources: Sequence[str] = ()) -> list[Endpoint]:
    """Every address of a project, or those of some sources, secrets resolved.

    Raises ConfigError where there is none, where two would be one, and for a secret that is none.
    """
    declared = {name: keys for name, keys in project.sources.items() if isinstance(keys, WebhooksSource)}
    for name in sources:
        if name not in declared:
            message = f"no source `{name}` of type webhooks"
            raise ConfigError(
                message, hint=did_you_mean(name, declared) or f"there are {', '.join(declared) or 'none'}"
            )
    chosen = {name: keys for name, keys in declared.items() if not sources or name in sources}
    found = [
        _endpoint(project, f"{name}.{stream}", keys)
        for name, source in chosen.items()
        for stream, keys in source.streams.items()
    ]
    if not found:
        message = f"project {project.name} takes no webhooks"
        raise ConfigError(message, hint="declare a source with type: webhooks, see docs/guides/webhooks.md")
    _apart(found, "path")
    _apart(found, "topic")
    return found


def _endpoint(project: Project, stream: str, keys: WebhookStream) -> Endpoint:
    source, _, name = stream.partition(".")
    place = f"sources.{source}.streams.{name}.secret"
    given = [resolve(text, project.folder, place=place) for text in keys.secrets]
    if not all(secret.strip() for secret in given):
        message = f"{place}: a secret is empty, and anybody could sign with it"
        raise ConfigError(message, hint="give it a value")
    try:
        signed_by = scheme(keys.scheme, given, seconds(keys.tolerance) or 0)
    except ConfigError as error:
        message = f"{place}: {error.message}"
        raise ConfigError(message, hint=error.hint) from None
    return Endpoint(
        stream=stream,
        path=keys.path,
        scheme=signed_by,
        topic=keys.topic or name,
        is_json=keys.format == "json",
        largest=size_bytes(keys.largest) or 0,
        keep_s=None if keys.keep is None else seconds(keys.keep),
    )


def _apart(found: Sequence[Endpoint], key: str) -> None:
    known: dict[Any, str] = {}
    for endpoint in found:
        value = getattr(endpoint, key)
        if value in known:
            message = f"{known[value]} and {endpoint.stream} have the same {key} `{value}`"
            raise ConfigError(message, hint=f"give each a {key} of its own")
        known[value] = endpoint.stream
