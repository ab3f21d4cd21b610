"""What is wrong with the shop's rows, how often, and which of it a contract has to reject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from catchment.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# A row carries one kind at most, so that the counts of the kinds add up to the count of dirty rows.
KINDS_OF = {
    "users": (
        "duplicates",
        "missing_keys",
        "impossible_dates",
        "updated_before_created",
        "mixed_case_emails",
    ),
    "products": ("duplicates", "missing_keys", "negative_amounts"),
    "transactions": (
        "duplicates",
        "late",
        "out_of_order",
        "missing_keys",
        "second_date_format",
        "impossible_dates",
        "negative_amounts",
        "zero_amounts",
        "wrong_totals",
        "updated_before_created",
        "orphans",
    ),
    "user_events": ("duplicates", "late", "out_of_order", "missing_keys", "bad_properties"),
}

# A contract of template `shop` refuses these rows and keeps the others.
REJECTED = frozenset(
    {
        "missing_keys",
        "impossible_dates",
        "negative_amounts",
        "zero_amounts",
        "wrong_totals",
        "updated_before_created",
        "bad_properties",
    }
)


@dataclass(frozen=True)
class Dirt:
    """The share (0-1) of rows that carry each kind of dirt, in every table where the kind occurs (`KINDS_OF`).

    Users and products are only rejected in rows that change them, never in their first: else every reference to
    them would be an orphan that nobody declared. Raises ConfigError for a share outside 0-1, or where the shares of
    a table exceed 1 together.
    """

    duplicates: float = 0.004  # the row stands twice in its file
    late: float = 0.01  # the row stands in a file one to three days after its own day
    out_of_order: float = 0.01  # the row stands behind rows of the same day that are newer
    missing_keys: float = 0.003  # no user_id, product_id, transaction_id or event_id
    second_date_format: float = 0.08  # dd/MM/yyyy HH:mm:ss in columns that are ISO 8601 elsewhere
    impossible_dates: float = 0.003  # 31 February
    negative_amounts: float = 0.004
    zero_amounts: float = 0.003
    wrong_totals: float = 0.012  # total is off by 1.00 to 20.00
    updated_before_created: float = 0.004
    orphans: float = 0.005  # of orders: every row of them names a user or product that does not exist
    mixed_case_emails: float = 0.03
    bad_properties: float = 0.003  # the properties of an event are a text that is not JSON

    def __post_init__(self) -> None:
        check_shares(self, KINDS_OF)

    @classmethod
    def none(cls) -> Dirt:
        """A shop without a spot."""
        return cls(**{rate.name: 0.0 for rate in fields(cls)})

    def kind(self, table: str, draw: str, *, later_only: str | None = None) -> str:
        """An SQL expression: the kind that `draw`, an even integer draw of a million, gives a row of `table`, or null.

        Where the condition `later_only` does not hold, kinds that would be rejected are left out.
        """
        # Orphans are a property of the whole order, see traffic.py.
        shares = {kind: float(getattr(self, kind)) for kind in KINDS_OF[table] if kind != "orphans"}
        return kind_drawn(shares, draw, guards=dict.fromkeys(REJECTED, later_only) if later_only else {})


def check_shares(dirt: DataclassInstance, kinds_of: Mapping[str, Sequence[str]]) -> None:
    """Raises ConfigError for a share outside 0-1, or where the shares of a table exceed 1 together."""
    for rate in fields(dirt):
        share = getattr(dirt, rate.name)
        if not 0 <= share <= 1:
            message = f"dirt: {rate.name} is {share}, a share lies between 0 and 1"
            raise ConfigError(message)
    for table, kinds in kinds_of.items():
        total = sum(getattr(dirt, kind) for kind in kinds)
        if total > 1:
            message = f"dirt: the shares of {table} add up to {total:g}, a row carries one kind at most"
            raise ConfigError(message, hint=f"lower some of: {', '.join(kinds)}")


def kind_drawn(shares: Mapping[str, float], draw: str, *, guards: Mapping[str, str | None]) -> str:
    """An SQL expression: the kind that `draw`, an even integer draw of a million, gives a row, or null.

    A kind that has a guard, an SQL condition, is given where that holds only.
    """
    bound, cases = 0.0, []
    for kind, share in shares.items():
        low, bound = round(bound * 1_000_000), bound + share
        guard = f" and {guards[kind]}" if guards.get(kind) else ""
        cases.append(f"when {draw} >= {low} and {draw} < {round(bound * 1_000_000)}{guard} then '{kind}'")
    return f"case {' '.join(cases)} end"
