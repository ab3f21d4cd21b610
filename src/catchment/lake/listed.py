"""The files of a version, as its log lists them: a row a file, statistics as columns (`min.<column>` and so on)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_BOUNDS = ("min.", "max.")


def listed(actions: Any) -> pa.Table:
    """Of what delta-rs' `get_add_actions(flatten=True)` gives.

    A bound that Python cannot hold (a day of the year 10000) is null, which means that nothing is known.
    """
    import pyarrow as pa

    found = pa.table(actions)
    for place, field in enumerate(found.schema):
        if field.name.startswith(_BOUNDS) and pa.types.is_temporal(field.type):
            found = found.set_column(place, field, _held(found.column(place)))
    return found


def unbounded(files: pa.Table) -> set[str]:
    """Columns of days and instants of which a file has values, and the log no bounds.

    Those lie before the year 1 or after 9999. delta-rs 1.6.6 would put them into the log where it writes a file anew,
    and then reads the table by Arrow no more ("Invalid isoformat string: '+10000-01-01'").
    """
    import pyarrow.compute as pc

    found = set()
    for field in files.schema:
        name = field.name.removeprefix("min.")
        if name != field.name and _is_moment(field.type):
            filled = pc.not_equal(files.column(f"null_count.{name}"), files.column("num_records"))
            if pc.any(pc.and_(files.column(field.name).is_null(), pc.fill_null(filled, fill_value=True))).as_py():
                found.add(name)
    return found


def _is_moment(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def _held(bounds: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = bounds.type
    if not _is_moment(kind):
        return bounds
    low: Any = date.min if pa.types.is_date(kind) else datetime.min.replace(tzinfo=UTC if kind.tz else None)
    high: Any = date.max if pa.types.is_date(kind) else datetime.max.replace(tzinfo=UTC if kind.tz else None)
    inside = pc.and_(pc.greater_equal(bounds, pa.scalar(low, kind)), pc.less_equal(bounds, pa.scalar(high, kind)))
    return pc.if_else(inside, bounds, pa.scalar(None, kind))
