"""One Kafka for the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.services.kafka.server import Kafka, started


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    with started() as broker:
        yield broker
