"""Delta tables of others."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from catchment.reading.kinds.keys import SourceKeys, StreamKeys


class DeltaStream(StreamKeys):
    """A whole Delta table, landing in one bronze table each time it has a new version."""

    path: Annotated[str, Field(min_length=1, description="The table's folder, relative to the project or absolute.")]

    @property
    def is_whole(self) -> bool:
        return True


class DeltaSource(SourceKeys):
    """Delta tables of others, each taken whole."""

    example: ClassVar[str] = """\
finance:
  type: delta
  streams:
    rates: {path: /lake/finance/rates}
"""

    type: Literal["delta"]
    streams: Annotated[dict[str, DeltaStream], Field(min_length=1, description="What it gives, by name.")]
