"""What gold reads of the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catchment.contract import Contract
    from catchment.records import Pin, Scan


@dataclass(frozen=True)
class Pinned:
    """A table of the lake as gold reads it: these files at this version, these columns, and what it promises.

    One that is not `made` yet, as its streams have brought nothing, has no files, and the columns that it will have.
    """

    scan: Scan
    pin: Pin
    columns: Sequence[str]
    contract: Contract | None = None
    is_made: bool = True
