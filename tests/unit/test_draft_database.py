"""What a database declares, as a contract and a silver table: types, keys, cursors, references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from catchment.draft.contracts import contract_text
from catchment.draft.database import chosen, drafted_database
from catchment.draft.drafted import DraftedTable, Relation
from catchment.draft.writing import write_project
from catchment.errors import ConfigError
from catchment.outside import Address, address
from catchment.project import load_project
from catchment.records import FoundColumn, FoundStream


@pytest.fixture
def place(tmp_path: Path) -> Address:
    return address("postgresql://app@127.0.0.1/shop", tmp_path)


def drafted(place: Address, *found: FoundStream) -> dict[str, DraftedTable]:
    return {table.name: table for table in drafted_database(place, found).tables}


def table(name: str, columns: Sequence[FoundColumn], *, key: Sequence[str] = (), **rest: object) -> FoundStream:
    keys: Mapping[str, object] = {"table": f"public.{name}"}
    return FoundStream(name, keys, columns, key, **rest)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "physical", "logical", "precise"),
    [
        ("number", "numeric(12,2)", "number", "decimal(12,2)"),
        ("number", "NUMERIC(12, 2)", "number", "decimal(12,2)"),
        ("number", "decimal(20)", "number", "decimal(20,0)"),
        ("number", "numeric(40,2)", "string", None),
        ("number", "numeric(5,-2)", "string", None),
        ("number", "numeric", "number", None),
        ("number", "double precision", "number", None),
        ("integer", "bigint", "integer", None),
        ("object", "jsonb", "object", None),
        ("uuid", "uuid", "string", None),
    ],
)
def test_digits_stay_exact_where_the_database_says_how_many(
    place: Address, kind: str, physical: str, logical: str, precise: str | None
) -> None:
    (column,) = drafted(place, table("t", [FoundColumn("x", kind, physical)]))["t"].columns
    assert (column.type, column.physical) == (logical, precise)
    assert column.evidence.startswith(physical)


def test_names_that_differ_by_case_alone_keep_their_own_column_of_bronze(place: Address) -> None:
    found = table("t", [FoundColumn("id", "integer"), FoundColumn("ID", "integer"), FoundColumn("Row Id", "string")])
    columns = drafted(place, found)["t"].columns
    assert [(column.name, column.source) for column in columns] == [
        ("id", "id"),
        ("id_2", "ID_2"),
        ("row_id", "Row Id"),
    ]


def stamped(name: str, **rest: object) -> FoundStream:
    columns = [FoundColumn("id", "integer"), FoundColumn("at", "timestamp")]
    keys = {"table": f"public.{name}", "cursor": "at", "lookback": "5 minutes"}
    return FoundStream(name, keys, columns, evidence={"cursor": "why"}, **rest)  # type: ignore[arg-type]


def test_the_mode_follows_from_key_and_cursor(place: Address) -> None:
    whole = [FoundColumn("id", "integer")]
    found = drafted(place, stamped("a", key=("id",)), stamped("b"), table("c", whole, key=("id",)), table("d", whole))
    assert {name: (one.mode, one.latest_by) for name, one in found.items()} == {
        "a": ("merge", "at"),
        "b": ("replace", None),
        "c": ("merge", None),
        "d": ("replace", None),
    }
    assert found["a"].stream == ("# why", 'a: {table: public.a, cursor: at, lookback: "5 minutes"}')
    assert found["b"].stream[-1] == "b: {table: public.b}"
    assert found["b"].stream[0].startswith("# no key is declared: by `at` rows that change would be there twice")


def test_references_lead_to_keys_of_drafted_tables_and_never_round(place: Address) -> None:
    id_column = FoundColumn("id", "integer")
    a = table(
        "a", [id_column, FoundColumn("b_id", "integer")], key=("id",), references=[(("b_id",), "public.b", ("id",))]
    )
    b = table(
        "b",
        [id_column, FoundColumn("a_id", "integer"), FoundColumn("up", "integer"), FoundColumn("text", "string")],
        key=("id",),
        references=[
            (("a_id",), "public.a", ("id",)),  # closes the circle
            (("up",), '"public"."b"', ("id",)),
            (("text",), "public.a", ("id",)),  # never equal
            (("a_id",), "public.elsewhere", ("id",)),
            (("a_id",), "public.a", ("b_id",)),  # not its key
        ],
    )
    found = drafted(place, a, b)
    assert found["a"].references == (Relation(("b_id",), "b", ("id",)),)
    assert found["b"].references == (Relation(("up",), "b", ("id",)),)
    assert "- {type: foreignKey, to: b.id}" in contract_text(found["a"], "shop")


def test_a_description_goes_along(place: Address) -> None:
    found = table("t", [FoundColumn("x", "string", "text", description='Who: "me"')])
    assert 'description: "Who: \\"me\\""' in contract_text(drafted(place, found)["t"], "shop")


def test_what_is_declared_cannot_end_a_comment(place: Address) -> None:
    found = table("t", [FoundColumn("x", "string", "text\nevil: true")], rows=1)
    assert "\nevil" not in contract_text(drafted(place, found)["t"], "shop")


def test_patterns_name_tables_as_they_are_called_there_or_here() -> None:
    users = FoundStream("users", {"table": 'public."Users"'})
    logs = FoundStream("audit_logs", {"table": "audit.logs"})
    both = [users, logs]
    assert chosen(both, []) == both
    assert chosen(both, ["public.*"]) == [users]
    assert chosen(both, ["public.users"]) == [users]
    assert chosen(both, ["audit_*", "users"]) == both
    with pytest.raises(ConfigError, match=r"no table is called `public\.usrs`") as raised:
        chosen(both, ["public.usrs"])
    assert raised.value.hint == "did you mean `public.Users`?"
    with pytest.raises(ConfigError, match="nothing in it"):
        chosen([], [])


def test_no_line_of_a_draft_is_longer_than_people_read(place: Address, tmp_path: Path) -> None:
    names = [f"the_{number}th_part_of_a_key_that_is_long_enough_for_anybody" for number in range(4)]
    columns = [FoundColumn(name, "integer", "integer", required=True) for name in names]
    columns.append(FoundColumn("at", "timestamp", f"enum('{', '.join(['one', 'more', 'word'] * 30)}')"))
    why = "a column of instants, " + "named as what every change of a row is said to set, " * 4
    name = "a_table_of_which_the_name_alone_takes_half_of_a_line_already"
    keys = {"table": f"public.{name}", "cursor": "at"}
    found = FoundStream(name, keys, columns, tuple(names), evidence={"cursor": why, "key": why})
    written = write_project(drafted_database(place, [found]), tmp_path / "drafted")
    text = {path.name: path.read_text(encoding="utf-8") for path in written if path.suffix == ".yaml"}
    assert len(text) == 2
    comments = [line for one in text.values() for line in one.splitlines() if line.lstrip().startswith("#")]
    assert max(map(len, comments)) <= 120
    assert not any("#" in line for line in text["catchment.yaml"].splitlines() if len(line) > 120)
    told = " ".join(line.lstrip(" #") for line in comments)
    assert told.count(" ".join(why.split())) == 2
    assert " ".join(["one,", "more,", "word,"] * 29) in told
    load_project(tmp_path / "drafted")
