"""What sources over HTTP have in common: who asks, how fast, and how far they have come."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from catchment.reading.durations import seconds
from catchment.reading.kinds.keys import Keys, SourceKeys, StreamKeys
from catchment.reading.selectors import steps

RATE = re.compile(r"\s*(?P<count>[0-9]{1,6})\s*/\s*(?P<unit>s|sec|second|m|min|minute|h|hour)\s*")
_TIMES = ("timestamp", "date", "epoch", "epoch_ms")

CursorFormat = Literal["timestamp", "date", "epoch", "epoch_ms", "number", "text"]
Text = Annotated[str, Field(min_length=1)]


def selector(text: str) -> str:
    steps(text, one=True)
    return text


class ApiKey(Keys):
    """One secret in a header or in the query."""

    type: Literal["api_key"]
    value: Annotated[str, Field(min_length=1, description="The key, such as `${env:API_KEY}`.")]
    header: Annotated[str | None, Field(min_length=1, description="The header that carries it.")] = None
    query: Annotated[str | None, Field(min_length=1, description="Or the parameter that carries it.")] = None

    @model_validator(mode="after")
    def _one_place(self) -> ApiKey:
        if (self.header is None) == (self.query is None):
            message = "an API key goes into a header or into the query"
            raise ValueError(message, "write one of header: X-Api-Key and query: api_key")
        return self


class Basic(Keys):
    """A name and a password."""

    type: Literal["basic"]
    user: Annotated[str, Field(description="The name.")]
    password: Annotated[str, Field(description="The password, such as `${env:API_PASSWORD}`; may be empty.")]


class Bearer(Keys):
    """A token that lasts."""

    type: Literal["bearer"]
    token: Annotated[str, Field(min_length=1, description="The token, such as `${env:API_TOKEN}`.")]


class OAuth2(Keys):
    """Client credentials: a token is fetched, and fetched again before it ends."""

    type: Literal["oauth2"]
    token_url: Annotated[str, Field(min_length=1, description="Where tokens are given out.")]
    client_id: Annotated[str, Field(min_length=1, description="Who asks.")]
    client_secret: Annotated[str, Field(min_length=1, description="The secret, such as `${env:CLIENT_SECRET}`.")]
    scope: Annotated[str | None, Field(description="What the token is for, where the server wants to hear it.")] = None
    send: Annotated[
        Literal["body", "header"], Field(description="Where id and secret stand in the request for a token.")
    ] = "body"


Auth = Annotated[ApiKey | Basic | Bearer | OAuth2, Field(discriminator="type")]


class HttpSource(SourceKeys):
    """A source that is asked over HTTP."""

    url: Annotated[str, Field(min_length=1, description="Where it is, such as `https://api.example/v1`.")]
    auth: Annotated[Auth | None, Field(description="Who asks; by default nobody in particular.")] = None
    headers: Annotated[dict[str, str], Field(description="Sent with every request, to this host and to no other.")] = {}
    rate: Annotated[
        str | None, Field(description="How often it is asked at most, such as `10/s`, `100/min` or `5000/h`.")
    ] = None
    timeout: Annotated[str, Field(description="How long an answer may keep silent, such as `30 s`.")] = "30 s"
    verify: Annotated[
        bool | str,
        Field(description="Whether its certificate must be good; or a file with the authorities to trust."),
    ] = True

    @field_validator("url")
    @classmethod
    def _url(cls, url: str) -> str:
        if "${" not in url and not url.startswith(("http://", "https://")):
            message = f"`{url[:60]}` is no address"
            raise ValueError(message, "begin it with https://")
        if re.match(r"https?://[^/]*@", url):
            message = "the address holds a name or a password"
            raise ValueError(message, "write them under auth: {type: basic, user: …, password: …}")
        return url

    @field_validator("rate")
    @classmethod
    def _rate(cls, rate: str | None) -> str | None:
        if rate is not None and "${" not in rate:
            per_second(rate)
        return rate

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: str) -> str:
        if "${" not in timeout and not seconds(timeout):
            message = f"`{timeout[:40]}` is no length of time"
            raise ValueError(message, "write one such as 30 s")
        return timeout


def per_second(rate: str) -> float:
    """How many a second; raises ValueError(what, cure)."""
    found = RATE.fullmatch(rate)
    if found is None or not int(found["count"]):
        message = f"`{rate[:40]}` is no rate"
        raise ValueError(message, "write one such as 10/s, 100/min or 5000/h")
    return int(found["count"]) / {"s": 1, "m": 60, "h": 3600}[found["unit"][0]]


class HttpCursor(Keys):
    """How a stream is asked for what is new since the last time."""

    field: Annotated[str, Field(description="Where a record says when it changed, such as `$.updated_at`.")]
    format: Annotated[
        CursorFormat,
        Field(
            description="What stands there: `timestamp` (ISO 8601), `date`, `epoch` (seconds), `epoch_ms`, `number` or"
            " `text` (sorted as text)."
        ),
    ] = "timestamp"
    send: Annotated[CursorFormat | None, Field(description="In what form it is asked for; by default in its own.")] = (
        None
    )
    template: Annotated[str, Field(description="What is written around it, such as `updated_at:>='{cursor}'`.")] = (
        "{cursor}"
    )
    start: Annotated[str | None, Field(min_length=1, description="Where to begin; by default with everything.")] = None
    lookback: Annotated[
        str | None,
        Field(
            description="How far before the last one to ask again, for records that show up late: `10 minutes`, or a"
            " number where the format is `number`."
        ),
    ] = None

    _ = field_validator("field")(selector)

    @field_validator("template")
    @classmethod
    def _template(cls, template: str) -> str:
        if "{cursor}" not in template:
            message = "the template has no place for the cursor"
            raise ValueError(message, "write {cursor} where it belongs")
        return template

    @model_validator(mode="after")
    def _sendable(self) -> HttpCursor:
        if self.send is not None and self.send != self.format and not {self.send, self.format} <= set(_TIMES):
            message = f"a {self.format} cannot be sent as {self.send}"
            raise ValueError(message, "remove send")
        return self

    @model_validator(mode="after")
    def _lookback(self) -> HttpCursor:
        if self.lookback is None or "${" in self.lookback:
            return self
        if self.format == "text":
            message = "text has no distance to look back"
            raise ValueError(message, "remove lookback")
        good = self.lookback.strip().isdigit() if self.format == "number" else seconds(self.lookback) is not None
        if not good:
            message = f"`{self.lookback[:40]}` is no distance"
            raise ValueError(message, "write a number" if self.format == "number" else "write one such as 10 minutes")
        return self


class HttpStream(StreamKeys):
    """Records of an API, one document each."""

    key: Annotated[
        str | list[str] | None,
        Field(description="What tells one record from another, such as `$.id`; a list where it takes several."),
    ] = None

    @field_validator("key")
    @classmethod
    def _key(cls, key: str | list[str] | None) -> str | list[str] | None:
        for text in [key] if isinstance(key, str) else key or ():
            selector(text)
        return key

    @property
    def keys(self) -> tuple[str, ...]:
        """`key` as a list."""
        return (self.key,) if isinstance(self.key, str) else tuple(self.key or ())

    @property
    def brings_documents(self) -> bool:
        return True


def records_selector(text: str) -> str:
    """A selector of records: it may name many, and counts from the front. Raises ValueError(what, cure)."""
    if any(isinstance(step, int) and step is not True and step < 0 for step in steps(text)):
        message = f"`{text[:60]}` counts from the end"
        raise ValueError(message, "select records with [*]")
    return text


Json = dict[str, Any]
