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
class Table:
    """One silver table as the project declares it; `lookups` are the contracts of the tables under `with:`."""

    name: str
    stream: str  # source.stream
    contract: Contract
    mode: str
    latest_by: str | None = None
    function: RefineFunction | None = None
    lookups: Mapping[str, Contract] | None = None

    def definition(self) -> dict[str, Any]:
        """Canonical JSON values: whatever is not in here may change without a rebuild."""
        return {
            "contract": self.contract.definition(),
            "from": self.stream,
            "mode": self.mode,
            "latest_by": self.latest_by,
            "refine": None if self.function is None else self.function.syntax(),
            "with": sorted(self.lookups or ()),
        }


def fingerprint(definition: Mapping[str, Any]) -> str:
    canonical = json.dumps(definition, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[str]:
    """The difference between two definitions in words, one line each."""
    if before is None:
        return ["~ made with a definition that is no longer known"]
    words = []
    for key, label in (("mode", "mode"), ("from", "from"), ("latest_by", "latest_by")):
        if before.get(key) != after.get(key):
            words.append(f"~ {label}: {before.get(key)} -> {after.get(key)}")
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


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
