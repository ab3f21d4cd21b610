"""Who asks: what stands in a request so that the server knows, and what of it must be kept out of every message."""

from __future__ import annotations

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from catchment.reading.kinds.http import ApiKey, Basic, Bearer, OAuth2
from catchment.settings import SHORTEST_SECRET
from catchment.sources.http.waits import Clock

# A token is fetched anew so long before it ends, or with a tenth of its life left where that is shorter.
_EARLY_S = 30.0

# Answers the form that asks for a token: a form and headers in, the answer's members out.
Fetch = Callable[[str, Mapping[str, str], Mapping[str, str]], Mapping[str, Any]]


class Credentials(ABC):
    """What one source shows to its own host."""

    query: str | None = None  # the parameter that carries it

    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """What to send; may fetch a token."""

    @abstractmethod
    def secrets(self) -> Sequence[str]:
        """What must not be shown, in every form that it was sent in."""

    def params(self) -> Mapping[str, str]:
        """What to add to the query."""
        return {}

    def renewed(self) -> bool:
        """Called after a 401: whether asking once more makes sense."""
        return False


class Nobody(Credentials):
    """No credentials."""

    def headers(self) -> Mapping[str, str]:
        return {}

    def secrets(self) -> Sequence[str]:
        return ()


@dataclass
class Fixed(Credentials):
    """The same with every request."""

    _headers: Mapping[str, str]
    _secrets: Sequence[str]
    query: str | None = None

    def headers(self) -> Mapping[str, str]:
        return self._headers

    def secrets(self) -> Sequence[str]:
        return self._secrets

    def params(self) -> Mapping[str, str]:
        return {} if self.query is None else {self.query: self._secrets[0]}


@dataclass
class ClientCredentials(Credentials):
    """OAuth2: tokens are fetched, kept until shortly before they end, and fetched again once the server refuses one."""

    keys: OAuth2
    fetch: Fetch
    clock: Clock
    _token: str | None = None
    _ends: float | None = None
    _given: list[str] = field(default_factory=list)

    def headers(self) -> Mapping[str, str]:
        if self._token is None or (self._ends is not None and self.clock.now() >= self._ends):
            self._renew()
        return {"Authorization": f"Bearer {self._token}"}

    def secrets(self) -> Sequence[str]:
        basic = _basic(self.keys.client_id, self.keys.client_secret)
        return [self.keys.client_secret, basic, *self._given[-4:]]

    def renewed(self) -> bool:
        self._token = None
        return True

    def _renew(self) -> None:
        form = {"grant_type": "client_credentials"}
        headers: dict[str, str] = {}
        if self.keys.scope is not None:
            form["scope"] = self.keys.scope
        if self.keys.send == "body":
            form |= {"client_id": self.keys.client_id, "client_secret": self.keys.client_secret}
        else:
            headers["Authorization"] = (
                f"Basic {_basic(quote_plus(self.keys.client_id), quote_plus(self.keys.client_secret))}"
            )
        began = self.clock.now()
        answer = self.fetch(self.keys.token_url, form, headers)
        self._token = str(answer["access_token"])
        self._given.append(self._token)
        lasts = _number(answer.get("expires_in"))
        self._ends = None if lasts is None else began + lasts - min(_EARLY_S, lasts / 10)


def credentials(auth: ApiKey | Basic | Bearer | OAuth2 | None, fetch: Fetch, clock: Clock) -> Credentials:
    """What a project's `auth` means, references in it resolved."""
    if auth is None:
        return Nobody()
    if isinstance(auth, OAuth2):
        return ClientCredentials(auth, fetch, clock)
    if isinstance(auth, Bearer):
        return Fixed({"Authorization": f"Bearer {auth.token}"}, [auth.token])
    if isinstance(auth, Basic):
        pair = _basic(auth.user, auth.password)
        return Fixed({"Authorization": f"Basic {pair}"}, [auth.password, pair])
    if auth.header is not None:
        return Fixed({auth.header: auth.value}, [auth.value])
    return Fixed({}, [auth.value], auth.query)


def scrubbed(text: str, secrets: Sequence[str]) -> str:
    """A text that came from outside, without what must not be shown."""
    for secret in secrets:
        for form in {secret, quote(secret, safe=""), quote_plus(secret)}:
            if len(form) >= SHORTEST_SECRET:
                text = text.replace(form, "…")
    return text


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
