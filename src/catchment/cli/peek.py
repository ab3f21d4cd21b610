"""`catchment peek`: the first rows of a stream as they would land, and a contract to propose for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, limit_option, target_option
from catchment.cli.query import table_lines
from catchment.cli.terminal import note, out, out_json, values
from catchment.observe.words import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.connected import Connected
    from catchment.peek import Peeked
    from catchment.records import FoundStream

# A contract rests on so many rows, however few are shown.
_STUDIED = 10_000

_OURS = ("_origin", "_position", "_defect", "_raw")
_MOST_DEFECTS = 3


@click.command(epilog=examples("catchment peek drops.users", "catchment peek drops.users --limit 3 --json"))
@click.argument("stream")
@click.option(
    "--from",
    "address",
    metavar="URL",
    help="Look into this database instead of the project's sources; STREAM is then a table, such as public.users.",
)
@click.option("--contract", "as_contract", is_flag=True, help="Print a proposed contract for the rows, as YAML.")
@limit_option(20)
@target_option
@json_option
@click.pass_obj
def peek(
    invocation: Invocation,
    stream: str,
    address: str | None,
    as_contract: bool,
    limit: int,
    target: str | None,
    as_json: bool,
) -> None:
    """Show the first rows of a stream as they would land; write nothing.

    STREAM is `source.stream`. With --contract the types come from what a database declares, else from the first 10,000
    rows, each with its evidence; a sample proves no key and no column that is never empty, so neither is proposed.
    """
    from catchment.peek import peek as look

    if as_contract and as_json:
        message = "--contract and --json exclude each other"
        raise click.UsageError(message)
    connected, named, found = _meant(invocation, stream, address, target)
    if as_contract:
        out(_contract(connected, named, found).rstrip("\n"))
        note("Nothing was written.")
        return
    seen = look(connected, named, limit)
    if as_json:
        out_json(as_value(seen))
        return
    for line in lines(seen):
        out(line)
    for notice in seen.notices:
        note(notice.message)
    note("Nothing was written.")


def _meant(
    invocation: Invocation, stream: str, address: str | None, target: str | None
) -> tuple[Connected, str, FoundStream | None]:
    """The stream, in the project or outside of any."""
    from catchment.connected import Connected

    if address is None:
        # Contracts may not be written yet: this is how they are drafted.
        return Connected.of(invocation.load(tables_too=False), target), stream, None
    from catchment import outside
    from catchment.draft.database import chosen

    place = outside.address(address, Path.cwd())
    found = chosen(outside.find(place, Path.cwd()), [stream])[0]
    return Connected.of(outside.project_over(place, found, Path.cwd())), f"{place.source}.{found.name}", found


def _contract(connected: Connected, stream: str, found: FoundStream | None) -> str:
    from catchment.draft.contracts import contract_text
    from catchment.draft.sampled import declared, sampled

    drafted = declared(connected, stream, found) or sampled(connected, stream, _STUDIED)
    return contract_text(drafted, connected.project.name)


def lines(seen: Peeked) -> list[str]:
    """The rows as people read them, and what cannot be read."""
    rows = seen.rows
    if not rows.num_rows:
        return [f"{seen.stream} has no rows."]
    origin = values(rows.column("_origin"))[0]
    more = "all of them" if seen.is_all else "the first"
    told = [f"{seen.stream}: {plural(rows.num_rows, 'row')}, {more}, from {origin}"]
    good = rows.filter(rows.column("_defect").is_null()).drop_columns(list(_OURS))
    if good.num_rows and good.column_names == ["document"]:
        told += [str(text) for text in values(good.column("document"))]
    elif good.num_rows:
        told += table_lines(good, widest=60)
    return told + _defects(rows)


def _defects(rows: pa.Table) -> list[str]:
    bad = rows.filter(rows.column("_defect").is_valid())
    if not bad.num_rows:
        return []
    told = [f"{plural(bad.num_rows, 'row')} cannot be read:"]
    for place, why in list(zip(values(bad.column("_position")), values(bad.column("_defect")), strict=True))[
        :_MOST_DEFECTS
    ]:
        told.append(f"  at {place}: {why}")
    return told


def as_value(seen: Peeked) -> dict[str, Any]:
    """`peek --json`."""
    columns = [{"name": field.name, "type": str(field.type)} for field in seen.rows.schema if field.name not in _OURS]
    rows = [values(column) for column in seen.rows.columns]
    return {
        "stream": seen.stream,
        "table": seen.table,
        "is_all": seen.is_all,
        "columns": columns,
        "rows": [dict(zip(seen.rows.column_names, row, strict=True)) for row in zip(*rows, strict=True)],
        "notices": [notice.message for notice in seen.notices],
    }
