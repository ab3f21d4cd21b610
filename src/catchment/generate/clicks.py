"""Clicks that go on for ever, by number: click 4,711 is the same whenever, and with whatever others, it is made.

A shop has so many visits at a time. Each takes one click in turn, in an order that differs from turn to turn; it has 3
to 20 of them, and when it ends the next visit begins in its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from catchment.generate.counted import (
    drawn,
    hexadecimal,
    instants,
    joined,
    money,
    names_of,
    pick,
    texts,
    wide,
)
from catchment.generate.events import BROWSERS, DEVICES, FIRST, NEXT, SEARCHES

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.generate.company import Company
    from catchment.generate.counted import Integers, Numbers

TYPES = (
    "page_view",
    "search",
    "product_view",
    "add_to_cart",
    "remove_from_cart",
    "checkout_start",
    "purchase",
    "login",
    "logout",
)
_PAGE_VIEW, _SEARCH, _VIEW, _CART, _REMOVE, _CHECKOUT, _PURCHASE, _LOGIN, _LOGOUT = range(len(TYPES))
_ABOUT_A_PRODUCT = (_VIEW, _CART, _REMOVE, _CHECKOUT, _PURCHASE)
_PAGES = {
    _PAGE_VIEW: "/",
    _SEARCH: "/search",
    _CART: "/cart",
    _REMOVE: "/cart",
    _CHECKOUT: "/checkout",
    _PURCHASE: "/checkout/done",
}

# Two visits follow one another in 23 clicks: both have 3 to 20 of them, 11.5 on average.
_LEAST, _PAIR = 3, 23
_LONGEST = _PAIR - _LEAST

# Ways through the shop that visits go; more of them would only make `NEXT` more exact.
_WAYS = 4096


@dataclass(frozen=True)
class Clicks:
    """The user events of a shop, by number from 0. `visits` go on at a time, a power of two up to 2 ** 24."""

    seed: int
    visits: int
    company: Company

    def lines(self, numbers: Integers, seconds: Integers) -> tuple[pa.Array, pa.Array]:
        """A JSON document for each number, and the user whose click it is; `seconds` since 1970 say when it was."""
        import numpy as np
        import pyarrow as pa

        visit, step, length = self._visits(numbers)
        who, what, how = (drawn(self.seed, tag, visit) for tag in ("visitor", "way", "device"))
        user = np.minimum(wide(who, 0, len(self.company.users)), wide(who, 1, len(self.company.users)))
        way = pick(what, 0, _WAYS)
        ends = (step == length - 1) & (length > _LEAST) & (pick(what, 1, 100) < 20)
        kind = np.where(ends, _LOGOUT, self._ways[0][way, step])
        looked = drawn(self.seed, "product", visit * np.uint64(32) + self._ways[1][way, step].astype(np.uint64))
        products = len(self.company.products)
        product = np.minimum(pick(looked, 0, products), pick(looked, 1, products))
        draws = drawn(self.seed, "click", numbers)
        place = pick(how, 0, len(DEVICES) * len(BROWSERS)) * 508 + pick(how, 1, 508)
        about = kind * products + np.where(kind == _SEARCH, pick(draws, 0, len(SEARCHES)), product)
        users = self.company.users.take(pa.array(user))
        told = joined(
            '{"event_id":"',
            names_of(self.seed, "event", numbers),
            '","user_id":"',
            users,
            '","session_id":"s-',
            texts(hexadecimal(drawn(self.seed, "visit", visit))),
            self._opening.take(pa.array(kind)),
            instants(seconds),
            self._about.take(pa.array(about)),
            self._devices.take(pa.array(place)),
            self._properties(kind, user, product, draws),
        )
        return told, users

    def _visits(self, numbers: Integers) -> tuple[Numbers, Integers, Integers]:
        """The visit that each click is of, how many clicks of it came before, and how many it has."""
        import numpy as np

        turn, place = numbers // self.visits, (numbers % self.visits).astype(np.uint64)
        order = drawn(self.seed, "turn", turn)
        # Odd, so that it is an order of all of them.
        seat = (place * (order | np.uint64(1)) + (order >> np.uint64(32))) & np.uint64(self.visits - 1)
        since = turn + pick(drawn(self.seed, "seat", seat), 0, _PAIR)
        pair, at = since // _PAIR, since % _PAIR
        two = (seat << np.uint64(38)) + pair.astype(np.uint64)
        first = _LEAST + pick(drawn(self.seed, "length", two), 0, _LONGEST - _LEAST + 1)
        is_second = at >= first
        visit = two * np.uint64(2) + is_second.astype(np.uint64)
        return visit, np.where(is_second, at - first, at), np.where(is_second, _PAIR - first, first)

    @cached_property
    def _ways(self) -> tuple[Integers, Integers]:
        """Of each way and step the type of event, and the step at which the product was last looked at."""
        import numpy as np

        ways = np.arange(_WAYS, dtype=np.int64)
        kinds, seen = np.zeros((_WAYS, _LONGEST), np.int64), np.zeros((_WAYS, _LONGEST), np.int64)
        follows = _table(FIRST)[None, :]
        for step in range(_LONGEST):
            chance = pick(drawn(self.seed, "step", ways * 32 + step), 0, 100)
            rows = np.zeros(_WAYS, np.int64) if step == 0 else kinds[:, step - 1]
            kinds[:, step] = (follows if step == 0 else _following())[rows, chance]
            seen[:, step] = np.where(kinds[:, step] == _VIEW, step, seen[:, step - 1] if step else 0)
        return kinds, seen

    @cached_property
    def _opening(self) -> pa.Array:
        import pyarrow as pa

        return pa.array([f'","event_type":"{name}","timestamp":"' for name in TYPES])

    @cached_property
    def _about(self) -> pa.Array:
        """What an event is about: of each type as many texts as there are products."""
        import json

        import pyarrow as pa

        return pa.array(
            [
                _about(kind, product, json.dumps(SEARCHES[number % len(SEARCHES)], ensure_ascii=False))
                for kind in range(len(TYPES))
                for number, product in enumerate(self.company.products.to_pylist())
            ]
        )

    @cached_property
    def _devices(self) -> pa.Array:
        import pyarrow as pa

        return pa.array(
            [
                f',"device_type":"{device}","browser":"{browser}","ip_address":"{net}{host}","properties":'
                for device in DEVICES
                for browser in BROWSERS
                for net in ("203.0.113.", "198.51.100.")
                for host in range(1, 255)
            ]
        )

    def _properties(self, kind: Integers, user: Integers, product: Integers, draws: Numbers) -> pa.Array:
        """The end of the document: how much a search found, or the money that was at stake."""
        import numpy as np
        import pyarrow as pa

        stakes = np.flatnonzero((kind == _CART) | (kind == _CHECKOUT) | (kind == _PURCHASE))
        bill = self.company.bill(user[stakes], product[stakes], draws[stakes])
        amount = np.where(kind[stakes] == _PURCHASE, bill.total, bill.price)
        known = pa.array(["{}}", *[f'{{"results_count":{count}}}}}' for count in range(60)]])
        choice = np.where(kind == _SEARCH, 1 + pick(draws, 3, 60), 0)
        choice[stakes] = len(known) + np.arange(len(stakes))
        return pa.concat_arrays([known, joined('{"amount":', money(amount), "}}")]).take(pa.array(choice))


def _about(kind: int, product: str, query: str) -> str:
    page = f"/products/{product}" if kind == _VIEW else _PAGES.get(kind)
    told = '"' if page is None else f'","page_url":"{page}"'
    if kind == _SEARCH:
        told += f',"search_query":{query}'
    return told + (f',"product_id":"{product}"' if kind in _ABOUT_A_PRODUCT else "")


def _table(chances: tuple[tuple[str, int], ...]) -> Integers:
    """The type that each of a hundred chances gives."""
    import numpy as np

    return np.repeat([TYPES.index(name) for name, _ in chances], [percent for _, percent in chances])


def _following() -> Integers:
    """By type: what each of a hundred chances makes follow. Nothing follows a logout."""
    import numpy as np

    return np.stack([_table(NEXT[name]) if name in NEXT else _table(FIRST) for name in TYPES])
