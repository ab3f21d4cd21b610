"""What catchment.yaml says of live figures, against the silver tables that they count.

Read from the nodes, as `pointers` does: a wrong key in one place hides nothing in another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from catchment import settings
from catchment.contract import Contract
from catchment.metric import WINDOW, Parsed, parsed
from catchment.naming import did_you_mean, is_name, quoted
from catchment.plain import NotPlain, plain
from catchment.reading.documents import Node, Place, shorten
from catchment.reading.durations import seconds
from catchment.reading.odcs.conditions import fault
from catchment.reading.pointers import Reading
from catchment.reading.through import CURE, plain_columns, unfit

_NOTHING = Node({}, (1, 1), keys={})
_DAY_S = 86_400
_NUMBERS = ("integer", "number", "decimal")


def follow(reading: Reading) -> None:
    """Look at every metric, and at whether a store reaches the topics that it is to read; what is wrong goes to the
    reading's problems."""
    for target in _with_topics(reading) if reading.section("live") else ():
        _reached(reading, target)
    for name, node in reading.section("live").items():
        if node.is_mapping:
            metric = _Metric(reading, name, node)
            for look in (_from, _time, _lengths, _where, _by, _measures, _through):
                look(metric)


@dataclass(frozen=True)
class _Metric:
    """One entry under `live`."""

    reading: Reading
    name: str
    node: Node

    @property
    def table(self) -> str:
        return self.node.string("from") or ""

    @property
    def contract(self) -> Contract | None:
        """None where it has mistakes, or where there is no such table."""
        return self.reading.contracts.get(self.table)

    @property
    def columns(self) -> list[str] | None:
        """The names of the table's columns, as far as they are known."""
        return self.reading.columns.get(self.table)

    def error(self, at: Node | Place | None, message: str, cure: str | None, key: str) -> None:
        self.reading.findings.error(at, message, cure=cure, key=f"live.{self.name}.{key}")

    def column(self, node: Node, key: str) -> str | None:
        """The type of a column that is named there; None after a problem, and where it is not known."""
        if not isinstance(node.value, str) or settings.has_references(node.value) or self.columns is None:
            return None
        if node.value not in self.columns:
            cure = did_you_mean(node.value, self.columns) or f"columns are {shorten(', '.join(self.columns), 200)}"
            self.error(node, f"silver.{self.table} has no column `{shorten(node.value)}`", cure, key)
            return None
        found = self.contract.columns if self.contract is not None else ()
        return next((column.type for column in found if column.name == node.value), None)


def _from(metric: _Metric) -> None:
    node, silver = metric.node.get("from"), metric.reading.section("silver")
    if node is None or not isinstance(node.value, str) or settings.has_references(node.value) or node.value in silver:
        return
    bare = node.value.removeprefix("silver.")
    cure = f"write from: {bare}" if bare in silver else did_you_mean(bare, silver)
    cure = cure or (f"silver tables are {shorten(', '.join(silver), 200)}" if silver else "add it under silver")
    metric.error(node, f"no silver table `{shorten(node.value)}`", cure, "from")


def _time(metric: _Metric) -> None:
    """The time is a timestamp, and is there where windows or `keep` need one."""
    node = metric.node.get("time")
    if node is not None:
        kind = metric.column(node, "time")
        if kind is not None and kind != "timestamp":
            metric.error(
                node,
                f"`{node.text}` is {kind}, and this must be a timestamp",
                f"write time: {_timestamps(metric)}",
                "time",
            )
        return
    if metric.contract is None or not {"every", "keep"} & set(metric.node.entries()):
        return
    table = metric.reading.section("silver").get(metric.table) or _NOTHING
    types = {column.name: column.type for column in metric.contract.columns}
    named = [table.string(key) for key in ("event_time", "latest_by")]
    if not any(types.get(name or "") == "timestamp" for name in named):
        at = metric.reading.key_place("live", metric.name)
        message = f"silver.{metric.table} does not tell which of its columns is the time of a row"
        metric.error(at, message, f"write time: {_timestamps(metric)}", "time")


def _timestamps(metric: _Metric) -> str:
    columns = metric.contract.columns if metric.contract is not None else ()
    fitting = [column.name for column in columns if column.type == "timestamp"]
    return " or ".join(fitting) if fitting else "<a timestamp column>"


def _lengths(metric: _Metric) -> None:
    every = _length(metric, "every", "every: 1 minute")
    keep = _length(metric, "keep", "keep: 2 days")
    if every is not None and (_DAY_S % every if every <= _DAY_S else every % _DAY_S):
        message = f"windows of {metric.node.string('every')} would begin at another time each day"
        metric.error(metric.node.get("every"), message, "write 1 minute, 1 hour or 1 day, for example", "every")
    elif every is not None and keep is not None and keep < every:
        message = "rows would go before their window is over"
        metric.error(metric.node.get("keep"), message, "keep a window's length at least", "keep")


def _length(metric: _Metric, key: str, example: str) -> int | None:
    node = metric.node.get(key)
    if node is None or not isinstance(node.value, str) or settings.has_references(node.value):
        return None
    found = seconds(node.value)
    if not found:
        metric.error(node, f"{node.kind()} is not a length of time", f"write {example}", key)
    return found or None


def _where(metric: _Metric) -> None:
    node = metric.node.get("where")
    if node is not None and isinstance(node.value, str) and metric.columns is not None:
        wrong = fault(node.value, metric.columns)
        if wrong is not None:
            metric.error(node, *wrong, "where")


def _by(metric: _Metric) -> None:
    seen: set[str] = set()
    for node in (metric.node.get("by") or _NOTHING).items():
        metric.column(node, "by")
        if node.text in seen:
            metric.error(node, f"`{shorten(node.text)}` is listed twice", "remove one", "by")
        seen.add(node.text)


def _measures(metric: _Metric) -> None:
    section = metric.node.get("measures") or _NOTHING
    taken = {*(node.text for node in (metric.node.get("by") or _NOTHING).items()), WINDOW}
    for name, node in section.entries().items():
        key = f"measures.{name}"
        if not is_name(name):
            message = f"`{shorten(name)}` is not a name: lower case, digits and single underscores, a letter first"
            metric.error(section.key_place(name), message, "rename it", key)
        elif name in taken:
            metric.error(section.key_place(name), f"`{name}` is a column of the figures already", "rename it", key)
        if isinstance(node.value, str) and not settings.has_references(node.value):
            _measure(metric, node, key)


def _measure(metric: _Metric, node: Node, key: str) -> None:
    try:
        found = parsed(node.text)
    except ValueError as error:
        message, *cure = error.args
        metric.error(node, message, next(iter(cure), None), key)
        return
    if metric.columns is None:
        return
    for sql in found.over:
        wrong = fault(sql, metric.columns)
        if wrong is not None:
            metric.error(node, wrong[0].replace("condition", "measure", 1), wrong[1], key)
            return
    _typed(metric, node, found, key)


def _through(metric: _Metric) -> None:
    """What a store is to take from a topic stands in its messages, and is computed there as it is by DuckDB."""
    target = next(iter(_with_topics(metric.reading)), None)
    if target is None or metric.contract is None or metric.columns is None:
        return
    table = metric.reading.section("silver").get(metric.table) or _NOTHING
    publish = table.get("publish")
    told = {} if publish is None or not publish.is_mapping else publish.entries()
    words = {"form": told.get("format"), "deletes": told.get("deletes")}
    said = {key: node.text for key, node in words.items() if node is not None}
    wrong = unfit(table.string("mode") or "append", published=publish is not None, **said)
    if wrong is not None:
        message = f"on target `{target}` silver.{metric.table} is to come through its topic, and {wrong}"
        cure = f"write publish: {metric.table}.refined at the table, or {CURE}" if publish is None else CURE
        metric.error(metric.node.get("from"), message, cure, "from")
        return
    types = plain_columns(metric.contract)
    for node, key, sql in _expressions(metric):
        try:
            plain(sql, types)
        except NotPlain as error:
            metric.error(node, f"on target `{target}` it comes through a topic: {error}", CURE, key)


def _reached(reading: Reading, target: str) -> None:
    """A store on another machine does not read the files of an embedded log."""
    declared = reading.section("targets")[target]
    broker = declared.get("broker")
    if broker is not None and broker.is_mapping:
        return
    store = declared.get("live")
    kept = "embedded" if broker is None else broker.text or "another"
    message = f"through: topic needs a broker that ClickHouse can read from, and this target's is {kept}"
    cure = "write broker: {type: kafka, servers: …} at the target, or through: insert"
    node = None if store is None else store.get("through")
    reading.findings.error(node, message, cure=cure, key=f"targets.{target}.live.through")


def _with_topics(reading: Reading) -> Iterator[str]:
    """Targets whose live store reads topics."""
    for name, node in reading.section("targets").items():
        store = node.get("live") if node.is_mapping else None
        if store is not None and store.is_mapping and store.string("through") == "topic":
            yield name


def _expressions(metric: _Metric) -> Iterator[tuple[Node, str, str]]:
    """Those of the metric that can be read, with their places."""
    for key in ("where", "time"):
        node = metric.node.get(key)
        if node is not None and isinstance(node.value, str):
            yield node, key, node.value if key == "where" else quoted(node.value)
    for node in (metric.node.get("by") or _NOTHING).items():
        yield node, "by", quoted(node.text)
    for name, node in (metric.node.get("measures") or _NOTHING).entries().items():
        try:
            found = parsed(node.text)
        except ValueError:
            continue
        for sql in found.over:
            yield node, f"measures.{name}", sql


def _typed(metric: _Metric, node: Node, found: Parsed, key: str) -> None:
    """Only numbers can be added up, as far as it is a column that is added."""
    if found.kind not in ("sum", "avg", "quantile") or metric.contract is None:
        return
    types = {column.name.lower(): column.type for column in metric.contract.columns}
    kind = types.get(found.over[0].strip('"').lower())
    if kind is not None and kind not in _NUMBERS:
        message = f"{found.kind} of `{found.over[0]}`, which is {kind} and no number"
        metric.error(node, message, "name a column of numbers, or count it", key)
