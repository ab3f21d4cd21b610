"""A connection of SQLAlchemy that only reads, and its mishaps in words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy
from sqlalchemy import exc
from sqlalchemy.engine import URL, Connection, make_url

from catchment.errors import CatchmentError, ConfigError, DataError, MissingExtra, RetryableError
from catchment.settings import SHORTEST_SECRET
from catchment.sources.sql.values import Undecodable

_SNAPSHOTS = ("postgresql", "mysql", "mariadb")


@contextlib.contextmanager
def connected(url: str, folder: Path, who: str) -> Iterator[Connection]:
    """One connection in a read-only transaction, of one snapshot where the database has such. Raises in words."""
    parsed = _parsed(url, who)
    place = place_of(parsed)
    try:
        engine = sqlalchemy.create_engine(
            _file(parsed, folder, who), poolclass=sqlalchemy.NullPool, hide_parameters=True
        )
    except ModuleNotFoundError as error:
        message = f"{who}: cannot reach {place}: package `{error.name}` is not installed"
        raise MissingExtra(message, hint=_driver(parsed.drivername, error.name)) from None
    except exc.NoSuchModuleError:
        message = f"{who}: SQLAlchemy knows no database called `{parsed.drivername}`"
        raise ConfigError(message, hint="is it spelled right? else install the package that brings it") from None
    try:
        with in_words(who, place, parsed.password), engine.connect() as connection:
            _begin(connection)
            yield connection
    finally:
        engine.dispose()


def _driver(named: str, package: str | None) -> str:
    """The cure for a driver that is not there: its package, or a driver that is easier to have."""
    easier = _EASIER.get(named)
    if easier is None:
        return f"pip install {package}"
    return f"write {easier}://… in the address, and pip install {easier.partition('+')[2]}"


def _parsed(url: str, who: str) -> URL:
    try:
        return make_url(url)
    except (exc.ArgumentError, ValueError):
        message = f"{who}: the address cannot be read"
        hint = "write dialect+driver://user:password@host:port/database, special characters in the password as %40"
        raise ConfigError(message, hint=hint) from None


def place_of(url: URL) -> str:
    """Dialect, host, port and database, for people: no user and no password."""
    host = "" if url.host is None else url.host + (f":{url.port}" if url.port else "")
    return f"{url.get_backend_name()}://{host}/{url.database or ''}"


def _file(url: URL, folder: Path, who: str) -> URL:
    """SQLite's file below the project, opened so that nothing is made or changed."""
    if url.get_backend_name() != "sqlite":
        return url
    path = folder / (url.database or "")
    if not path.is_file():
        message = f"{who}: there is no file {url.database or '(none named)'}"
        raise ConfigError(message, hint="sqlite:///data/legacy.db is relative to the project; four slashes: absolute")
    return url.set(database=f"file:{path.absolute()}").update_query_dict({"mode": "ro", "uri": "true"})


def _begin(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.connection.dbapi_connection.text_factory = _text  # type: ignore[union-attr]
        connection.exec_driver_sql("BEGIN")
    elif connection.dialect.name in _SNAPSHOTS:
        connection.execution_options(isolation_level="REPEATABLE READ")


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Undecodable(raw)


# What SQLAlchemy takes where no driver is named wants a compiler there, and its package is called otherwise.
_EASIER = {"mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql", "oracle": "oracle+oracledb"}

_PASSES = r"locked|busy|refused|closed|reset|broken|timed? ?out|too many|starting up|shutting|deadlock|lost|gone away"
_REFUSED = r"password|denied|authentication|access|does not exist|unknown database|not known|resolve|no such"


@contextlib.contextmanager
def in_words(who: str, place: str, password: str | None) -> Iterator[None]:
    try:
        yield
    except exc.NoSuchTableError as error:
        message = f"{who}: there is no table `{error}` at {place}"
        raise ConfigError(message, hint="is it spelled right, with its schema?") from None
    except exc.SQLAlchemyError as error:
        raise _failed(error, who, place, password) from None


def _failed(error: exc.SQLAlchemyError, who: str, place: str, password: str | None) -> CatchmentError:
    said = (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0][:200]
    if password and len(password) >= SHORTEST_SECRET:
        said = said.replace(password, "***")
    message = f"{who} at {place}: {said}"
    if getattr(error, "connection_invalidated", False) or re.search(_PASSES, said, re.IGNORECASE):
        return RetryableError(message, hint="is it running? what was committed stays; the next run goes on behind it")
    if isinstance(error, exc.DataError):
        return DataError(message, hint="look at `where`, and at what the table is made of")
    if isinstance(error, exc.ProgrammingError) or re.search(_REFUSED, said, re.IGNORECASE):
        return ConfigError(message, hint="look at the source's `url`, and at table, columns and where of the stream")
    if re.search(r"not a database|malformed|unable to open", said, re.IGNORECASE):
        return ConfigError(message, hint="is it a file of this database, whole and readable?")
    return RetryableError(message, hint="if it goes on like this, look at the source's `url`")
