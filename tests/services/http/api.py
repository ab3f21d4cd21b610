"""Sources as catchment.yaml would declare them, over a server of ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from catchment.generate.routes import Collection, Connection, Record
from catchment.generate.server import ApiServer
from catchment.interfaces import Source
from catchment.reading.kinds.graphql import GraphQLSource as GraphQLKeys
from catchment.reading.kinds.rest import RestSource as RestKeys
from catchment.records import Batch, Budget, Cursor
from catchment.sources.graphql import GraphQLSource
from catchment.sources.rest import RestSource

BEGIN = datetime(2026, 10, 1, tzinfo=UTC)
REVIEWS = (
    "query($first: Int, $after: String, $since: String) { reviews { edges { node { id } } pageInfo { endCursor } } }"
)


def source(server: ApiServer, folder: Path, *, kind: str = "rest", name: str = "api", **keys: Any) -> Source:
    """A source by its keys in catchment.yaml; `url` is the server's unless given."""
    told = {"type": kind, "url": server.url + ("/graphql" if kind == "graphql" else ""), **keys}
    model: Any = (RestKeys if kind == "rest" else GraphQLKeys).model_validate(told, by_alias=True, by_name=False)
    given = {key: getattr(model, key) for key in type(model).model_fields if key not in ("type", "streams", "every")}
    made: Source = (RestSource if kind == "rest" else GraphQLSource)(name, model.streams, folder, **given)
    return made


def instant(number: int) -> str:
    return (BEGIN + timedelta(minutes=number)).isoformat().replace("+00:00", "Z")


def record(number: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "updated_at": instant(number), "words": f"record {number}", **more}


def no_text(number: int) -> Record:
    """A record that is no UTF-8."""
    text = b'{"id": %d, "updated_at": "%s", "words": "\xff"}' % (number, instant(number).encode())
    return Record(text, number, instant(number))


def collection(way: Any, records: Sequence[Any] = (), size: int = 3) -> Collection:
    return Collection("items", list(records), way=way, size=size)


def reviews(records: Sequence[Any] = (), size: int = 3, points: tuple[float, float] | None = None) -> Connection:
    return Connection(Collection("reviews", list(records), size=size), points)


def land(made: Source, since: Cursor | None = None, budget: Budget = Budget()) -> tuple[list[Batch], Cursor | None]:  # noqa: B008
    """One read of the first feed as a run does it: batches, and the cursor that the next one begins with."""
    batches = list(made.read(made.feeds()[0], since, budget))
    made.close()
    cursors = [batch.cursor for batch in batches if batch.cursor is not None]
    return batches, cursors[-1] if cursors else since


def ids(batches: Sequence[Batch]) -> list[int]:
    """The ids of the documents, in order."""
    import json

    documents = [text for batch in batches for text in batch.rows.column("document").to_pylist() if text is not None]
    return [json.loads(text)["id"] for text in documents]
