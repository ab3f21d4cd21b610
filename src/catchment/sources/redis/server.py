"""A connection to Redis, and what can go wrong with it in words."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from catchment.errors import CatchmentError, ConfigError, RetryableError
from catchment.sources.places import first_line, hosts, told, unreached

# The library's own types are of two minds: each answer may be awaited or not.
Client: TypeAlias = Any

# In seconds: to connect, and to wait for one answer. The URL may say otherwise.
_CONNECT_S = 5.0
_ANSWER_S = 60.0

_SCHEMES = ("redis://", "rediss://", "unix://")
_PASSING = ("LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNKILLABLE")


class Server:
    """Connects when it is asked something."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: Client | None = None
        self._closing: weakref.finalize[..., Server] | None = None

    @property
    def client(self) -> Client:
        """Raises ConfigError for a URL that is none."""
        if self._client is None:
            self._client = self._connected()
            self._closing = weakref.finalize(self, self._client.close)
        return self._client

    def _connected(self) -> Client:
        try:
            if not self._url.startswith(_SCHEMES):
                raise ValueError
            # It must not connect again in silence: the cursor of a SCAN means nothing to a server that was restarted.
            # RESP2, so that answers have one form whatever the server can.
            client = redis.Redis.from_url(
                self._url,
                protocol=2,
                retry=Retry(NoBackoff(), 0),
                socket_connect_timeout=_CONNECT_S,
                socket_timeout=_ANSWER_S,
            )
        except (ValueError, TypeError):
            message = "the `url` of a source is no URL of Redis"
            hint = "write redis://user:password@host:6379/0, with %40 for @ and %2F for / in the password"
            raise ConfigError(message, hint=hint) from None
        # The library would make dictionaries of entries, and lose a field that stands twice.
        client.set_response_callback("XRANGE", lambda answer, **_: answer)
        return client

    def close(self) -> None:
        if self._closing is not None:
            self._closing()
        self._client = None

    @property
    def place(self) -> str:
        """Host, port and number of the database."""
        number = self.client.connection_pool.connection_kwargs.get("db") or 0
        return f"{hosts(self._url)}/{number}"

    def run_id(self) -> str | None:
        """Another one after each start of the server; None where we may not ask. Raises ConfigError for a cluster."""
        try:
            told = self.client.info("server") | self.client.info("cluster")
        except ResponseError:
            return None
        if told.get("cluster_enabled"):
            message = f"{self.place} is a node of a cluster, which holds only some of the keys"
            raise ConfigError(message, hint="Redis Cluster is not supported: read a server that holds all keys")
        return str(told.get("run_id"))

    def told(self, feed: str) -> AbstractContextManager[None]:
        """Errors of the library in words, none of which can hold a password."""
        return told((RedisError, OSError), lambda error: in_words(error, feed, self.place))


def in_words(error: Exception, feed: str, where: str) -> CatchmentError:
    """What went wrong, where, and the cure."""
    said = first_line(str(error))
    if isinstance(error, NoPermissionError):
        message = f"{feed}: no right to read at {where}: {said}"
        return ConfigError(message, hint="grant the user `+@read +@keyspace +info +watch +multi +exec` and its keys")
    if isinstance(error, AuthenticationError | AuthorizationError):
        message = f"{feed}: {where} does not let us in: wrong or missing user or password"
        return ConfigError(message, hint="correct the URL: redis://user:password@host:6379/0")
    if isinstance(error, ResponseError) and not said.startswith(_PASSING):
        if "DB index is out of range" in said:
            return ConfigError(f"{feed}: there is no database {where}", hint="correct the number at the end of the URL")
        if said.startswith("WRONGTYPE"):
            return ConfigError(f"{feed}: its key holds no stream", hint="name a stream, or write `keys:` instead")
        return ConfigError(f"{feed}: {where} refused: {said}", hint="is it Redis 6 or later?")
    lost = f"{feed}: lost or cannot reach {where}: {said}"
    return unreached(said, feed, where, look_at="rediss:// in the URL") or RetryableError(
        lost, hint="is it running, and is the port right?"
    )
