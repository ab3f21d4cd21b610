"""A publication into a topic of a cluster: a transactional producer, and how far it has come in a topic of ours.

`catchment.progress` has one partition, is compacted, and is written in the transaction that writes the messages. Who
opens a publication ends what its predecessor left open, which is fenced from then on; only after that is the progress
read, and only once nothing undecided lies before its end.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from catchment.errors import CatchmentError, ConfigError, Conflict, RetryableError
from catchment.interfaces import Broker, Publication
from catchment.records import Message
from catchment.topics.kafka.admin import Admin
from catchment.topics.kafka.words import MESSAGE_BYTES, Words, log
from catchment.topics.partitioning import partition_of

PROGRESS = "catchment.progress"

# Small segments: the one that is written is never compacted, and somebody has to read it.
_PROGRESS_CONFIG = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 << 20),
    "segment.ms": "86400000",
    "min.cleanable.dirty.ratio": "0.2",
}

# After a kill readers of the topic wait for so long, where nobody opens the publication again before that.
_TRANSACTION_S = 10.0
_PATIENCE_S = 30.0
_LOOK_S = 0.02
_HEARD_S = 1.0

# Progress is looked for backwards, in steps that become longer: what is written often lies near the end.
_STEP, _LONGER = 1_000, 8

_FENCED = frozenset(
    {KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.FENCED_INSTANCE_ID}
)


class Progresses:
    """Reads what publications have committed."""

    def __init__(self, broker: Broker, admin: Admin) -> None:
        self._broker = broker
        self._admin = admin

    def declare(self) -> None:
        """Make the topic where it is not there. Raises ConfigError where it is there and forgets."""
        if PROGRESS in self._broker.topics():
            self._refuse_forgetful()
            return
        self._admin.make(NewTopic(PROGRESS, 1, -1, config=_PROGRESS_CONFIG))
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                self._end()
            except CatchmentError:
                if time.monotonic() > until:
                    raise
                time.sleep(_LOOK_S)
            else:
                return

    def _refuse_forgetful(self) -> None:
        """Somebody else may have made it, as a topic that loses what is old: then all would be published again."""
        resource = ConfigResource(ResourceType.TOPIC, PROGRESS)
        try:
            told = self._admin.client.describe_configs([resource])[resource].result(_PATIENCE_S)
        except (KafkaException, TimeoutError):  # not everybody may ask
            return
        kept = ("retention.ms", "retention.bytes")
        if "delete" in told["cleanup.policy"].value and any(int(told[key].value) >= 0 for key in kept):
            message = f"topic {PROGRESS} is not compacted: publications that it forgets would begin anew"
            cure = f"--alter --entity-type topics --entity-name {PROGRESS} --add-config cleanup.policy=compact"
            raise ConfigError(message, hint=f"kafka-configs.sh --bootstrap-server … {cure}")

    def last(self, topic: str, name: str) -> Mapping[str, Any] | None:
        """What was committed last under a name; None where nothing was. Raises RetryableError."""
        if PROGRESS not in self._broker.topics():
            return None
        end = self._decided()
        first, _ = self._broker.bounds(PROGRESS)[0]
        wanted, step = _key(topic, name), _STEP
        while end > first:
            start = max(first, end - step)
            found = None
            for batch in self._broker.read(PROGRESS, {0: start}, {0: end}):
                values = zip(batch["key"].to_pylist(), batch["value"].to_pylist(), strict=True)
                found = next((value for key, value in reversed(list(values)) if key == wanted), found)
            if found is not None:
                told: Mapping[str, Any] = json.loads(found)
                return told
            end, step = start, step * _LONGER
        return None

    def all(self, topic: str) -> Mapping[str, Mapping[str, Any]]:
        """By name what was committed last into topics of that name. Reads everything. Raises RetryableError."""
        if PROGRESS not in self._broker.topics():
            return {}
        end = self._decided()
        first, _ = self._broker.bounds(PROGRESS)[0]
        begins, found = _key(topic, "").removesuffix(b'"]'), dict[bytes, bytes | None]()
        for batch in self._broker.read(PROGRESS, {0: first}, {0: end}):
            for key, value in zip(batch["key"].to_pylist(), batch["value"].to_pylist(), strict=True):
                if key is not None and key.startswith(begins):
                    found[key] = value
        return {json.loads(key)[1]: json.loads(value) for key, value in found.items() if value is not None}

    def _decided(self) -> int:
        """The end of the topic as it is now, once every transaction before it is committed or aborted: another
        publication's may be open, and what lies behind it is shown to nobody until then."""
        end, until = self._end(), time.monotonic() + _PATIENCE_S
        while self._broker.bounds(PROGRESS)[0][1] < end:
            if time.monotonic() > until:
                message = f"topic {PROGRESS}: a transaction has been open for {_PATIENCE_S:.0f} s"
                raise RetryableError(message, hint="kafka-transactions.sh find-hanging shows whose it is")
            time.sleep(_LOOK_S)
        return end

    def _end(self) -> int:
        return self._admin.end(PROGRESS, 0)


class KafkaPublication(Publication):
    """`settings` are librdkafka's own, without those that a transaction needs."""

    def __init__(
        self,
        topic: str,
        name: str,
        *,
        settings: Mapping[str, Any],
        words: Words,
        admin: Admin,
        progresses: Progresses,
    ) -> None:
        """Fences whoever has it open. Raises as `Broker.publication` does."""
        self._topic = topic
        self._name = name
        self._words = words
        self._partitions = admin.partitions(topic)
        self._turns = itertools.count()
        progresses.declare()
        told = {
            "compression.type": "lz4",
            "linger.ms": "5",
            "message.max.bytes": str(MESSAGE_BYTES),
            **settings,
            "enable.idempotence": "true",
            "transactional.id": f"catchment:{name}",
            "transaction.timeout.ms": str(int(_TRANSACTION_S * 1000)),
            "delivery.timeout.ms": str(int(_TRANSACTION_S * 1000)),
        }
        with words.told("a producer"):
            self._producer = Producer(told, logger=log)
        try:
            self._told(lambda: self._producer.init_transactions(_PATIENCE_S))
            self._progress = progresses.last(topic, name)
        except BaseException:
            self.close()
            raise

    def progress(self) -> Mapping[str, Any] | None:
        return self._progress

    def write(self, messages: Iterable[Message], progress: Mapping[str, Any]) -> None:
        self._told(self._producer.begin_transaction)
        try:
            keyless = next(self._turns) % self._partitions
            for message in messages:
                chosen = keyless if message.key is None else partition_of(message.key, self._partitions)
                self._produce(self._topic, message, chosen if message.partition is None else message.partition)
            told = json.dumps(progress, ensure_ascii=False).encode()
            self._produce(PROGRESS, Message(told, _key(self._topic, self._name)), 0)
        except KafkaException as error:
            why = self._abort()
            # Whoever was fenced while he sent hears only that all is over; what ended it is told where he aborts.
            raise self._error(
                why if why is not None and error.args[0].code() == KafkaError._FATAL else error
            ) from error
        except BaseException:
            self._abort()
            raise
        self._told(lambda: self._producer.commit_transaction(_PATIENCE_S))
        self._progress = progress

    def _produce(self, topic: str, message: Message, partition: int) -> None:
        at = 0 if message.at is None else round(message.at.timestamp() * 1000)
        while True:
            try:
                self._producer.produce(
                    topic, message.value, message.key, partition, timestamp=at, headers=list(message.headers)
                )
            except BufferError:  # its queue is full
                self._producer.poll(0.1)
            else:
                return

    def _abort(self) -> KafkaException | None:
        """As far as it can be: who opens the publication again aborts what is left. Why it could not be, if so."""
        try:
            self._producer.abort_transaction(_PATIENCE_S)
        except KafkaException as error:
            log.debug("the transaction of %s could not be aborted", self._name)
            return error
        return None

    def _told(self, do: Callable[[], object]) -> None:
        """Do it, again where the library asks for it, and until our patience is at its end."""
        until = time.monotonic() + _PATIENCE_S
        while True:
            try:
                do()
            except KafkaException as error:
                told = error.args[0]
                self._words.refuse_lasting(self._topic)
                if told.retriable() and time.monotonic() < until:
                    continue
                if told.txn_requires_abort():
                    self._abort()
                raise self._error(error) from error
            else:
                return

    def _error(self, error: KafkaException) -> CatchmentError:
        told = error.args[0]
        if told.code() in _FENCED:
            message = f"topic {self._topic}: another process has taken over the publication {self._name}"
            return Conflict(message, hint="one of them is enough: look for a second stream or run")
        found = self._words.of(told, self._topic)
        if isinstance(found, ConfigError) and told.retriable():
            return RetryableError(found.message, hint=found.hint)
        return found

    def close(self) -> None:
        """What was not committed is aborted by the broker."""
        if "_producer" in self.__dict__:
            # librdkafka 2.16 frees memory twice, and ends the process, where a producer goes whose reports of messages
            # nobody has heard: seen in 1 of 100 hand-overs under load, in none of 600 with this
            # (https://github.com/confluentinc/librdkafka/issues/4330 is of the kind).
            with suppress(KafkaException):
                self._producer.flush(_HEARD_S)
            del self._producer


def _key(topic: str, name: str) -> bytes:
    return json.dumps([topic, name], ensure_ascii=False).encode()
