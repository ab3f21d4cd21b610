"""HTTP itself: httpx asks, and whatever can go wrong is told in words that hold no secret."""

from __future__ import annotations

import json
import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import httpx

from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError
from catchment.reading.durations import seconds
from catchment.reading.kinds.http import ApiKey, Basic, Bearer, OAuth2, per_second
from catchment.settings import redact
from catchment.sources.http.credentials import Credentials, credentials, scrubbed
from catchment.sources.http.requests import Again, Answer, Request, origin, shown
from catchment.sources.http.waits import LONGEST_WAIT_S, Clock, Pace, Patience, asked_to_wait, is_spent, pace_of

Read = TypeVar("Read")

LONGEST_ANSWER = 256 << 20
_HOPS = 5
_SHOWN = 300
_HEADERS = {"Accept": "application/json", "User-Agent": "catchment"}


@cache
def _trusted(file: str | None) -> ssl.SSLContext:
    """Made once: it reads all authorities, which takes longer than many an answer."""
    return httpx.create_ssl_context() if file is None else ssl.create_default_context(cafile=file)


@dataclass(frozen=True)
class Address:
    """Where a source is and how it is asked, as catchment.yaml says it, references resolved."""

    url: str
    auth: ApiKey | Basic | Bearer | OAuth2 | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: str | None = None
    timeout: str = "30 s"
    verify: bool | str = True


@dataclass
class Client:
    """Asks for one source: paced, with credentials for its own host alone, three times where that may help."""

    name: str
    address: Address
    folder: Path
    clock: Clock = field(default_factory=Clock)
    longest: int = LONGEST_ANSWER
    _not_before: float = 0.0

    @cached_property
    def _http(self) -> httpx.Client:
        # httpx logs whole addresses, and an API key can stand in a query.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        verify = self.address.verify
        try:
            trusted = verify and _trusted(str(self.folder / verify) if isinstance(verify, str) else None)
            return httpx.Client(timeout=seconds(self.address.timeout) or 30, verify=trusted, follow_redirects=False)
        except OSError as error:
            message = f"{self.name}: no certificates can be read from {verify}: {error.strerror or error}"
            raise ConfigError(message, hint="`verify` names a file of certificates in PEM form") from None

    @cached_property
    def credentials(self) -> Credentials:
        return credentials(self.address.auth, self._token, self.clock)

    @cached_property
    def _pace(self) -> Pace | None:
        return None if self.address.rate is None else pace_of(self.name, per_second(self.address.rate))

    def close(self) -> None:
        """Ends connections; the next request opens new ones."""
        if "_http" in self.__dict__:
            self._http.close()
            del self.__dict__["_http"]

    def ask(self, request: Request, read: Callable[[Answer], Read]) -> Read:
        """What `read` makes of the answer; where it raises Again, or the server is not well, it is asked once more.

        Raises RetryableError, ConfigError or DataError, in words without a secret.
        """
        self._own_host(request)
        try:
            for attempt in Patience(self.clock).trying():
                with attempt:
                    return read(self._answer(request))
        except Again as again:
            raise self._put_off(again) from None
        raise AssertionError  # pragma: no cover - tries end with an answer or an error

    def wait(self, seconds_: float) -> None:
        """Let no request out before so many seconds have passed, as an answer asked."""
        if seconds_ <= LONGEST_WAIT_S:
            self._not_before = max(self._not_before, self.clock.now() + seconds_)

    def _put_off(self, again: Again) -> CatchmentError:
        if again.wait_s is None or again.wait_s < LONGEST_WAIT_S:
            return again.error
        message = f"{again.error.message}, and asks to wait {again.wait_s / 60:,.0f} minutes"
        return RetryableError(message, hint="run again then: what landed before is not read again")

    def _own_host(self, request: Request) -> None:
        if origin(request.url) != origin(self.address.url):
            message = f"{self.name}: the next page is said to lie on another host, {shown(request.url)}"
            raise ConfigError(
                message, hint=f"credentials for {shown(self.address.url)} are not sent there; correct url"
            )

    def _answer(self, request: Request) -> Answer:
        """One answer that is good, tokens fetched again once where the server refuses one. Raises Again."""
        answer = self._sent(request)
        if answer.status == 401 and self.credentials.renewed():
            answer = self._sent(request)
        wait = asked_to_wait(answer.status, answer.headers, self.clock.wall())
        if answer.status < 300:
            if wait is not None and is_spent(answer.headers):
                self.wait(wait)
            return answer
        raise self._refusal(request, answer, wait)

    def _sent(self, request: Request) -> Answer:
        """Through redirects; what is ours stays on our own host."""
        url, method, body = request.url, request.method, request.body
        params: Mapping[str, Any] = request.params
        for _ in range(_HOPS):
            ours = origin(url) == origin(self.address.url)
            headers = {**_HEADERS, **(self._ours() if ours else {})}
            told = {**params, **(self.credentials.params() if ours else {})}
            full = httpx.URL(url).copy_merge_params(told) if told else httpx.URL(url)
            answer = self._once(method, full, headers, body)
            target = answer.headers.get("location")
            if answer.status not in (301, 302, 303, 307, 308) or target is None:
                return answer
            url, params = str(full.join(target)), {}
            if answer.status < 304:
                method, body = "GET", None
        message = f"{self.name}: {request.shown} is passed on from place to place, {_HOPS} times"
        raise ConfigError(message, hint="correct url or path; does it ask for a login?")

    def _ours(self) -> dict[str, str]:
        return {**self.address.headers, **self.credentials.headers()}

    def _once(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], body: Any = None, form: Any = None
    ) -> Answer:
        pause = self._not_before - self.clock.now()
        if pause > 0:
            self.clock.sleep(pause)
        if self._pace is not None:
            self._pace.take(self.clock)
        place = f"{method} {shown(str(url))}"
        try:
            with self._http.stream(method, url, headers=dict(headers), json=body, data=form) as response:
                content = b"".join(self._pieces(response, place))
        except httpx.HTTPError as error:
            raise self._failure(error, place) from None
        except (httpx.InvalidURL, UnicodeError):
            message = f"{self.name}: {place} cannot be asked: that is no address"
            raise ConfigError(message, hint="correct url") from None
        told = {name.lower(): value for name, value in response.headers.items()}
        return Answer(str(response.url), response.status_code, told, content, response.charset_encoding)

    def _pieces(self, response: httpx.Response, place: str) -> Iterator[bytes]:
        size = 0
        for piece in response.iter_bytes():
            size += len(piece)
            if size > self.longest:
                message = f"{self.name}: the answer to {place} is larger than {self.longest >> 20:,} MB"
                raise DataError(message, hint="ask for smaller pages: `paging` with a `size`")
            yield piece

    def _failure(self, error: httpx.HTTPError, place: str) -> Exception:
        """What a connection that failed means. httpx puts addresses into its texts, so that none of them is used."""
        said = f"{self.name}: {place}: "
        causes = list(_causes(error))
        if isinstance(error, httpx.DecodingError):
            return Again(RetryableError(f"{said}the answer is not packed as it says ({_first(error)})"))
        if isinstance(error, httpx.UnsupportedProtocol):
            return ConfigError(f"{said}no http or https", hint="begin url with https://")
        if isinstance(error, httpx.TimeoutException):
            message = f"{said}no answer within {self.address.timeout}"
            return Again(
                RetryableError(message, hint="is it slow? give it a longer `timeout`, or ask for smaller pages")
            )
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            message = f"{said}its certificate is not trusted"
            return ConfigError(message, hint="name the authorities to trust: `verify: authorities.pem`")
        unknown = next((cause for cause in causes if isinstance(cause, socket.gaierror)), None)
        if unknown is not None and unknown.errno != socket.EAI_AGAIN:
            return ConfigError(f"{said}there is no such host", hint="correct url, or the network's names")
        return Again(
            RetryableError(f"{said}{_connection(error, causes)}", hint="is it running, and reachable from here?")
        )

    def _refusal(self, request: Request, answer: Answer, wait: float | None) -> Exception:
        """What an answer that is none means."""
        status = answer.status
        said = f"{self.name}: {request.shown} answers {status}{self._words(answer)}"
        if status == 429 or (status in (403, 503) and wait is not None):
            return Again(RetryableError(f"{said}: too many requests", hint="ask less often, such as `rate: 1/s`"), wait)
        if status >= 500 or status in (408, 425):
            return Again(RetryableError(said, hint="the server is not well; run again"), wait)
        return ConfigError(said, hint=_CURES.get(status, "correct the stream's path and parameters"))

    def _words(self, answer: Answer) -> str:
        """What the server says, on one line."""
        text = answer.content[: 4 * _SHOWN].decode("utf-8", "replace")
        if "<html" in text.lower():
            text = re.sub(r"(?s)<(style|script).*?</\1>|<[^>]*>", " ", text)
        line = " ".join(text.split())[:_SHOWN]
        return f" ({self.scrubbed(line)})" if line else ""

    def scrubbed(self, text: str) -> str:
        """A server's words without what must not be shown: servers repeat what they were sent."""
        return redact(scrubbed(text, [*self.credentials.secrets(), *self.address.headers.values()]))

    def _token(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> Mapping[str, Any]:
        """What a server of tokens gives; raises ConfigError where it refuses."""

        def once() -> Mapping[str, Any]:
            answer = self._once("POST", httpx.URL(url), {"Accept": "application/json", **headers}, form=dict(form))
            if answer.status >= 500 or answer.status == 429:
                wait = asked_to_wait(answer.status, answer.headers, self.clock.wall())
                raise Again(RetryableError(f"{self.name}: {shown(url)} answers {answer.status}"), wait)
            return self._given(url, answer)

        try:
            for attempt in Patience(self.clock).trying():
                with attempt:
                    return once()
        except Again as again:
            raise again.error from None
        raise AssertionError  # pragma: no cover - tries end with an answer or an error

    def _given(self, url: str, answer: Answer) -> Mapping[str, Any]:
        try:
            found = json.loads(answer.content)
        except (ValueError, RecursionError):
            found = None
        if answer.status < 300 and isinstance(found, dict) and found.get("access_token"):
            return found
        why = found.get("error", "") if isinstance(found, dict) else ""
        reason = f" ({scrubbed(str(why)[:_SHOWN], self.credentials.secrets())})" if why else ""
        message = f"{self.name}: no token from {shown(url)}: it answers {answer.status}{reason}"
        raise ConfigError(message, hint="look at token_url, client_id, client_secret and scope under `auth`")


_CURES = {
    401: "the server does not know who asks: look at `auth`, and whether its key or token has ended",
    403: "these credentials have no right to read it",
    404: "there is nothing under that path: correct url or path",
    410: "it is gone: correct path, or remove the stream",
}


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _connection(error: httpx.HTTPError, causes: list[BaseException]) -> str:
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return "connection refused"
    if isinstance(error, httpx.ConnectError):
        return "no connection"
    return "the connection broke off before the answer was whole"


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
