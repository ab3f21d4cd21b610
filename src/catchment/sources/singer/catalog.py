"""The catalog of a tap: read from a file or asked for, with one stream selected in it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from catchment.errors import CatchmentError, ConfigError
from catchment.naming import did_you_mean
from catchment.sources.singer.tap import Command, Long, Tap

Entry = dict[str, Any]

# A catalog is not read further than this.
_LARGEST = 256 << 20

_FILE_HINT = "name a file of the project as `catalog:`, or write `discover: false` for a tap that knows no catalog"


def from_file(feed: str, shown: str, folder: Path) -> list[Entry]:
    """Raises ConfigError."""
    try:
        return _entries(json.loads((folder / shown).read_text(encoding="utf-8")))
    except FileNotFoundError:
        message = f"{feed}: there is no catalog {shown}"
        raise ConfigError(message, hint="have the tap write it: tap --config … --discover > catalog.json") from None
    except (OSError, ValueError, RecursionError) as error:
        message = f"{feed}: catalog {shown} cannot be read: {error}"
        raise ConfigError(message, hint="it is JSON with a list `streams`, as the tap writes it") from None


def discovered(command: Command) -> list[Entry]:
    """What the tap tells of its streams. Raises ConfigError, or RetryableError where it may pass."""
    parts: list[bytes] = []
    size = 0
    try:
        with Tap(command, ["--discover"]) as tap:
            for line in tap.lines():
                if line is not None:
                    parts.append(line.begin if isinstance(line, Long) else line)
                    size += len(parts[-1])
                if size > _LARGEST or isinstance(line, Long):
                    message = f"{command.feed}: the catalog of {command.name} is longer than can be read"
                    raise ConfigError(message, hint=_FILE_HINT)
        return _entries(json.loads(b"\n".join(parts)))
    except (ValueError, RecursionError):
        message = f"{command.feed}: {command.name} --discover writes no catalog"
        raise ConfigError(message, hint=_FILE_HINT) from None
    except CatchmentError as error:
        message = f"{error.message}\n  (asked with --discover)"
        hint = error.hint if not isinstance(error, ConfigError) else f"look at `config`; or {_FILE_HINT}"
        raise type(error)(message, hint=hint) from None


def _entries(catalog: Any) -> list[Entry]:
    streams = catalog.get("streams") if isinstance(catalog, Mapping) else None
    if not isinstance(streams, list) or not all(isinstance(one, dict) and _names(one) for one in streams):
        message = "no list `streams` in it"
        raise ValueError(message)
    return streams


def _names(entry: Mapping[str, Any]) -> list[str]:
    return [str(entry[key]) for key in ("tap_stream_id", "stream") if entry.get(key)]


def entry(feed: str, entries: Sequence[Entry], name: str) -> Entry:
    """The stream of that id, or of that name. Raises ConfigError."""
    for key in ("tap_stream_id", "stream"):
        found = [one for one in entries if one.get(key) == name]
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(str(one.get("tap_stream_id")) for one in found)
            message = f"{feed}: the tap has several streams called `{name}`"
            raise ConfigError(message, hint=f"write the id of one of them: {ids}")
    known = [_names(one)[0] for one in entries]
    near = did_you_mean(name, known)
    message = f"{feed}: the tap has no stream `{name}`"
    raise ConfigError(message, hint=near or f"write `stream: …`; there are {', '.join(known[:20]) or 'none'}")


def names(found: Entry) -> frozenset[str]:
    """What the stream's messages may call it."""
    return frozenset(_names(found))


def metadata(found: Entry) -> dict[str, Any]:
    """What the catalog says of the stream itself."""
    for one in found.get("metadata") or []:
        if not one.get("breadcrumb"):
            return dict(one.get("metadata") or {})
    return {}


def method(found: Entry) -> str | None:
    """How the tap reads it, as far as the catalog tells."""
    told = metadata(found)
    for said in (
        told.get("forced-replication-method"),
        found.get("replication_method"),
        told.get("replication-method"),
    ):
        if said:
            return str(said["replication-method"] if isinstance(said, Mapping) else said).upper()
    return None


def selected(
    entries: Sequence[Entry], wanted: Entry, along: Collection[str], written: Mapping[str, str], *, fields: bool
) -> str:
    """The catalog as the tap reads it: `wanted` and what goes `along` selected, in both ways that taps know, and
    nothing else. `written` are replication method and key; with `fields` all of its fields are selected, too."""
    made = []
    for one in entries:
        is_wanted = one is wanted
        chosen = is_wanted or bool(names(one).intersection(along))
        copied = {**one, "metadata": [dict(item) for item in one.get("metadata") or []], "selected": chosen}
        if isinstance(one.get("schema"), dict):
            copied["schema"] = {**one["schema"], "selected": chosen}
        _say(copied, {"selected": chosen, **(written if is_wanted else {})})
        for key, value in written.items() if is_wanted else ():
            copied[key.replace("-", "_")] = value
        if fields and chosen:
            _select_fields(copied)
        made.append(copied)
    return json.dumps({"streams": made})


def _say(copied: Entry, more: Mapping[str, Any]) -> None:
    for item in copied["metadata"]:
        if not item.get("breadcrumb"):
            item["metadata"] = {**(item.get("metadata") or {}), **more}
            return
    copied["metadata"].insert(0, {"breadcrumb": [], "metadata": dict(more)})


def _select_fields(copied: Entry) -> None:
    for item in copied["metadata"]:
        inner = item.get("metadata") or {}
        if item.get("breadcrumb") and inner.get("inclusion") != "unsupported":
            item["metadata"] = {**inner, "selected": True}
