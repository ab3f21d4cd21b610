"""What the bridge relies on in dlt beyond its documentation; a version that keeps state otherwise is seen here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import dlt
import pytest
from dlt.common.configuration.container import Container
from dlt.common.configuration.exceptions import ContextDefaultCannotBeCreated
from dlt.common.pipeline import StateInjectableContext

from catchment.sources.dlt import state as dlt_state

_AT: Any = dlt.sources.incremental("id", initial_value=0)


@dlt.resource(name="numbers")
def _numbers(at: Any = _AT) -> Iterator[Any]:
    dlt.current.resource_state()["reads"] = dlt.current.resource_state().get("reads", 0) + 1
    dlt.current.source_state()["shared"] = "yes"
    yield [{"id": number} for number in range(3) if number >= at.last_value]


@dlt.source(name="api")
def _api() -> Any:
    return _numbers


def _read(state: dict[str, Any]) -> list[Any]:
    with dlt_state.injected(state):
        source = _api()
        items = iter(source.with_resources("numbers"))
    return list(items)


def test_an_iterated_source_writes_into_the_state_that_it_is_given() -> None:
    state: dict[str, Any] = {}
    assert _read(state) == [{"id": 0}, {"id": 1}, {"id": 2}]
    kept = state["sources"]["api"]
    assert kept["shared"] == "yes"
    assert kept["resources"]["numbers"]["reads"] == 1
    incremental = kept["resources"]["numbers"]["incremental"]["id"]
    assert set(incremental) == {"initial_value", "last_value", "unique_hashes", "start_value"}
    assert incremental["last_value"] == 2
    assert _read(state) == []
    assert kept["resources"]["numbers"]["reads"] == 2


def test_a_resource_in_a_source_of_ours_keeps_its_state_under_our_name() -> None:
    state: dict[str, Any] = {}
    with dlt_state.injected(state):
        items = iter(dlt.sources.DltSource(dlt.Schema("shop_db"), "shop_db", [_numbers()]))
    assert len(list(items)) == 3
    assert list(state["sources"]) == ["shop_db"]


def test_nothing_is_left_of_a_state_after_a_read() -> None:
    _read({})
    with pytest.raises(ContextDefaultCannotBeCreated):
        Container()[StateInjectableContext]


def test_a_state_comes_back_from_its_text_with_its_types() -> None:
    state = {"at": datetime(2026, 1, 31, tzinfo=UTC), "sum": Decimal("1.10"), "raw": b"\0", "list": [1, None]}
    assert dlt_state.read(dlt_state.text(state)) == state


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {"sources": {"api": {"resources": {}}}}, True),
        ({}, {"i": {"initial_value": 0, "last_value": 0, "unique_hashes": [], "start_value": 0}}, True),
        (
            {"i": {"initial_value": 0, "last_value": 4, "unique_hashes": ["a"], "start_value": 0}},
            {"i": {"initial_value": 0, "last_value": 4, "unique_hashes": ["a"], "start_value": 4}},
            True,
        ),
        (
            {"i": {"initial_value": 0, "last_value": 4, "unique_hashes": ["a"], "start_value": 0}},
            {"i": {"initial_value": 0, "last_value": 4, "unique_hashes": ["a", "b"], "start_value": 0}},
            False,
        ),
        (
            {"i": {"initial_value": 0, "last_value": 4, "unique_hashes": ["a", "b"], "start_value": 0}},
            {"i": {"initial_value": 0, "last_value": 4, "unique_hashes": ["b", "a"], "start_value": 0}},
            True,
        ),
        ({"page": 0}, {}, False),
        ({"done": False}, {}, False),
    ],
)
def test_states_are_equal_where_a_read_would_give_the_same(one: Any, other: Any, *, same: bool) -> None:
    assert dlt_state.is_same(one, other) is same
    assert dlt_state.is_same(other, one) is same
