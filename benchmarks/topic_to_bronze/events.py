"""Events of a shop's users, about 200 bytes of JSON each with the user as key, always the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

PARTITIONS = 4

_TEXT = (
    b'{"event_id":"e-%s%06x","user_id":"u-%05d","session_id":"s-%s","event_type":"%s","timestamp":'
    b'"2026-11-21T%02d:%02d:%02d.%03dZ","page_url":"/products/p-%04d","device_type":"%s","properties":{"amount":%d.%02d}}'
)
_KINDS = (b"page_view", b"product_view", b"product_view", b"add_to_cart", b"search", b"purchase")
_DEVICES = (b"mobile", b"desktop", b"mobile", b"tablet")


def events(first: int, count: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of events by number."""
    pool = [hashlib.sha256(b"%d" % number).hexdigest().encode() for number in range(100_003)]
    for n in range(first, first + count):
        user, drawn = n * 7919 % 10_000, pool[n % 100_003]
        seconds = n // 1000
        yield (
            b"u-%05d" % user,
            _TEXT
            % (
                drawn[:12], n // 7, user, pool[n // 30 % 100_003][:18], _KINDS[n % 6],
                seconds // 3600 % 24, seconds // 60 % 60, seconds % 60, n % 1000,
                drawn[20] * n % 997, _DEVICES[n % 4], n % 313, n % 100,
            ),
        )  # fmt: skip
