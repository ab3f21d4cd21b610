"""A contract to propose for one stream: from what its database declares, or from its first rows."""

from __future__ import annotations

from dataclasses import replace

from catchment import outside, registry, settings
from catchment.connected import Connected
from catchment.draft.database import drafted_table
from catchment.draft.drafted import DraftedTable
from catchment.draft.keys import KeyGuess
from catchment.draft.landed import MESSAGE_COLUMNS
from catchment.draft.schemas import decided, declared_by, written_with
from catchment.draft.tables import study_rows
from catchment.observe.words import plural
from catchment.outside import Address
from catchment.peek import peek
from catchment.reading.kinds.keys import StreamKeys
from catchment.records import FoundStream
from catchment.silver.conform import DOCUMENT

# How a stream is followed does not change what its columns are; which of them it brings, and as what, does.
_FOLLOWED = frozenset({"cursor", "lookback"})
_CHANGING = ("columns", "as_text", "projection")


def declared(connected: Connected, stream: str, found: FoundStream | None = None) -> DraftedTable | None:
    """As its database declares it; None where nobody can be asked, or the stream brings something else.

    `found` is what the database said already, where it was asked.
    """
    source, _, name = stream.partition(".")
    kind, folder = connected.project.sources[source], connected.project.folder
    keys = kind.streams[name]
    if kind.type not in registry.names("finders") or any(getattr(keys, key, None) for key in _CHANGING):
        return None
    url = str(getattr(kind, "url", ""))
    place = Address(settings.resolve(url, folder, place=f"sources.{source}.url"), kind.type, url, source, is_set=True)
    of = found or next((one for one in outside.find(place, folder) if _is(one, keys)), None)
    if of is None:
        return None
    kept = {key: value for key, value in of.keys.items() if key not in _FOLLOWED}
    said = {key: value for key in _FOLLOWED if (value := getattr(keys, key, None))}
    return drafted_table(replace(of, name=name, keys=kept | said), place)


def _is(found: FoundStream, keys: StreamKeys) -> bool:
    wanted = {key: value for key, value in found.keys.items() if key not in _FOLLOWED}
    return all(_plain(getattr(keys, key, None)) == _plain(value) for key, value in wanted.items())


def _plain(value: object) -> object:
    return value.replace('"', "") if isinstance(value, str) else value


def sampled(connected: Connected, stream: str, rows: int) -> DraftedTable:
    """As its first rows show it, which prove less than all of them do, and as the schema of its messages declares it.
    Raises ConfigError where there are none."""
    seen = peek(connected, stream, rows)
    columns, key = study_rows(stream.partition(".")[2], seen.rows, stream)
    count = plural(seen.rows.num_rows, "row")
    if seen.is_all:
        told = f"Proposed from all rows that {stream} has now, {count}."
    else:
        told = f"Proposed from the first rows of {stream}, {count}: say what is the key, and what is never empty."
        columns = tuple(replace(column, required=False) for column in columns)
        key = KeyGuess(evidence=f"in the first {count}: {key.evidence}")
    head = [told, "Each column says what its type rests on."]
    schema = written_with(connected, stream)
    if schema is not None:
        declared_there = declared_by(schema)
        good = seen.rows.num_rows - seen.defects
        columns = tuple(decided(column, declared_there, good) for column in columns)
    if not {DOCUMENT, *MESSAGE_COLUMNS}.difference(seen.rows.column_names):
        named = ", ".join(MESSAGE_COLUMNS)
        head.append(f"Beside the document: {named} (transformSourceObjects: [{MESSAGE_COLUMNS[0]}])")
    return DraftedTable(stream.partition(".")[2], (), tuple(head), columns, key, "append", "")
