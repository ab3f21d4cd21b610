"""Names of tables, columns and paths. Whoever needs a name asks here."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass

LAYERS = ("bronze", "silver", "quarantine", "gold")

# In queries the figures of silver tables' loads, and live figures, stand in schemas of their own.
QUALITY = "quality"
LIVE = "live"
SCHEMAS = (*LAYERS, QUALITY, LIVE)

# Every bronze table begins with these, so that they always have file statistics (Delta keeps them for 32 columns).
BRONZE_COLUMNS = ("_shard", "_load", "_row", "_origin", "_position", "_loaded_at", "_defect", "_raw")

# What every row of a log of changes has: its stream, what happened, when it was committed, the row after it (of a
# delete what is known of the row that went) and, where the log tells it, before it, both as JSON text.
CHANGE_COLUMNS = ("stream", "op", "committed_at", "document", "before")
# What can have happened. A truncate takes all rows of its stream and has no document.
SNAPSHOT, INSERT, UPDATE, DELETE, TRUNCATE = "snapshot", "insert", "update", "delete", "truncate"

# A row's identity, from silver to the live store; in bronze the stream is the table itself.
IDENTITY = ("_stream", "_shard", "_load", "_row")

# What a mode keeps in silver beside the contract's columns: the interval of a version (its end open where NULL), why a
# row is not shown ('deleted', 'unchanged'; NULL: it is), and how far a window of one key reaches.
VALID_FROM, VALID_TO, HIDDEN, UNTIL = "_valid_from", "_valid_to", "_hidden", "_until"

# Headers of a message in a refined topic, all of them text: whose row it is (`stream/shard/load/row`, of bronze), the
# commit of silver that brought it, what tells the newest of several messages of a key (the first part of a version, of
# which `_load` and `_row` of the id are the second and third, and the rank the last), and whether the row went
# ('true' or 'false').
ROW_ID = "catchment-id"
ROW_COMMIT = "catchment-commit"
ROW_LATEST = "catchment-latest"
ROW_RANK = "catchment-rank"
ROW_DELETED = "catchment-deleted"
ROW_HEADERS = (ROW_ID, ROW_COMMIT, ROW_LATEST, ROW_RANK, ROW_DELETED)

# Delta and Spark refuse these in column names; our own columns begin with an underscore and one of these words.
_FORBIDDEN = re.compile(r"[ ,;{}()\n\t=]+")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True, order=True)
class TableName:
    """`layer.name`, as it stands in the lake, in events and on the command line."""

    layer: str
    name: str

    def __str__(self) -> str:
        return f"{self.layer}.{self.name}"

    @classmethod
    def parse(cls, text: str) -> TableName:
        """`silver.sales`; raises ValueError when the layer is none of ours."""
        layer, _, name = text.partition(".")
        if layer not in LAYERS or not name:
            message = f"{text!r} is not a table name such as silver.sales"
            raise ValueError(message)
        return cls(layer, name)


def shard(stream: str, number: int) -> str:
    """The name of a shard of a stream: `source.stream`, `source.stream/1` …"""
    return f"{stream}/{number}" if number else stream


def bronze_table(feed: str) -> TableName:
    """The bronze table of feed `source.stream`, or of its shard `source.stream/1`."""
    # No name has two underscores, so that no stream's table is called as another's shard.
    return TableName("bronze", feed.replace(".", "__").replace("/", "__"))


def changes_table(source: str) -> TableName:
    """The bronze table of a source that is one log of changes, for all its streams."""
    return TableName("bronze", f"{source}__changes")


def silver_table(name: str) -> TableName:
    return TableName("silver", name)


def quarantine_table(silver: TableName) -> TableName:
    """Where the rejected rows of a silver table wait."""
    return TableName("quarantine", silver.name)


def publication(project: str, target: str, table: str) -> str:
    """Under what name a silver table of a project on a target is published, whatever its topic is called."""
    return f"{project}.{target}.{silver_table(table)}"


def is_name(text: str) -> bool:
    """Lower case, digits and underscores, a letter first: good in SQL, paths and topics alike."""
    return _NAME.fullmatch(text) is not None and "__" not in text


def column(header: str) -> str:
    """A source's column header as a column name: what Delta refuses becomes one underscore, and none stands in front,
    where ours have it."""
    return _FORBIDDEN.sub("_", header.strip()).strip("_") or "column"


def columns(headers: Iterable[str]) -> list[str]:
    """Column names for a header row: made legal, and unique without regard to case (`id`, `ID` -> `id`, `ID_2`)."""
    taken: set[str] = set()
    names = []
    for place, header in enumerate(headers, start=1):
        name = column(header) if header.strip() else f"column_{place}"
        candidate, count = name, 2
        while candidate.lower() in taken:
            candidate, count = f"{name}_{count}", count + 1
        taken.add(candidate.lower())
        names.append(candidate)
    return names


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was probably meant to be."""
    found = difflib.get_close_matches(name.lower(), {k.lower(): k for k in known}, n=1, cutoff=0.6)
    return next((k for k in known if k.lower() == found[0]), None) if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """A cure for a slip of the pen, or None."""
    candidate = nearest(name, list(known))
    return None if candidate is None else f"did you mean `{candidate}`?"


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
