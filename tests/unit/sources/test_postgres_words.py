"""What is made of PostgreSQL's types and of its mishaps, without a server."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from catchment.errors import CatchmentError, ConfigError, DataError, RetryableError
from catchment.sources.postgres.columns import Column, column
from catchment.sources.postgres.mishaps import completed, failed, place_of, refused


def _column(base: str, *, as_text: bool = False, **more: Any) -> Column:
    found = {"name": "a", "type": base, "element": None, "typmod": -1, "in_domain": False, **more}
    return column(found, as_text)


@pytest.mark.parametrize(
    ("precision", "scale", "kind"),
    [(10, 2, pa.decimal128(10, 2)), (38, 38, pa.decimal128(38, 38)), (39, 0, pa.string()), (2, 5, pa.string())],
)
def test_a_decimal_is_one_where_it_fits(precision: int, scale: int, kind: pa.DataType) -> None:
    assert _column("numeric", typmod=(precision << 16 | scale) + 4).type == kind


def test_a_type_that_nobody_knows_lands_as_text() -> None:
    assert _column("").type == pa.string()
    assert _column("", element="").type == pa.list_(pa.string())
    assert _column("int4", as_text=True).value == 't."a"::text'


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://me:secret@db.example:5433/shop?sslmode=require", "db.example:5433/shop"),
        ("postgresql://me:se@cret@db.example/shop", "db.example/shop"),
        ("postgresql://one:1,two:2/shop", "one:1,two:2/shop"),
        ("postgresql:///shop?host=/run/postgresql", "/run/postgresql/shop"),
        ("postgresql://", "localhost"),
    ],
)
def test_a_place_is_said_without_user_and_password(url: str, place: str) -> None:
    assert place_of(url) == place


def test_an_address_keeps_what_it_says_and_gets_our_defaults() -> None:
    assert completed("postgresql://h/d").startswith("postgresql://h/d?fallback_application_name=catchment&")
    said = completed("postgresql://h/d?connect_timeout=3&sslmode=require")
    assert said.count("connect_timeout") == 1
    assert "?connect_timeout=3&sslmode=require&fallback" in said


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("FATAL:  password authentication failed for user", ConfigError, "user or password is wrong"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', ConfigError, "lets nobody in"),
        ("FATAL:  sorry, too many clients already", RetryableError, "no connection left"),
        ("FATAL:  remaining connection slots are reserved for superusers", RetryableError, "no connection left"),
        ("FATAL:  the database system is starting up", RetryableError, "starting or stopping"),
        ("connection to server failed: timeout expired", RetryableError, "does not answer"),
        ("server closed the connection unexpectedly", RetryableError, "broke off"),
        ("received invalid response to SSL negotiation: H", RetryableError, "broke off"),
    ],
)
def test_what_a_server_says_while_connecting_is_put_in_our_words(
    said: str, kind: type[CatchmentError], words: str
) -> None:
    error = refused(f"IO: [libpq] Failed to connect: {said}", "shop.users", "host/shop")
    assert isinstance(error, kind)
    assert words in str(error)
    assert error.hint is not None


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("[libpq] PQgetCopyData() failed: server closed the connection unexpectedly", RetryableError, "broke off"),
        ("ERROR:  canceling statement due to statement timeout", ConfigError, "statement_timeout"),
        ("ERROR:  canceling statement due to conflict with recovery", RetryableError, "ended the query"),
        ("FATAL:  terminating connection due to administrator command", RetryableError, "broke off"),
        ("[PGRES_FATAL_ERROR]: ERROR:  division by zero", DataError, "division by zero"),
    ],
)
def test_what_happens_in_the_middle_of_rows_is_put_in_our_words(
    said: str, kind: type[CatchmentError], words: str
) -> None:
    error = failed(OSError(said), "shop.users", "host/shop")
    assert isinstance(error, kind)
    assert words in str(error)
    assert error.hint is not None
