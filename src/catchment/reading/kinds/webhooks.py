"""Webhooks: what `catchment receive` takes, and the topics that a run reads."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from catchment.reading.durations import seconds
from catchment.reading.kinds.keys import SourceKeys, StreamKeys

# Paths of the receiver's own.
OURS = ("/health", "/ready")

# The receiver answers a delivery that comes again within ten minutes by itself, without writing it.
ANSWERED_AGAIN_S = 600

_PATH = re.compile(r"/[A-Za-z0-9._~/-]*")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_SIZE = re.compile(r"([0-9]+) ?([KM])B")
_LARGEST = 16_000_000  # what a row of bronze may hold

# Keys that are lengths of time, the least that each may be in seconds, and an example.
_LENGTHS = (("tolerance", 1, "5 minutes"), ("remember", 60, "24 hours"), ("keep", 60, "7 days"))

_SIGNED_BY_TIME = ("standard", "stripe")


def size_bytes(text: str) -> int | None:
    """A size such as `1 MB` or `256KB` in bytes, None where the text is none."""
    found = _SIZE.fullmatch(text)
    return None if found is None else int(found[1]) * {"K": 1000, "M": 1_000_000}[found[2]]


class WebhookStream(StreamKeys):
    """An address that somebody sends to, its deliveries kept in a topic and landing in one bronze table."""

    # Runs read the topic and need no secret: `catchment receive` resolves it.
    late: ClassVar[frozenset[str]] = frozenset({"secret"})

    path: Annotated[str, Field(description="The path that deliveries are sent to, such as `/payments`.")]
    scheme: Annotated[
        Literal["standard", "github", "stripe", "none"],
        Field(
            description="How the sender signs: Standard Webhooks, as GitHub does, as Stripe does; `none` takes from"
            " anybody who reaches the address."
        ),
    ]
    secret: Annotated[
        str | list[str] | None,
        Field(
            min_length=1,
            description="What the sender signs with, as a reference; two while it is changed: `[new, old]`.",
        ),
    ] = None
    topic: Annotated[
        str | None,
        Field(
            description="The topic that keeps deliveries, which no other stream writes; by default the stream's name.",
        ),
    ] = None
    keep: Annotated[
        str | None, Field(description="How long the topic keeps deliveries; by default as long as the broker does.")
    ] = None
    on_gap: Annotated[
        Literal["stop", "continue"],
        Field(
            description="What a run does when deliveries went before they were read: stop and say which, or go on and"
            " tell how many are lost."
        ),
    ] = "stop"
    format: Annotated[
        Literal["json", "text"],
        Field(description="What a body is: `json` refuses what is none, `text` takes any UTF-8."),
    ] = "json"
    tolerance: Annotated[
        str,
        Field(description="How far the sender's clock may be from ours; what is older is refused (standard, stripe)."),
    ] = "5 minutes"
    remember: Annotated[
        str,
        Field(description="How long a delivery that comes again is known, so that it is no second row."),
    ] = "24 hours"
    largest: Annotated[str, Field(description="What a body may hold, such as `256 KB`; at most `16 MB`.")] = "1 MB"

    @property
    def brings_documents(self) -> bool:
        return self.format == "json"

    @property
    def secrets(self) -> tuple[str, ...]:
        """As they are written: references, mostly."""
        return () if self.secret is None else (self.secret,) if isinstance(self.secret, str) else tuple(self.secret)

    def warnings(self) -> Iterator[tuple[str, str, str]]:
        if self.scheme == "none":
            message = "nobody signs these deliveries: whoever reaches the address can write rows"
            yield "scheme", message, "name the sender's scheme, or let only the sender reach it"

    @model_validator(mode="after")
    def _path(self) -> WebhookStream:
        if _PATH.fullmatch(self.path) is None:
            message = f"`{self.path}` is no path of an address"
            raise ValueError(message, "write one such as /payments: letters, digits, - . _ ~ and /, a / first")
        if self.path in OURS:
            message = f"`{self.path}` tells how the receiver does"
            raise ValueError(message, "write another path")
        if self.topic is not None and _TOPIC.fullmatch(self.topic) is None:
            message = f"`{self.topic}` is no name of a topic"
            raise ValueError(message, "use letters, digits, `.`, `_` and `-`")
        return self

    @model_validator(mode="after")
    def _secret(self) -> WebhookStream:
        if self.scheme == "none" and self.secret is not None:
            message = "`secret` is for a scheme that signs"
            raise ValueError(message, "name the scheme: standard, github or stripe; or remove the secret")
        if self.scheme != "none" and not self.secret:
            message = f"scheme {self.scheme} needs a secret"
            raise ValueError(message, "write secret: ${env:NAME}")
        return self

    @model_validator(mode="after")
    def _lengths(self) -> WebhookStream:
        for key, least, example in _LENGTHS:
            text = getattr(self, key)
            if text is not None and (seconds(text) or 0) < least:
                message = f"`{key}: {text}` is no length of time of at least {least} s"
                raise ValueError(message, f"write one such as {example}")
        if "tolerance" in self.model_fields_set and self.scheme not in _SIGNED_BY_TIME:
            message = f"scheme {self.scheme} does not say when a delivery was signed, so `tolerance` says nothing"
            raise ValueError(message, "remove it")
        size = size_bytes(self.largest)
        if not size or size > _LARGEST:
            message = f"`largest: {self.largest}` is no size up to 16 MB"
            raise ValueError(message, "write one such as 256 KB or 1 MB")
        return self


class WebhooksSource(SourceKeys):
    """Webhooks, which `catchment receive` takes and keeps in topics until a run lands them."""

    reads_topics: ClassVar[bool] = True

    example: ClassVar[str] = """\
payments:
  type: webhooks
  streams:
    notices: {path: /payments, scheme: standard, secret: "${env:PAYMENTS_SECRET}", topic: payment_notices}
    pushes: {path: /github, scheme: github, secret: "${env:GITHUB_SECRET}"}
"""

    type: Literal["webhooks"]
    streams: Annotated[dict[str, WebhookStream], Field(min_length=1, description="What it takes, by name.")]

    @model_validator(mode="after")
    def _apart(self) -> WebhooksSource:
        for key, values in (
            ("path", [stream.path for stream in self.streams.values()]),
            ("topic", [stream.topic or name for name, stream in self.streams.items()]),
        ):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                message = f"two streams have the {key} `{twice[0]}`"
                raise ValueError(message, f"give each stream a {key} of its own")
        return self
