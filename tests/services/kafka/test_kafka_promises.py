"""The promises of every broker, kept by a real Kafka."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from tests.services.kafka.server import Kafka

from catchment.interfaces import Broker
from catchment.testing.brokers import BrokerPromises, BrokerReaching
from catchment.testing.publications import PublicationPromises
from catchment.topics.kafka.broker import KafkaBroker

_ADDRESS = "CATCHMENT_TESTS_KAFKA"


class KafkaReaching(BrokerReaching):
    @pytest.fixture(autouse=True)
    def _kafka(self, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
        # Also for the suite's own processes.
        monkeypatch.setenv(_ADDRESS, kafka.address)

    def open(self, place: Path) -> Broker:
        return KafkaBroker(os.environ[_ADDRESS])

    def remove(self, place: Path, topic: str) -> None:
        admin = AdminClient({"bootstrap.servers": os.environ[_ADDRESS]})
        admin.delete_topics([topic], operation_timeout=30)[topic].result(30)

    def lose(self, place: Path, topic: str) -> None:
        ends = {number: end for number, (_, end) in self.open(place).bounds(topic).items()}
        admin = AdminClient({"bootstrap.servers": os.environ[_ADDRESS]})
        asked = admin.delete_records([TopicPartition(topic, number, end) for number, end in ends.items()])
        for done in asked.values():
            done.result(30)


class TestKafka(KafkaReaching, BrokerPromises):
    """What is written, read, waited for and forgotten."""


class TestPublications(KafkaReaching, PublicationPromises):
    """Messages and progress in one transaction."""
