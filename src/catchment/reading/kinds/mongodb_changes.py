"""Change streams of MongoDB."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from catchment.reading.kinds.keys import ChangesKeys, SourceKeys


class MongoChangesStream(ChangesKeys):
    """A collection whose changes are followed, each as the document after it."""

    collection: Annotated[str, Field(min_length=1, description="The collection; a view has no changes.")]
    extended_json: Annotated[
        Literal["canonical", "relaxed"],
        Field(
            description='How documents are written: `canonical` names the type of every number (`{"$numberInt": "5"}`),'
            " `relaxed` writes numbers as JSON has them and dates as text."
        ),
    ] = "canonical"


class MongoChangesSource(SourceKeys):
    """Changes of collections of one MongoDB database, in one bronze table in the order of its change stream."""

    is_log: ClassVar[bool] = True

    example: ClassVar[str] = """\
catalogue:
  type: mongodb_changes
  url: ${env:CATALOGUE_URL}
  streams:
    products: {collection: products}
    reviews: {collection: reviews, extended_json: relaxed}
"""

    type: Literal["mongodb_changes"]
    url: Annotated[
        str,
        Field(min_length=1, description="Such as `${env:SHOP_MONGO_URL}`: mongodb://user:password@host:27017/shop."),
    ]
    database: Annotated[str | None, Field(min_length=1, description="By default the one that the URL names.")] = None
    on_gap: Annotated[
        Literal["stop", "snapshot"],
        Field(
            description="When the server no longer keeps what came after the last load: `stop` says so and stops,"
            " `snapshot` reads every collection anew, and what is no longer in it goes from silver tables."
        ),
    ] = "stop"
    streams: Annotated[dict[str, MongoChangesStream], Field(min_length=1, description="What it follows, by name.")]
