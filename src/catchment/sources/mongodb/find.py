"""What collections a database has, and what is in them: guessed from a sample, for `init --from`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from catchment.records import JSON, FoundColumn, FoundStream
from catchment.sources.mongodb.documents import LENIENT
from catchment.sources.mongodb.server import Documents, Server

_SAMPLE = 500
# A larger collection is not proposed to be read whole each time.
_LARGEST_WHOLE = 1_000_000
_CHANGED = re.compile(r"(last_?)?(updated?|modified|changed|touched)(_?(at|on|date|time|ts))?", re.IGNORECASE)

# Python's type of a BSON value -> MongoDB's word, a contract's type, and where relaxed extended JSON has the value.
_WORDS: Mapping[str, tuple[str, str, str]] = {
    "str": ("string", "string", ""),
    "int": ("int", "integer", ""),
    "Int64": ("long", "integer", ""),
    "float": ("double", "number", ""),
    "Decimal128": ("decimal", "number", '."$numberDecimal"'),
    "bool": ("bool", "boolean", ""),
    "DatetimeMS": ("date", "timestamp", '."$date"'),
    "ObjectId": ("objectId", "string", '."$oid"'),
    "bytes": ("binData", "string", '."$binary".base64'),
    "Binary": ("binData", "string", '."$binary".base64'),
    "list": ("array", "array", ""),
    "dict": ("object", "object", ""),
}


def find(url: str, folder: Path) -> Sequence[FoundStream]:
    """Every collection of the URL's database that its user may read; views and MongoDB's own are left out."""
    server = Server(url, None)
    try:
        with server.told("the database"):
            database = server.client[server.database]
            told = list(database.list_collections(authorizedCollections=True, nameOnly=True))
            names = sorted(one["name"] for one in told if one.get("type", "collection") == "collection")
            return [_found(database[name]) for name in names if not name.startswith("system.")]
    finally:
        server.close()


def _found(collection: Documents) -> FoundStream:
    rows = collection.estimated_document_count()
    sample = _sample(collection)
    columns, evidence = [], dict[str, str]()
    for name in dict.fromkeys(name for document in sample for name in document):
        column, why = _column(name, sample)
        columns.append(column)
        evidence[name] = why
    keys: dict[str, JSON] = {"collection": collection.name, "extended_json": "relaxed"}
    cursor, evidence["cursor"] = _cursor(collection, sample, columns, rows)
    if cursor is not None:
        keys["cursor"] = cursor
    return FoundStream(collection.name, keys, columns, ("_id",), rows=rows, evidence=evidence)


def _sample(collection: Documents) -> list[dict[str, Any]]:
    pipeline = [{"$sample": {"size": _SAMPLE}}]
    with closing(collection.with_options(codec_options=LENIENT).aggregate(pipeline)) as found:
        return list(found)


def _column(name: str, sample: Sequence[Mapping[str, Any]]) -> tuple[FoundColumn, str]:
    kinds = Counter(_kind(document[name]) for document in sample if document.get(name) is not None)
    told = ", ".join(f"{kind} in {count:,}" for kind, count in kinds.most_common())
    why = f"{told or 'null'} of {len(sample):,} sampled documents"
    by_word = {word: (logical, below) for word, logical, below in _WORDS.values()}
    found = [by_word.get(kind, ("object", "")) for kind in kinds]
    logical, below = found[0] if len(set(found)) == 1 else ("string", "")
    if {"integer", "number"} == {kind for kind, _ in found} and not any(below for _, below in found):
        logical = "number"
    path = f'$."{name}"{below}' if below else ""
    return FoundColumn(name, logical, "/".join(sorted(kinds)), name == "_id", path=path), why


def _kind(value: Any) -> str:
    name = type(value).__name__
    return _WORDS[name][0] if name in _WORDS else name.lower()


def _cursor(
    collection: Documents, sample: Sequence[Mapping[str, Any]], columns: Sequence[FoundColumn], rows: int
) -> tuple[str | None, str]:
    """The field proposed as cursor, None to read whole; and why."""
    everywhere = [
        column.name
        for column in columns
        if column.physical == "date" and all(column.name in document for document in sample)
    ]
    indexed = {next(iter(index["key"]), "") for index in collection.list_indexes()}
    changed = [name for name in everywhere if _CHANGED.fullmatch(name)]
    best = next((name for name in changed if name in indexed), next(iter(changed), None))
    if best is not None:
        index = "with an index" if best in indexed else "without an index: each read sorts the collection"
        return best, f"`{best}` is a date in all {len(sample):,} sampled documents, {index}"
    if rows > _LARGEST_WHOLE:
        return (
            "_id",
            f"{rows:,} documents are too many to read whole each time; documents that change do not land again",
        )
    return None, "no field was found that every change sets: read whole; `cursor: _id` would take new documents alone"
