"""A schema registry that speaks Confluent's interface: schemas of messages by number, and by subject and version."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx
import tenacity

from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError
from catchment.records import MessageSchema

_TIMEOUT_S = 10.0
_TRIES = 3
_TYPE = "application/vnd.schemaregistry.v1+json"
_HEADERS = {"Accept": f"{_TYPE}, application/json", "User-Agent": "catchment"}
_MOST_REFERENCES = 1000
_SHOWN = 200

# The registry's own numbers for what is not there.
_NO_SUBJECT, _NO_VERSION, _NO_SCHEMA = 40401, 40402, 40403

_KINDS = {"AVRO": "avro", "PROTOBUF": "protobuf", "JSON": "json"}


class SchemaRegistry:
    """The registry at `url`. Whom it lets in says either `username` and `password`, or `token`.

    What a number stands for never changes: each is asked for once.
    """

    def __init__(
        self, url: str, username: str | None = None, password: str | None = None, token: str | None = None
    ) -> None:
        """Opens nothing."""
        self._url = url.rstrip("/")
        self._auth = None if username is None else httpx.BasicAuth(username, password or "")
        self._headers = _HEADERS if token is None else {**_HEADERS, "Authorization": f"Bearer {token}"}
        self._known: dict[int, MessageSchema] = {}

    @property
    def _place(self) -> str:
        """Where it is, for people: a password may stand before the host, and more than the path behind it."""
        url = httpx.URL(self._url)
        return f"{url.host}{'' if url.port is None else f':{url.port}'}{url.path.rstrip('/')}"

    @cached_property
    def _http(self) -> httpx.Client:
        # httpx logs whole addresses.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        return httpx.Client(auth=self._auth, headers=self._headers, timeout=_TIMEOUT_S)

    @property
    def known(self) -> Mapping[int, MessageSchema]:
        """What was asked for so far, by number."""
        return self._known

    def close(self) -> None:
        """Ends connections; the next question opens new ones."""
        if "_http" in self.__dict__:
            self._http.close()
            del self.__dict__["_http"]

    def schema(self, number: int) -> MessageSchema | None:
        """The schema of a number, with those that it refers to; None where there is none.

        Raises RetryableError where the registry does not answer, ConfigError where it does not let us in.
        """
        if number not in self._known:
            found = self._asked("GET", f"schemas/ids/{number}", absent=_NO_SCHEMA)
            if found is None:
                return None
            self._known[number] = self._with_references(found)
        return self._known[number]

    def register(self, subject: str, schema: MessageSchema) -> int:
        """The number of a schema under a subject; the one that it has where it is there. It refers to no others.

        Raises ConfigError where the subject's compatibility refuses it.
        """
        kind = next(name for name, ours in _KINDS.items() if ours == schema.kind)
        body = {"schema": schema.text, **({} if kind == "AVRO" else {"schemaType": kind})}
        found = self._asked("POST", f"subjects/{quote(subject, safe='')}/versions", body=body)
        number = _number(found)
        if number is None:
            raise self._strange()
        return number

    def _with_references(self, found: Mapping[str, Any]) -> MessageSchema:
        beside: dict[str, str] = {}
        self._gather(found.get("references") or (), beside, ())
        kind, text = found.get("schemaType") or "AVRO", found.get("schema")
        if kind not in _KINDS or not isinstance(text, str):
            raise self._strange()
        return MessageSchema(_KINDS[kind], text, tuple(beside.items()))  # type: ignore[arg-type]

    def _gather(self, references: Sequence[Any], beside: dict[str, str], above: tuple[str, ...]) -> None:
        for one in references:
            name, subject, version = str(one["name"]), str(one["subject"]), one["version"]
            if name in beside or name in above or len(beside) > _MOST_REFERENCES:
                continue
            path = f"subjects/{quote(subject, safe='')}/versions/{version}"
            # A version that something refers to can be deleted, and is still what it was.
            found = self._asked("GET", f"{path}?deleted=true", absent=_NO_VERSION)
            if found is None:
                message = f"the schema registry at {self._place} lacks version {version} of {subject}"
                raise ConfigError(message, hint="another schema refers to it: put it back there")
            self._gather(found.get("references") or (), beside, (*above, name))
            beside[name] = str(found["schema"])

    def _asked(self, method: str, path: str, *, body: Any = None, absent: int | None = None) -> dict[str, Any] | None:
        """What the registry answers; None where it says that this is not there. Tries again where that may help."""
        again = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(RetryableError),
            stop=tenacity.stop_after_attempt(_TRIES),
            wait=tenacity.wait_random_exponential(0.2, max=2),
            reraise=True,
        )
        found: dict[str, Any] | None = again(self._once, method, path, body, absent)
        return found

    def _once(self, method: str, path: str, body: Any, absent: int | None) -> dict[str, Any] | None:
        headers = {} if body is None else {"Content-Type": _TYPE}
        try:
            answer = self._http.request(method, f"{self._url}/{path}", json=body, headers=headers)
        except httpx.UnsupportedProtocol:
            message = f"the address of the schema registry, {self._place or 'which is empty'}, is none of HTTP"
            raise ConfigError(message, hint="write registry: {url: https://host:8081}") from None
        except httpx.HTTPError as error:
            message = f"cannot reach the schema registry at {self._place}: {_words(error)}"
            raise RetryableError(message, hint="is it running, and is registry.url right?") from None
        told = _json(answer)
        if answer.status_code == 200 and told is not None:
            return told
        if answer.status_code == 404 and told is not None and told.get("error_code") in (absent, _NO_SUBJECT):
            return None
        raise self._refusal(answer, told or {}, path)

    def _refusal(self, answer: httpx.Response, told: Mapping[str, Any], path: str) -> CatchmentError:
        status, what = answer.status_code, path.partition("?")[0]
        where = f"the schema registry at {self._place}"
        said = str(told.get("message") or answer.reason_phrase)[:_SHOWN]
        if status in (401, 403):
            hint = "look at username and password, or token, of the target's registry"
            return ConfigError(f"{where} does not let us in ({status})", hint=hint)
        if status == 429 or status >= 500:
            return RetryableError(f"{where} is not well: {status} {said}", hint="look at its log")
        if status == 409:
            hint = "change the contract so that older readers still understand it, or the subject's compatibility"
            return ConfigError(f"{where} refuses the schema: {said}", hint=hint)
        if status == 422:
            return DataError(f"{where} cannot read the schema: {said}")
        if status == 200:
            return self._strange()
        return ConfigError(f"{where} answers {status} to {what}: {said}", hint="is registry.url its address?")

    def _strange(self) -> ConfigError:
        message = f"what answers at {self._place} is no schema registry"
        return ConfigError(message, hint="is registry.url its address?")


def _json(answer: httpx.Response) -> dict[str, Any] | None:
    try:
        found = answer.json()
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _number(found: Mapping[str, Any] | None) -> int | None:
    number = None if found is None else found.get("id")
    return number if isinstance(number, int) else None


def _words(error: httpx.HTTPError) -> str:
    """Not httpx's own: an address may stand in them."""
    if isinstance(error, httpx.TimeoutException):
        return f"no answer within {_TIMEOUT_S:.0f} s"
    cause = error.__cause__ or error.__context__
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    told = getattr(cause, "strerror", None)
    return str(told).lower() if told else "the connection broke"
