"""The shop's live sessions in Redis: a hash each, which ends by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import redis

from catchment.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from catchment.generate.shop import Shop

LIVES_S = 24 * 60 * 60


def load(url: str, shop: Shop, *, again: bool, tell: Callable[[str, int], None]) -> None:
    """Put the sessions of the last day into a database of Redis; they end a day from now.

    `tell` hears the kind of key and how many were written. Raises ConfigError where there are sessions, unless `again`,
    and where the server refuses.
    """
    sessions = [json.loads(text) for text in shop.documents("sessions")]
    try:
        with redis.Redis.from_url(url) as client:
            if not again and next(client.scan_iter("session:*", count=1000), None) is not None:
                message = "there are keys session:* already"
                raise ConfigError(message, hint="--again writes over those of the same sessions")
            with client.pipeline(transaction=False) as pipe:
                for session in sessions:
                    pipe.hset(session["key"], mapping=session["value"])
                    pipe.expire(session["key"], LIVES_S)
                pipe.execute()
    except (redis.RedisError, ValueError) as error:
        message = f"the server refused: {str(error).splitlines()[0]}"
        raise ConfigError(message, hint="does it run there, and may this user write?") from None
    tell("sessions", len(sessions))
