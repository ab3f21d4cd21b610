"""A connection to MongoDB, and what can go wrong with it in words."""

from __future__ import annotations

import weakref
from contextlib import AbstractContextManager
from typing import Any, TypeAlias

from pymongo import MongoClient
from pymongo.collection import Collection
from pymongo.errors import (
    ConfigurationError,
    ConnectionFailure,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)

from catchment.errors import CatchmentError, ConfigError, RetryableError
from catchment.naming import did_you_mean
from catchment.sources.mongodb.documents import OPTIONS
from catchment.sources.places import first_line, hosts, told, unreached, unresolved

Documents: TypeAlias = Collection[dict[str, Any]]

# Unless the URL says otherwise, in milliseconds: to find the server, to connect, to wait for one answer.
_PATIENCE = {"serverSelectionTimeoutMS": 5_000, "connectTimeoutMS": 5_000, "socketTimeoutMS": 120_000}

# Codes of MongoDB (its error_codes.yml).
_NOT_WHO = (11, 18, 8000)
_NO_RIGHT = (13, 31)
_PASSING = (
    6, 7, 24, 43, 50, 89, 91, 112, 133, 175, 189, 202, 262, 384, 9001, 10107, 11600, 11602, 13435, 13436,
)  # fmt: skip
_REFUSED_QUERY = (2, 9, 14, 15, 16, 40, 51, 52, 10068, 16410, 31249, 31253, 31254)


class Server:
    """Connects when it is asked something."""

    def __init__(self, url: str, database: str | None) -> None:
        self._url = url
        self._database = database
        self.place = hosts(url)
        self._client: MongoClient[dict[str, Any]] | None = None
        self._closing: weakref.finalize[..., Server] | None = None

    @property
    def client(self) -> MongoClient[dict[str, Any]]:
        """Raises ConfigError for a URL that is none."""
        if self._client is None:
            low = self._url.lower()
            patience: dict[str, Any] = {key: ms for key, ms in _PATIENCE.items() if f"{key.lower()}=" not in low}
            self._client = MongoClient(self._url, appname="catchment", connect=False, **patience)
            self._closing = weakref.finalize(self, self._client.close)
        return self._client

    def close(self) -> None:
        if self._closing is not None:
            self._closing()
        self._client = None

    @property
    def database(self) -> str:
        """Raises ConfigError where neither the project nor the URL names one."""
        if self._database is not None:
            return self._database
        try:
            return str(self.client.get_default_database().name)
        except ConfigurationError:
            message = f"no database is named for {self.place}"
            raise ConfigError(message, hint="write database: shop, or mongodb://…/shop") from None

    def collection(self, feed: str, name: str) -> Documents:
        """Raises ConfigError where the server does not have it."""
        database = self.client[self.database]
        try:
            names = database.list_collection_names(authorizedCollections=True, nameOnly=True)
        except OperationFailure as error:
            if error.code not in _NO_RIGHT:
                raise
            names = [name]  # who may not list may read all the same
        if name not in names:
            message = f"{feed}: there is no collection `{name}` in {self.place}/{self.database}"
            known = f"there are {', '.join(sorted(names)[:8])}" if names else "it holds none that this user may read"
            raise ConfigError(message, hint=did_you_mean(name, names) or known)
        return database[name]

    def now_ms(self) -> int:
        """The server's clock."""
        try:
            told = self.client.admin.command("hello", codec_options=OPTIONS)
        except OperationFailure:
            told = self.client.admin.command("isMaster", codec_options=OPTIONS)  # before 4.4.2
        return int(told["localTime"])

    def told(self, feed: str) -> AbstractContextManager[None]:
        """Errors of the library in words, none of which can hold a password."""
        return told((PyMongoError, OSError), lambda error: in_words(error, feed, self.place))


def in_words(error: Exception, feed: str, where: str) -> CatchmentError:
    """What went wrong, where, and the cure."""
    if isinstance(error, InvalidURI | ConfigurationError):
        return _wrong_url(error, feed, where)
    if isinstance(error, OperationFailure) and not isinstance(error, ConnectionFailure):
        return _refused(error, feed, where)
    text = str(error).partition(", Timeout:")[0].partition(" (configured timeouts")[0]
    unknown = unreached(text, feed, where, look_at="`tls`, `tlsCAFile`")
    if unknown is not None:
        return unknown
    what = "cannot reach" if isinstance(error, ServerSelectionTimeoutError) else "lost the connection to"
    return RetryableError(f"{feed}: {what} {where}: {first_line(text)}", hint="is it running, and is the port right?")


def _wrong_url(error: Exception, feed: str, where: str) -> ConfigError:
    text = str(error)
    if "DNS" in text or "SRV" in text:
        return unresolved(feed, where)
    message = f"{feed}: its `url` is no URL of MongoDB, or has an option that there is not"
    hint = "write mongodb://user:password@host:27017/database, with %40 for @ and %2F for / in the password"
    return ConfigError(message, hint=hint)


def _refused(error: OperationFailure, feed: str, where: str) -> CatchmentError:
    said = first_line(str((error.details or {}).get("errmsg", "")) or str(error))
    if error.code in _NOT_WHO:
        message = f"{feed}: {where} does not let us in: wrong user, password or authSource"
        return ConfigError(message, hint="correct the URL; users live in the database that `authSource` names")
    if error.code in _NO_RIGHT:
        message = f"{feed}: no right to read at {where}: {said}"
        return ConfigError(message, hint="grant the user the role `read` on the database")
    if error.code in _PASSING or error.has_error_label("RetryableWriteError"):
        return RetryableError(f"{feed}: {where} broke off: {said}", hint="it is tried again")
    if error.code in _REFUSED_QUERY:
        message = f"{feed}: {where} does not take the query: {said}"
        return ConfigError(message, hint="correct `filter` and `projection`")
    return ConfigError(f"{feed}: {where} refused: {said}", hint="look up what the server says")
