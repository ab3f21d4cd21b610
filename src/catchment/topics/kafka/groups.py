"""Where consumer groups of other programs stand, and where they are to begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from catchment.records import Offsets
from catchment.topics.kafka.words import Words

_PATIENCE_S = 30.0


class Groups:
    """`client` is an admin's."""

    def __init__(self, client: Callable[[], AdminClient], words: Words) -> None:
        self._client = client
        self._words = words

    def place(self, group: str, topic: str, offsets: Offsets) -> None:
        """Let a group that nobody is in begin at these offsets. Raises as `Words` says."""
        places = [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()]
        asked = self._client().alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)])
        with self._words.told(f"group {group}"):
            for one in asked[group].result(_PATIENCE_S).topic_partitions or ():
                if one.error is not None:
                    raise KafkaException(one.error)

    def places(self, group: str, topic: str) -> Mapping[int, int]:
        """The next offset of each partition that the group has committed one of. Raises as `Words` says."""
        asked = self._client().list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)])
        with self._words.told(f"group {group}"):
            found = asked[group].result(_PATIENCE_S).topic_partitions or ()
        return {one.partition: one.offset for one in found if one.topic == topic and one.offset >= 0}

    def forget(self, group: str) -> None:
        """A group that nobody is in, or that is not there."""
        asked = self._client().delete_consumer_groups([group])
        try:
            asked[group].result(_PATIENCE_S)
        except KafkaException:  # it goes by itself, some days later
            return
