"""`catchment init --from URL`: a whole database as a project."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catchment.cli.init_folder import go, refuse_project, shown
from catchment.cli.terminal import note, out
from catchment.errors import ConfigError
from catchment.observe.words import about, aligned, plural

if TYPE_CHECKING:
    from catchment.draft.drafted import DraftedTable
    from catchment.outside import Address
    from catchment.records import FoundStream


def from_database(folder: Path, given: str, patterns: Sequence[str]) -> None:
    """Ask the database what it holds, write the project, and say what to export before it runs."""
    from catchment import outside
    from catchment.draft.database import chosen, drafted_database
    from catchment.draft.writing import write_project

    refuse_project(folder)
    here = Path.cwd()
    place = outside.address(given, here)
    everything = outside.find(place, here)
    found = _readable(place, chosen(everything, patterns), here)
    drafted = drafted_database(place, found)
    out(f"Found {plural(len(everything), 'table')} in {place.shown}.")
    for line in lines(found, drafted.tables):
        out(line)
    write_project(drafted, folder)
    known = [table for table in drafted.tables if table.columns]
    out(
        f"Wrote {shown(folder)}/: {plural(len(found), 'stream')}, {plural(len(known), 'contract')}"
        f" (as the database declares them), {plural(len(known), 'stg model')}."
    )
    _next(place, folder)


def _readable(place: Address, found: Sequence[FoundStream], folder: Path) -> Sequence[FoundStream]:
    """Those that can be read, which is tried where the database does not know of a row in them; none by a cursor that
    would lose a row.

    Raises what reading raised where none can be read.
    """
    from catchment.connected import Connected
    from catchment.draft.database import without_losses
    from catchment.outside import project_over
    from catchment.peek import peek

    odd: dict[str, ConfigError] = {}
    good = []
    for one in found:
        try:
            if not one.rows:
                peek(Connected.of(project_over(place, one, folder)), f"{place.source}.{one.name}", 1)
            good.append(without_losses(one, place, folder))
        except ConfigError as error:
            odd[one.name] = error
    if len(odd) == len(found):
        raise next(iter(odd.values()))
    for left_out in odd.values():
        note(f"Left out: {left_out.message}.")
    return good


def lines(found: Sequence[FoundStream], tables: Sequence[DraftedTable]) -> list[str]:
    """One line a table: its width, its key, how it is read, and about how many rows it has."""
    rows = [
        (f"  {one.name}", plural(len(table.columns), "column"), table.key.words, _how(one, table), _rows(one))
        for one, table in zip(found, tables, strict=True)
    ]
    return aligned(rows, gap="   ")


def _how(found: FoundStream, table: DraftedTable) -> str:
    """As it was drafted, which may be without the cursor that was proposed."""
    if table.is_whole:
        return "read whole each time"
    cursor = found.keys.get("cursor")
    return f"new by {cursor}" if cursor else "what is new"


def _rows(found: FoundStream) -> str:
    return "" if found.rows is None else f"about {about(found.rows)} {'row' if found.rows == 1 else 'rows'}"


def _next(place: Address, folder: Path) -> None:
    """The address is in no file: whoever runs the project has to give it."""
    if not place.is_set and place.reference.startswith("${env:"):
        name = place.reference.removeprefix("${env:").removesuffix("}")
        value = shlex.quote(place.url) if place.is_shown_whole else "…"
        note(f"Next: export {name}={value}")
        if not place.is_shown_whole:
            note(f"      with the address that you gave: {place.shown} is written nowhere")
    note(f"Next: {go(folder)}catchment check --connect && catchment run")
