"""Sources, bronze and silver: from catchment.yaml, contracts and what lies in the lake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.answers import TableStatus
from catchment.contract import Contract
from catchment.reading.declaration import FILE
from catchment.settings import has_references
from catchment.site.absences import Absences
from catchment.site.attention import span
from catchment.site.facts import Code, ColumnFacts, Detail, TableFacts
from catchment.site.from_contract import contract_columns, contract_details, contract_rules
from catchment.site.from_gold import Built
from catchment.site.tracing import Tracing

if TYPE_CHECKING:
    from catchment.connected import Connected
    from catchment.project import Project
    from catchment.reading.declaration import SilverTable

# What ours say of a row; every bronze table begins with them.
_OURS = {
    "_shard": "which process landed it",
    "_load": "the number of the commit that landed it",
    "_row": "its place in the load",
    "_origin": "the file or place it came from",
    "_position": "where in it",
    "_loaded_at": "when it landed, in UTC",
    "_defect": "why it could not be read; empty in a good row",
    "_raw": "what could not be read, as it was",
    "_stream": "the stream it came from",
    "_judged": "the number of the refine that judged it",
    naming.VALID_FROM: "since when this version is valid",
    naming.VALID_TO: "until when it was; empty: it still is",
    naming.HIDDEN: "why the row is kept and not shown; empty: it is shown",
    naming.UNTIL: "how far the window of its key reaches",
}
_SECRET = re.compile(r"pass|secret|token|key|credential|auth|header", re.IGNORECASE)
# In addresses and connection strings: who and with what word, and parameters that are called like a secret.
_USER = re.compile(r"(?<=://)\S*@")
_PARAMETER = re.compile(r"((?:pass|secret|token|key|auth)\w*=)[^&\s]+", re.IGNORECASE)


def origin_facts(project: Project) -> Iterator[TableFacts]:
    """A page for each source: its type, its streams and where each lands."""
    for name, source in project.sources.items():
        details = [Detail("type", source.type), *_settings(source, leaving=("type", "streams"))]
        for stream, declared in source.streams.items():
            feed = project.feed(f"{name}.{stream}")
            words = ", ".join(f"{d.label}: {d.words}" for d in _settings(declared))
            details.append(Detail(stream, words or "lands in bronze", table=str(feed.table)))
        words = (type(source).__doc__ or "").strip().partition("\n")[0]
        yield TableFacts(name, "origin", "origin", description=words, file=FILE, details=details)


def _settings(keys: Any, leaving: Sequence[str] = ()) -> list[Detail]:
    """What catchment.yaml says, references unresolved; what looks like a secret and is no reference stays unsaid."""
    told = keys.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    return [
        Detail(str(key).replace("_", " "), _said(str(key), value), is_code=True)
        for key, value in told.items()
        if key not in leaving
    ]


def _said(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_said(f'{key} {name}', item)}" for name, item in value.items())
    if isinstance(value, list):
        return ", ".join(_said(key, item) for item in value)
    text = {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    if has_references(text):
        return text
    return "(set)" if _SECRET.search(key) else _PARAMETER.sub(r"\1…", _USER.sub("…@", text))


def bronze_facts(
    connected: Connected, tracing: Tracing, standing: Mapping[str, TableStatus], absences: Absences
) -> Iterator[TableFacts]:
    """A page for each stream's table; columns are those that are there, and fields that a contract reads."""
    for feed in connected.project.feeds():
        name = str(feed.table)
        source, _, stream = feed.name.partition(".")
        declared = connected.project.sources[source]
        settings = declared.streams[stream] if stream else declared
        status = standing.get(name)
        nothing: list[ColumnFacts] = []
        columns = absences.attempt(name, partial(_landed, connected, feed.table), nothing, table=name)
        if status is None and standing:
            absences.missing(name, "has not landed yet: its columns are those that contracts read")
        yield TableFacts(
            name=name,
            kind="bronze",
            group="bronze",
            description=f"What stream {feed.name} brought, as it arrived.",
            file=FILE,
            details=[Detail("stream", feed.name, table=source), *_settings(settings)],
            columns=_fields(tracing, feed.name, columns),
            rows=None if status is None else status.rows,
            status=status,
        )


def _landed(connected: Connected, name: naming.TableName) -> list[ColumnFacts]:
    table = connected.lake.open(name)
    return [] if table is None else [_column(field.name, str(field.type)) for field in table.schema()]


def _fields(tracing: Tracing, feed: str, columns: Sequence[ColumnFacts]) -> tuple[ColumnFacts, ...]:
    known = {column.name for column in columns}
    is_document = "document" in known
    traced = tracing.traced(feed, columns)
    return tuple(
        column
        if column.name in known
        else ColumnFacts(column.name, "in document" if is_document else "", of=column.of, into=column.into)
        for column in traced
    )


def _column(name: str, kind: str = "") -> ColumnFacts:
    return ColumnFacts(name, kind, _OURS.get(name, ""), is_ours=name in _OURS)


def silver_facts(
    connected: Connected,
    tracing: Tracing,
    standing: Mapping[str, TableStatus],
    reasons: Mapping[str, Sequence[tuple[str, int]]],
    built: Built,
    absences: Absences,
) -> Iterator[TableFacts]:
    """A page for each silver table: its contract, and where it stands."""
    project = connected.project
    for bare, declared in project.silver.items():
        contract, name = project.contracts[bare], str(naming.silver_table(bare))
        known = tracing.known(name)
        columns = [
            column if column.name in _of(contract) or column.name not in _OURS else _ours(column)
            for column in tracing.traced(name, contract_columns(contract))
        ]
        status = standing.get(name)
        if status is None and standing:
            where = "" if connected.environment is None else f" in environment {connected.environment}"
            absences.missing(name, f"was not made yet{where}: what is told is its contract")
        tests, tested = built.hung(name, columns)
        yield TableFacts(
            name=name,
            kind="silver",
            group="silver",
            description=contract.description or "",
            file=contract.file,
            details=[*_declared(project, declared, contract), *contract_details(contract, project.folder)],
            columns=tested,
            rows_of=() if known is None else tracing.places(known.rows),
            unsure=None if known is None else known.unsure,
            rules=contract_rules(contract),
            tests=tests,
            code=_refine(project.folder, declared),
            rows=None if status is None else status.rows,
            status=status,
            reasons=reasons.get(name, ()),
        )


def _of(contract: Contract) -> frozenset[str]:
    return frozenset(column.name for column in contract.columns)


def _ours(column: ColumnFacts) -> ColumnFacts:
    ours = _column(column.name)
    return ColumnFacts(
        column.name, description=ours.description, is_ours=True, of=column.of, made_by=column.made_by, into=column.into
    )


def _declared(project: Project, declared: SilverTable, contract: Contract) -> Iterator[Detail]:
    """What catchment.yaml says of the table."""
    for stream in declared.streams:
        yield Detail("from", stream, table=str(project.feed(stream).table))
    yield Detail("mode", declared.mode)
    if contract.key:
        yield Detail("key", ", ".join(contract.key))
    said = {
        "latest by": declared.latest_by,
        "deleted when": declared.deleted_when,
        "slice": ", ".join(declared.slice or ()),
        "event time": declared.event_time,
        "lateness": declared.lateness,
    }
    for label, words in said.items():
        if words:
            yield Detail(label, words, is_code=True)
    for table, how in declared.with_.items():
        words = f"{table}, current" if how == "current" else f"{table}, as of {how.as_of}"
        yield Detail("look-up", words, table=str(naming.silver_table(table)))
    if contract.freshness is not None:
        yield Detail("freshness", f"{contract.freshness.column} at most {span(contract.freshness.seconds)} old")


def _refine(folder: Path, declared: SilverTable) -> list[Code]:
    if declared.refine is None:
        return []
    try:
        text = (folder / declared.refine).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    return [Code("Refine function", "python", text, declared.refine)]
