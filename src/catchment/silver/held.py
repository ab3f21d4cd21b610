"""Spans that a set rule stops: what is kept of them until they pass, and what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.errors import Held
from catchment.silver.judge import REASON_WORDS, parsed

if TYPE_CHECKING:
    from catchment.interfaces import Engine, Lake
    from catchment.naming import TableName


def held_span(lake: Lake, name: TableName, *, passed_too: bool = False) -> Mapping[str, Any] | None:
    """What is held of a silver table now, as its quarantine's state tells it; None where nothing is.

    `passed_too` says that a span which somebody has let pass counts, while no run has taken it.
    """
    quarantine, silver = lake.open(naming.quarantine_table(name)), lake.open(name)
    found: Mapping[str, Any] | None = quarantine.progress().cursors.get("held") if quarantine is not None else None
    if found is None or silver is None:
        return None
    progress = silver.progress()
    passed = _reaches(progress.cursors.get("accept", {}), found["spans"])
    if found["anew"]:
        # Any commit but the one that lets it pass makes the table another than the one that was to be made anew.
        since = progress.parent if passed else progress.generation
        stands = since == found["silver"]
    else:
        stands = not _reaches(progress.cursors.get("refine", {}), found["spans"])
    return found if stands and (passed_too or not passed) else None


def _reaches(loads: Mapping[str, int], spans: Mapping[str, int]) -> bool:
    return all(int(loads.get(name, 0)) >= to for name, to in spans.items())


def frequent_reason(engine: Engine[Any], rejects: Sequence[Any]) -> str | None:
    """The most frequent reason among held rows, how often, and where they came from; None where there are none."""
    frames = {f"bad_{place}": frame for place, frame in enumerate(rejects)}
    union = " UNION ALL BY NAME ".join(f"SELECT reasons, _origin FROM {name}" for name in frames)
    counted = parsed(
        f"SELECT {REASON_WORDS} AS words, count(*) AS n, count(DISTINCT _origin) AS origins, min(_origin) AS origin"
        f" FROM (SELECT unnest(reasons) AS reason, _origin FROM ({union})) GROUP BY words"
        " ORDER BY n DESC, words LIMIT 1"
    )
    rows = engine.fetch(counted, frames).to_pylist()
    if not rows:
        return None
    row = rows[0]
    where = f"all from {PurePosixPath(row['origin']).name}" if row["origins"] == 1 else f"from {row['origins']:,} files"
    return f"{row['words']} ({row['n']:,} {'row' if row['n'] == 1 else 'rows'}, {where})"


def refused(name: TableName, version: int | None, held: Mapping[str, Any]) -> Held:
    """The error that says so; `version` is the table's, None where it has no rows so far."""
    rows = held["rows"]
    lines = [f"{name} stopped before it committed: {held['message']}"]
    if held["reason"] is not None:
        lines.append(f"  most frequent reason: {held['reason']}")
    kept = f"still holds version {version}" if version is not None else "is still empty"
    lines.append(f"  {name} {kept}; {'the rejected rows are held' if rows else 'no row was rejected'}")
    # `compared`: with the loads before it, which the quarantine does not tell. Older states do not say.
    other = "quality" if held.get("compared") else "preview"
    look = f"look: catchment quarantine show {name} --held" if rows else f"look: catchment {other} {name}"
    again = f", then catchment run --rebuild {name}" if held["anew"] else ""
    return Held("\n".join(lines), hint=f"{look}   ·   let it pass: catchment quarantine accept {name}{again}")
