"""Collections of MongoDB."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from catchment.reading.durations import seconds
from catchment.reading.kinds.keys import SourceKeys, StreamKeys


class MongoStream(StreamKeys):
    """A collection, landing in one bronze table as documents."""

    collection: Annotated[str, Field(min_length=1, description="The collection, or a view.")]
    cursor: Annotated[
        str | None,
        Field(
            min_length=1,
            description="The field that tells what is new: `_id`, or one that every change sets to a later value, such"
            " as `updated_at` or `meta.updated_at`. Without it the collection is read whole each time.",
        ),
    ] = None
    lookback: Annotated[
        str | int | None,
        Field(
            description="How far before the last value each read begins again, for documents that are written out of"
            " order: a length of time such as `5 minutes`, for numbers a number. By default `10 minutes` where `_id` is"
            " an ObjectId, else nothing."
        ),
    ] = None
    filter: Annotated[
        dict[str, Any] | None,
        Field(
            min_length=1,
            description='A query of MongoDB; values that YAML has no type for as extended JSON, such as {"$date": …}.',
        ),
    ] = None
    projection: Annotated[
        list[str] | None,
        Field(
            min_length=1,
            description="The fields that land, `_id` and the cursor always among them; or, each with a minus before it,"
            " those that do not.",
        ),
    ] = None
    extended_json: Annotated[
        Literal["canonical", "relaxed"],
        Field(
            description='How documents are written: `canonical` names the type of every number (`{"$numberInt": "5"}`),'
            " `relaxed` writes numbers as JSON has them and dates as text."
        ),
    ] = "canonical"

    @property
    def is_whole(self) -> bool:
        return self.cursor is None

    @property
    def brings_documents(self) -> bool:
        return True

    @model_validator(mode="after")
    def _lookback(self) -> MongoStream:
        if self.lookback is None:
            return self
        if self.cursor is None:
            message = "`lookback` is for a stream with a cursor"
            raise ValueError(message, "name the cursor, or remove `lookback`: the collection is read whole")
        text = str(self.lookback)
        if seconds(text) is None and not text.isdigit() and "${" not in text:
            message = f"`{text}` is no length of time and no number"
            raise ValueError(message, "write lookback: 5 minutes, or a number such as 100 for a cursor of numbers")
        return self

    @model_validator(mode="after")
    def _projection(self) -> MongoStream:
        fields = self.projection or []
        without = [field[1:] for field in fields if field.startswith("-")]
        if without and len(without) < len(fields):
            message = "`projection` names fields that land and fields that do not"
            raise ValueError(message, "write one kind: [name, price], or [-picture, -notes]")
        for field in ("_id", self.cursor):
            if field in without:
                message = f"`projection` leaves out `{field}`, which is needed"
                raise ValueError(message, f"remove -{field}")
        return self


class MongoSource(SourceKeys):
    """Collections of MongoDB, as documents."""

    example: ClassVar[str] = """\
catalogue:
  type: mongodb
  url: ${env:CATALOGUE_URL}
  streams:
    products: {collection: products, cursor: updated_at}
"""

    type: Literal["mongodb"]
    url: Annotated[
        str,
        Field(min_length=1, description="Such as `${env:SHOP_MONGO_URL}`: mongodb://user:password@host:27017/shop."),
    ]
    database: Annotated[str | None, Field(min_length=1, description="By default the one that the URL names.")] = None
    streams: Annotated[dict[str, MongoStream], Field(min_length=1, description="What it gives, by name.")]
