"""What the site tells, as frozen values: gathered once, so that pages are made of nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from catchment.answers import GoldStatus, LastRun, QualityOfLoad, TableStatus
    from catchment.gold.artifacts import Tested

Kind = Literal["origin", "bronze", "silver", "source", "seed", "model", "snapshot", "exposure"]

# A column of a table; "*" stands for the table's rows.
Place = tuple[str, str]


@dataclass(frozen=True)
class Group:
    """Tables that stand together; `title` is what people read. In a drawing no table stands left of those of a lower
    `band`."""

    key: str
    title: str
    band: int


# As rows flow. Models in no layer and snapshots may stand anywhere in gold.
GROUPS = {
    group.key: group
    for group in (
        Group("origin", "sources", 0),
        Group("bronze", "bronze", 1),
        Group("silver", "silver", 2),
        Group("source", "sources of others", 2),
        Group("seed", "seeds", 2),
        Group("stg", "gold · stg", 3),
        Group("std", "gold · std", 4),
        Group("cur", "gold · cur", 5),
        Group("model", "gold · other models", 3),
        Group("snapshot", "snapshots", 3),
        Group("exposure", "exposures", 6),
    )
}


@dataclass(frozen=True)
class Detail:
    """A line about a table. `table` is a page it leads to, `url` one outside that a contract or exposure names."""

    label: str
    words: str
    table: str | None = None
    url: str | None = None
    is_code: bool = False


@dataclass(frozen=True)
class Rule:
    """A promise of a contract; `when` says of what: each row, each load, the table."""

    name: str
    words: str
    when: str
    code: str = ""


@dataclass(frozen=True)
class Code:
    """A file or a query, to be read."""

    title: str
    language: Literal["sql", "python"]
    text: str
    file: str = ""


@dataclass(frozen=True)
class ColumnFacts:
    """A column. `of` is what it is made of and `made_by` how, `into` what is made of it; `limits` are in words."""

    name: str
    type: str = ""
    description: str = ""
    is_key: bool = False
    is_required: bool = False
    is_ours: bool = False
    classification: str | None = None
    limits: Sequence[str] = ()
    refers_to: Sequence[Place] = ()
    of: Sequence[Place] = ()
    made_by: str = ""
    into: Sequence[Place] = ()
    tests: Sequence[Tested] = ()


@dataclass(frozen=True)
class TableFacts:
    """A page. `broken` and `not_yet` say what is not known of it and why; `file`, relative to the project, makes it."""

    name: str
    kind: Kind
    group: str
    description: str = ""
    file: str = ""
    details: Sequence[Detail] = ()
    columns: Sequence[ColumnFacts] = ()
    rows_of: Sequence[Place] = ()
    unsure: str | None = None
    rules: Sequence[Rule] = ()
    tests: Sequence[Tested] = ()
    code: Sequence[Code] = ()
    rows: int | None = None
    status: TableStatus | None = None
    reasons: Sequence[tuple[str, int]] = ()
    loads: Sequence[QualityOfLoad] = ()
    broken: Sequence[str] = ()
    not_yet: Sequence[str] = ()
    label: str = ""

    @property
    def title(self) -> str:
        """What people read where the group is known: `users` of `silver.users`."""
        return self.label or (self.name.partition(".")[2] if self.kind not in ("origin", "source") else self.name)

    @property
    def all_tests(self) -> list[Tested]:
        """Those of the table and of its columns."""
        return [*self.tests, *(test for column in self.columns for test in column.tests)]


@dataclass(frozen=True)
class SiteFacts:
    """A project on a target at a moment. `edges` are (table, table made of it), `absent` what could not be told."""

    project: str
    target: str
    made_at: datetime
    tables: Mapping[str, TableFacts]
    edges: Sequence[tuple[str, str]]
    gold: GoldStatus
    has_gold: bool
    last_run: LastRun | None = None
    absent: Sequence[str] = ()

    def of_group(self, key: str) -> list[TableFacts]:
        """Tables of a group, in order."""
        return [table for table in self.tables.values() if table.group == key]

    @property
    def groups(self) -> list[Group]:
        """Those that have tables, as rows flow."""
        there = {table.group for table in self.tables.values()}
        return [group for key, group in GROUPS.items() if key in there]

    @property
    def tests(self) -> list[Tested]:
        """Every test of the served build that hangs on a table of the site."""
        return [test for table in self.tables.values() for test in table.all_tests]
