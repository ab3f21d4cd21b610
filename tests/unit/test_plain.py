"""Plain expressions: what is one, of which type, and what is refused with its reason."""

from __future__ import annotations

import pytest

from catchment.plain import Arithmetic, As, Case, Column, Compare, Logic, NotPlain, Type, Value, columns, plain

TYPES = {
    "n": Type("integer"),
    "x": Type("number"),
    "price": Type("decimal", 12, 2),
    "rate": Type("decimal", 6, 4),
    "status": Type("string"),
    "at": Type("timestamp"),
    "day": Type("date"),
    "ok": Type("boolean"),
}


def test_a_column_is_found_whatever_its_case() -> None:
    assert plain("STATUS", TYPES) == Column("status", Type("string"))


def test_whole_numbers_and_decimals_meet_as_decimals_of_one_scale() -> None:
    found = plain("n > 1.25", TYPES)
    assert isinstance(found, Compare)
    assert found.one == As(As(Column("n", Type("integer")), Type("decimal", 19, 0)), Type("decimal", 21, 2))
    assert found.other == Value("1.25", Type("decimal", 3, 2))


def test_a_literal_beside_a_floating_point_number_is_one() -> None:
    found = plain("x >= 0.1", TYPES)
    assert isinstance(found, Compare)
    assert found.other == Value("0.1", Type("number"))


def test_a_text_beside_an_instant_is_an_instant_in_utc() -> None:
    found = plain("at < '2026-11-01T10:00:00Z'", TYPES)
    assert isinstance(found, Compare)
    assert found.other == Value("2026-11-01 10:00:00.000000", Type("timestamp"))


def test_in_and_between_are_comparisons() -> None:
    assert isinstance(plain("status in ('a', 'b')", TYPES), Logic)
    assert isinstance(plain("day between '2026-01-01' and '2026-02-01'", TYPES), Logic)


def test_decimals_are_added_and_multiplied_exactly() -> None:
    assert plain("price * rate", TYPES).type == Type("decimal", 18, 6)
    assert plain("price + rate", TYPES).type == Type("decimal", 15, 4)
    assert isinstance(plain("n * 2", TYPES), Arithmetic)


def test_a_case_is_of_one_type_and_null_where_nothing_is_said() -> None:
    found = plain("case when ok then price end", TYPES)
    assert isinstance(found, Case)
    assert found.type == Type("decimal", 12, 2)
    assert found.otherwise == Value(None, Type("decimal", 12, 2))


def test_the_columns_of_an_expression_are_told() -> None:
    assert columns(plain("case when ok and n > 1 then x else coalesce(x, 0) end", TYPES)) == {"ok", "n", "x"}


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("lower(status) = 'a'", "not computed alike"),
        ("status like 'a%'", "not computed alike"),
        ("n / 2", "not computed alike"),
        ("cast(n as varchar)", "casts are not"),
        ("price > x", "decimal and number"),
        ("n = '1'", "integer and string"),
        ("at > day", "timestamp and date"),
        ("at > 'soon'", "no timestamp"),
        ("day = '2026-02-30'", "no date"),
        ("n and ok", "no condition"),
        ("payload is null", "no column"),
        ("t.n > 1", "no column"),
        ("99999999999999999999 > n", "64 bits"),
        ("price * price * price * price", "more than 38 digits"),
        ("status + 'a'", "not computed alike"),
        ("n > (select 1)", "not computed alike"),
    ],
)
def test_what_another_engine_may_compute_otherwise_is_refused(sql: str, words: str) -> None:
    with pytest.raises(NotPlain, match=words):
        plain(sql, TYPES)
