"""Commands in hints are for the project, the target and the environment of the call: whoever types them hits those."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from catchment.cli import hints, main
from catchment.cli.group import catchment

PROJECT = """\
name: shop
sources: {drops: {type: files, streams: {rows: {path: "rows/*.csv"}}}}
silver: {orders: {from: drops.rows, publish: orders.refined}}
live: {orders_in_all: {from: orders, measures: {n: count(*)}}}
targets:
  local: {default: true}
  two: {lake: lake2, topics: topics2}
"""
CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: orders
version: 1.0.0
schema:
  - name: orders
    properties:
      - {name: id, logicalType: integer, required: true, primaryKey: true}
"""

Told = Callable[..., tuple[str, str]]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Calls in a project of two targets; what they wrote to stdout and stderr."""
    for name in ("rows", "contracts"):
        (tmp_path / name).mkdir()
    (tmp_path / "catchment.yaml").write_text(PROJECT, encoding="utf-8")
    (tmp_path / "contracts/orders.odcs.yaml").write_text(CONTRACT, encoding="utf-8")
    (tmp_path / "rows/1.csv").write_text("id\n1\nx\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[str, str]:
        capsys.readouterr()
        main(list(words))
        found = capsys.readouterr()
        return found.out, found.err

    return call


def _changed() -> None:
    path = Path("contracts/orders.odcs.yaml")
    text = path.read_text(encoding="utf-8").replace("integer,", "integer, logicalTypeOptions: {minimum: 0},")
    path.write_text(text, encoding="utf-8")


def test_what_a_run_says_is_for_its_target(told: Told) -> None:
    assert (
        "1 row of silver.orders was rejected: catchment quarantine show --target two silver.orders"
        in (told("run", "--target", "two")[1])
    )
    _changed()
    _, first = told("run", "--target", "two")
    ways = ("--rebuild", "--forward")
    choose = "  or  ".join(f"catchment run --target two {way} silver.orders" for way in ways)
    assert f"hint: choose: {choose}\n" in first
    lines = told("run", "--target", "two", "--json")[0].splitlines()
    assert f"choose: {choose}" in [json.loads(line).get("hint") for line in lines]
    assert f"hint: choose: {choose}\n" in told("stream", "--target", "two", "--until-idle")[1]
    # What is printed goes where it has to; and a note is not cut off in the middle of a command.
    _, rebuilt = told("run", "--target", "two", "--rebuild", "silver.orders")
    assert "1 row   1 rejected" in rebuilt
    assert "or catchment publish --target two silver.orders --again\n" in rebuilt


def test_an_environment_and_a_project_are_named_too(
    told: Told, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place in ((), ("--env", "alice"), ("--env", "bob")):
        told("run", *place)
    _changed()
    (tmp_path / "else where").mkdir()
    monkeypatch.chdir(tmp_path / "else where")
    folder = shlex.quote(str(tmp_path))
    _, here = told("--project", str(tmp_path), "run", "--env", "alice")
    assert f"choose: catchment --project {folder} run --env alice --rebuild silver.orders" in here
    monkeypatch.setenv("CATCHMENT_ENV", "bob")
    _, of_bob = told("--project", str(tmp_path), "run", "--target", "local")
    assert f"catchment --project {folder} run --target local --env bob --rebuild silver.orders" in of_bob


def test_status_and_publish_show_say_how_it_goes_on_there(told: Told) -> None:
    told("run", "--target", "two")
    told("run", "--target", "two", "--rebuild", "silver.orders")
    ways = [f"catchment publish --target two silver.orders {way}" for way in ("--from-now", "--again")]
    assert f"  choose: {'   or   '.join(ways)}\n" in told("status", "--target", "two")[0]
    assert f"hint: {'   or   '.join(ways)}\n" in told("publish", "--show", "--target", "two")[1]
    (shown,) = json.loads(told("publish", "--show", "--json", "--target", "two")[0])
    assert shown["choices"] == ways
    assert all(way in told("publish", "--target", "two")[1] for way in ways)


def test_a_plan_says_it_of_topics(told: Told) -> None:
    with Path("catchment.yaml").open("a", encoding="utf-8") as project:
        project.write("topics: {late: {partitions: 3}}\n")
    told("topics", "put", "late", "--create", "--target", "two")
    assert "`catchment topics apply --target two --yes` does it" in told("plan", "--target", "two")[0]
    assert "`catchment topics apply --yes` does it" in told("plan")[0]


def test_an_error_says_what_to_do_there(told: Told) -> None:
    _, refused = told("live", "query", "select 1", "--target", "two")
    assert refused.endswith("hint: catchment live feed --target two\n")
    assert told("live", "query", "select 1")[1].endswith("hint: catchment live feed\n")


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("catchment run", "catchment --project p run --target two"),
        (
            "catchment run --rebuild a  or  --forward a",
            "catchment --project p run --target two --rebuild a  or  --forward a",
        ),
        ("`catchment live apply --yes`: it", "`catchment --project p live apply --target two --yes`: it"),
        (
            "catchment run makes it; catchment plan",
            "catchment --project p run --target two makes it; catchment --project p plan --target two",
        ),
        (
            "catchment run --env bob; catchment plan",
            "catchment --project p run --env bob; catchment --project p plan --target two",
        ),
        ("catchment sources files", "catchment --project p sources files"),
        ("catchment run --help", "catchment --project p run --help"),
        ("catchment init shop; a newer catchment made it", None),
        ("catchment --debug run; in ./catchment run", None),
    ],
)
def test_a_command_gets_what_it_takes_and_has_not(text: str, full: str | None) -> None:
    hints.begin("run", "p", catchment)
    hints.at("two", None)
    try:
        assert hints.named(text) == (text if full is None else full)
        assert hints.named(hints.named(text)) == hints.named(text)
    finally:
        hints.begin(None, None)


def test_a_project_that_is_made_is_no_other_one(told: Told) -> None:
    assert "Next: cd new && catchment run\n" in told("--project", ".", "init", "new", "--template", "shop")[1]


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (["liv"], "did you mean `live`?"),
        (["sliver"], "did you mean `silver`?"),
        (["orders"], "did you mean `silver.orders`?"),
        (["xyzzy"], "name a table such as silver.users, a layer such as silver, or live"),
        (["live", "silver"], "catchment compare live"),
        (["silver"], "name another place: --env alice, or --with <target>"),
    ],
)
def test_what_is_to_be_compared_is_looked_at_before_the_places(told: Told, words: list[str], cure: str) -> None:
    assert told("compare", *words)[1].endswith(f"hint: {cure}\n")
