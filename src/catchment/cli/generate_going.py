"""`catchment generate` while it goes on: an endless shop into topics or a database, at a pace."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import TYPE_CHECKING

from catchment.cli.invocation import Invocation
from catchment.cli.signals import stoppable
from catchment.cli.terminal import note, out, out_json
from catchment.errors import ConfigError
from catchment.observe.words import plural

if TYPE_CHECKING:
    from catchment.generate.endless import Endless
    from catchment.generate.going import Rate, Sink, Standing
    from catchment.generate.sequence import Shares
    from catchment.outside import Address

# How many clicks a second there are in the shop's own time where they are sent as fast as it goes.
_FASTEST = Fraction(1000)

# A line is worth reading so often in a log, and on a terminal, where it is drawn anew.
_LOG_EVERY_S, _DRAW_EVERY_S = 10.0, 0.5


@dataclass(frozen=True)
class Asked:
    """What the command was asked for: without `into` topics of the target, without a `start` the shop's time is now."""

    into: Address | None
    rate: Rate
    length: float | None
    count: int | None
    start: datetime | None
    first: int | None
    resume: bool
    shares: Shares
    only: str | None
    visits: int
    seed: int
    days: int
    target: str | None


def go_on(invocation: Invocation, asked: Asked, *, as_json: bool) -> None:
    """Send until stopped, or as long as was asked for, and say what was sent."""
    from catchment.generate.endless import Endless
    from catchment.generate.going import Pace, go
    from catchment.generate.sequence import Clock

    rate = asked.rate.per_s
    now = datetime.now(UTC)
    clock = Clock(asked.start or now, rate or _FASTEST)
    shop = Endless.of(asked.seed, asked.visits, clock, asked.shares)
    place, sink = _sink(invocation, asked, shop)
    try:
        first = _first(invocation, asked, sink, place)
        if asked.start is None:
            sink.shop = _beginning(shop, first, now)
        if asked.resume:
            sink.mend(first)
        spoken = "as fast as it goes" if rate is None else asked.rate.text
        note(f"Sending the shop to {place}, {spoken}, from ordinal {first:,} on …   (Ctrl-C stops cleanly)")
        line = _Line(rate)
        pace = Pace(rate, asked.length, asked.count)
        with stoppable("\nstopping" if line.redraws else "stopping") as stop:
            standing = go(sink, pace, first, now=time.monotonic, stopped=stop.wait, tell=line.tell, trouble=line.aside)
        line.end()
    finally:
        sink.close()
    _say(standing, place, as_json=as_json)


def _beginning(shop: Endless, first: int, now: datetime) -> Endless:
    """The shop whose click `first` happens now."""
    try:
        return shop.beginning(first, now)
    except OverflowError:
        message = f"with click {first:,} now, the first one would lie before the year 1"
        raise ConfigError(message, hint="a smaller --from-ordinal, a faster --rate, or --start") from None


def _sink(invocation: Invocation, asked: Asked, shop: Endless) -> tuple[str, Sink]:
    """What people call the place, and who writes there."""
    if asked.into is None:
        return _topics(invocation, asked, shop)
    from catchment import registry

    place = asked.into
    known = registry.names("goers")
    if place.type not in known:
        message = f"the shop does not go on in {place.shown}"
        raise ConfigError(message, hint=f"with --rate there are {', '.join(known)}, and topics")
    from catchment.generate.postgres import is_there, load
    from catchment.generate.shop import make_shop

    if not is_there(place.url):
        note(f"Making {plural(asked.days, 'day')} of the shop first, into {place.shown} …")
        with make_shop(days=asked.days, seed=asked.seed) as made:
            load(place.url, made, again=True, tell=lambda table, rows: note(f"  {table:<14}{rows:>10,}"))
    return place.shown, registry.implementation("goers", place.type)(place.url, shop)


def _topics(invocation: Invocation, asked: Asked, shop: Endless) -> tuple[str, Sink]:
    """Topics of the target; those that are not there are made as the project declares them."""
    from catchment.connected import Connected
    from catchment.declared import specs
    from catchment.generate import into_topics
    from catchment.records import TopicSpec

    connected = Connected.of(invocation.load(tables_too=False), asked.target)
    names = (asked.only,) if asked.only else into_topics.TOPICS
    declared = {spec.name: spec for spec in specs(connected, names)}
    there = connected.broker.topics()
    absent = [declared.get(name, TopicSpec(name)) for name in names if name not in there]
    for words in connected.broker.declare(absent) if absent else ():
        note(words)
    sink = into_topics.IntoTopics(connected.broker, shop, names, now=lambda: time.time_ns() // 1000)
    return f"{' and '.join(names)} of target {connected.target_name}", sink


def _first(invocation: Invocation, asked: Asked, sink: Sink, place: str) -> int:
    """The ordinal to begin with. Raises ConfigError where a shop is there and nobody said how to go on."""
    if asked.first is not None:
        return asked.first
    found = sink.next()
    if found is not None and not asked.resume:
        message = f"{place}: what is there goes up to ordinal {found - 1:,}"
        raise ConfigError(message, hint="--resume goes on behind it, --from-ordinal 0 sends it again")
    return found or 0


class _Line:
    """How it stands, on one line that a terminal draws anew."""

    def __init__(self, rate: Fraction | None) -> None:
        self.redraws = sys.stderr.isatty()
        self._every = _DRAW_EVERY_S if self.redraws else _LOG_EVERY_S
        self._paced = rate is not None
        self._next = self._every
        self._drawn = False

    def tell(self, standing: Standing) -> None:
        if standing.seconds < self._next:
            return
        self._next = standing.seconds + self._every
        behind = f"   {standing.behind_s:.1f} s behind" if self._paced else ""
        words = f"  {_clock()}  {_counts(standing)}   {_speed(standing)}{behind}"
        if self.redraws:
            print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)  # noqa: T201 - drawn over itself
            self._drawn = True
        else:
            note(words)

    def aside(self, words: str) -> None:
        self.end()
        note(f"  {_clock()}  {words}")

    def end(self) -> None:
        if self._drawn:
            note()
        self._drawn = False


def _clock() -> str:
    return f"{datetime.now():%H:%M:%S}"  # noqa: DTZ005 - for people


def _counts(standing: Standing) -> str:
    return f"{plural(standing.sent.events, 'click')}, {plural(standing.sent.changes, 'change')} of orders"


def _speed(standing: Standing) -> str:
    return f"{standing.rate:,.0f}/s" if standing.rate >= 10 else f"{standing.rate * 60:,.0f}/min"


def _say(standing: Standing, place: str, *, as_json: bool) -> None:
    if as_json:
        sent = {"user_events": standing.sent.events, "transactions": standing.sent.changes}
        told = {"first": standing.first, "next": standing.next, "seconds": round(standing.seconds, 3), "rows": sent}
        out_json({"into": place, **told})
        return
    out(
        f"Sent {_counts(standing)} to {place} in {standing.seconds:.1f} s, {_speed(standing)};"
        f" the next ordinal is {standing.next:,}."
    )
