"""Streams that arrive whole: what one arrival says by not saying it.

Each load of such a stream is one arrival. Compared with the arrival before it, it brings rows that are new or changed,
and keys that have vanished. An arrival in which the key of some row cannot be read is not known to be whole: nothing
vanishes in it, and the next one is compared with all since the last whole one. A rejected row still holds its key.

Frames: `good`, good rows with `_loaded_at`; `keys`, the key and `_load` of every row, good or bad, and when it landed;
`_left_out` tells a load of which a function may have left out every row.
Both begin with the last whole arrival that was taken before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catchment.naming import literal, quoted
from catchment.silver.judge import parsed

if TYPE_CHECKING:
    from sqlglot import exp

    from catchment.contract import Contract


def last_whole(key: Sequence[str]) -> exp.Query:
    """The newest whole arrival in `keys`, NULL where there is none."""
    return parsed(f"SELECT max(_load) FILTER (WHERE _whole) AS arrival FROM ({_arrivals(key)})")


def changes(contract: Contract, stream: str, number: int, after: int) -> exp.Query:
    """Rows that arrivals after load `after` bring or take away; `_vanished` for the latter, which have a key only."""
    key = contract.key
    keyed = ", ".join(map(quoted, key))
    said = ", ".join(f"{quoted(column.name)}: {quoted(column.name)}" for column in contract.columns)
    told = f"SELECT *, md5(CAST(to_json({{{said}}}) AS VARCHAR)) AS _said FROM good"
    order = (
        "SELECT *, lag(_load) OVER (ORDER BY _load) AS _before, max(CASE WHEN _whole THEN _load END) OVER"
        f" (ORDER BY _load ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS _base FROM ({_arrivals(key)})"
    )
    earlier = (
        f"SELECT {_of('told', key)}, told._said, arrivals._load FROM told"
        " JOIN arrivals ON told._load = arrivals._before"
    )
    changed = (
        f"SELECT * EXCLUDE (_said), FALSE AS _vanished FROM told ANTI JOIN earlier USING ({keyed}, _said, _load)"
        f" WHERE _load > {after:d}"
    )
    known = (
        f"SELECT DISTINCT {_of('keys', key)}, arrivals._load, arrivals._landed FROM keys JOIN arrivals"
        " ON keys._load >= COALESCE(arrivals._base, 0) AND keys._load < arrivals._load"
        f" WHERE arrivals._whole AND arrivals._load > {after:d}"
        + "".join(f" AND keys.{quoted(name)} IS NOT NULL" for name in key)
    )
    gone = (
        f"SELECT {keyed}, {literal(stream)} AS _stream, CAST(0 AS INTEGER) AS _shard, _load,"
        f" CAST(-1 AS BIGINT) AS _row, CAST({number:d} AS BIGINT) AS _judged, _landed AS _loaded_at, TRUE AS _vanished"
        f" FROM known ANTI JOIN keys USING ({keyed}, _load)"
    )
    return parsed(
        f"WITH told AS ({told}), arrivals AS ({order}), earlier AS ({earlier}), changed AS ({changed}),"
        f" known AS ({known}), gone AS ({gone}) SELECT * FROM changed UNION ALL BY NAME SELECT * FROM gone"
    )


def _of(frame: str, names: Sequence[str]) -> str:
    return ", ".join(f"{frame}.{quoted(name)}" for name in names)


def _arrivals(key: Sequence[str]) -> str:
    """Each load with any row that can be read: when it landed, and whether all its keys can be."""
    readable = f"_left_out OR ({' AND '.join(f'{quoted(name)} IS NOT NULL' for name in key)})"
    return (
        f"SELECT _load, max(_loaded_at) AS _landed, bool_and({readable}) AS _whole FROM keys GROUP BY _load"
        f" HAVING count(*) FILTER (WHERE {readable}) > 0"
    )
