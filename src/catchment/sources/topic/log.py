"""What a topic's messages are read from: a broker, or a place where a connector has put them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.records import Offsets


class Log(Protocol):
    """The reading half of `interfaces.Broker`, with its promises."""

    def topics(self) -> Sequence[str]: ...
    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]: ...
    def identity(self, topic: str) -> str | None: ...
    def read(self, topic: str, offsets: Offsets, until: Offsets) -> Iterator[pa.RecordBatch]: ...
    def wait(self, topic: str, offsets: Offsets, seconds: float) -> bool: ...
