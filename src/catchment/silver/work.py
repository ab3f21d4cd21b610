"""What a refine of one silver table works with, whoever decides and whoever commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from catchment import naming
from catchment.interfaces import Engine, Lake, Tell
from catchment.records import Order
from catchment.silver.definition import Table


@dataclass
class Work:
    """One step over one table; `stopping` raises Stopped when asked to.

    `upto` are the last loads to take, by bronze table; of others all that there are.
    """

    step: str
    table: Table
    lake: Lake
    engine: Engine[Any]
    tell: Tell
    stopping: Callable[[], None]
    order: Order | None = None
    reads: Lake | None = None  # where other tables are looked at, if not in `lake`
    upto: Mapping[str, int] = field(default_factory=dict)

    @property
    def looks_in(self) -> Lake:
        return self.reads or self.lake

    @property
    def name(self) -> naming.TableName:
        return naming.silver_table(self.table.name)
