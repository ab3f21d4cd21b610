"""How ClickHouse takes a feed's rows from a refined topic by itself.

    <feed>__<number>            the rows, as every feed has them
    <feed>__<number>__queue     a Kafka table: each row of it can be read once
    <feed>__<number>__taking    a materialized view, which reads them into the rows

One view hangs on the queue, so that a block is in the rows as a whole or comes again; what comes again or late is put
out by its version, which rides in the headers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from catchment.errors import ConfigError
from catchment.metric import DELETED, EXPIRES, VERSION, LiveFeed, Through, listing
from catchment.naming import IDENTITY, ROW_DELETED, ROW_ID, ROW_LATEST, ROW_RANK
from catchment.plain import NotPlain, Plain, columns, plain
from catchment.stores.clickhouse_sql import expression, quoted, text, typed

# So long at most a message waits for others of its block.
_FLUSH_MS = 150

# Settings of librdkafka that a Kafka table has of its own; the others stand in the server's configuration.
_TOLD = {
    "security.protocol": "kafka_security_protocol",
    "sasl.mechanism": "kafka_sasl_mechanism",
    "sasl.mechanisms": "kafka_sasl_mechanism",
    "sasl.username": "kafka_sasl_username",
    "sasl.password": "kafka_sasl_password",
}
_SECRET = "sasl.password"

_IDENTITY = dict(zip(IDENTITY, ("{0}", "toInt32({0})", "toInt64({0})", "toInt64({0})"), strict=True))


def queue(table: str) -> str:
    return f"{table}__queue"


def taking(table: str) -> str:
    return f"{table}__taking"


def group(identity: str, table: str) -> str:
    """The consumer group of a table of rows; no two tables share one, of whatever store: each would get a part."""
    return f"catchment.{identity}.{table}"


def without_secrets(through: Through) -> Through:
    """For people."""
    hidden = {_SECRET: "[hidden]"} if _SECRET in through.settings else {}
    return replace(through, settings={**through.settings, **hidden})


def queue_sql(name: str, through: Through, read: Sequence[str], group_name: str) -> str:
    """The Kafka table: columns as the messages tell them, which is text."""
    given = {
        "kafka_broker_list": through.servers,
        "kafka_topic_list": through.topic,
        "kafka_group_name": group_name,
        "kafka_format": "JSONEachRow",
        **{_TOLD[key]: value for key, value in through.settings.items() if key in _TOLD},
    }
    numbers = {
        "kafka_num_consumers": 1,
        "kafka_flush_interval_ms": _FLUSH_MS,
        "kafka_poll_timeout_ms": _FLUSH_MS // 2,
        "input_format_json_read_numbers_as_strings": 1,
        "input_format_json_read_bools_as_strings": 1,
        "input_format_skip_unknown_fields": 1,
    }
    settings = [
        *(f"{key} = {text(value)}" for key, value in given.items()),
        *(f"{k} = {v}" for k, v in numbers.items()),
    ]
    listed = listing([f"{quoted(column)} Nullable(String)" for column in read])
    return f"CREATE TABLE IF NOT EXISTS {name} ({listed}\n)\nENGINE = Kafka\nSETTINGS{listing(settings)}"


def read_columns(feed: LiveFeed, through: Through) -> list[str]:
    """The columns of messages that the feed needs, one at least: a table has one."""
    trees = _trees(feed, through)
    needed = set().union(*(columns(tree) for tree in trees.values())) | {
        name for name in feed.key if name not in IDENTITY
    }
    return [name for name in through.columns if name in needed] or list(through.columns)[:1]


def taking_sql(name: str, rows: str, source: str, feed: LiveFeed, through: Through) -> str:
    """The view. Raises ConfigError for an expression that cannot be computed here as DuckDB computes it."""
    read = read_columns(feed, through)
    inner = [f"{typed(f'm.{quoted(column)}', through.columns[column])} AS {quoted(column)}" for column in read]
    told = _parts(ROW_ID)
    inner += [f"{_IDENTITY[name].format(f'{told}[{place}]')} AS {name}" for place, name in enumerate(IDENTITY, start=1)]
    inner += [
        f"toInt64({_header(ROW_LATEST)}) AS _latest",
        f"toInt32({_header(ROW_RANK)}) AS _rank",
        f"{_header(ROW_DELETED)} = 'true' AS {DELETED}",
        "m._timestamp AS _came",
    ]
    outer = [quoted(column) for column in dict.fromkeys((*feed.key, *VERSION, DELETED))]
    outer += [f"{expression(tree)} AS {quoted(column)}" for column, tree in _trees(feed, through).items()]
    outer.append(f"{_expires(feed)} AS {EXPIRES}")
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {name} TO {rows} AS\nSELECT{listing(outer)}"
        f"\nFROM (\nSELECT{listing(inner)}\nFROM {source} AS m\n)"
    )


def _trees(feed: LiveFeed, through: Through) -> Mapping[str, Plain]:
    found = {}
    for name, sql in feed.columns.items():
        try:
            found[name] = plain(sql, through.columns)
        except NotPlain as error:
            message = f"live figures over silver.{feed.name} need {sql}, which cannot come through a topic: {error}"
            raise ConfigError(message, hint="write through: insert at live of the target") from error
    return found


def _header(name: str) -> str:
    return f"m.`_headers.value`[indexOf(m.`_headers.name`, {text(name)})]"


def _parts(name: str) -> str:
    return f"splitByChar('/', {_header(name)})"


def _expires(feed: LiveFeed) -> str:
    """As feeding by hand has it: kept from when it happened, and from when it came."""
    if feed.moment is None or feed.keep_s is None:
        return "toDateTime('2100-01-01 00:00:00', 'UTC')"
    came = "assumeNotNull(toDateTime64(_came, 6, 'UTC'))"
    moment = quoted(feed.moment.strip('"').replace('""', '"'))
    latest = f"greatest({came}, ifNull({moment}, {came})) + INTERVAL {feed.keep_s} SECOND"
    return f"toDateTime(least({latest}, toDateTime64('2100-01-01 00:00:00', 6, 'UTC')), 'UTC')"
