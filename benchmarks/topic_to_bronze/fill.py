"""Write events into a topic: `fill.py kafka ADDRESS TOPIC MESSAGES` or `fill.py embedded FOLDER TOPIC MESSAGES`."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from events import PARTITIONS, events

from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker
from catchment.topics.kafka.broker import KafkaBroker

_AT_ONCE = 20_000


def main() -> None:
    kind, place, topic, messages = sys.argv[1:]
    if kind == "embedded":
        embedded = EmbeddedBroker(Path(place))
        embedded.declare([TopicSpec(topic, PARTITIONS)])
        told = (Message(value, key) for key, value in events(0, int(messages)))
        while some := list(itertools.islice(told, _AT_ONCE)):
            embedded.write(topic, some)
        return
    from confluent_kafka import Producer

    broker = KafkaBroker(place)
    broker.declare([TopicSpec(topic, PARTITIONS, replication=1)])
    broker.close()
    # As applications write: batches of a few hundred messages, lz4.
    settings = {"compression.type": "lz4", "linger.ms": "20", "enable.idempotence": "true"}
    producer = Producer({"bootstrap.servers": place, **settings})
    for number, (key, value) in enumerate(events(0, int(messages))):
        while True:
            try:
                producer.produce(topic, value, key)
                break
            except BufferError:
                producer.poll(0.1)
        if not number % 1000:
            producer.poll(0)
    assert not producer.flush(60)


if __name__ == "__main__":
    main()
