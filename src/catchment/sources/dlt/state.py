"""The state of a dlt source: given to it before a read, taken from it after, and compared.

What is used of dlt is what `Pipeline` itself uses (`StateInjectableContext`); test_dlt_state.py holds it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from dlt.common.configuration.container import Container
from dlt.common.json import json
from dlt.common.pipeline import StateInjectableContext
from dlt.extract.exceptions import DataItemRequiredForDynamicTableHints as Dynamic

__all__ = ["Dynamic", "injected", "is_same", "read", "text"]


@contextlib.contextmanager
def injected(state: dict[str, Any]) -> Iterator[None]:
    """Sources and resources that are made or opened in here use this state, and write into it."""
    context: Any = StateInjectableContext(state=state)  # type: ignore[arg-type]
    with Container().injectable_context(context):
        yield


def text(state: Mapping[str, Any]) -> str:
    """With the types that dlt promises to keep: times, decimals, bytes."""
    return json.typed_dumps(state)


def read(written: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {} if written is None else json.typed_loads(written)
    return found


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether a read with one would give what a read with the other gives."""
    return json.typed_dumps(_plain(one), sort_keys=True) == json.typed_dumps(_plain(other), sort_keys=True)


def _plain(value: Any) -> Any:
    """Without what holds nothing, and without what dlt writes anew each time a resource is opened."""
    if not isinstance(value, Mapping):
        return value
    if "last_value" in value and "unique_hashes" in value:
        if value["last_value"] == value.get("initial_value") and not value["unique_hashes"]:
            return None
        # dlt keeps the hashes as a set: their order is another one in each process.
        return {"last_value": value["last_value"], "unique_hashes": sorted(value["unique_hashes"])}
    kept = {name: _plain(inner) for name, inner in value.items()}
    return {name: inner for name, inner in kept.items() if inner not in (None, {}, [])}
