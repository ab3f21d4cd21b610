"""Where a user was from and whether money flowed, beside each event."""

from __future__ import annotations

from typing import Any

import narwhals as nw


def refine(events: nw.LazyFrame[Any], users: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """`users` are the versions valid when each event occurred, one per key: a left join keeps every event once."""
    countries = users.select("user_id", "country")
    return events.join(countries, on="user_id", how="left").with_columns(is_purchase=nw.col("event_type") == "purchase")
