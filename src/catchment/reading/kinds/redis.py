"""Keys and streams of Redis."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from catchment.reading.kinds.keys import SourceKeys, StreamKeys


class RedisStream(StreamKeys):
    """Keys of one pattern, or one stream of Redis, landing in one bronze table as documents."""

    keys: Annotated[
        str | None,
        Field(min_length=1, description="A pattern such as `session:*`: every key that fits, read whole each time."),
    ] = None
    stream: Annotated[
        str | None, Field(min_length=1, description="Or the key of a stream of Redis, whose new entries land.")
    ] = None

    @property
    def is_whole(self) -> bool:
        return self.stream is None

    @property
    def brings_documents(self) -> bool:
        return True

    @model_validator(mode="after")
    def _one(self) -> RedisStream:
        if (self.keys is None) == (self.stream is None):
            message = "a stream of Redis is a pattern of keys, or one stream"
            raise ValueError(message, 'write one of keys: "session:*" and stream: clicks')
        return self


class RedisSource(SourceKeys):
    """Keys and streams of Redis, as documents."""

    example: ClassVar[str] = """\
cache:
  type: redis
  url: ${env:CACHE_URL}
  streams:
    sessions: {keys: "session:*"}
    clicks: {stream: clicks}
"""

    type: Literal["redis"]
    url: Annotated[
        str, Field(min_length=1, description="Such as `${env:SHOP_REDIS_URL}`: redis://user:password@host:6379/0.")
    ]
    streams: Annotated[dict[str, RedisStream], Field(min_length=1, description="What it gives, by name.")]
