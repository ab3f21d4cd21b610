"""AWS Secrets Manager, asked once in a process for each secret; keys and region as AWS has them."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from catchment.errors import CatchmentError, ConfigError, MissingExtra, RetryableError

_BUSY = frozenset({"ThrottlingException", "Throttling", "InternalServiceError", "InternalServiceErrorException"})
_WRONG_KEY = frozenset(
    {
        *("UnrecognizedClientException", "InvalidClientTokenId", "InvalidSignatureException"),
        *("ExpiredTokenException", "ExpiredToken", "SignatureDoesNotMatch"),
    }
)
_KEYS = "log in to AWS, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE"

_lock = threading.Lock()


def secret(name: str) -> str:
    """The current value of a secret, by name or ARN; the same one until the process ends.

    Raises MissingExtra, ConfigError, or RetryableError where asking again may help; none of them holds a value.
    """
    with _lock:
        return _secret(name)


@cache
def _secret(name: str) -> str:
    try:
        import botocore.exceptions as boto
    except ModuleNotFoundError as error:
        message = f"package `{error.name}` is not installed, and AWS secret {name} is asked for"
        raise MissingExtra(message, hint="pip install 'catchment[aws]'") from error
    try:
        told = _client().get_secret_value(SecretId=name)
    except boto.ClientError as error:
        raise _refused(error.response["Error"]["Code"], name) from None
    except boto.BotoCoreError as error:
        raise _unreached(error, name) from None
    if "SecretString" in told:
        return str(told["SecretString"])
    try:
        return bytes(told["SecretBinary"]).decode()
    except UnicodeDecodeError:
        message = f"AWS secret {name} is not UTF-8 text"
        raise ConfigError(message, hint="keep the value as text") from None


@cache
def _client() -> Any:
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 3}
    return boto3.Session().client("secretsmanager", config=Config(retries=retries, connect_timeout=5, read_timeout=20))


def _refused(code: str, name: str) -> CatchmentError:
    if code == "ResourceNotFoundException":
        return ConfigError(f"there is no AWS secret {name}", hint="correct the name; is it another account or region?")
    if code in ("AccessDeniedException", "DecryptionFailure"):
        message = f"no right to read AWS secret {name}"
        hint = "it takes secretsmanager:GetSecretValue, and kms:Decrypt for a key of your own"
        return ConfigError(message, hint=hint)
    if code in _WRONG_KEY:
        return ConfigError(f"the AWS key that asks for secret {name} is wrong or has run out", hint=_KEYS)
    if code in _BUSY:
        return RetryableError(f"AWS Secrets Manager is busy, at secret {name}", hint="it is tried again")
    if code == "InvalidRequestException":
        message = f"AWS secret {name} is about to be deleted, or has no value"
        return ConfigError(message, hint="restore it, or give it a value")
    return ConfigError(
        f"AWS Secrets Manager refuses secret {name}: {code}", hint="look at the secret's name and rights"
    )


def _unreached(error: Any, name: str) -> CatchmentError:
    import botocore.exceptions as boto

    if isinstance(error, boto.NoRegionError):
        message = f"AWS secret {name} is asked for, and no region is set"
        return ConfigError(message, hint="set AWS_DEFAULT_REGION, or a profile with a region")
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError):
        message = f"AWS Secrets Manager cannot be reached, at secret {name}"
        return RetryableError(message, hint="is there a way to the network? is AWS_ENDPOINT_URL_SECRETS_MANAGER right?")
    words = type(error).__name__
    return ConfigError(f"AWS secret {name} cannot be asked for without a good key ({words})", hint=_KEYS)
