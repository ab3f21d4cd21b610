"""Live figures as a page shows them: of each metric the newest windows, ready to be JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from catchment.errors import ConfigError
from catchment.metric import WINDOW, Live, LiveFeed, Metric
from catchment.naming import quoted

if TYPE_CHECKING:
    from catchment.interfaces import LiveStore

# What one metric takes of a page at most.
_WINDOWS = 60
_ROWS = 1_000


@dataclass(frozen=True)
class Shown:
    """A metric with its newest figures, newest windows first; `every_s` is None where it has no windows. `missing` says
    why there are none, and what to do."""

    name: str
    table: str
    told: Mapping[str, Any]
    key: Sequence[str]
    measures: Sequence[Mapping[str, str]]
    every_s: int | None
    rows: Sequence[Sequence[Any]]
    missing: str | None = None


def document(live: Live, store: LiveStore) -> dict[str, Any]:
    """Every metric, as JSON. Raises RetryableError where the store does not answer."""
    metrics = [asdict(shown(metric, live.feeds[metric.feed], store)) for metric in live.metrics.values()]
    return {"metrics": metrics}


def shown(metric: Metric, feed: LiveFeed, store: LiveStore) -> Shown:
    """One metric. Rows that the store does not have are told, and are no error."""
    rows, missing = list[Mapping[str, Any]](), None
    if store.progress(feed) is None:
        missing = f"silver.{metric.feed} has not been fed to the live store yet: catchment live feed"
    try:
        rows = store.query(_asked(metric)).read_all().to_pylist()
    except ConfigError as error:
        # A metric that nobody has applied is no view yet.
        missing = missing or error.message
    names = [*metric.key, *(measure.name for measure in metric.measures)]
    return Shown(
        name=metric.name,
        table=f"silver.{metric.feed}",
        told={key: value for key, value in (metric.told or {}).items() if key not in ("from", "measures")},
        key=metric.key,
        measures=[{"name": measure.name, "kind": measure.kind} for measure in metric.measures],
        every_s=metric.every_s,
        rows=[[_value(row[name]) for name in names] for row in _newest(metric, rows)],
        missing=missing,
    )


def _asked(metric: Metric) -> str:
    """In words that every store's SQL has."""
    counted = next((measure.name for measure in metric.measures if measure.kind != "top"), None)
    first = [f"{quoted(WINDOW)} DESC"] if metric.every_s is not None else []
    first += [f"{quoted(counted)} DESC"] if counted is not None else []
    ordered = f" ORDER BY {', '.join(first)}" if first else ""
    return f"SELECT * FROM live.{quoted(metric.name)}{ordered} LIMIT {_ROWS}"


def _newest(metric: Metric, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The rows of whole windows: the oldest may have been cut by the limit."""
    if metric.every_s is None:
        return rows
    windows = list(dict.fromkeys(row[WINDOW] for row in rows))
    cut = windows[:-1] if len(rows) == _ROWS and len(windows) > 1 else windows
    kept = set(cut[:_WINDOWS])
    return [row for row in rows if row[WINDOW] in kept]


def _value(value: Any) -> Any:
    """As JSON has it; decimals keep their digits as text."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return [_value(one) for one in value]
    # JSON knows no other numbers.
    return None if isinstance(value, float) and not math.isfinite(value) else value
