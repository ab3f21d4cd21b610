"""What goes wrong in a dlt source, in our words: whether to wait, or what to mend."""

from __future__ import annotations

import contextlib
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.exceptions import DltException
from dlt.sources.helpers import requests

from catchment.errors import CatchmentError, ConfigError, RetryableError
from catchment.settings import redact

_PASSES = (requests.ConnectionError, requests.Timeout, requests.ChunkedEncodingError, ConnectionError, TimeoutError)
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_REFUSED = (401, 403)
# An API key can stand in a query, and a password before the host.
_QUERY, _PASSWORD = re.compile(r"\?[^\s'\")]+"), re.compile(r"//[^\s/@]+@")


@contextlib.contextmanager
def told(feed: str, folder: Path) -> Iterator[None]:
    """Errors of dlt and of the user's own code in here become ours, none of them with a secret."""
    try:
        yield
    except CatchmentError:
        raise
    except (Exception, SystemExit) as error:  # sys.exit() in a resource would end the run as if all were done
        _tell(feed, folder, error)


def _tell(feed: str, folder: Path, error: BaseException) -> NoReturn:
    cause = _cause(error)
    where = _place(folder, cause) or _place(folder, error)
    words = f"{feed}: {where}{type(cause).__name__}: {_safe(cause)}"
    if isinstance(cause, ConfigFieldMissingException):
        missing = ", ".join(cause.fields)
        message = f"{feed}: {where}the dlt source asks for {missing}, and nobody gives it"
        raise ConfigError(message, hint="give it under `with`, a secret as ${env:…} or ${file:…}") from None
    if isinstance(cause, ConfigurationException):
        raise ConfigError(words, hint="look at what the source is given under `with`") from None
    status = getattr(getattr(cause, "response", None), "status_code", None)
    if status in _BUSY:
        raise RetryableError(words, hint="the server is busy or down: run again later") from None
    if status in _REFUSED:
        raise ConfigError(
            words, hint="look at the key, token or password under `with`, and at what it may read"
        ) from None
    if isinstance(cause, _PASSES):
        raise RetryableError(words, hint="does the address answer from this machine?") from None
    raise ConfigError(words, hint="mend the function that makes the dlt source, or what it is given") from None


def _cause(error: BaseException) -> BaseException:
    """What dlt's own exceptions were raised for."""
    while isinstance(error, DltException) and not isinstance(error, ConfigurationException):
        inner = error.__cause__ or error.__context__
        if inner is None:
            break
        error = inner
    return error


def _safe(error: BaseException) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return redact(_PASSWORD.sub("//…@", _QUERY.sub("?…", first)))[:300]


def _place(folder: Path, error: BaseException) -> str:
    """The innermost line in a file of the project."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(folder) and "site-packages" not in path.parts:
            return f"{path.relative_to(folder)}:{frame.lineno}  "
    return ""
