"""Planning: a project and a selection into ordered steps, without opening anything."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any, NoReturn

import pytest

from catchment.errors import ConfigError
from catchment.plan import needs, plan
from catchment.project import Project
from catchment.testing.fakes import column, contract, project

NOWHERE = Path("/nowhere/at/all")

CONTRACTS = [contract(name, column("id", key_position=1)) for name in ("users", "events", "stock")]


@pytest.fixture
def shop() -> Project:
    """users and events from a stream each; events looks users up; stock stands alone; gold reads them all."""
    silver: dict[str, dict[str, Any]] = {
        "events": {"from": "src.events", "refine": "silver/events.py", "with": {"users": "current"}},
        "users": {"from": "src.users", "mode": "merge"},
        "stock": {"from": "src.stock"},
    }
    return project(NOWHERE, CONTRACTS, silver, streams=("events", "users", "stock"), gold=True)


def ids(found: Project, *select: str, **options: Any) -> list[str]:
    return [step.id for step in plan(found, select, **options)]


def test_every_step_comes_after_what_it_reads(shop: Project) -> None:
    steps = plan(shop)
    place = {step.id: number for number, step in enumerate(steps)}
    graph = needs(steps)
    assert len(steps) == len(place) == 8
    assert all(place[need] < place[step] for step, found in graph.items() for need in found)
    assert graph["refine:silver.events"] == {"land:src.events", "refine:silver.users"}
    assert graph["model:gold"] == {"refine:silver.events", "refine:silver.users", "refine:silver.stock"}
    assert graph["publish:gold"] == {"model:gold"}


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("silver.users", ["refine:silver.users"]),
        ("src.users", ["land:src.users"]),
        ("bronze.src__users", ["land:src.users"]),
        ("+silver.users", ["land:src.users", "refine:silver.users"]),
        ("silver.users+", ["refine:silver.users", "refine:silver.events", "model:gold", "publish:gold"]),
        (
            "+silver.events",
            ["land:src.events", "land:src.users", "refine:silver.users", "refine:silver.events"],
        ),
        ("+silver.stock+", ["land:src.stock", "refine:silver.stock", "model:gold", "publish:gold"]),
        ("bronze", ["land:src.events", "land:src.users", "land:src.stock"]),
        ("silver", ["refine:silver.users", "refine:silver.events", "refine:silver.stock"]),
        ("gold", ["model:gold", "publish:gold"]),
        ("gold.daily_sales", ["model:gold", "publish:gold"]),
    ],
)
def test_a_selection_is_what_it_names_with_what_the_plus_signs_add(
    shop: Project, select: str, expected: list[str]
) -> None:
    assert set(ids(shop, select)) == set(expected)
    whole = ids(shop)
    assert ids(shop, select) == [step for step in whole if step in set(expected)]


def test_gold_with_all_it_needs_is_everything(shop: Project) -> None:
    assert ids(shop, "+gold") == ids(shop) == ids(shop, "bronze+") == ids(shop, "bronze", "silver", "gold")


def test_several_selectors_add_up_in_the_order_of_the_plan(shop: Project) -> None:
    assert ids(shop, "silver.stock", "src.events") == ids(shop, "src.events", "silver.stock")
    assert ids(shop, "src.events", "src.events") == ["land:src.events"]


def test_gold_depends_only_on_the_tables_that_it_reads(shop: Project) -> None:
    assert set(ids(shop, "+gold", gold_reads=["stock"])) == {
        "land:src.stock",
        "refine:silver.stock",
        "model:gold",
        "publish:gold",
    }
    assert ids(shop, "silver.users+", gold_reads=["stock"]) == ["refine:silver.users", "refine:silver.events"]


@pytest.mark.parametrize(
    ("select", "hint"),
    [
        ("silver.user", "did you mean `silver.users`?"),
        ("src.event", "did you mean `src.events`?"),
        ("+silvr.stock+", "did you mean `silver.stock`?"),
        ("xyzzy", "there are bronze.src__events"),
        ("", "there are "),
    ],
)
def test_an_unknown_name_says_what_there_is(shop: Project, select: str, hint: str) -> None:
    with pytest.raises(ConfigError, match="nothing is called") as told:
        plan(shop, [select])
    assert (told.value.hint or "").startswith(hint)


def test_gold_is_unknown_where_there_is_none() -> None:
    with pytest.raises(ConfigError, match="`gold`"):
        plan(project(NOWHERE, CONTRACTS, {"users": {"from": "src.rows"}}), ["gold"])


def test_planning_opens_nothing(shop: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("planning opened a file")

    plan(shop)  # whatever is imported on first use
    with monkeypatch.context() as refusing:
        refusing.setattr(builtins, "open", refuse)
        for method in ("open", "exists", "stat", "is_file", "iterdir", "glob"):
            refusing.setattr(Path, method, refuse)
        steps = plan(shop, ["+gold"])
    assert len(steps) == 8
    assert not NOWHERE.exists()


def test_the_same_project_gives_the_same_plan(shop: Project) -> None:
    assert plan(shop) == plan(shop)


def test_an_empty_project_has_an_empty_plan() -> None:
    empty = project(NOWHERE, streams=("rows",))
    assert ids(empty) == ["land:src.rows"]
