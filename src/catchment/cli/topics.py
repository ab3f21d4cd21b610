"""`catchment topics`: the topics of a target's broker, what is in them, and messages put there by hand."""

from __future__ import annotations

import base64
import itertools
import re
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, limit_option, target_option
from catchment.cli.putting import Writing, messages, path_of
from catchment.cli.terminal import note, out, out_json
from catchment.errors import ConfigError
from catchment.naming import did_you_mean
from catchment.observe.words import aligned, instant, plural, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from catchment.connected import Connected
    from catchment.interfaces import Broker

# A value longer than this is cut for people; --json has all of it.
_LONGEST = 400

# Offsets of more partitions fill the line.
_MOST_SHOWN = 4

# Names in a hint.
_MOST_NAMED = 20

# What would steer the terminal.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@click.group(epilog=examples("catchment topics list", "catchment topics show user_events --limit 2"))
def topics() -> None:
    """Look at the topics of the target's broker, and put messages there by hand."""


@topics.command("list", epilog=examples("catchment topics list"))
@target_option
@json_option
@click.pass_obj
def list_(invocation: Invocation, target: str | None, as_json: bool) -> None:
    """Show every topic: its partitions, messages, offsets, size, and the oldest message.

    Offsets are those of the first message that is kept and of the next one to come, by partition. Kafka tells messages
    by their offsets, of which each transaction takes one as well.
    """
    broker = _broker(invocation, target)
    found = [topic_value(broker, topic) for topic in broker.topics()]
    if as_json:
        out_json(found)
        return
    if not found:
        note("There is no topic yet.")
    for line in lines(found):
        out(line)


@topics.command(
    "show",
    epilog=examples("catchment topics show user_events", "catchment topics show user_events --partition 0 --from 120"),
)
@click.argument("topic")
@click.option("--partition", type=click.IntRange(min=0), metavar="N", help="Only this partition.")
@click.option(
    "--from", "since", type=click.IntRange(min=0), metavar="OFFSET", help="From this offset on; without it the newest."
)
@limit_option(10)
@target_option
@json_option
@click.pass_obj
def show(
    invocation: Invocation,
    topic: str,
    partition: int | None,
    since: int | None,
    limit: int,
    target: str | None,
    as_json: bool,
) -> None:
    """Show messages of a topic, the newest last. Nobody's place in it changes."""
    broker = _broker(invocation, target)
    if topic not in broker.topics():
        raise _no_topic(broker, topic)
    bounds = broker.bounds(topic)
    if partition is not None and partition not in bounds:
        message = f"topic {topic} has no partition {partition}"
        raise ConfigError(message, hint=f"it has {', '.join(map(str, sorted(bounds)))}")
    chosen = {number: bound for number, bound in bounds.items() if partition in (None, number)}
    for number, (first, _) in chosen.items():
        if since is not None and since < first:
            note(f"messages {since:,} to {first - 1:,} of partition {number} are not kept any more")
    found = _newest(broker, topic, chosen, limit) if since is None else _from(broker, topic, chosen, since, limit)
    if as_json:
        out_json([message_value(one) for one in found])
        return
    if not found:
        note(f"No message of {topic} is there.")
    for one in found:
        for line in message_lines(one):
            out(line)


@topics.command(
    "put",
    epilog=examples(
        """echo '{"user_id": "u-1"}' | catchment topics put tries --key '$.user_id' --create""",
        "catchment topics put tries < events.jsonl",
    ),
)
@click.argument("topic")
@click.option("--key", metavar="PATH", help="Where in each message its key is: '$.user_id', '$.user.id'.")
@click.option("--text", is_flag=True, help="Take lines as they are; without it each must be JSON.")
@click.option("--create", is_flag=True, help="Make the topic where it is not there.")
@target_option
@json_option
@click.pass_obj
def put(
    invocation: Invocation, topic: str, key: str | None, text: bool, create: bool, target: str | None, as_json: bool
) -> None:
    """Write each line of stdin as a message, for trying things. Empty lines are left out.

    Lines are written a thousand at a time, once all of these were found good; the first that is not ends it. Nothing is
    made or written where that is among the first thousand.
    """
    path = path_of(key)
    if text and path:
        message = "--text and --key exclude each other: a key is found in JSON only"
        raise click.UsageError(message)
    connected = _connected(invocation, target)
    broker = connected.broker
    is_there = topic in broker.topics()
    if not is_there and not create:
        raise _no_topic(broker, topic, f"{invocation.command(f'topics put {topic} --create')} makes it")
    if sys.stdin.isatty():
        note("A line is a message; Ctrl-D ends.")
    writing = Writing(broker, topic)
    try:
        batches = writing.batches(messages(sys.stdin.buffer, path, text=text))
        first = next(batches, [])  # lines are looked at before a topic is made for them
        if not is_there:
            _make(connected, topic)
        writing.write(itertools.chain([first], batches))
    except KeyboardInterrupt:
        count = plural(writing.written, "message")
        note(f"{count} had been written to {topic}, and no line after them")
        raise
    if as_json:
        out_json({"topic": topic, "messages": writing.written, "next": writing.ends})
        return
    note(f"{plural(writing.written, 'message')} written to {topic}.")


@topics.command("apply", epilog=examples("catchment topics apply", "catchment topics apply --yes"))
@click.option("--yes", is_flag=True, help="Do it; without it the differences are only shown.")
@target_option
@json_option
@click.pass_obj
def apply(invocation: Invocation, yes: bool, target: str | None, as_json: bool) -> None:
    """Make the topics of the target's broker what catchment.yaml declares under `topics`.

    What is absent is created, retention, compaction and min_insync are set, partitions are added. Fewer partitions are
    refused, and no topic is changed then. Topics that are not declared stay as they are.
    """
    from catchment import declared

    connected = _connected(invocation, target)
    told = (declared.apply if yes else declared.differences)(connected)
    if as_json:
        out_json({"done": yes, "topics": list(told)})
        return
    for words in told:
        out(words)
    if not connected.project.topics:
        note("No topic is declared: write topics: into catchment.yaml.")
    elif not told:
        note("Every topic is as it is declared.")
    elif not yes:
        note(f"Nothing was changed. {invocation.command('topics apply --yes')} does it.")


def _broker(invocation: Invocation, target: str | None) -> Broker:
    return _connected(invocation, target).broker


def _connected(invocation: Invocation, target: str | None) -> Connected:
    from catchment.connected import Connected

    return Connected.of(invocation.load(tables_too=False), target)


def _no_topic(broker: Broker, topic: str, makes: str | None = None) -> ConfigError:
    """`makes` is the command that makes it."""
    known = broker.topics()
    near = did_you_mean(topic, known) or (None if makes else _listed(known))
    return ConfigError(f"there is no topic {topic}", hint=" ".join(one for one in (near, makes) if one))


def _listed(known: Sequence[str]) -> str:
    more = " …" if len(known) > _MOST_NAMED else ""
    return f"there are {', '.join(known[:_MOST_NAMED])}{more}" if known else "there is none yet"


def _make(connected: Connected, topic: str) -> None:
    from catchment.declared import specs
    from catchment.records import TopicSpec

    declared = {spec.name: spec for spec in specs(connected)}
    for words in connected.broker.declare([declared.get(topic, TopicSpec(topic))]):
        note(words)


def topic_value(broker: Broker, topic: str) -> dict[str, Any]:
    """One topic of `topics list --json`."""
    bounds = broker.bounds(topic)
    return {
        "topic": topic,
        "messages": sum(after - first for first, after in bounds.values()),
        "partitions": [
            {"partition": number, "first": bounds[number][0], "next": bounds[number][1]} for number in bounds
        ],
        "bytes": broker.size(topic),
        "oldest": _oldest(broker, topic, bounds),
        "retention_s": broker.spec(topic).retention_s,
    }


def _oldest(broker: Broker, topic: str, bounds: Mapping[int, tuple[int, int]]) -> datetime | None:
    """The time of the oldest first message of a partition."""
    firsts = {number: first for number, (first, after) in bounds.items() if first < after}
    batches = broker.read(topic, firsts, {number: first + 1 for number, first in firsts.items()})
    return min((one["at"] for one in _rows(batches)), default=None)


def _rows(batches: Iterable[Any]) -> Iterator[dict[str, Any]]:
    return (one for batch in batches for one in batch.to_pylist())


def _newest(broker: Broker, topic: str, bounds: Mapping[int, tuple[int, int]], limit: int) -> list[dict[str, Any]]:
    """An offset need not be a message: Kafka's transactions end with one that is none, and compaction leaves gaps."""
    found, back, left = list[dict[str, Any]](), limit, dict(bounds)
    while left:
        offsets = {number: max(first, after - back) for number, (first, after) in left.items()}
        newest = {number: deque[dict[str, Any]](maxlen=limit) for number in left}
        for one in _rows(broker.read(topic, offsets, {number: after for number, (_, after) in left.items()})):
            newest[one["partition"]].append(one)
        whole = [n for n in left if len(newest[n]) == limit or offsets[n] == left[n][0]]
        found += itertools.chain.from_iterable(newest[number] for number in whole)
        left, back = {n: bound for n, bound in left.items() if n not in whole}, back * 8
    found.sort(key=lambda one: (one["at"], one["partition"], one["offset"]))
    return found[len(found) - limit :] if limit < len(found) else found


def _from(
    broker: Broker, topic: str, bounds: Mapping[int, tuple[int, int]], since: int, limit: int
) -> list[dict[str, Any]]:
    begins = {number: max(first, since) for number, (first, _) in bounds.items()}
    until = {number: min(after, begins[number] + limit) for number, (_, after) in bounds.items()}
    found = list(_rows(broker.read(topic, begins, until)))
    found.sort(key=lambda one: (one["offset"], one["partition"]))
    return found[:limit]


def lines(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """The topics as people read them."""
    rows = [
        (
            one["topic"],
            str(len(one["partitions"])),
            f"{one['messages']:,}",
            "-" if one["bytes"] is None else size(one["bytes"]),
            instant(one["oldest"]),
            _offsets(one["partitions"]),
        )
        for one in found
    ]
    head = ("topic", "partitions", "messages", "size", "oldest", "offsets")
    return aligned([head, *rows], right=frozenset({1, 2, 3})) if rows else []


def _offsets(partitions: Sequence[Mapping[str, int]]) -> str:
    shown = [f"{one['first']:,}-{one['next']:,}" for one in partitions[:_MOST_SHOWN]]
    return " · ".join([*shown, *(["…"] if len(partitions) > _MOST_SHOWN else [])])


def message_value(one: Mapping[str, Any]) -> dict[str, Any]:
    """One message of `topics show --json`; bytes that are no text as base64."""
    headers = [{"name": header["name"], "value": _told(header["value"])} for header in one["headers"] or ()]
    place = {"partition": one["partition"], "offset": one["offset"], "at": one["at"]}
    return {**place, "key": _told(one["key"]), "value": _told(one["value"]), "headers": headers}


def _told(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode("ascii")}


def message_lines(one: Mapping[str, Any]) -> list[str]:
    """One message as people read it."""
    key = "" if one["key"] is None else f"  key {_legible(one['key'])}"
    head = f"{one['partition']}:{one['offset']}  {instant(one['at'], at='seconds')}{key}"
    headers = [f"  {_legible(header['name'].encode())}: {_legible(header['value'])}" for header in one["headers"] or ()]
    return [head, *headers, "  (no value: a tombstone)" if one["value"] is None else f"  {_legible(one['value'])}"]


def _legible(value: bytes) -> str:
    """Text on one line, what is no text and what is not printed escaped."""
    text = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", value.decode("utf-8", errors="backslashreplace"))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
