"""Delta tables of others."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from catchment.reading.kinds.keys import Keys, StreamKeys


class DeltaStream(StreamKeys):
    """A whole Delta table, landing in one bronze table each time it has a new version."""

    path: Annotated[str, Field(min_length=1, description="The table's folder, relative to the project or absolute.")]

    @property
    def is_whole(self) -> bool:
        return True


class DeltaSource(Keys):
    """Delta tables of others, each taken whole."""

    type: Literal["delta"]
    streams: Annotated[dict[str, DeltaStream], Field(min_length=1, description="What it gives, by name.")]
