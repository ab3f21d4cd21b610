"""What of a project wants somebody's attention, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from catchment.answers import TableStatus
from catchment.observe.words import plural, share
from catchment.site.facts import SiteFacts, TableFacts

Level = Literal["bad", "warn", "note"]
_LEVELS: tuple[Level, ...] = ("bad", "warn", "note")

# A smaller share of rejected rows is everyday life.
_MANY_REJECTED = 0.05


@dataclass(frozen=True)
class Attention:
    """`table` is the page that says more, None where there is none."""

    level: Level
    words: str
    table: str | None = None


def attention(facts: SiteFacts) -> list[Attention]:
    """Everything that wants a look, for the whole project."""
    found = [*_of_project(facts), *(one for table in facts.tables.values() for one in attention_of(table))]
    of_tables = {words for table in facts.tables.values() for words in (*table.broken, *table.not_yet)}
    found += [Attention("note", words) for words in facts.absent if words not in of_tables]
    return sorted(found, key=lambda one: _LEVELS.index(one.level))


def _of_project(facts: SiteFacts) -> Iterator[Attention]:
    run, gold = facts.last_run, facts.gold
    if run is not None and run.outcome == "failed":
        yield Attention("bad", "The last run failed.")
    if gold.build is not None and gold.is_current is False:
        yield Attention("warn", "Gold is older than silver or the dbt project: the next run builds it.")
    if gold.content_of is not None and gold.content_of != gold.build:
        yield Attention("warn", f"Gold was rolled back: build {gold.build} is what build {gold.content_of} held.")


def attention_of(table: TableFacts) -> Iterator[Attention]:
    """What of one table wants a look."""
    yield from (Attention("bad", _bare(words, table), table.name) for words in table.broken)
    yield from (Attention("note", _bare(words, table), table.name) for words in table.not_yet)
    if table.status is not None:
        yield from _of_status(table.status)
    yield from _of_tests(table)
    if table.loads:
        yield from (Attention("warn", f"newest load: {words}", table.name) for words in table.loads[-1].unusual)
    if table.unsure is not None:
        yield Attention("note", f"lineage is not sure: {table.unsure}", table.name)


def _bare(words: str, table: TableFacts) -> str:
    """Without the table's name in front, beside which it stands."""
    return words.removeprefix(table.name).lstrip(": ")


def _of_tests(table: TableFacts) -> Iterator[Attention]:
    """Those that did not pass; but freshness, which is told as of now and not as of the build."""
    from catchment.gold.freshness import RULE

    told = table.status is not None and table.status.fresh_within_s is not None
    for test in table.all_tests:
        if test.outcome in ("fail", "error", "warn") and not (told and test.name == RULE):
            rows = "" if test.rows is None else f": {plural(test.rows, 'row')}"
            verb = {"fail": "failed", "error": "could not run", "warn": "warned"}[test.outcome]
            yield Attention("warn" if test.outcome == "warn" else "bad", f"{test.name} {verb}{rows}", table.name)


def _of_status(status: TableStatus) -> Iterator[Attention]:
    name = status.table
    if status.held:
        yield Attention("bad", f"{plural(status.held, 'row')} are held by a rule of the contract", name)
    state, words = freshness(status)
    if state == "late":
        yield Attention("warn", words, name)
    if status.rejected_share is not None and status.rejected_share >= _MANY_REJECTED:
        yield Attention("warn", f"{share(status.rejected_share)} of its rows were rejected", name)
    if status.waiting:
        yield Attention("note", f"{plural(status.waiting, 'row')} wait for rows that they refer to", name)
    if status.behind:
        yield Attention("note", f"{plural(status.behind, 'load')} of its input are not refined yet", name)


def freshness(status: TableStatus) -> tuple[Literal["fresh", "late", "unknown"], str]:
    """Whether a table was as fresh as its contract promises when the site was made, and the words for it."""
    if status.fresh_within_s is None:
        return "unknown", ""
    if status.age_s is None:
        return "late", "it has no row, and its contract promises fresh ones"
    allowed = span(status.fresh_within_s)
    if status.age_s <= status.fresh_within_s:
        return "fresh", f"newest row within {allowed}"
    return "late", f"its newest row is older than {allowed}"


def span(duration: int) -> str:
    """A promised time in its largest fitting unit: `90 seconds`, `26 hours`, `3 days`."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if duration >= size and duration % size == 0:
            return plural(duration // size, unit)
    return plural(duration, "second")
