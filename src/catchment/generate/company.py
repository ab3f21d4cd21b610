"""Who clicks and buys in an endless shop: the users and products that a shop of the same seed has in its files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from catchment.generate.counted import pick
from catchment.generate.entities import make_entities
from catchment.generate.traffic import Calendar

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.generate.counted import Integers, Numbers

_NO_DIRT = "cast(null as varchar)"


@dataclass(frozen=True)
class Company:
    """Users and products by number; prices in cents."""

    users: pa.Array
    places: pa.Array  # `city, country` of each user
    taxes: Integers  # in percent, of each user's country
    products: pa.Array
    prices: Integers

    def bill(self, users: Integers, products: Integers, draws: Numbers) -> Bill:
        """What orders come to: one to five pieces, on one in five a discount of 5 to 20 percent."""
        import numpy as np

        quantity = 1 + np.minimum(pick(draws, 0, 5), pick(draws, 1, 5))
        percent = np.where(pick(draws, 2, 100) < 80, 0, 5 * (1 + pick(draws, 2, 100) % 4))
        price = self.prices[products]
        discount = price * quantity * percent // 100
        return Bill(price, quantity, discount, (price * quantity - discount) * self.taxes[users] // 100)


@dataclass(frozen=True)
class Bill:
    """Amounts in cents, one of each for an order."""

    price: Integers
    quantity: Integers
    discount: Integers
    tax: Integers

    @property
    def total(self) -> Integers:
        found: Integers = self.price * self.quantity - self.discount + self.tax
        return found


def company_of(seed: int, users: int = 2000) -> Company:
    """The users and products of the shop that `generate_shop` makes of the same seed and number of users."""
    import duckdb

    with duckdb.connect(":memory:") as connection:
        make_entities(connection, Calendar(date(2026, 1, 1), 1), seed=seed, users=users, kinds=(_NO_DIRT, _NO_DIRT))
        people = connection.execute(
            "select user_id, city || ', ' || country as place, tax_percent::bigint as tax from people order by no"
        ).to_arrow_table()
        goods = connection.execute("select product_id, price::bigint as price from goods order by no").to_arrow_table()
    return Company(
        people["user_id"].combine_chunks(),
        people["place"].combine_chunks(),
        people["tax"].to_numpy(),
        goods["product_id"].combine_chunks(),
        goods["price"].to_numpy(),
    )
