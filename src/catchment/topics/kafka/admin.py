"""The topics of a cluster: which there are, how they are kept, where they begin and end; made and altered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, TypeVar

import tenacity
from confluent_kafka import IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from catchment.errors import CatchmentError, ConfigError
from catchment.naming import did_you_mean
from catchment.records import TopicSpec
from catchment.topics.kafka.words import NoSuchTopic, Words, log

PATIENCE_S = 15.0
_FIRST_S = 5.0  # who is there answers a first question sooner
_KNOCK_S = 0.5
_ASKED_S = 2.0  # then a question is asked anew, for a second longer

# What a server that knows no numbers of topics says for one: all bits are 0.
_NOBODY = "A" * 22

_MOVING = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.OFFSET_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._NOENT,  # no leader is known
        # Who was asked is no longer one of the cluster's (https://github.com/confluentinc/librdkafka/pull/4557).
        KafkaError._DESTROY_BROKER,
    }
)
_RETENTION, _POLICY, _INSYNC = "retention.ms", "cleanup.policy", "min.insync.replicas"


T = TypeVar("T")


class Admin:
    """`settings` are librdkafka's own."""

    def __init__(self, servers: str, settings: dict[str, Any], words: Words) -> None:
        """Opens nothing."""
        self._servers = servers
        self._settings = settings
        self._words = words
        self._counts: dict[str, int] = {}  # of partitions, as they were last
        self._identities: dict[str, str | None] = {}

    @cached_property
    def _client(self) -> AdminClient:
        """Connected. A wrong password is told at once and not when all patience is at its end."""
        token = self._settings.get("oauth_cb")
        if token is not None:
            token(None)  # says what is wrong, where librdkafka only waits ten seconds for one
        client = AdminClient(self._settings, logger=log)
        until, patience = time.monotonic() + min(_FIRST_S, PATIENCE_S), _KNOCK_S
        while True:
            try:
                client.list_topics("", timeout=patience)
            except KafkaException as error:
                client.poll(0)  # for `error_cb`
                self._words.refuse_lasting("its topics")
                if time.monotonic() > until:
                    raise self._words.of(error.args[0], "its topics") from error
                patience *= 2  # the way may be long
            else:
                return client

    @property
    def client(self) -> AdminClient:
        """Connected, for what is asked for elsewhere."""
        return self._client

    def close(self) -> None:
        """Give back the connections."""
        self.__dict__.pop("_client", None)

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Raises as `Words` says; who asks for a topic that is not there hears which ones there are."""
        try:
            with self._words.told(what):
                try:
                    yield
                except KafkaException:
                    self._client.poll(0)  # for `error_cb`
                    raise
        except NoSuchTopic:
            raise self._absent(what) from None

    def _answer(self, ask: Callable[[float], T], what: str) -> T:
        """What a question comes to that may take so many seconds. Raises as `Words` says.

        It is asked again while partitions find their leaders, and where nobody answers: librdkafka waits for a leader
        that is gone until the question is at its end, though there is another one by then.
        """
        with self._told(what):
            for attempt in _patiently():
                with attempt:
                    state = attempt.retry_state
                    left = PATIENCE_S - (time.monotonic() - state.start_time)
                    return ask(max(_KNOCK_S, min(_ASKED_S + state.attempt_number - 1, left)))
        raise AssertionError

    def _done(self, ordered: Any, what: str) -> None:
        """An order, which is given once. Raises as `Words` says."""
        with self._told(what):
            ordered.result(PATIENCE_S)

    def _absent(self, topic: str) -> ConfigError:
        cure = did_you_mean(topic, self.topics())
        message = f"there is no topic {topic} in Kafka at {self._servers}" + (f"; {cure}" if cure else "")
        return ConfigError(message, hint="`catchment topics list` shows those that there are")

    # What there is.

    def topics(self) -> Sequence[str]:
        with self._words.told("its topics"):
            found = self._client.list_topics(timeout=PATIENCE_S).topics
        return sorted(name for name, topic in found.items() if topic.error is None and not name.startswith("__"))

    def spec(self, topic: str) -> TopicSpec:
        resource = ConfigResource(ResourceType.TOPIC, topic)
        set_to = self._answer(
            lambda patience: self._client.describe_configs([resource], request_timeout=patience)[resource].result(),
            topic,
        )
        parts = self._described(topic)
        kept = int(set_to[_RETENTION].value)
        return TopicSpec(
            topic,
            len(parts),
            None if kept < 0 else kept // 1000,
            compact="compact" in set_to[_POLICY].value,
            replication=min(len(part.replicas) for part in parts),
            min_insync=int(set_to[_INSYNC].value),
        )

    def _described(self, topic: str) -> Sequence[Any]:
        found: Sequence[Any] = self._answer(
            lambda patience: self._description(topic, patience).result(), topic
        ).partitions
        return found

    def _description(self, topic: str, patience: float) -> Any:
        """A question on its way."""
        return self._client.describe_topics(TopicCollection([topic]), request_timeout=patience)[topic]

    def partitions(self, topic: str) -> int:
        return len(self._described(topic))

    def bounds(self, topic: str) -> Mapping[int, tuple[int, int]]:
        return self._answer(lambda patience: self._bounds(topic, patience), topic)

    def _bounds(self, topic: str, patience: float) -> Mapping[int, tuple[int, int]]:
        """All is asked for at once: where partitions begin and end beside how many there are, which changes rarely."""
        count = self._counts.get(topic, 0) or self.partitions(topic)
        while True:
            described = self._description(topic, patience)
            asked = [
                self._listed(topic, count, spec, patience) for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
            ]
            told = described.result()
            there = self._counts[topic] = len(told.partitions)
            self._identities[topic] = None if str(told.topic_id) == _NOBODY else str(told.topic_id)
            if there == count:
                firsts, ends = ({place.partition: _offset(one) for place, one in of.items()} for of in asked)
                return {number: (first, ends[number]) for number, first in firsts.items()}
            count = there

    def end(self, topic: str, partition: int) -> int:
        """Where a partition ends, with what open transactions have written."""
        everything, place = IsolationLevel.READ_UNCOMMITTED, TopicPartition(topic, partition)

        def ask(patience: float) -> int:
            latest = {place: OffsetSpec.latest()}
            return _offset(
                self._client.list_offsets(latest, isolation_level=everything, request_timeout=patience)[place]
            )

        return self._answer(ask, topic)

    def identity(self, topic: str) -> str | None:
        """As it was when its bounds were asked for last; None where they never were, and of servers before 2.8."""
        return self._identities.get(topic)

    def _listed(self, topic: str, count: int, spec: OffsetSpec, patience: float) -> Any:
        """A question on its way."""
        places = {TopicPartition(topic, number): spec for number in range(count)}
        return self._client.list_offsets(
            places, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=patience
        )

    # Made and altered.

    def declared(self, wanted: TopicSpec, *, change: bool) -> list[str]:
        """What differs, or was done about it, in words. Raises ConfigError for what cannot be."""
        if wanted.partitions < 1:
            message = f"topic {wanted.name} cannot have {wanted.partitions} partitions"
            raise ConfigError(message, hint="a topic has one at least")
        if wanted.name in self.topics():
            return self._altered(self._settled(wanted.name), wanted, change=change)
        split = f"{wanted.partitions} partition{'' if wanted.partitions == 1 else 's'}"
        if not change:
            return [f"topic {wanted.name}: would be new, with {split}"]
        made = NewTopic(wanted.name, wanted.partitions, wanted.replication or -1, config=_configured(wanted))
        if not self.make(made):
            return self._altered(self._settled(wanted.name), wanted, change=change)
        self._settled(wanted.name, wanted.partitions)
        return [f"topic {wanted.name}: new, {split}"]

    def make(self, topic: NewTopic) -> bool:
        """Whether it was not there before."""
        return self._answer(lambda patience: self._made(topic, patience), topic.topic)

    def _made(self, topic: NewTopic, patience: float) -> bool:
        ordered = self._client.create_topics([topic], operation_timeout=patience, request_timeout=patience)
        try:
            ordered[topic.topic].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise
            return False
        return True

    def _altered(self, there: TopicSpec, wanted: TopicSpec, *, change: bool) -> list[str]:
        if wanted.partitions < there.partitions:
            message = f"topic {there.name} has {there.partitions} partitions and cannot have {wanted.partitions}"
            raise ConfigError(message, hint=f"write `partitions: {there.partitions}`, or take a new topic")
        told, entries = differences(there, wanted)
        if change and wanted.partitions > there.partitions:
            more = NewPartitions(there.name, wanted.partitions)
            asked = self._client.create_partitions([more], operation_timeout=PATIENCE_S)[there.name]
            self._done(asked, there.name)
            self._settled(there.name, wanted.partitions)
        if change and entries:
            self._set(there.name, entries)
        return told

    def _set(self, topic: str, entries: Mapping[str, str]) -> None:
        set_to = AlterConfigOpType.SET
        told = [ConfigEntry(name, value, incremental_operation=set_to) for name, value in entries.items()]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=told)
        self._answer(
            lambda patience: self._client.incremental_alter_configs([resource], request_timeout=patience)[
                resource
            ].result(),
            topic,
        )

    def _settled(self, topic: str, partitions: int = 1) -> TopicSpec:
        """A topic that was made or altered just now: one server of the cluster hears of it after another."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                found = self.spec(topic)
                if len(self.bounds(topic)) >= partitions or time.monotonic() > until:
                    return found
            except CatchmentError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.02)


def _offset(asked: Any) -> int:
    """Of one partition. Where its leader has not answered in time librdkafka tells an offset that is none."""
    found: int = asked.result().offset
    if found < 0:
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
    return found


def _configured(wanted: TopicSpec) -> dict[str, str]:
    """What a project says of a topic, in Kafka's words."""
    found = {} if wanted.retention_s is None else {_RETENTION: str(wanted.retention_s * 1000)}
    if wanted.compact is not None:
        found[_POLICY] = _policy(wanted)
    if wanted.min_insync is not None:
        found[_INSYNC] = str(wanted.min_insync)
    return found


def _policy(wanted: TopicSpec) -> str:
    """A compacted topic loses old messages only where a retention is said."""
    if not wanted.compact:
        return "delete"
    return "compact" if wanted.retention_s is None else "compact,delete"


def differences(there: TopicSpec, wanted: TopicSpec) -> tuple[list[str], dict[str, str]]:
    """What differs in words, and what to set."""
    told, set_to = [], dict[str, str]()
    if wanted.partitions > there.partitions:
        words = "messages of one key may come into another partition from now on"
        told.append(f"{wanted.partitions} partitions, were {there.partitions}; {words}")
    if wanted.retention_s is not None and wanted.retention_s != there.retention_s:
        was = "for ever" if there.retention_s is None else f"{there.retention_s:,} s"
        told.append(f"kept for {wanted.retention_s:,} s, was {was}")
        set_to[_RETENTION] = str(wanted.retention_s * 1000)
    if wanted.compact is not None and wanted.compact != there.compact:
        told.append("compacted, was not" if wanted.compact else "not compacted, was")
        set_to[_POLICY] = _policy(wanted)
    if wanted.min_insync is not None and wanted.min_insync != there.min_insync:
        told.append(f"{_INSYNC} {wanted.min_insync}, was {there.min_insync}")
        set_to[_INSYNC] = str(wanted.min_insync)
    if wanted.replication is not None and wanted.replication != there.replication:
        how = "it stays until Kafka's own kafka-reassign-partitions changes it"
        told.append(f"replication {there.replication}, not {wanted.replication}; {how}")
    return [f"topic {there.name}: {words}" for words in told], set_to


def _patiently() -> tenacity.Retrying:
    """Tries again while partitions find their leaders, and where nobody answers."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda e: isinstance(e, KafkaException) and e.args[0].code() in _MOVING),
        stop=tenacity.stop_after_delay(PATIENCE_S),
        wait=tenacity.wait_exponential(0.02, max=0.5),
        reraise=True,
    )
