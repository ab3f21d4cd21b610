"""Ways back: `restore` a table as it was, `rewind` a stream to read it again, `adopt` rows that lost their state.

Each is one commit like any other: files out and in, and the state of an older generation under a new number. What was
committed since is *cut off*: the new generation does not descend from it, so that whoever has taken rows that went is
stopped and told to make its own anew. Nothing is retried here; a Conflict starts the whole over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catchment import naming
from catchment.connected import Connected
from catchment.errors import ConfigError, DataError, Unfenced
from catchment.events import TableRestored
from catchment.interfaces import Table, Tell
from catchment.naming import BRONZE_COLUMNS, IDENTITY, TableName
from catchment.reading.moments import words
from catchment.records import Change, Cursor, Description, Feed, Order, Progress, bronze_schema
from catchment.silver.judge import parsed

if TYPE_CHECKING:
    from catchment.interfaces import Engine

Ranges = tuple[tuple[int, int], ...]

# So many names of what cannot be read again are worth telling.
_NAMED = 10


@dataclass(frozen=True)
class Load:
    """The place after a load of a bronze table; after load 0 nothing has landed yet."""

    number: int


@dataclass(frozen=True)
class Readable:
    """What a source would give after a table went back: `about`; `lost` are origins that it has no longer.

    `lost_count` may be greater than the names that are known; `rows` are those that would be taken out.
    """

    about: Description
    rows: int
    origins: int
    lost: Sequence[str] = ()
    lost_count: int = 0


@dataclass(frozen=True)
class WayBack:
    """What going back would do to one table; nothing was done.

    `to` is the generation, `version` None where there is nothing before it. `stale` are tables that have taken loads
    which would go: each must be made anew.
    """

    table: TableName
    step: str
    now: int
    to: int
    version: int | None
    at: datetime | None
    rows_now: int
    rows_then: int
    cut_off: Ranges = ()
    stale: Sequence[str] = ()
    again: Readable | None = None

    @property
    def is_nothing(self) -> bool:
        return self.to == self.now


# Deciding.


def way_back(connected: Connected, name: TableName, moment: int | datetime | Load) -> WayBack:
    """Where a version, an instant or a load leads a table. Raises ConfigError where it cannot go back there."""
    table = _opened(connected, name)
    _refuse_quarantine(name)
    now = table.progress().generation
    to = _after_load(table, moment.number) if isinstance(moment, Load) else _generation(connected, table, moment)
    old = _as_of(connected, table, to) if to else None
    rows_then = old.scan(hidden=True).rows if old is not None else 0
    commit = next((c for c in table.history() if old is not None and c.pin.version == old.pin.version), None)
    cut = _cut((), to, now)
    return WayBack(
        table=name,
        step=_step(connected, name),
        now=now,
        to=to,
        version=None if old is None else old.pin.version,
        at=None if commit is None else commit.at,
        rows_now=table.scan(hidden=True).rows,
        rows_then=rows_then,
        cut_off=cut,
        stale=_stale(connected, name, cut),
        again=_again(connected, table, old) if name.layer == "bronze" and cut else None,
    )


def _generation(connected: Connected, table: Table, moment: int | datetime) -> int:
    old = connected.lake.open(table.name, at=moment)
    if old is None:
        message = f"{table.name} was not there yet at {words(moment)}"
        raise ConfigError(message, hint=f"its versions: catchment status --versions {table.name}")
    return old.progress().generation


def _after_load(table: Table, load: int) -> int:
    """The generation after which every load that came is greater."""
    found = [commit.pin.generation for commit in table.history() if 0 < commit.pin.generation <= load]
    forebears = sorted((generation for generation in found if table.descends(generation)), reverse=True)
    if load and not forebears:
        message = f"{table.name} has no load {load} that is still known"
        raise ConfigError(message, hint=f"its versions: catchment status --versions {table.name}")
    return forebears[0] if load else 0


def _stale(connected: Connected, name: TableName, cut: Ranges) -> tuple[str, ...]:
    """Silver tables whose cursor lies among the loads that would go."""
    taken = {reader: _taken(connected, reader, name) for reader in connected.lake.list("silver")}
    return tuple(str(reader) for reader, load in taken.items() if any(low <= load <= high for low, high in cut))


def _again(connected: Connected, table: Table, old: Table | None) -> Readable | None:
    """What the source of a bronze table still has of the rows that would go; None where no stream lands here."""
    feed = _feed(connected, table.name)
    if feed is None:
        return None
    with closing(connected.feeding(feed)) as source:
        try:
            unread = source.describe(feed, _cursor(table)).items
        except DataError:  # what has landed is not of what is there now, and going back is a way out of that
            unread = None
        about = source.describe(feed, _cursor(old))
    after = 0 if old is None else old.progress().generation
    going = parsed(f"SELECT _origin AS origin, count(*) AS n FROM t WHERE _load > {after:d} GROUP BY 1 ORDER BY 1")
    with _engine(connected) as engine:
        origins = engine.fetch(going, {"t": engine.frame(table.scan(loads=(after, 1 << 62)))})
    names = origins.column("origin").to_pylist()
    rows = sum(origins.column("n").to_pylist())
    there = 0 if unread is None else about.items - unread
    if about.item == "message":  # each gave a row at most
        return Readable(about, rows, len(names), lost_count=max(0, rows - there))
    if about.item != "file":
        is_lost = unread is None or not about.is_new
        return Readable(about, rows, len(names), lost_count=int(bool(rows) and is_lost))
    lost = [name for name in names if not (connected.project.folder / name).exists()]
    count = max(len(lost), len(names) - there)
    return Readable(about, rows, len(names), tuple(lost[:_NAMED]), max(0, count))


def _cursor(table: Table | None) -> Cursor | None:
    value = None if table is None else table.progress().cursors.get("land")
    return None if table is None or value is None else Cursor(value, table.seen())


# Doing.


def restore(connected: Connected, order: Order, name: TableName, *, step: str, tell: Tell) -> bool:
    """A new generation with the rows and the state of an older one; whether that changed anything.

    Raises ConfigError where that generation is no longer kept, Conflict.
    """
    _refuse_quarantine(name)
    table = _opened(connected, name)
    now, to = table.progress(), _asked(order)
    if to > now.generation:
        message = f"{name} has no generation {to}: it is at {now.generation}"
        raise ConfigError(message, hint=f"its versions: catchment status --versions {name}")
    if to == now.generation:
        return False
    old = _as_of(connected, table, to) if to else None
    then = Progress() if old is None else old.progress()
    _refuse_reshared(name, now, then)
    change = _emptied(table, order) if old is None else _change(table, old, order)
    if not change.add and not change.remove and _same(now, then):
        return False
    if old is not None and change.schema is None:
        absent = [field for field in old.schema() if field.name not in table.schema().names]
        if absent:
            # Files that stay cannot go out and in by one commit: the columns come first, as they do before rows.
            table = table.add_columns(table.claim(), pa.schema(absent), now)
            now = table.progress()
    connected.reached(f"{order.verb}.found")
    state = replace(then, cut_off=_cut(then.cut_off, to, now.generation))
    commit = table.commit(table.claim(), change, state)
    _tell(connected, name, order, state, commit.pin.generation, step=step, tell=tell)
    return True


def _refuse_reshared(name: TableName, now: Progress, then: Progress) -> None:
    """The tables of a stream say together how far it was read: one alone cannot go back to when they were fewer."""
    if now.shards != then.shards:
        message = f"{name} is one of {now.shards} shards, and was one of {then.shards} then"
        raise ConfigError(message, hint="go back to a later version, or land the stream anew under another name")


def rewind(connected: Connected, order: Order, name: TableName, *, step: str, tell: Tell) -> bool:
    """Take out of a bronze table what was landed after a load; the next run reads it again, as far as it is there."""
    if name.layer != "bronze":
        message = f"{name} is no stream"
        raise ConfigError(message, hint=f"to have its older rows again: catchment restore {name} --to-version N")
    return restore(connected, order, name, step=step, tell=tell)


def _change(table: Table, old: Table, order: Order) -> Change:
    present = {file.path: file for file in table.files()}
    wanted = {file.path: file for file in old.files()}
    add = [file for path, file in wanted.items() if path not in present]
    types = dict(zip(table.schema().names, table.schema().types, strict=True))
    if any(types.get(field.name, field.type) != field.type for field in old.schema()):
        # A column of another type: the table was made anew since, and no file outlives that.
        return Change(add=tuple(wanted.values()), remove="all", schema=old.schema(), what=order.verb)
    return Change(add=add, remove=[path for path in present if path not in wanted], what=order.verb)


def _emptied(table: Table, order: Order) -> Change:
    """No row; a stream's own columns come again with what lands."""
    schema = bronze_schema([]) if table.name.layer == "bronze" else table.schema()
    return Change(remove="all", schema=schema, what=order.verb)


def _same(now: Progress, then: Progress) -> bool:
    """Whether two states say the same of the same rows."""
    return replace(now, generation=0, parent=None, cut_off=()) == replace(then, generation=0, parent=None, cut_off=())


def _cut(earlier: Sequence[tuple[int, int]], to: int, now: int) -> Ranges:
    """What is cut off by going from `now` back to `to`; none of it is among the restored generation's forebears."""
    return tuple(earlier) if to >= now else (*earlier, (to + 1, now))


def _as_of(connected: Connected, table: Table, generation: int) -> Table:
    """The table at a generation, by the newest version that has its rows. Raises ConfigError with what can be had."""
    for version in _versions(table, generation):
        try:
            old = connected.lake.open(table.name, at=version)
        except ConfigError:
            continue
        if old is not None and _unfenced(old) is None and old.progress().generation == generation:
            return old
    message = f"generation {generation} of {table.name} is no longer kept"
    oldest = _oldest(connected, table)
    hint = f"the oldest that can be had again is version {oldest}" if oldest is not None else "there is none older"
    raise ConfigError(message, hint=hint)


def _versions(table: Table, generation: int) -> Iterator[int]:
    """Versions of a generation, newest first: its commit, and those that only moved its rows to other files."""
    later: list[int] = []
    for commit in table.history():
        if commit.pin.generation == 0 and commit.pin.version > 0:
            later.append(commit.pin.version)
            continue
        if commit.pin.generation == generation:
            yield from (*later, commit.pin.version)
            return
        later = []


def _oldest(connected: Connected, table: Table) -> int | None:
    """The oldest version whose rows and state are there; older ones go first."""
    versions = sorted(commit.pin.version for commit in table.history())
    low, high = 0, len(versions)
    while low < high:
        middle = (low + high) // 2
        if _is_whole(connected, table.name, versions[middle]):
            high = middle
        else:
            low = middle + 1
    return versions[low] if low < len(versions) else None


def _is_whole(connected: Connected, name: TableName, version: int) -> bool:
    try:
        found = connected.lake.open(name, at=version)
    except ConfigError:
        return False
    return found is not None and _unfenced(found) is None


_LOST = {
    "bronze": "its stream goes on after what its rows say was read",
    "silver": "its rows are made anew from bronze by the next run",
    "quarantine": "its rows count as far as silver names their numbers",
}


@dataclass(frozen=True)
class Adoption:
    """Why a table is not fenced, and what would become of it."""

    step: str
    why: str
    words: Sequence[str]


def outlook(connected: Connected, name: TableName) -> Adoption | None:
    """What `adopt` would do, None where a table needs it not. Raises ConfigError for rows that are not ours."""
    table = _opened(connected, name)
    why = _unfenced(table)
    if why is None:
        return None
    step = _step(connected, name)
    old = _put_back(connected, table)
    if old is not None:
        told = [f"  it goes on from generation {old.generation}, which it has again"]
    else:
        _refuse_foreign(table)
        told = [f"  its state is lost: {_LOST[name.layer]}"]
    if name.layer == "quarantine":
        told.append(f"  rejected rows that are gone come again with catchment run --rebuild silver.{name.name}")
    return Adoption(step, why, told)


def adopt(connected: Connected, order: Order, name: TableName, *, step: str, tell: Tell) -> bool:
    """Give a table that is not fenced a state that fits its rows; whether it needed one.

    The state of the version that another program put back; else, where a state is lost, one that a stream's source
    recognizes from the rows' origins, or none, and the next run makes silver's rows anew. Raises ConfigError for rows
    that are not ours, Conflict.
    """
    table = _opened(connected, name)
    if _unfenced(table) is None:
        return False
    old = _put_back(connected, table)
    if old is not None and (feed := _feed(connected, name)) is not None:
        _refuse_reshared(name, replace(old, cursors={"shards": {"of": feed.shards}}), old)
    found, seen = (old, None) if old is not None else _recognized(connected, table)
    connected.reached("adopt.found")
    claim = table.claim(above=found.generation)
    state = replace(found, cut_off=_cut(found.cut_off, found.generation, claim.base))
    commit = table.commit(claim, Change(what="adopt"), state, seen=seen)
    went = replace(order, to=None if old is None else old.generation)
    _tell(connected, name, went, state, commit.pin.generation, step=step, tell=tell)
    return True


def _put_back(connected: Connected, table: Table) -> Progress | None:
    """The state of the version that the table was put back to, where its rows are that version's."""
    version = table.put_back()
    if version is None:
        return None
    try:
        old = connected.lake.open(table.name, at=version)
    except ConfigError:
        return None
    if old is None or _unfenced(old) is not None or old.scan(hidden=True).rows != table.scan(hidden=True).rows:
        return None
    return old.progress()


def _recognized(connected: Connected, table: Table) -> tuple[Progress, pa.Table | None]:
    """A state made from the rows. Its generation lies at or above every number that is in them or that was taken."""
    _refuse_foreign(table)
    with _engine(connected) as engine:
        _refuse_without_identity(engine, table)
        if table.name.layer == "bronze":
            return _recognized_stream(connected, engine, table)
        numbers = [table.pin.generation]
        if table.name.layer == "silver":
            judged = (table, connected.lake.open(naming.quarantine_table(table.name)))
            numbers += [_greatest(engine, found, "_judged") for found in judged if found is not None]
        return Progress(generation=max(numbers)), None


def _recognized_stream(connected: Connected, engine: Engine[Any], table: Table) -> tuple[Progress, pa.Table | None]:
    feed = _feed(connected, table.name)
    if feed is None:
        message = f"no stream of the project lands in {table.name}, so nobody knows how far it was read"
        raise ConfigError(message, hint=f"bring its stream back to catchment.yaml, or move {table.folder()} away")
    frames = {"t": engine.frame(table.scan())}
    by_origin = "SELECT _origin, count(*) AS rows, max(_position) AS last FROM t GROUP BY 1 ORDER BY 1"
    origins = engine.fetch(parsed(by_origin), frames)
    loads = engine.fetch(parsed("SELECT DISTINCT _load AS load FROM t ORDER BY 1"), frames).column("load").to_pylist()
    readers = [_taken(connected, reader, table.name) for reader in connected.lake.list("silver")]
    newest = max([table.pin.generation, *loads, *readers])
    with closing(connected.feeding(feed)) as source:
        cursor = source.recognize(feed, origins)
    # Whoever took a load of which there is no row may have taken rows that are gone.
    state = Progress(generation=newest, cursors={"land": dict(cursor.value)}, cut_off=tuple(_gaps(loads, newest)))
    return state, cursor.seen


def _taken(connected: Connected, reader: TableName, name: TableName) -> int:
    """The last load of a bronze table that a silver table took; 0 where nobody knows."""
    try:
        glance = connected.lake.glance(reader)
    except Unfenced:
        return 0
    return 0 if glance is None else int(glance.progress.cursors.get("refine", {}).get(str(name), 0))


def _gaps(loads: Iterable[int], newest: int) -> Iterator[tuple[int, int]]:
    before = 0
    for load in (*loads, newest + 1):
        if load > before + 1:
            yield before + 1, load - 1
        before = load


def _greatest(engine: Engine[Any], table: Table, column: str) -> int:
    figures = engine.fetch(parsed(f"SELECT max({column}) AS n FROM t"), {"t": engine.frame(table.scan(hidden=True))})
    return int(figures.column("n")[0].as_py() or 0)


def _refuse_foreign(table: Table) -> None:
    ours = {"bronze": BRONZE_COLUMNS, "silver": (*IDENTITY, "_judged"), "quarantine": (*IDENTITY, "_judged", "reasons")}
    absent = [name for name in ours[table.name.layer] if name not in table.schema().names]
    if absent:
        message = f"{table.name} holds rows that are not ours: it has no column {', '.join(absent)}"
        raise ConfigError(message, hint=_moved(table))


def _refuse_without_identity(engine: Engine[Any], table: Table) -> None:
    identity = " OR ".join(f"{name} IS NULL" for name in IDENTITY[1:])
    counted = parsed(f"SELECT count(*) AS n FROM t WHERE {identity}")
    count = engine.fetch(counted, {"t": engine.frame(table.scan(hidden=True))}).column("n")[0].as_py()
    if count:
        message = f"{table.name} holds {count:,} rows that are not ours: they have no number of a load"
        raise ConfigError(message, hint=_moved(table))


def _moved(table: Table) -> str:
    return f"move {table.folder()} away and run again: the table is made anew from its input"


# What both need.


def _opened(connected: Connected, name: TableName) -> Table:
    table = connected.lake.open(name)
    if table is None:
        known = [str(found) for found in connected.lake.list()]
        hint = naming.did_you_mean(str(name), known) or f"there are {', '.join(known) or 'no tables yet'}"
        message = f"no table {name} in the lake"
        raise ConfigError(message, hint=hint)
    return table


def _unfenced(table: Table) -> str | None:
    """Why a table cannot be told apart from another program's, in words; None where it is ours."""
    try:
        table.progress()
    except Unfenced as error:
        return error.message
    return None


def _refuse_quarantine(name: TableName) -> None:
    if name.layer == "quarantine":
        message = f"{name} cannot go back by itself: which of its verdicts count is said by silver"
        raise ConfigError(message, hint=f"restore silver.{name.name}")


def _asked(order: Order) -> int:
    assert order.to is not None, "an order to go back says where to"
    return order.to


def _feed(connected: Connected, name: TableName) -> Feed | None:
    return next((feed for feed in connected.project.feeds() if feed.table == name), None)


def _step(connected: Connected, name: TableName) -> str:
    """The name of the step that writes a table."""
    feed = _feed(connected, name)
    return str(name) if feed is None else feed.name


@contextmanager
def _engine(connected: Connected) -> Iterator[Engine[Any]]:
    engine = connected.engine()
    try:
        yield engine
    finally:
        engine.close()


def _tell(
    connected: Connected, name: TableName, order: Order, state: Progress, generation: int, *, step: str, tell: Tell
) -> None:
    table = _opened(connected, name)
    tell(
        TableRestored(
            step=step,
            table=str(name),
            verb=order.verb,
            generation=generation,
            to=order.to,
            rows=table.scan(hidden=True).rows,
            cut_off=tuple(state.cut_off),
        )
    )
