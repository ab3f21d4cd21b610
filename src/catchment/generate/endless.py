"""A shop that goes on for ever, as a value: equal ones have the same clicks and orders, whoever sends them when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property

from catchment.generate.changing import Orders
from catchment.generate.clicks import Clicks
from catchment.generate.company import Company, company_of
from catchment.generate.sequence import Clock, Shares


@dataclass(frozen=True)
class Endless:
    """Seed and visits say what is clicked and bought, the clock when, the shares what goes wrong on the way."""

    seed: int
    company: Company
    visits: int
    clock: Clock
    shares: Shares

    @classmethod
    def of(cls, seed: int, visits: int, clock: Clock, shares: Shares) -> Endless:
        """With the users and products of the shop of the same seed, which takes 0.2 s; `visits` is rounded up."""
        return cls(seed, company_of(seed), 1 << max(2, (visits - 1).bit_length()), clock, shares)

    def beginning(self, first: int, at: datetime) -> Endless:
        """The same shop where click `first` is at that instant."""
        return replace(self, clock=replace(self.clock, start=at - timedelta(seconds=float(first / self.clock.per_s))))

    @cached_property
    def clicks(self) -> Clicks:
        return Clicks(self.seed, self.visits, self.company)

    @cached_property
    def orders(self) -> Orders:
        return Orders(self.seed, self.company, self.clock.seconds)
