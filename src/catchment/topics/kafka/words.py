"""Kafka's errors as ours, and what a connection complains of while somebody waits for it."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError
from catchment.topics.kafka.access import MSK_IAM, mechanism

# librdkafka writes to stderr by itself unless it is given a logger.
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

# The library's own limit is one million, whatever a topic takes. One that takes less says so itself.
MESSAGE_BYTES = 16 << 20

_REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "may not do that with the topic",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "may not do that in the cluster",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "may not read with a group of the name catchment-…",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "may not write in transactions",
    KafkaError.SASL_AUTHENTICATION_FAILED: "is not let in: the name or the password is wrong",
    KafkaError._AUTHENTICATION: "is not let in: the name or the password is wrong",
}
_NO_SUCH = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})
_WRONG = frozenset(
    {
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.INVALID_PARTITIONS,
        KafkaError.INVALID_CONFIG,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.POLICY_VIOLATION,
        KafkaError._INVALID_ARG,
    }
)
_LARGE = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})
_FEW = frozenset({KafkaError.NOT_ENOUGH_REPLICAS, KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND})

# What a connection says of itself that waiting does not mend.
_LASTING = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL})
_VAGUE = frozenset({KafkaError._ALL_BROKERS_DOWN})
_RECENT_S = 30.0

# Somebody was there, and hung up.
_BROKEN_OFF = re.compile("Broken pipe|Disconnected|reset by peer", re.IGNORECASE)

# Whoever comes with another mechanism is told those that are known.
_OTHERS = re.compile(r"broker's supported mechanisms: (\S+)")
_WITH_TOKENS = frozenset({"OAUTHBEARER", MSK_IAM})

# `host:port/1: `, before what it says of one server.
_OF_ONE = re.compile(r"^\S+/(?:bootstrap|\d+): ")


class NoSuchTopic(ConfigError):
    """Who hears it knows which topics there are."""


class Words:
    """Says what goes wrong with a cluster. `heard` is librdkafka's `error_cb`: it tells why nothing answers."""

    def __init__(self, servers: str, settings: Mapping[str, str]) -> None:
        self._servers = servers
        self._settings = settings
        self._is_plain = settings.get("security.protocol", "plaintext").lower() == "plaintext"
        self._heard: tuple[float, KafkaError] | None = None

    def heard(self, error: KafkaError) -> None:
        is_new = self._heard is None or time.monotonic() - self._heard[0] > _RECENT_S
        # That all brokers are down says less than what was said of one.
        if error.code() in _LASTING or is_new or (error.code() not in _VAGUE and self._lasting() is None):
            self._heard = time.monotonic(), error

    def _lasting(self) -> KafkaError | None:
        """What a connection said of late that waiting does not mend."""
        if self._heard is None or time.monotonic() - self._heard[0] > _RECENT_S:
            return None
        return self._heard[1] if self._heard[1].code() in _LASTING else None

    def refuse_lasting(self, what: str) -> None:
        """Raises ConfigError where waiting is in vain."""
        error = self._lasting()
        if error is not None:
            raise self.of(error, what)

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Kafka's errors as ours."""
        try:
            yield
        except KafkaException as error:
            raise self.of(error.args[0], what) from error
        except TimeoutError as error:  # of somebody who waits for what a call comes to
            raise self.of(KafkaError(KafkaError._TIMED_OUT), what) from error

    def of(self, error: KafkaError, what: str) -> CatchmentError:
        code = error.code()
        where = f"Kafka at {self._servers}: {what}"
        if code in _NO_SUCH:
            hint = "`catchment topics list` shows those that there are"
            return NoSuchTopic(f"there is no topic {what} in Kafka at {self._servers}", hint=hint)
        if code in _REFUSED or code == KafkaError._SSL:
            return self._refused(error, where)
        if code == KafkaError.INVALID_TIMESTAMP:
            hint = "raise message.timestamp.after.max.ms of the topic, or mend the time"
            return DataError(f"{where}: a message tells a time too far from now", hint=hint)
        if code in _LARGE:
            hint = "raise max.message.bytes of the topic, or put large things into files"
            return DataError(f"{where}: a message is larger than the topic takes", hint=hint)
        if code in _WRONG:
            cure = "broker.settings" if code == KafkaError._INVALID_ARG else "topics"
            return ConfigError(f"{where}: {error.str()}", hint=f"correct {cure} in catchment.yaml")
        if code in _FEW:
            hint = "wait until more servers are up, or lower min_insync of the topic"
            return RetryableError(f"{where}: too few servers have what is written", hint=hint)
        return self._unreached(error, what)

    def _refused(self, error: KafkaError, where: str) -> ConfigError:
        code = error.code()
        if code == KafkaError._SSL:
            hint = "look at ssl.ca.location, security.protocol and the port in catchment.yaml"
            return ConfigError(f"{where}: no secure connection: {_short(error)}", hint=hint)
        others = _OTHERS.search(error.str())
        if others is not None:
            message = f"{where}: the broker does not know sasl.mechanisms {mechanism(self._settings)}"
            return ConfigError(message, hint=f"it knows {others.group(1).replace(',', ', ')}")
        if code in _LASTING and mechanism(self._settings) in _WITH_TOKENS:
            hint = "look at broker.settings in catchment.yaml, and at the rights of whom the token names"
            return ConfigError(f"{where}: the token is refused", hint=hint)
        hint = "look at broker.settings in catchment.yaml and at the rights of its user"
        return ConfigError(f"{where}: the user {_REFUSED[code]}", hint=hint)

    def _unreached(self, error: KafkaError, what: str) -> CatchmentError:
        lasting = self._lasting()
        if lasting is not None and lasting.code() != error.code():
            return self.of(lasting, what)
        heard = error if self._heard is None else self._heard[1]
        hint = "is it running, and does it tell its clients an address they can reach?"
        if self._is_plain and (heard.code() in _VAGUE or _BROKEN_OFF.search(heard.str())):
            hint += " A port that wants TLS or a password says nothing else to one who brings none."
        if heard.code() not in _VAGUE:
            return RetryableError(f"cannot reach Kafka at {self._servers}: {what}: {_short(heard)}", hint=hint)
        return RetryableError(f"cannot reach Kafka at {self._servers}: {what}: no connection holds", hint=hint)


def _short(error: KafkaError) -> str:
    """Without the thread and the addresses that librdkafka puts around what it says."""
    told = _OF_ONE.sub("", error.str().rpartition("]: ")[2])
    return told.partition(" (after ")[0].strip() or error.name()
