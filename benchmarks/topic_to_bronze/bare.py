"""Read a topic and only count, as simply as the library lets one.

    bare.py kafka ADDRESS TOPIC [SETTING=VALUE …]
    bare.py embedded FOLDER TOPIC

Says `ready` once everything is imported, waits for a line, then reads all there is and says how that went.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from measure import measured


def main() -> None:
    kind, place, topic, *settings = sys.argv[1:]
    measured(embedded(place, topic) if kind == "embedded" else kafka(place, topic, settings))


def kafka(address: str, topic: str, settings: list[str]) -> Callable[[], int]:
    from confluent_kafka import Consumer, TopicPartition

    own = dict(setting.split("=", 1) for setting in settings)
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bare", "enable.auto.commit": "false", **own})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    places = [TopicPartition(topic, number, 0) for number in partitions]
    total = sum(consumer.get_watermark_offsets(place)[1] for place in places)

    def count() -> int:
        consumer.assign(places)
        done = 0
        while done < total:
            done += len(consumer.consume(10_000, 1.0))
        return done

    return count


def embedded(folder: str, topic: str) -> Callable[[], int]:
    import pyarrow.compute  # noqa: F401

    from catchment.topics.embedded import EmbeddedBroker

    broker = EmbeddedBroker(Path(folder))

    def count() -> int:
        until = {partition: end for partition, (_, end) in broker.bounds(topic).items()}
        return sum(batch.num_rows for batch in broker.read(topic, {}, until))

    return count


if __name__ == "__main__":
    main()
