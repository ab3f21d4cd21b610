"""What S3, or the way to it, refuses: in words, with the cure, and without what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import botocore.exceptions as boto

from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError
from catchment.sources.places import TLS, UNKNOWN_HOST, first_line

_WHO = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE, write access_key and secret_key at the source,"
    " or anonymous: true for a public bucket"
)
_AGAIN = "it is listed and read again"

# Codes of answers, or their status where the answer has no body.
_BUSY = frozenset(
    {
        *("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling", "ThrottlingException"),
        *("TooManyRequests", "RequestLimitExceeded", "OperationAborted", "500", "502", "503", "504", "429"),
    }
)
_FORBIDDEN = frozenset({"AccessDenied", "Forbidden", "AllAccessDisabled", "AccountProblem", "403"})
_WRONG_KEY = frozenset(
    {
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure", "InvalidClientTokenId"),
        "XAdminUserNotFound",  # what versitygw says
    }
)
_OLD_KEY = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired"})
_ELSEWHERE = frozenset(
    {
        *("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "301", "307"),
        "IllegalLocationConstraintException",
    }
)
_GONE = frozenset({"NoSuchKey", "NoSuchVersion"})
_REPLACED = frozenset({"PreconditionFailed", "InvalidRange", "412", "416"})
_NO_NAME = frozenset({"InvalidBucketName", "InvalidURI", "400"})


@contextmanager
def in_words(what: str, right: str, where: str) -> Iterator[None]:
    """`what` is asked for at `where`, by the `right` that it takes. Nothing of the request is told: it bears a key."""
    try:
        yield
    except boto.ClientError as error:
        raise _answered(error, what, right, where) from None
    except boto.BotoCoreError as error:
        raise _not_answered(error, what, where) from None


def no_listing(bucket: str, where: str) -> ConfigError:
    """For what answers, and not as S3 does."""
    message = f"{where} does not answer as S3 does, at s3://{bucket}"
    return ConfigError(message, hint="is the endpoint that of an S3 server?")


def _answered(error: Any, what: str, right: str, where: str) -> CatchmentError:
    told = error.response.get("Error", {})
    code = str(told.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    found = _of_object(code, what) or _of_bucket(code, error.response, what, where) or _of_key(code, what, right)
    if found is not None:
        return found
    if code in _BUSY or status in (429, 500, 502, 503, 504):
        message = f"{where} has too much to do, or an error of its own ({code}), at {what}"
        return RetryableError(message, hint="it is tried again")
    message = f"{where} refuses {what}: {code}, {first_line(str(told.get('Message', '')))}"
    return ConfigError(message, hint="is this the address of an S3 server that lets you read?")


def _of_object(code: str, what: str) -> CatchmentError | None:
    if code in _GONE:
        return RetryableError(f"{what} is gone; it was there when it was listed", hint=_AGAIN)
    if code in _REPLACED:
        return RetryableError(f"{what} was replaced between listing and reading", hint=_AGAIN)
    if code == "InvalidObjectState":
        message = f"{what} lies in an archive and cannot be read"
        return DataError(message, hint="restore it, or take it out of the stream's path")
    return None


def _of_bucket(code: str, response: Any, what: str, where: str) -> CatchmentError | None:
    bucket = what.removeprefix("s3://").partition("/")[0]
    if code in ("NoSuchBucket", "404"):
        return ConfigError(f"there is no bucket {bucket} at {where}", hint="correct the name, or the endpoint")
    if code in _ELSEWHERE:
        headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = response["Error"].get("Region") or headers.get("x-amz-bucket-region")
        lies = f"lies in region {region}" if region else "lies in another region"
        hint = f"write region: {region or '…'} at the source"
        return ConfigError(f"bucket {bucket} {lies}, not where it was looked for", hint=hint)
    if code in _NO_NAME:
        return ConfigError(f"{where} takes {what} for no name of a bucket", hint="write s3://bucket/folder/*.csv")
    return None


def _of_key(code: str, what: str, right: str) -> CatchmentError | None:
    if code in _FORBIDDEN:
        return ConfigError(f"no right to read {what}", hint=f"it takes {right} on the bucket, or another key")
    if code in _WRONG_KEY:
        message = f"the key for {what} is not known there, or its secret is wrong"
        return ConfigError(message, hint="correct access_key and secret_key, or what AWS finds in your environment")
    if code in _OLD_KEY:
        return ConfigError(f"the key for {what} has run out", hint="log in again, or renew session_token")
    if code == "RequestTimeTooSkewed":
        message = f"the clocks of this machine and of the server of {what} are too far apart"
        return ConfigError(message, hint="set this machine's clock, by NTP")
    return None


def _not_answered(error: Any, what: str, where: str) -> CatchmentError:
    words = f"{error} {error.kwargs.get('error', '')}"
    if isinstance(error, boto.NoCredentialsError | boto.PartialCredentialsError):
        return ConfigError(f"no key to read {what} with", hint=_WHO)
    if isinstance(
        error, boto.ProfileNotFound | boto.CredentialRetrievalError | boto.TokenRetrievalError | boto.SSOError
    ):
        return ConfigError(f"no key to read {what} with: {first_line(words)}", hint=_WHO)
    if isinstance(error, boto.ParamValidationError):
        return ConfigError(f"{what} cannot be a bucket's name", hint="write s3://bucket/folder/*.csv")
    if isinstance(error, boto.SSLError) or (isinstance(error, boto.ConnectionError) and TLS.search(words)):
        message = f"no safe connection to {where}: {first_line(words)}"
        return ConfigError(message, hint="is it https, and are its authorities in AWS_CA_BUNDLE?")
    if UNKNOWN_HOST.search(words):
        return ConfigError(f"the host of {where} is not known", hint="correct the endpoint or the region")
    if isinstance(error, boto.HTTPClientError | boto.ConnectionError | boto.IncompleteReadError):
        message = f"{where} cannot be reached, or went away, at {what}"
        return RetryableError(message, hint="is the endpoint right, and does it run? it is tried again")
    message = f"cannot read {what}: {first_line(words)}"
    return ConfigError(message, hint="look at endpoint and region; does an S3 server answer there?")
