"""Silver tables into their refined topics: what is new, again and again, and how it stands."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from catchment import naming
from catchment.connected import Connected
from catchment.declared import specs
from catchment.errors import CatchmentError, ConfigError
from catchment.events import Noticed, RowsPublished
from catchment.live.metrics import latest
from catchment.records import MessageSchema, TopicSpec
from catchment.refined import beginning, continuing
from catchment.refined.avro import AvroRows, schema
from catchment.refined.beginning import is_another
from catchment.refined.continuing import (
    OTHER_ROWS,
    TOPIC_MADE_ANEW,
    allowed_orders,
    changed,
    choices,
    is_done,
)
from catchment.refined.messages import Outgoing, Refined, Rejects
from catchment.refined.place import Place
from catchment.refined.sending import Sending, Sent, here
from catchment.settings import resolve
from catchment.silver.rows import silver_schema

if TYPE_CHECKING:
    from catchment.interfaces import Engine, Publication, Table, Tell
    from catchment.reading.declaration import Publish
    from catchment.silver.definition import Table as Declared

_CALLS_OF_ONE_ENGINE = 100

Order = Literal["from-now", "again"]


@dataclass
class _Open:
    """A topic that a table's rows go into, under the `name` of a publication; what tells it from others of its name."""

    name: str
    outgoing: Outgoing
    publication: Publication
    topic: str | None


@dataclass(frozen=True)
class Standing:
    """How far a table's refined topic is: `behind` are the commits of silver that are not in it, all of them where
    `is_new`, and `order` is what somebody asked for when it was last moved by hand. `stopped` says why publishing does
    not go on until somebody chooses how; `messages` were written so far, None where nobody has counted."""

    table: str
    topic: str
    behind: int
    is_new: bool
    order: str | None = None
    stopped: str | None = None
    messages: int | None = None

    @property
    def choices(self) -> tuple[str, ...]:
        """The commands of which one is wanted where publishing has stopped."""
        return () if self.stopped is None else choices(self.table)


@dataclass
class Publishing:
    """Publishes one silver table, by its bare name, again and again in one thread: what is open stays open between two
    calls, and a table that stands still costs a look at its folder. The engine may take one of `share` equal parts of
    the target's memory.

    Whoever opens it last is the one who publishes: the others raise Conflict, and open it again with their next call.
    Raises ConfigError for a table that is not published.
    """

    connected: Connected
    table: str
    tell: Tell
    step: str = ""
    share: int = 1
    _opened: list[_Open] = field(default_factory=list)
    _engine: Engine[Any] | None = None
    _calls: int = 0
    _mark: str | None = None

    def __post_init__(self) -> None:
        self.connected = replace(self.connected)  # a broker of its own: one is for one thread
        declared_of(self.connected, self.table)
        refuse_environment(self.connected)

    def once(self) -> int:
        """Publish what silver has committed since; how many messages that were. It may be called again after an error.

        Raises ConfigError where an order has changed rows that were published, Conflict where another publishes the
        table, and what the broker and the registry raise.
        """
        glance = self.connected.lake.glance(naming.silver_table(self.table))
        if glance is None or glance.mark == self._mark:
            return 0
        try:
            with self.connected.lake.at_work():
                count = self._once()
        except BaseException:
            self.close()
            raise
        self._mark = glance.mark
        return count

    def _once(self) -> int:
        if not self._opened and self._is_done():
            return 0
        silver = self._silver()
        if silver is None:
            return 0
        self._renew()
        if not self._opened:
            opened = self._open()
            # Whoever was fenced may have published commits that are newer than what was opened.
            silver = self._silver() or silver
            self._refuse(opened, silver)
        rows, *rejects = self._opened
        declared = self.connected.silver(self.table)
        sending = self._sending(
            rows,
            silver,
            displaces=(*naming.IDENTITY, *declared.contract.key) if declared.mode == "window" else (),
            makes_several=declared.function is not None,
        )
        if rejects:
            sending.refuse()
        # The rows come last: where they are published, all is.
        count = sum(self._told(one, self._rejects(one, silver)) for one in rejects)
        return count + self._told(rows, sending.run())

    def _is_done(self) -> bool:
        """Whether nothing is new, as far as can be told without fencing anybody. Raises ConfigError where an order has
        changed what was published: who cannot publish ends nobody who can, as the same project elsewhere."""
        name, topic = next(iter(topics_of(self.connected, self.table).items()))
        if topic not in self.connected.broker.topics():
            return False
        place = Place.of(self.connected.broker.published(topic, name))
        if place is None or is_another(place, self.connected.broker.identity(topic)):
            return False
        silver = self._silver()  # later than the place, which may be of a commit of just now
        if silver is None or is_done(silver, place):
            return True
        why = _stopped(self.connected, self.table, place)
        if why is not None:
            raise _stops(str(silver.name), topic, why)
        return False

    def _refuse(self, opened: Sequence[_Open], silver: Table) -> None:
        """Raises ConfigError where a topic has what others publish, where that of the rows was made anew, and where
        they begin in a new one beside rejects of another table. Rejects begin anew where their topic was made anew."""
        full, is_new = str(silver.name), Place.of(opened[0].publication.progress()) is None
        for one in opened:
            place, topic = Place.of(one.publication.progress()), one.outgoing.topic
            why, is_moved = None, place is not None and is_another(place, one.topic)
            if place is None or (is_moved and one is not opened[0]):
                taken = beginning.begin(self.connected.broker, topic, one.name, one.publication)
                if taken is not None:
                    message = f"{full} cannot be published into topic {topic}: {taken}"
                    raise ConfigError(message, hint=beginning.cure(full))
            elif is_moved:
                why = TOPIC_MADE_ANEW
            elif is_new:
                found = changed(silver, place, functools.partial(self.connected.lake.open, silver.name))
                why = found if found in OTHER_ROWS else None
            if why is not None:
                raise _stops(full, topic, why)

    def _told(self, one: _Open, sent: Sent) -> int:
        if sent.rows:
            told = RowsPublished(
                step=self.step,
                table=str(naming.silver_table(self.table)),
                topic=one.outgoing.topic,
                rows=sent.rows,
                generation=sent.generation,
            )
            self.tell(told)
        return sent.rows

    def _rejects(self, one: _Open, silver: Table) -> Sent:
        """The verdicts that count: those under numbers that silver's state names."""
        quarantine = self.connected.lake.open(naming.quarantine_table(silver.name))
        start = Place.of(one.publication.progress()) or Place(sent=0, messages=0)
        now = replace(here(silver), topic=one.topic)
        if quarantine is None or (start.part is None and start.sent >= now.generation):
            return Sent(0, now.generation)
        scan = quarantine.scan(within={"_judged": (start.least, now.generation)})
        standing = replace(scan, judged=tuple(silver.progress().judged), waiting=())
        return self._sending(one, quarantine).send(standing, start, now, quiet=True)

    def _sending(self, one: _Open, table: Table, **how: Any) -> Sending:
        then = functools.partial(self.connected.lake.open, table.name)
        reached = self.connected.reached
        about = {"reached": reached, "topic": one.topic, **how}
        return Sending(table, self._computing(), one.outgoing, one.publication, then, **about)

    def move(self, order: Order) -> None:
        """Go on behind everything that is there (`from-now`), or with everything once more (`again`)."""
        if self._silver() is None:
            message = f"silver.{self.table} is not there yet"
            raise ConfigError(message, hint="catchment run makes it")
        try:
            opened = self._open()
            silver = self._silver()  # as it is when nobody else publishes it any more
            assert silver is not None
            place = replace(here(silver), order=order)
            over = place.generation if order == "from-now" else 0
            place = replace(place, passed=over, sent=over)
            for one in reversed(opened):
                before = Place.of(one.publication.progress()) or Place(sent=0, messages=0)
                one.publication.write([], replace(place, messages=before.messages, topic=one.topic).progress())
        finally:
            self.close()

    # What is open.

    def _silver(self) -> Table | None:
        return self.connected.lake.open(naming.silver_table(self.table))

    def _renew(self) -> None:
        """An engine keeps a name for every frame that it was asked for."""
        self._calls += 1
        if self._engine is not None and self._calls % _CALLS_OF_ONE_ENGINE == 0:
            self._engine.close()
            self._engine = None

    def _computing(self) -> Engine[Any]:
        if self._engine is None:
            self._engine = self.connected.engine(self.share)
        return self._engine

    def _open(self) -> list[_Open]:
        if not self._opened:
            declared = declared_of(self.connected, self.table)
            silver = self.connected.silver(self.table)
            for name, topic in topics_of(self.connected, self.table).items():
                for words in _made(self.connected, topic):
                    self.tell(Noticed(step=self.step, kind="topic_created", message=words))
                outgoing: Outgoing
                if name.endswith(_REJECTS):
                    outgoing = Rejects(topic, str(naming.silver_table(self.table)))
                else:
                    outgoing = _refined(self.connected, silver, declared, topic)
                publication = self.connected.broker.publication(topic, name)
                self._opened.append(_Open(name, outgoing, publication, self.connected.broker.identity(topic)))
        return self._opened

    def close(self) -> None:
        """Give back what is open; it may be used again after that."""
        opened, self._opened, self._mark = self._opened, [], None
        if self._engine is not None:
            self._engine.close()
            self._engine = None
        for one in opened:
            one.publication.close()
        self.connected.broker.close()
        if "registry" in self.connected.__dict__ and self.connected.registry is not None:
            self.connected.registry.close()


_REJECTS = ".rejects"


def published_tables(connected: Connected) -> list[str]:
    """The silver tables that are published, by their bare names."""
    return [name for name, table in connected.project.silver.items() if table.published is not None]


def declared_of(connected: Connected, table: str) -> Publish:
    """What the project says of a table's publication. Raises ConfigError."""
    known = connected.project.silver
    found = known[table].published if table in known else None
    if found is None:
        published = [f"silver.{name}" for name in published_tables(connected)]
        message = f"silver.{table} is not published" if table in known else f"no silver table `{table}`"
        cure = naming.did_you_mean(f"silver.{table}", published) if table not in known else None
        hint = f"published are {', '.join(published)}" if published else "write publish: <a topic> at the table"
        raise ConfigError(message, hint=cure or hint)
    return found


def refuse_environment(connected: Connected) -> None:
    """Readers of a topic are no part of an environment. Raises ConfigError."""
    if connected.environment is not None:
        message = f"an environment publishes nothing, and {connected.target_name} is one"
        raise ConfigError(message, hint=f"name the target itself: --target {connected.target_name.partition('@')[0]}")


def topics_of(connected: Connected, table: str) -> dict[str, str]:
    """By the name of a publication the topic that it writes into; the rows' own first."""
    declared = declared_of(connected, table)
    name = naming.publication(connected.project.name, connected.target_name, table)
    told = {name: declared.topic, f"{name}{_REJECTS}": declared.rejects}
    place = f"silver.{table}.publish"
    folder = connected.project.folder
    return {name: resolve(topic, folder, place=place) for name, topic in told.items() if topic is not None}


def _made(connected: Connected, topic: str) -> list[str]:
    """Make a topic where it is not there, as it is declared; in words."""
    if topic in connected.broker.topics():
        return []
    return list(connected.broker.declare(specs(connected, {topic}) or [TopicSpec(topic)]))


def _refined(connected: Connected, silver: Declared, declared: Publish, topic: str) -> Refined:
    contract, avro = silver.contract, None
    if declared.format == "avro":
        registry = connected.registry
        if registry is None:
            message = f"target `{connected.target_name}` has no schema registry for topic {topic}"
            raise ConfigError(message, hint="write registry: {url: …} at the target")
        text = schema(contract, silver.name)
        avro = AvroRows(contract, text, registry.register(f"{topic}-value", MessageSchema("avro", text)))
    return Refined(
        topic=topic,
        contract=contract,
        key=declared.keys or contract.key,
        latest=latest(silver),
        streams=silver.streams,
        tombstones=declared.deletes == "tombstone",
        avro=avro,
    )


def standing(connected: Connected, table: str) -> Standing:
    """How far a table's topic is behind silver; disturbs nobody who publishes. Raises what the broker raises."""
    topics, broker = topics_of(connected, table), connected.broker
    name, topic = next(iter(topics.items()))
    before = Place.of(broker.published(topic, name)) if topic in broker.topics() else None
    glance = connected.lake.glance(naming.silver_table(table))
    generation = 0 if glance is None else glance.pin.generation
    if before is None:
        taken = _taken(connected, topics)
        return Standing(f"silver.{table}", topic, generation, is_new=True, stopped=taken, messages=0)
    behind = max(0, generation - before.sent)
    stopped = None if glance is None else _stopped(connected, table, before)
    if is_another(before, broker.identity(topic)):
        stopped = TOPIC_MADE_ANEW
    return Standing(f"silver.{table}", topic, behind, False, before.order, stopped, before.messages)


def _taken(connected: Connected, topics: Mapping[str, str]) -> str | None:
    """Why a publication may not begin in its topics."""
    broker = connected.broker
    there = broker.topics()
    for name, topic in topics.items():
        if topic in there and Place.of(broker.published(topic, name)) is None:
            why = beginning.taken(broker, topic, name)
            if why is not None:
                return f"topic {topic}: {why}; name another topic"
    return None


def _stops(table: str, topic: str, why: str) -> ConfigError:
    message = f"{table} cannot be published into {topic} any further: {why}"
    return ConfigError(message, hint=continuing.cure(table, why))


def _stopped(connected: Connected, table: str, before: Place) -> str | None:
    """Why publishing does not go on, told from silver's log."""
    silver = connected.lake.open(naming.silver_table(table))
    if silver is None or is_done(silver, before):
        return None
    then = functools.partial(connected.lake.open, silver.name)
    return changed(silver, before, then, makes_several=connected.project.silver[table].refine is not None)


def will_stop(connected: Connected, table: str, verb: str) -> str | None:
    """What is to be said before an order on a silver table, by its bare name, that stops its publication: an order
    changes rows that readers have already. None where nothing of it is published, or goes on."""
    known = connected.project.silver
    if connected.environment is not None or table not in known or known[table].published is None:
        return None
    if verb in allowed_orders(makes_several=known[table].refine is not None):
        return None
    if verb == "forward" and _leaves_rows(connected, table):
        return None
    try:
        found = standing(connected, table)
    except CatchmentError:  # whoever publishes says it; better too much is said here than nothing
        found = None
    if found is not None and found.is_new:
        return None
    topic = "its topic" if found is None else f"topic {found.topic}"
    ways = "   or   ".join(choices(f"silver.{table}"))
    return (
        f"{verb} changes rows of silver.{table} that {topic} has: publishing stops until you say how it goes on: {ways}"
    )


def _leaves_rows(connected: Connected, table: str) -> bool:
    """Whether going forward makes nothing else of the rows that are there: their columns stay as they are."""
    silver = connected.lake.open(naming.silver_table(table))
    declared = silver_schema(connected.silver(table))
    return silver is not None and silver.schema().remove_metadata().equals(declared.remove_metadata())


@contextmanager
def opened(connected: Connected, table: str, tell: Tell, step: str = "", share: int = 1) -> Iterator[Publishing]:
    """A publishing that is closed at the end of the block."""
    found = Publishing(connected, table, tell, step, share)
    try:
        yield found
    finally:
        found.close()
