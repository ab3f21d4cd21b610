"""Page by page through one stream: what of each has not landed, and where the next one is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from catchment.errors import ConfigError, DataError, RetryableError
from catchment.records import JSON
from catchment.sources.http.client import Client
from catchment.sources.http.endpoint import Above, Endpoint, Part, Since
from catchment.sources.http.landed import RECENT, Landed
from catchment.sources.http.landed import Part as LandedPart
from catchment.sources.http.order import Place
from catchment.sources.http.pages import Page, Record, at, page
from catchment.sources.http.requests import Answer, Request
from catchment.sources.http.waits import server_time

_MOST_PARTS = 1_000_000
_MOST_BACKS = 30


@dataclass(frozen=True)
class Turn:
    """A page: its records that have not landed, by what they are remembered."""

    part: Part
    origin: str
    records: Sequence[Record]
    marks: Sequence[tuple[bytes, Place | None]]
    next: JSON | None
    bytes: int
    last: bool = False  # of the stream, where `next` is None

    @property
    def given(self) -> Mapping[str, JSON] | None:
        return self.part.given or None


@dataclass
class _Loops:
    """Positions and pages that must not come twice in a row, or at all."""

    feed: str
    seen: set[str] = field(default_factory=set)
    backs: int = 0
    page: tuple[int, int] | None = None

    def pass_by(self, request: Request, page: Page, position: JSON, following: JSON | None) -> None:
        """Raises RetryableError where paging gets nowhere: the server may have repeated an answer, once or for good."""
        found = (len(page.records), sum(hash(record.text) for record in page.records))
        if found == self.page and page.records and _moves(position):
            message = f"{self.feed}: {request.shown} answers with the page before once more"
            raise RetryableError(message, hint="does the server know the parameters under `paging`?")
        # A walk begins anew from where it has come, and may find all of a page there again.
        walked = following is not None and following.get("from") != position.get("from")
        self.page = None if walked else found
        if following is None or _moves(following):
            self._count_back(request, position, following)
            return
        name = repr(following)
        if following == position or name in self.seen:
            message = f"{self.feed}: {request.shown} names a next page that was read already: it would never end"
            raise RetryableError(message, hint="does `paging` say where the answer names the next page?")
        self.seen.add(name)

    def _count_back(self, request: Request, position: JSON, following: JSON | None) -> None:
        self.backs += following is not None and _offset(following) < _offset(position)
        if self.backs > _MOST_BACKS:
            message = f"{self.feed}: the records of {request.shown} move faster than they can be read"
            raise RetryableError(message, hint="have them sorted with `params`, or page by cursor")


def _moves(position: JSON) -> bool:
    """Whether a position counts on by itself."""
    return bool({"page", "offset"} & position.get("at", position).keys())


def _offset(position: JSON) -> int:
    return int(position.get("at", position).get("offset", 0))


@dataclass
class Pages:
    """Asks for the pages of one stream."""

    client: Client
    endpoint: Endpoint
    read: int = 0

    def parts(self) -> Sequence[Part]:
        """What the stream consists of; the records of its parent are asked for, all of them."""
        above = self.endpoint.above
        if above is None:
            return [Part()]
        found: dict[str, Part] = {}
        for turn in Pages(self.client, above.endpoint).whole():
            for record in turn.records:
                part = Part.of(self._given(above, record))
                found[part.name] = part
            if len(found) > _MOST_PARTS:
                message = (
                    f"{self.endpoint.feed}: {above.endpoint.feed} has more than {_MOST_PARTS:,} records to ask for"
                )
                raise ConfigError(message, hint="name fewer with its `params`")
        return list(found.values())

    def _given(self, above: Above, record: Record) -> dict[str, JSON]:
        given = {name: at(record.value, path) for name, path in above.given.items()}
        for name, value in given.items():
            if value is None or isinstance(value, dict | list):
                message = f"{self.endpoint.feed}: a record of {above.endpoint.feed} says nothing for {{{name}}}"
                raise DataError(message, hint="correct `parent`: `as` says where its records hold it")
        return given

    def whole(self) -> Iterator[Turn]:
        """Everything; a record with a key that came on one of the last pages is left out."""
        endpoint = self.endpoint
        parts = self.parts()
        for place, part in enumerate(parts, start=1):
            known: dict[bytes, None] = {}
            loops, position = _Loops(endpoint.feed), endpoint.paging.first()
            while position is not None:
                request = endpoint.paging.ask(endpoint.asked(part), position)
                found = self.ask(request)
                following = endpoint.paging.next(position, found)
                loops.pass_by(request, found, position, following)
                records = [record for record in found.records if self._once(record, known)]
                size = len(found.answer.content)
                last = following is None and place == len(parts)
                yield Turn(part, self.endpoint.origin_of(part), records, (), following, size, last)
                position = following

    def _once(self, record: Record, known: dict[bytes, None]) -> bool:
        named = self.endpoint.identity.named(record)
        if named is None:
            return True
        mark = self.endpoint.identity.marked(record, named)
        if mark in known:
            return False
        known[mark] = None
        if len(known) > 2 * RECENT:
            for old in list(known)[:RECENT]:
                del known[old]
        return True

    def since(self, landed: Landed, since: Since) -> Iterator[Turn]:
        """What is not in `landed`; whoever takes a turn puts it there before the next one is asked for.

        A read that was not at its end is ended first, then everything after the marks is asked for.
        """
        for _ in range(1 if landed.going is None else 2):
            parts, going = self.parts(), landed.going
            begin = 0
            if going is not None:
                names = [part.name for part in parts]
                begin = names.index(str(going["part"])) if going["part"] in names else 0
                begin += 1 if going.get("done") and going["part"] in names else 0
            for place in range(begin, len(parts)):
                part = parts[place]
                position = None if going is None or going["part"] != part.name else going.get("position")
                yield from self._part(landed, since, part, position, place + 1 == len(parts))
            if landed.going is not None:  # its last parts are gone
                landed.going = None

    def _part(self, landed: Landed, since: Since, part: Part, position: JSON | None, last: bool) -> Iterator[Turn]:
        known, loops = landed.part(part.name), _Loops(self.endpoint.feed)
        way = _Walk(self.endpoint, since, known)
        position = way.first() if position is None else position
        while position is not None:
            request = way.ask(self.endpoint.asked(part), position)
            found = self.ask(request)
            known.tells_time(server_time(found.answer.headers))
            places = [_place(self.endpoint.feed, since, record) for record in found.records]
            following = way.next(position, found, places, request)
            loops.pass_by(request, found, position, following)
            yield self._turn(
                found, Turn(part, self.endpoint.origin_of(part), (), (), following, 0, last), places, known
            )
            position = following

    def _turn(self, found: Page, turn: Turn, places: Sequence[Place | None], known: LandedPart) -> Turn:
        new: list[Record] = []
        marks: dict[bytes, Place | None] = {}
        for record, place in zip(found.records, places, strict=True):
            named = self.endpoint.identity.named(record)
            beside = "" if place is None or named is None else str(place)
            mark = self.endpoint.identity.marked(record, named, turn.part.name, beside)
            if mark not in marks and known.is_new(mark, place):
                marks[mark] = place
                new.append(record)
        size = len(found.answer.content)
        return Turn(turn.part, turn.origin, new, list(marks.items()), turn.next, size, turn.last)

    def ask(self, request: Request) -> Page:
        """One page."""
        self.read += 1

        def read(answer: Answer) -> Page:
            if self.endpoint.judge is not None:
                self.endpoint.judge(answer)
            return page(answer, self.endpoint.records, self.endpoint.feed, request)

        return self.client.ask(request, read)


@dataclass(frozen=True)
class _Walk:
    """Through the pages of a part. Where they are sorted each one is asked for by where the last one ended."""

    endpoint: Endpoint
    since: Since
    known: LandedPart

    def first(self) -> JSON:
        inner = self.endpoint.paging.first()
        base = self.known.base
        return {"from": None if base is None else str(base), "at": inner}

    def ask(self, request: Request, position: JSON) -> Request:
        begin = position["from"]
        asked = self.since.ask(request, None if begin is None else self.since.order.read(begin))
        return self.endpoint.paging.ask(asked, position["at"])

    def next(self, position: JSON, page: Page, places: Sequence[Place | None], request: Request) -> JSON | None:
        inner = self.endpoint.paging.next(position["at"], page)
        if inner is None or not self.since.ascending:
            return None if inner is None else {"from": position["from"], "at": inner}
        told = [place for place in places if place is not None]
        begin = None if position["from"] is None else self.since.order.read(position["from"])
        if told != sorted(told) or (told and begin is not None and self._is_older(told[0], begin)):
            said = "are not sorted, oldest first, from where they were asked for"
            message = f"{self.endpoint.feed}: the records of {request.shown} {said}"
            raise ConfigError(message, hint="sort them with `params`, or remove `order: ascending` from `cursor`")
        if told and (begin is None or told[-1] > begin):
            return {"from": str(told[-1]), "at": self.endpoint.paging.first()}
        return {"from": position["from"], "at": inner}

    def _is_older(self, first: Place, begin: Place) -> bool:
        """Whether a record is older than what was asked for, also as it was written (a day for an instant)."""
        order = self.since.order
        return bool(first < begin) and order.written(first) != order.written(begin)


def _place(feed: str, since: Since, record: Record) -> Place | None:
    value = at(record.value, since.field)
    if value is None:
        return None
    try:
        return since.order.place(value)
    except ValueError as error:
        message = f"{feed}: a record's cursor cannot be put in order: {error}"
        raise ConfigError(message, hint="correct `field` and `format` under `cursor`") from None
