"""One e-mail address per mailbox: `Ada@Mail.example` and `ada@mail.example` are the same person."""

from __future__ import annotations

from typing import Any

import narwhals as nw


def refine(users: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Typed rows of the contract in, the same rows out: a refine function sees one row at a time."""
    return users.with_columns(email=nw.col("email").str.to_lowercase())
