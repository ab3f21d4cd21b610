"""A random life of five collections, and what a log of its changes leaves when it is followed in plain Python."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bson import Decimal128, Int64, ObjectId
from pymongo import DeleteOne, InsertOne, ReplaceOne, UpdateOne
from pymongo.database import Database

from catchment.naming import DELETE, TRUNCATE
from catchment.sources.mongodb.documents import OPTIONS, Rendering
from catchment.sources.mongodb.documents import documents as cut

COLLECTIONS = ("products", "reviews", "stock", "baskets", "prices")

# How often what happens, out of all.
_WEIGHTS = {"insert": 35, "update": 35, "replace": 12, "delete": 17, "delete and insert": 1}

Row = Mapping[str, Any]


class Workload:
    """The same seed does the same to empty collections; ids come again now and then."""

    def __init__(self, database: Database[dict[str, Any]], seed: int) -> None:
        self._database = database
        self._random = random.Random(seed)
        self._ids: dict[str, list[Any]] = {name: [] for name in COLLECTIONS}
        self._gone: dict[str, list[Any]] = {name: [] for name in COLLECTIONS}
        self._made = 0
        self.done: Counter[str] = Counter()

    def run(self, operations: int, *, together: int = 20) -> None:
        """So many operations, up to `together` of one kind sent at once to one collection: each command is a commit."""
        while operations > 0:
            name = self._random.choice(COLLECTIONS)
            count = min(operations, self._random.randint(1, together))
            (what,) = self._random.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))
            if len(self._ids[name]) <= count:
                what = "insert"
            self._database[name].bulk_write([one for _ in range(count) for one in self._operation(name, what)])
            self.done[what] += count
            operations -= count

    def _operation(self, name: str, what: str) -> list[Any]:
        ids = self._ids[name]
        if what == "insert":
            return [InsertOne(self._document(self._new(name)))]
        place = self._random.randrange(len(ids))
        chosen = {"_id": ids[place]}
        if what == "update":
            changed = {f"f{self._random.randrange(6)}": self._value()}
            return [UpdateOne(chosen, {"$set": changed, "$inc": {"version": 1}, "$unset": {"old": ""}})]
        if what == "replace":
            return [ReplaceOne(chosen, self._document(ids[place]))]
        if what == "delete and insert":
            return [DeleteOne(chosen), InsertOne(self._document(ids[place]))]
        ids[place] = ids[-1]
        ids.pop()
        self._gone[name].append(chosen["_id"])
        return [DeleteOne(chosen)]

    def _new(self, name: str) -> Any:
        gone = self._gone[name]
        if gone and self._random.random() < 0.2:
            found = gone.pop(self._random.randrange(len(gone)))
        else:
            self._made += 1
            # One kind of key a collection: the server of the tests cannot always compare an ObjectId with a number.
            kind = COLLECTIONS.index(name) % 3
            found = (self._made, f"k{self._made}", ObjectId(self._random.randbytes(12)))[kind]
        self._ids[name].append(found)
        return found

    def _document(self, identity: Any) -> dict[str, Any]:
        fields = {f"f{n}": self._value() for n in self._random.sample(range(6), self._random.randint(0, 4))}
        return {"_id": identity, "version": 0, "old": True, **fields}

    def _value(self) -> Any:
        number = self._random.randrange(1 << 40)
        return self._random.choice(
            [
                *(number, Int64(5), number / 7, Decimal128(f"{number}.50"), f"text {number} ü \n", None, True),
                *([1, [2, {"x": number}]], {"deep": {"er": [number]}}, b"\x00\xff"),
            ]
        )


def replayed(rows: Iterable[Row]) -> dict[str, dict[str, Any]]:
    """What is left of each stream, by key, when its rows are followed in their order."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        left = found.setdefault(row["stream"], {})
        if row["op"] == TRUNCATE:
            left.clear()
            continue
        document = json.loads(row["document"])
        key = json.dumps(document["_id"])
        if row["op"] == DELETE:
            left.pop(key, None)
        else:
            left[key] = document
    return {name: left for name, left in found.items() if left}


def standing(database: Database[dict[str, Any]], names: Sequence[str] = COLLECTIONS) -> dict[str, dict[str, Any]]:
    """What the collections hold, as `replayed` tells it."""
    rendering = Rendering("canonical")
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        sent: Any = database.get_collection(name, OPTIONS).find_raw_batches()
        told = [json.loads(rendering(raw)) for block in sent for raw in cut(block)]
        if told:
            found[name] = {json.dumps(one["_id"]): one for one in told}
    return found
