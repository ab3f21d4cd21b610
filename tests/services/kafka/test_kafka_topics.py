"""What is particular to Kafka's topics: compaction, transactions, settings, retention, and who is let in."""

from __future__ import annotations

import json
import os
import random
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer, TopicCollection
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType
from tests.services.kafka.server import Kafka, started

from catchment.cli.group import catchment as root
from catchment.errors import ConfigError, DataError, Passed, RetryableError
from catchment.records import Message, TopicSpec
from catchment.topics.kafka import admin
from catchment.topics.kafka.broker import KafkaBroker

_EAGER = ["log.cleaner.backoff.ms=100", "log.segment.delete.delay.ms=100", "log.initial.task.delay.ms=200"]


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with started(settings=_EAGER, users={"anna": "secret"}) as found:
        yield found


@pytest.fixture
def broker(kafka: Kafka) -> Iterator[KafkaBroker]:
    broker = KafkaBroker(kafka.address)
    yield broker
    broker.close()


def made(kafka: Kafka, **settings: str) -> str:
    """A new topic of one partition, with Kafka's own settings."""
    name = f"topic-{uuid.uuid4()}"
    client = AdminClient({"bootstrap.servers": kafka.address})
    client.create_topics([NewTopic(name, 1, 1, config={key.replace("_", "."): settings[key] for key in settings})])[
        name
    ].result(30)
    # A server of the cluster hears of it after another.
    until(lambda: client.describe_topics(TopicCollection([name]))[name].exception(30) is None)
    return name


def configure(kafka: Kafka, topic: str, **settings: str) -> None:
    set_to = AlterConfigOpType.SET
    told = [ConfigEntry(key.replace("_", "."), settings[key], incremental_operation=set_to) for key in settings]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=told)
    client = AdminClient({"bootstrap.servers": kafka.address})
    client.incremental_alter_configs([resource])[resource].result(30)


def read(broker: KafkaBroker, topic: str, since: int | None = None) -> list[tuple[int, bytes]]:
    """Offsets and values, to the end as it is."""
    ends = {number: end for number, (_, end) in broker.bounds(topic).items()}
    offsets = {} if since is None else {0: since}
    rows = [row for batch in broker.read(topic, offsets, ends) for row in batch.to_pylist()]
    return [(row["offset"], row["value"]) for row in rows]


def until(holds: Callable[[], bool], seconds: float = 40) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_topic_is_made_as_it_is_declared(broker: KafkaBroker) -> None:
    wanted = TopicSpec(f"topic-{uuid.uuid4()}", 2, 86_400, compact=True, replication=1, min_insync=1)
    assert broker.declare([wanted]) == [f"topic {wanted.name}: new, 2 partitions"]
    assert broker.spec(wanted.name) == wanted
    assert broker.declare([wanted]) == []


def test_differences_are_told_and_done_as_far_as_can_be(broker: KafkaBroker) -> None:
    name = f"topic-{uuid.uuid4()}"
    broker.declare([TopicSpec(name, 1)])
    wanted = TopicSpec(name, 2, 3600, compact=True, replication=3, min_insync=2)
    words = [
        f"topic {name}: 2 partitions, were 1; messages of one key may come into another partition from now on",
        f"topic {name}: kept for 3,600 s, was for ever",
        f"topic {name}: compacted, was not",
        f"topic {name}: min.insync.replicas 2, was 1",
        f"topic {name}: replication 1, not 3; it stays until Kafka's own kafka-reassign-partitions changes it",
    ]
    assert broker.declare([wanted], change=False) == words
    assert broker.spec(name) == TopicSpec(name, 1, None, compact=False, replication=1, min_insync=1)
    assert broker.declare([wanted]) == words
    until(lambda: broker.declare([wanted]) == words[-1:])
    assert broker.spec(name) == TopicSpec(name, 2, 3600, compact=True, replication=1, min_insync=2)


def test_what_the_cluster_cannot_have_is_refused_in_words(broker: KafkaBroker) -> None:
    with pytest.raises(ConfigError, match="replication factor"):
        broker.declare([TopicSpec(f"topic-{uuid.uuid4()}", 1, replication=3)])


def test_a_message_that_is_too_large_is_refused_and_the_next_goes_through(broker: KafkaBroker, kafka: Kafka) -> None:
    topic = made(kafka)
    with pytest.raises(DataError, match="larger than the topic takes"):
        broker.write(topic, [Message(random.Random(1).randbytes(2_000_000))])
    broker.write(topic, [Message(b"small")])
    assert read(broker, topic) == [(0, b"small")]


def test_a_compacted_topic_is_read_over_its_gaps_and_to_an_end_that_holds_nothing(
    broker: KafkaBroker, kafka: Kafka
) -> None:
    eager = {"cleanup_policy": "compact", "min_cleanable_dirty_ratio": "0.01", "delete_retention_ms": "0"}
    topic = made(kafka, **eager, segment_ms="100", max_compaction_lag_ms="100")
    for number in range(5):
        broker.write(topic, [Message(f"a{number}".encode(), b"a"), Message(f"b{number}".encode(), b"b")])
    broker.write(topic, [Message(b"c", b"c")])
    broker.write(topic, [Message(None, b"a"), Message(None, b"b")])

    def gone() -> bool:
        # A new segment, so that those before it are cleaned; and then nothing of its own is left.
        broker.write(topic, [Message(None, b"z")])
        time.sleep(0.3)
        return [value for _, value in read(broker, topic)][:1] == [b"c"]

    until(gone)
    found = read(broker, topic)
    assert found[0] == (10, b"c")
    assert read(broker, topic, since=3) == found
    end = broker.bounds(topic)[0][1]
    until(lambda: not broker.wait(topic, {0: end}, 0.1))


def test_only_what_is_committed_is_seen(broker: KafkaBroker, kafka: Kafka, tmp_path: Path) -> None:
    topic = made(kafka)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": str(uuid.uuid4())})
    producer.init_transactions(30)
    for number, end in enumerate(["commit", "abort", "commit"]):
        producer.begin_transaction()
        for one in range(3):
            producer.produce(topic, f"{number}-{one}")
        producer.flush(30)
        assert len(read(broker, topic)) == (3 if number else 0)
        (producer.commit_transaction if end == "commit" else producer.abort_transaction)(30)
    until(lambda: len(read(broker, topic)) == 6)
    assert [value for _, value in read(broker, topic)] == [b"0-0", b"0-1", b"0-2", b"2-0", b"2-1", b"2-2"]
    # The last offsets are those of the end of a transaction: there is nothing to wait for.
    ((_, end),) = broker.bounds(topic).values()
    assert end == 12
    assert not broker.wait(topic, {0: end}, 0.2)
    assert read(broker, topic, since=11) == []
    # Neither are they among the newest messages.
    target = f"{{broker: {{type: kafka, servers: '{kafka.address}'}}}}"
    (tmp_path / "catchment.yaml").write_text(f"name: tries\ntargets: {{cluster: {target}}}\n")
    for count in (1, 2, 5):
        words = ["--project", str(tmp_path), "topics", "show", topic, "--limit", str(count), "--json"]
        told = json.loads(CliRunner().invoke(root, words, catch_exceptions=False).stdout)
        assert [one["value"] for one in told] == ["0-0", "0-1", "0-2", "2-0", "2-1", "2-2"][-count:]


def test_who_reads_one_partition_after_another_waits_for_no_answer_to_the_last_question(broker: KafkaBroker) -> None:
    topic = f"topic-{uuid.uuid4()}"
    broker.declare([TopicSpec(topic, 3)])
    took = []
    for turn in range(15):
        broker.write(topic, [Message(b"a", partition=turn % 3)])
        began = time.monotonic()
        (batch,) = broker.read(topic, {turn % 3: turn // 3}, {turn % 3: turn // 3 + 1})
        assert batch.num_rows == 1
        took.append(time.monotonic() - began)
    # Half a second each, as librdkafka is by default.
    assert sorted(took)[7] < 0.25


def test_retention_that_passes_a_reader_by_is_told(broker: KafkaBroker, kafka: Kafka) -> None:
    topic = made(kafka, segment_bytes="1048576")
    block = [Message(os.urandom(100_000), b"k") for _ in range(12)]
    for _ in range(4):
        broker.write(topic, block)
    reading = broker.read(topic, {0: 0}, {0: 48}, messages=1)
    assert next(reading)["offset"].to_pylist() == [0]
    configure(kafka, topic, retention_bytes="1048576")
    until(lambda: broker.bounds(topic)[0][0] > 0)
    first = broker.bounds(topic)[0][0]
    with pytest.raises(Passed, match=f"messages 1 to {first - 1}"):
        next(broker.read(topic, {0: 1}, {0: 48}))
    assert len(read(broker, topic)) == 48 - first
    reading.close()


def _guarded(kafka: Kafka, password: str = "secret") -> KafkaBroker:
    mine = {"sasl.username": "anna", "sasl.password": password}
    settings = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanisms": "PLAIN", **mine}
    return KafkaBroker(f"127.0.0.1:{kafka.guarded}", settings)


def test_who_has_the_password_is_let_in(kafka: Kafka, broker: KafkaBroker) -> None:
    topic = made(kafka)
    guarded = _guarded(kafka)
    guarded.write(topic, [Message(b"a")])
    assert read(guarded, topic) == read(broker, topic) == [(0, b"a")]
    guarded.close()


def test_a_wrong_password_is_told_at_once_and_never_shown(kafka: Kafka) -> None:
    began = time.monotonic()
    for call in (KafkaBroker.topics, lambda broker: broker.bounds("a"), lambda broker: broker.write("a", [])):
        with pytest.raises(ConfigError, match="is not let in: the name or the password is wrong") as caught:
            call(_guarded(kafka, "hush-hush"))
        assert "hush-hush" not in f"{caught.value} {caught.value.hint}"
    assert time.monotonic() - began < 10


def test_a_port_that_wants_a_password_is_told_of_as_far_as_it_says(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "PATIENCE_S", 2.0)
    with pytest.raises(RetryableError, match="cannot reach Kafka") as caught:
        KafkaBroker(f"127.0.0.1:{kafka.guarded}").topics()
    assert "wants TLS or a password" in (caught.value.hint or "")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:9092"])
def test_a_cluster_that_is_not_there_is_told(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "PATIENCE_S", 1.0)
    with pytest.raises(RetryableError, match=f"cannot reach Kafka at {address}"):
        KafkaBroker(address).topics()


def test_a_setting_that_librdkafka_does_not_know_is_told() -> None:
    with pytest.raises(ConfigError, match=r"sasl\.pasword"):
        KafkaBroker("127.0.0.1:1", {"sasl.pasword": "hush-hush"}).topics()
