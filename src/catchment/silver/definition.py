"""What a silver table's rows were made with: kept beside them, compared before every refine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catchment.contract import Contract
from catchment.silver.refine import RefineFunction


@dataclass(frozen=True)
class LookedUp:
    """A silver table under `with:`; `as_of` is the column of the first frame that tells the time, None: as it is now.

    `versions` says that the table keeps every version of a key.
    """

    contract: Contract
    as_of: str | None = None
    versions: bool = False


@dataclass(frozen=True)
class Table:
    """One silver table as the project declares it."""

    name: str
    streams: tuple[str, ...]  # source.stream
    contract: Contract
    mode: str
    latest_by: str | None = None
    deleted_when: str | None = None
    slice: tuple[str, ...] = ()
    event_time: str | None = None
    lateness_s: int | None = None
    full: bool = False  # its streams arrive whole
    wait_s: int = 86_400
    function: RefineFunction | None = None
    lookups: Mapping[str, LookedUp] | None = None

    def definition(self) -> dict[str, Any]:
        """Canonical JSON values: whatever is not in here may change without a rebuild."""
        told: dict[str, Any] = {
            "contract": self.contract.definition(),
            "from": sorted(self.streams),
            "mode": self.mode,
            "latest_by": self.latest_by,
            "refine": None if self.function is None else self.function.syntax(),
            "with": sorted(self.lookups or ()),
        }
        # Told only where they are said, so that a key invented later leaves old definitions as they are.
        said = {
            "deleted_when": self.deleted_when,
            "slice": list(self.slice) or None,
            "event_time": self.event_time,
            "lateness_s": self.lateness_s,
            "full": self.full or None,
            "as_of": {name: found.as_of for name, found in (self.lookups or {}).items() if found.as_of} or None,
        }
        return told | {key: value for key, value in said.items() if value is not None}


def fingerprint(definition: Mapping[str, Any]) -> str:
    canonical = json.dumps(definition, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """The difference between two definitions in words, one line each."""
    if before is None:
        return ["~ made with a definition that is no longer known"]
    words = []
    for key in ("mode", "from", "latest_by", "deleted_when", "slice", "event_time", "lateness_s", "full", "as_of"):
        if before.get(key) != after.get(key):
            words.append(f"~ {key}: {_plain(before.get(key))} -> {_plain(after.get(key))}")
    if before.get("refine") != after.get("refine"):
        words.append("~ refine function changed")
    if before.get("with") != after.get("with"):
        words.append(
            f"~ with: {', '.join(before.get('with') or ['nothing'])} -> {', '.join(after['with'] or ['nothing'])}"
        )
    old, new = before.get("contract", {}), after["contract"]
    if old.get("key") != new["key"]:
        words.append(f"~ key: {', '.join(old.get('key') or ['none'])} -> {', '.join(new['key'] or ['none'])}")
    words += _column_differences(old.get("columns", {}), new["columns"])
    if old.get("row_rules") != new["row_rules"]:
        gone = set(old.get("row_rules") or ()) - set(new["row_rules"])
        come = set(new["row_rules"]) - set(old.get("row_rules") or ())
        words += [f"- rule {rule}" for rule in sorted(gone)] + [f"+ rule {rule}" for rule in sorted(come)]
    return words or ["~ the contract changed"]


def _column_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    words = [f"+ column {name} ({new[name].get('type')})" for name in new if name not in old]
    words += [f"- column {name}" for name in old if name not in new]
    for name in new:
        if name not in old or old[name] == new[name]:
            continue
        for attribute in sorted({*old[name], *new[name]}):
            was, now = old[name].get(attribute), new[name].get(attribute)
            if was != now:
                words.append(f"~ {name}: {attribute} {_shown(was)} -> {_shown(now)}")
    return words


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
