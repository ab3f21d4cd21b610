"""Who is let in: TLS, names and passwords over it, and tokens such as Amazon MSK wants. Amazon itself is not asked."""

from __future__ import annotations

import base64
import json
import sys
import time
import types
import uuid
from collections.abc import Callable, Iterator, Mapping

import pytest
from tests.services.kafka.server import Kafka, started

from catchment.errors import ConfigError, MissingExtra
from catchment.records import Message, TopicSpec
from catchment.topics.kafka.access import MskTokens
from catchment.topics.kafka.broker import KafkaBroker

_MSK = "b-1.shop.a1b2c3.c2.kafka.eu-west-1.amazonaws.com:9098"


@pytest.fixture(scope="module")
def kafka() -> Iterator[Kafka]:
    with started(users={"anna": "secret"}) as found:
        yield found


def encrypted(kafka: Kafka, **settings: str) -> KafkaBroker:
    told = {"security.protocol": "SSL", "ssl.ca.location": str(kafka.authority)}
    return KafkaBroker(f"127.0.0.1:{kafka.encrypted}", _settings(told, settings))


def secured(kafka: Kafka, **settings: str) -> KafkaBroker:
    """Over TLS and by SCRAM, unless settings say otherwise; `_` stands for a dot, and `""` takes one out."""
    told = {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(kafka.authority),
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "anna",
        "sasl.password": "secret",
    }
    return KafkaBroker(f"127.0.0.1:{kafka.secured}", _settings(told, settings))


def _settings(told: Mapping[str, str], others: Mapping[str, str]) -> dict[str, str]:
    all_of_them = {**told, **{key.replace("_", "."): value for key, value in others.items()}}
    return {key: value for key, value in all_of_them.items() if value}


def goes_through(broker: KafkaBroker) -> bool:
    """A topic is made, written and read: an admin, a producer and a consumer are let in."""
    topic = f"topic-{uuid.uuid4()}"
    broker.declare([TopicSpec(topic, 1)])
    broker.write(topic, [Message(b"a")])
    found = [value for batch in broker.read(topic, {0: 0}, {0: 1}) for value in batch["value"].to_pylist()]
    broker.close()
    return found == [b"a"]


def refused(broker: KafkaBroker) -> ConfigError:
    """What is told, soon and without the password."""
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        broker.topics()
    assert time.monotonic() - began < 5
    assert "hush-hush" not in f"{caught.value} {caught.value.hint}"
    broker.close()
    return caught.value


def test_tls_with_the_authority_that_vouches_for_the_broker(kafka: Kafka) -> None:
    assert goes_through(encrypted(kafka))


def test_scram_over_tls(kafka: Kafka) -> None:
    assert goes_through(secured(kafka))


@pytest.mark.parametrize("opened", [encrypted, secured])
def test_another_authority_is_told(kafka: Kafka, opened: Callable[..., KafkaBroker]) -> None:
    error = refused(opened(kafka, ssl_ca_location=""))
    assert "no secure connection: SSL handshake failed" in str(error)
    assert "ssl.ca.location" in (error.hint or "")


def test_a_file_that_is_not_there_is_told_by_name(kafka: Kafka) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*/absent\.pem, which ssl\.ca\.location names"):
        secured(kafka, ssl_ca_location="absent.pem")


def test_a_wrong_password_is_told(kafka: Kafka) -> None:
    error = refused(secured(kafka, sasl_password="hush-hush"))
    assert "the user is not let in: the name or the password is wrong" in str(error)


def test_a_mechanism_that_the_broker_does_not_know_is_told_with_those_it_knows(kafka: Kafka) -> None:
    error = refused(secured(kafka, sasl_mechanisms="SCRAM-SHA-256"))
    assert "the broker does not know sasl.mechanisms SCRAM-SHA-256" in str(error)
    assert error.hint == "it knows SCRAM-SHA-512, OAUTHBEARER"


# Tokens.


def unsigned(who: str = "anna", seconds: float = 600) -> str:
    """A token as Kafka's own validator takes it where nothing else is said: nobody's signature is looked at."""
    now = time.time()
    parts = {"alg": "none"}, {"sub": who, "iat": now - 1, "exp": now + seconds}
    told = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{told[0]}.{told[1]}."


class Signer:
    """Stands for Amazon's, which signs what no other broker takes."""

    def __init__(self) -> None:
        self.regions: list[str] = []
        self.token: str | None = None

    def generate_auth_token(self, region: str) -> tuple[str, int]:
        self.regions.append(region)
        return self.token or unsigned(), round(1000 * (time.time() + 600))


@pytest.fixture
def signer(monkeypatch: pytest.MonkeyPatch) -> Signer:
    found, module = Signer(), types.ModuleType("aws_msk_iam_sasl_signer")
    module.MSKAuthTokenProvider = found  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", module)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    return found


def with_tokens(kafka: Kafka) -> KafkaBroker:
    return secured(kafka, sasl_mechanisms="AWS_MSK_IAM", sasl_username="", sasl_password="")


def test_tokens_are_signed_as_one_goes(kafka: Kafka, signer: Signer) -> None:
    assert goes_through(with_tokens(kafka))
    assert set(signer.regions) == {"eu-central-1"}
    assert len(signer.regions) >= 3  # an admin's, a producer's, a consumer's


def test_a_token_that_is_refused_is_told(kafka: Kafka, signer: Signer) -> None:
    signer.token = unsigned(seconds=-60)
    assert "the token is refused" in str(refused(with_tokens(kafka)))


def test_a_token_that_librdkafka_fetches_by_itself(kafka: Kafka) -> None:
    own = {"enable.sasl.oauthbearer.unsecure.jwt": "true", "sasl.oauthbearer.config": "principal=anna"}
    told = {"security.protocol": "SASL_SSL", "ssl.ca.location": str(kafka.authority), "sasl.mechanisms": "OAUTHBEARER"}
    assert goes_through(KafkaBroker(f"127.0.0.1:{kafka.secured}", {**told, **own}))


def test_without_credentials_it_is_told_at_once(kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    error = refused(with_tokens(kafka))
    assert "no token for Kafka" in str(error)
    assert "AWS finds no credentials" in str(error)


def test_amazons_own_signer_signs_for_the_region_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    token, expires = MskTokens(_MSK)()
    told = base64.urlsafe_b64decode(f"{token}===").decode()
    assert told.startswith("https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect")
    assert "AKIAEXAMPLE" in told
    assert 600 < expires - time.time() <= 900


def test_what_lacks_for_tokens_is_told(monkeypatch: pytest.MonkeyPatch, signer: Signer) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="does not tell the region"):
        MskTokens("localhost:9098")()
    monkeypatch.setitem(sys.modules, "aws_msk_iam_sasl_signer", None)
    with pytest.raises(MissingExtra, match="aws_msk_iam_sasl_signer") as caught:
        MskTokens(_MSK)()
    assert caught.value.hint == "pip install 'catchment[msk]'"
