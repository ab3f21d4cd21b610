"""Orders that go on for ever, by number, and every change of them: pending, then completed or failed, then refunded.

An order is placed at every tenth click. How many clicks later it changes is drawn for each, so that the changes of any
stretch are found by looking at a bounded number of orders before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from catchment.generate.counted import drawn, instants, joined, money, names_of, pick, wide
from catchment.generate.orders import METHODS, STREET_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from catchment.generate.company import Company
    from catchment.generate.counted import Integers

EVERY = 10  # clicks to an order

# In clicks: an order settles after 20 to 619 of them, and is sent back after 600 to 20,599 more.
_SETTLES, _SETTLES_WITHIN = 20, 600
_REFUNDED, _REFUNDED_WITHIN = 600, 20_000
_LONGEST = _SETTLES + _SETTLES_WITHIN + _REFUNDED + _REFUNDED_WITHIN

STATUSES = ("pending", "completed", "failed", "refunded")
_PENDING, _COMPLETED, _FAILED, _REFUND = range(len(STATUSES))

COLUMNS = (
    "transaction_id",
    "user_id",
    "product_id",
    "quantity",
    "unit_price",
    "discount",
    "tax",
    "total",
    "status",
    "payment_method",
    "shipping_address",
    "created_at",
    "updated_at",
)
_NUMBERS = ("quantity", "unit_price", "discount", "tax", "total")


@dataclass(frozen=True)
class Changes:
    """Changes of orders, in the order in which they happen; `at` is the click at which each does, `version` from 0."""

    at: Integers
    version: Integers
    rows: pa.Table  # `COLUMNS`, all as text

    def documents(self) -> pa.Array:
        """A JSON document each; numbers are numbers."""
        import pyarrow as pa

        parts: list[pa.Array | str] = []
        for name in COLUMNS:
            sign = "" if name in _NUMBERS else '"'
            parts += [f'{"," if parts else "{"}"{name}":{sign}', self.rows[name].combine_chunks(), sign]
        return joined(*parts, "}") if self.rows.num_rows else pa.array([], pa.string())


@dataclass(frozen=True)
class Orders:
    """The orders of a shop by number from 0; `seconds` tells when a click is, in seconds since 1970."""

    seed: int
    company: Company
    seconds: Callable[[Integers], Integers]

    def changes(self, first: int, end: int) -> Changes:
        """What happens to orders from one click to before another."""
        import numpy as np

        low = max(0, first - _LONGEST) // EVERY
        orders = np.arange(low, -(-end // EVERY), dtype=np.int64)
        draws = drawn(self.seed, "fate", orders)
        luck = pick(draws, 0, 1000)
        placed = orders * EVERY
        settled = placed + _SETTLES + pick(draws, 1, _SETTLES_WITHIN)
        refunded = settled + _REFUNDED + pick(draws, 2, _REFUNDED_WITHIN)
        # 5 in 100 stay pending, 7 fail, 88 are completed; of those 4 in 100 are sent back later.
        kinds = (
            (placed, np.full(len(orders), _PENDING), np.ones(len(orders), bool)),
            (settled, np.where(luck < 70, _FAILED, _COMPLETED), luck < 950),
            (refunded, np.full(len(orders), _REFUND), (luck >= 70) & (luck < 105)),
        )
        found = [
            (at[there], np.full(there.sum(), version), orders[there], status[there])
            for version, (at, status, happens) in enumerate(kinds)
            for there in [happens & (at >= first) & (at < end)]
        ]
        at, version, order, status = (np.concatenate(parts) for parts in zip(*found, strict=True))
        sorted_ = np.lexsort((version, order, at))
        return self._told(at[sorted_], version[sorted_], order[sorted_], status[sorted_])

    def _told(self, at: Integers, version: Integers, order: Integers, status: Integers) -> Changes:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        who, what = drawn(self.seed, "buyer", order), drawn(self.seed, "bought", order)
        users, products = len(self.company.users), len(self.company.products)
        user = np.minimum(wide(who, 0, users), wide(who, 1, users))
        product = np.minimum(pick(what, 0, products), pick(what, 1, products))
        bill = self.company.bill(user, product, drawn(self.seed, "bill", order))
        door = pc.cast(pa.array(1 + pick(what, 2, 120)), pa.string())
        street = self._streets.take(pa.array(pick(what, 3, len(STREET_NAMES))))
        method = pick(drawn(self.seed, "paid", order), 0, len(METHODS))
        columns = [
            names_of(self.seed, "order", order),
            self.company.users.take(pa.array(user)),
            self.company.products.take(pa.array(product)),
            pc.cast(pa.array(bill.quantity), pa.string()),
            money(bill.price),
            money(bill.discount),
            money(bill.tax),
            money(bill.total),
            pa.array(STATUSES).take(pa.array(status)),
            pa.array(METHODS).take(pa.array(method)),
            joined(door, " ", street, ", ", self.company.places.take(pa.array(user))),
            instants(self.seconds(order * EVERY)),
            instants(self.seconds(at)),
        ]
        return Changes(at, version, pa.table(columns, names=list(COLUMNS)))

    @cached_property
    def _streets(self) -> pa.Array:
        import pyarrow as pa

        return pa.array(STREET_NAMES)
