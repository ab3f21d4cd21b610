"""What is in a database of Redis: streams, and prefixes of keys, from a sample of SCAN, for `init --from`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catchment.records import FoundColumn, FoundStream
from catchment.sources.redis.server import Server

# So many keys are looked at, at least.
_SAMPLE = 10_000
_STEP = 500
# More keys without a prefix are one stream of everything.
_MOST_ALONE = 20
_SPECIAL = re.compile(r"([*?\[\]\\])")

# What a value is in a contract, by its type; of several types it is text.
_LOGICAL = {"string": "string", "hash": "object", "list": "array", "set": "array", "zset": "array"}
_ENTRY = (FoundColumn("id", "string", "id", True), FoundColumn("fields", "object", "fields"))


def find(url: str, folder: Path) -> Sequence[FoundStream]:
    """A stream of keys for each prefix before the first `:`, and one of entries for each stream of Redis."""
    server = Server(url)
    try:
        with server.told("the database"):
            server.run_id()
            sample = _sample(server.client)
            total = server.client.dbsize()
    finally:
        server.close()
    streams = [name for name, kind in sample if kind == "stream"]
    prefixes: dict[str, list[str]] = {}
    alone: dict[str, list[str]] = {}
    for name, kind in sample:
        if kind != "stream":
            prefix, colon, _ = name.partition(":")
            (prefixes if colon else alone).setdefault(prefix, []).append(kind)
    found = [FoundStream(name, {"stream": name}, _ENTRY, ("id",), evidence={"stream": "a stream"}) for name in streams]
    seen = (len(sample), total)
    found += [_keys(prefix, f"{_literal(prefix)}:*", kinds, *seen) for prefix, kinds in sorted(prefixes.items())]
    if len(alone) > _MOST_ALONE:
        return [*found, _keys("keys", "*", [kind for _, kind in sample], *seen)]
    return [*found, *(_keys(name, _literal(name), kinds, *seen) for name, kinds in alone.items())]


def _literal(name: str) -> str:
    """A pattern that only the name itself fits."""
    return _SPECIAL.sub(r"\\\1", name)


def _keys(name: str, pattern: str, kinds: Sequence[str], sampled: int, total: int) -> FoundStream:
    types = Counter(kinds)
    rows = len(kinds) if sampled >= total else round(len(kinds) * total / sampled)
    value = _LOGICAL.get(kinds[0], "string") if len(types) == 1 else "string"
    columns = (
        FoundColumn("key", "string", "key", True),
        FoundColumn("type", "string", "type", True),
        FoundColumn("ttl_ms", "integer", "milliseconds"),
        FoundColumn("value", value, "/".join(sorted(types))),
    )
    evidence = {
        "keys": f"{len(kinds):,} of {sampled:,} keys that were looked at; there are {total:,}",
        "value": ", ".join(f"{kind} in {count:,}" for kind, count in types.most_common()),
    }
    return FoundStream(name, {"keys": pattern}, columns, ("key",), rows=rows, evidence=evidence)


def _sample(client: Any) -> list[tuple[str, str]]:
    """Names and types of keys; those whose names are no text are left out."""
    names: dict[str, None] = {}
    cursor = 0
    while len(names) < _SAMPLE:
        cursor, keys = client.scan(cursor, count=_STEP)
        names |= dict.fromkeys(key.decode() for key in keys if _is_text(key))
        if cursor == 0:
            break
    with client.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.type(name)
        kinds = pipe.execute()
    return sorted((name, kind.decode()) for name, kind in zip(names, kinds, strict=True) if kind != b"none")


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True
