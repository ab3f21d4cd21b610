"""Land a topic in Delta, exactly once, with all checks: `land.py KIND PLACE TOPIC LAKE MEMORY SHARD SHARDS`.

Says `ready` once everything is imported, waits for a line, then lands all there is and says how that went.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.compute  # noqa: F401
from measure import measured

from catchment.bronze.land import Landing
from catchment.engines.duckdb import DuckDBEngine
from catchment.events import Event, RowsLanded
from catchment.interfaces import Broker
from catchment.lake.delta import DeltaLake
from catchment.project import memory_bytes
from catchment.reading.kinds.topic import TopicStream
from catchment.sources.topic.source import TopicSource
from catchment.topics.embedded import EmbeddedBroker
from catchment.topics.kafka.broker import KafkaBroker


def main() -> None:
    kind, place, topic, lake, memory, shard, shards = sys.argv[1:]
    broker: Broker = EmbeddedBroker(Path(place)) if kind == "embedded" else KafkaBroker(place)
    source = TopicSource("web", {"events": TopicStream(topic=topic, shards=int(shards))}, Path(), broker=broker)
    engine = DuckDBEngine(memory_bytes=memory_bytes(memory), spill=Path(lake, f"spill-{shard}"))
    feed = source.feeds()[int(shard)]
    landed = 0

    def tell(event: Event) -> None:
        nonlocal landed
        landed += event.rows if isinstance(event, RowsLanded) else 0

    def land() -> int:
        Landing("land:web", feed, source, DeltaLake(Path(lake)), engine, tell, lambda: None).run()
        return landed

    measured(land)
    source.close()
    engine.close()


if __name__ == "__main__":
    main()
