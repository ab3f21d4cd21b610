"""`catchment quarantine`: the rows that broke their contract, and why."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, limit_option, target_option
from catchment.cli.terminal import note, out, out_json
from catchment.naming import TableName
from catchment.naming import column as column_name
from catchment.observe.words import aligned, instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catchment.answers import QuarantineSummary, Rejected
    from catchment.project import Project
    from catchment.records import Order

# A raw row longer than this is cut for people; --json has all of it.
_LONGEST_RAW = 400

# A step of a path in a document: `."b c"`, `.b` or `[0]`.
_STEP = re.compile(r"""\."([^"]*)"|\.([^.\["]+)|\[([0-9]+)\]""")

# Counting lines means reading up to them.
_FARTHEST_LINE = 64 << 20


@click.group(epilog=examples("catchment quarantine list", "catchment quarantine show silver.transactions --limit 2"))
def quarantine() -> None:
    """Look at rejected rows.

    No row is dropped without a record: what breaks its contract waits here with every reason, its raw form and where
    it came from.
    """


@quarantine.command("list", epilog=examples("catchment quarantine list"))
@target_option
@json_option
@click.pass_obj
def list_(invocation: Invocation, target: str | None, as_json: bool) -> None:
    """Count rejected rows, by table."""
    from catchment.inspect import quarantine_summaries

    found = quarantine_summaries(invocation.load(), target)
    if as_json:
        out_json([summary_value(one) for one in found])
        return
    waiting = [one for one in found if one.rows]
    if not waiting:
        note("No row is in quarantine.")
        return
    for line in lines(waiting):
        out(line)


@quarantine.command("show", epilog=examples("catchment quarantine show silver.transactions --limit 2"))
@click.argument("table")
@limit_option(10)
@click.option("--held", is_flag=True, help="The rows of a span that a rule of the contract holds back.")
@target_option
@json_option
@click.pass_obj
def show(invocation: Invocation, table: str, limit: int, held: bool, target: str | None, as_json: bool) -> None:
    """Show the rejected and waiting rows of a silver table, newest first."""
    from catchment.inspect import quarantine_rows

    project = invocation.load().on(target)
    found = quarantine_rows(project, target, table, limit, held=held)
    if as_json:
        out_json([as_value(rejected) for rejected in found])
        return
    if not found:
        note(f"No row of {table} is {'held' if held else 'in quarantine'}.")
    for rejected in found:
        for line in row_lines(project, rejected):
            out(line)


@quarantine.command("replay", epilog=examples("catchment quarantine replay silver.transactions"))
@click.argument("table")
@target_option
@json_option
@click.pass_obj
def replay(invocation: Invocation, table: str, target: str | None, as_json: bool) -> int:
    """Try the rejected and waiting rows of a silver table again.

    After a contract or a refine function was corrected and the table went forward (`catchment run --forward`). What
    passes now goes into silver, and never over a newer row of its key; the rest stays in quarantine.
    """
    from catchment.records import Order

    return ordered(invocation, table, Order("replay"), target=target, as_json=as_json)


@quarantine.command("accept", epilog=examples("catchment quarantine accept silver.transactions"))
@click.argument("table")
@target_option
@json_option
@click.pass_obj
def accept(invocation: Invocation, table: str, target: str | None, as_json: bool) -> int:
    """Let pass what a rule of the contract holds back.

    The next run refines it without that rule: its good rows go into silver, its bad ones into quarantine.
    """
    from catchment.records import Order

    return ordered(invocation, table, Order("accept"), target=target, as_json=as_json)


def ordered(invocation: Invocation, table: str, order: Order, *, target: str | None, as_json: bool) -> int:
    """Do one repair of one silver table before the user's eyes, and say what came of it; the exit code."""
    from catchment.cli.run import execute
    from catchment.inspect import silver_name
    from catchment.observe.outcome import Repaired
    from catchment.outlook import steps

    project = invocation.load()
    name = str(silver_name(project, table))
    told = Repaired()
    code = execute(
        invocation,
        project,
        steps(project, target, [name]),
        target=target,
        orders={name: order},
        as_json=as_json,
        beside=[told],
    )
    if not as_json:
        for line in told.lines(invocation.command("run")):
            note(line)
    return code


def lines(found: Sequence[QuarantineSummary]) -> list[str]:
    """The list as people read it."""
    rows = [
        (one.table, f"{one.rows:,}", f"{instant(one.newest)} UTC" if one.newest is not None else "-", _reason(one))
        for one in found
    ]
    return aligned([("table", "rows", "newest", "most frequent reason"), *rows], right=frozenset({1}))


def _reason(one: QuarantineSummary) -> str:
    if not one.reasons:
        return "-"
    words, count = one.reasons[0]
    return f"{words} ({count:,})"


def summary_value(one: QuarantineSummary) -> dict[str, Any]:
    reasons = [{"words": words, "rows": count} for words, count in one.reasons]
    return {"table": one.table, "rows": one.rows, "newest": one.newest, "reasons": reasons}


def as_value(rejected: Rejected) -> dict[str, Any]:
    """One row of `quarantine show --json`; `raw` is parsed where it can be."""
    return {
        "table": rejected.table,
        "stream": rejected.stream,
        "origin": rejected.origin,
        "position": rejected.position,
        "load": rejected.load,
        "row": rejected.row,
        "judged": rejected.judged,
        "reasons": [
            {"column": column, "rule": rule, "message": message, "value": value}
            for column, rule, message, value in rejected.reasons
        ],
        "raw": _parsed(rejected.raw),
        "status": rejected.status,
    }


def row_lines(project: Project, rejected: Rejected) -> list[str]:
    """One rejected row: who it is and where it came from, every reason, its raw form."""
    text, raw = _as_it_came(rejected.raw)
    name = TableName.parse(rejected.table).name
    known = project.silver[name].streams if name in project.silver else ()
    streams = [rejected.stream] if rejected.stream else list(known)
    who = _identity(project, name, raw)
    place = f"from {', '.join([*streams, _place(project, streams, rejected)])}"
    waits = ", waiting" if rejected.status == "waiting" else ""
    told = [f"{who}  {place}{waits}" if who else f"{place}{waits}"]
    told += [f"  {reason}" for reason in map(_words, rejected.reasons)]
    shown = text if len(text) <= _LONGEST_RAW else text[: _LONGEST_RAW - 1] + "…"
    told.append(f"  raw: {shown}")
    return told


def _words(reason: tuple[str | None, str, str, str | None]) -> str:
    """`created_at: "31/02/2026" is not a date in dd/MM/yyyy`."""
    column, rule, message, value = reason
    if column is None and (rule != "reference" or value is None):
        return message
    if column is None:
        column = message.partition(": ")[0]  # several columns that refer together
    shown = (
        f'"{value if len(value) <= 60 else value[:59] + "…"}" ' if value is not None and value not in message else ""
    )
    return f"{column}: {shown}{message.removeprefix(f'{column}: ')}"


def _as_it_came(raw: str) -> tuple[str, Any]:
    """The row's text and, where it is JSON, its value; of a row that fits no column, what bronze keeps in `_raw`."""
    found = _parsed(raw)
    if isinstance(found, dict) and list(found) == ["_raw"] and isinstance(found["_raw"], str):
        return found["_raw"], _parsed(found["_raw"])
    return raw, found


def _parsed(raw: str) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw


def _identity(project: Project, table: str, raw: Any) -> str:
    """The row's key as it arrived: `transaction_id 8f1c…`; empty where the contract has none."""
    contract = project.contracts.get(table)
    if contract is None or not isinstance(raw, dict):
        return ""
    sources = {column.name: column.source for column in contract.columns}
    return ", ".join(f"{name} {_value(raw, sources[name])}" for name in contract.key)


def _value(raw: dict[str, Any], source: str) -> str:
    """What a column's source says: a path in the document, or a column of bronze and else a field of the document."""
    kept = raw.get("document")
    document = _parsed(kept) if isinstance(kept, str) else None  # beside other columns; alone it is the row itself
    path = source if source.startswith("$") else f'$."{source}"'
    column = None if path == source else {name.lower(): raw[name] for name in raw}.get(column_name(source).lower())
    found = next((one for one in (column, _at(document, path), _at(raw, path)) if one not in (None, "")), None)
    if found is None:
        return "(missing)"
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _at(document: Any, path: str) -> Any:
    """What lies at `$.a."b c"[0]`; None where nothing does."""
    for quoted, name, place in _STEP.findall(path):
        if place:
            document = document[int(place)] if isinstance(document, list) and int(place) < len(document) else None
        else:
            document = document.get(quoted or name) if isinstance(document, dict) else None
    return document


def _place(project: Project, streams: Sequence[str], rejected: Rejected) -> str:
    """The file, and the line in it where it is still there to be counted in; partition and offset in a topic; elsewhere
    the row of its stream."""
    types = {
        project.sources[source].type for stream in streams if (source := stream.partition(".")[0]) in project.sources
    }
    if types and types <= {"topic", "webhooks"}:
        return f"{rejected.origin}, offset {rejected.position}"
    if types - {"files"}:
        return f"row {rejected.position:,}"
    file, path = f"file {PurePosixPath(rejected.origin).name}", project.folder / rejected.origin
    if path.suffix.lower() in (".parquet", ".pq"):
        return f"{file}, row {rejected.position:,}"
    line = _line(path, rejected.position)
    return f"{file}, byte {rejected.position:,}" if line is None else f"{file}, line {line:,}"


def _line(path: Path, position: int) -> int | None:
    """Which line, from 1, a byte of a text file is in."""
    if position > _FARTHEST_LINE:
        return None
    try:
        with path.open("rb") as opened:
            packed = opened.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as text:
            before = text.read(position)
    except (OSError, EOFError, zlib.error):
        return None
    return before.count(b"\n") + 1 if len(before) == position else None
