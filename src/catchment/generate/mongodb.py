"""The shop's catalogue in MongoDB: a document a product, nested, each kind of thing with attributes of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import json_util
from pymongo import MongoClient, ReplaceOne
from pymongo.errors import ConfigurationError, PyMongoError

from catchment.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchment.generate.shop import Shop

COLLECTION = "catalogue"

_PATIENCE_MS = 10_000


def load(url: str, shop: Shop, *, again: bool, tell: Callable[[str, int], None]) -> None:
    """Put the catalogue into the database that the address names; documents of the same products are replaced.

    `tell` hears the collection and how many documents were brought. Raises ConfigError where it holds documents, unless
    `again`, and where the server refuses.
    """
    documents = [json_util.loads(text) for text in shop.documents(COLLECTION)]
    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=_PATIENCE_MS) as client:
            collection = client.get_default_database()[COLLECTION]
            if not again and collection.find_one() is not None:
                message = f"collection {COLLECTION} holds documents already"
                raise ConfigError(message, hint="--again replaces those of the same products")
            collection.create_index("updated_at")
            collection.bulk_write([ReplaceOne({"_id": one["_id"]}, one, upsert=True) for one in documents])
    except ConfigurationError as error:
        message = f"the address does not do: {error}"
        raise ConfigError(message, hint="name the database too: mongodb://host:27017/shop") from None
    except PyMongoError as error:
        message = f"the server refused: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint="does it run there, and may this user write?") from None
    tell(COLLECTION, len(documents))
