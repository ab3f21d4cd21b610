"""How one is let into a cluster: settings as a project says them, made into those that librdkafka takes."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catchment.errors import ConfigError, MissingExtra

# As Amazon's own clients for Java call it. librdkafka has no such mechanism: it takes tokens, which are signed here.
MSK_IAM = "AWS_MSK_IAM"

_MECHANISMS = ("sasl.mechanisms", "sasl.mechanism")
_FILES = ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location")

# b-1.shop.a1b2c3.c2.kafka.eu-west-1.amazonaws.com:9098, boot-a1b2c3.c1.kafka-serverless.eu-west-1.amazonaws.com:9098
_REGION = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com")


def access(servers: str, settings: Mapping[str, str]) -> dict[str, Any]:
    """Opens nothing. Raises ConfigError for a file that is not there."""
    for key in _FILES:
        file = settings.get(key)
        if file is not None and not _is_there(key, file):
            message = f"Kafka at {servers}: there is no file {Path(file).absolute()}, which {key} names"
            raise ConfigError(message, hint="correct broker.settings in catchment.yaml")
    if mechanism(settings) != MSK_IAM:
        return dict(settings)
    kept = {key: value for key, value in settings.items() if key not in _MECHANISMS}
    secure = {"security.protocol": "SASL_SSL", **kept}
    return {**secure, "sasl.mechanisms": "OAUTHBEARER", "oauth_cb": MskTokens(servers)}


def mechanism(settings: Mapping[str, Any]) -> str:
    """How one says who one is, as librdkafka calls it; nothing where nobody asks."""
    return next((str(settings[key]).upper() for key in _MECHANISMS if key in settings), "")


def _is_there(key: str, file: str) -> bool:
    # librdkafka takes a folder of certificates as well, and `probe` for where systems keep them.
    is_place = key == "ssl.ca.location" and (file == "probe" or Path(file).is_dir())
    return is_place or Path(file).is_file()


class MskTokens:
    """Tokens for Amazon MSK's IAM, signed with the credentials that AWS finds where this runs. It is librdkafka's
    `oauth_cb`, which asks again before one has expired."""

    def __init__(self, servers: str) -> None:
        self._servers = servers

    def __call__(self, _: str | None = None) -> tuple[str, float]:
        """A token, and when it expires in seconds since 1970. Raises ConfigError and MissingExtra."""
        try:
            from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # type: ignore[import-untyped]
        except ModuleNotFoundError as error:
            message = f"cannot sign tokens for Kafka at {self._servers}: package `{error.name}` is not installed"
            raise MissingExtra(message, hint="pip install 'catchment[msk]'") from error
        region = self._region()
        try:
            token, expires_ms = MSKAuthTokenProvider.generate_auth_token(region)
        except Exception as error:
            # With no credentials at all the signer trips over None.
            why = (
                "AWS finds no credentials" if isinstance(error, AttributeError) else str(error) or type(error).__name__
            )
            message = f"no token for Kafka at {self._servers} in {region}: {why}"
            raise ConfigError(
                message, hint="`aws sts get-caller-identity` tells whose credentials are found"
            ) from error
        return token, expires_ms / 1000

    def _region(self) -> str:
        found = _REGION.search(self._servers)
        region = found.group(1) if found else os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        if not region:
            message = f"Kafka at {self._servers}: the address does not tell the region that tokens are signed for"
            raise ConfigError(message, hint="set AWS_REGION, or write the servers as Amazon MSK names them")
        return region
