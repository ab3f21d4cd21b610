"""`catchment receive`: take webhooks, and keep each one before its sender hears that it was taken."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from catchment.cli.hints import named
from catchment.cli.invocation import Invocation, examples, target_option
from catchment.cli.terminal import note
from catchment.cli.values import ADDRESS

if TYPE_CHECKING:
    from catchment.events import DeliveriesCounted, Event, ReceiverStarted, ReceiverStopped


@click.command(
    epilog=examples(
        "catchment receive",
        "catchment receive --listen 0.0.0.0:8080 --json",
    )
)
@click.option(
    "--listen",
    "address",
    type=ADDRESS,
    default="127.0.0.1:8080",
    show_default=True,
    metavar="HOST:PORT",
    help="The address; what stands before it (a proxy) speaks TLS.",
)
@click.option(
    "--source", "sources", multiple=True, metavar="NAME", help="Only this source of type webhooks. Repeatable."
)
@target_option
@click.option(
    "--json", "as_json", is_flag=True, help="Print events, one JSON object a line (docs/reference/events.md)."
)
@click.pass_obj
def receive(
    invocation: Invocation, address: tuple[str, int], sources: Sequence[str], target: str | None, as_json: bool
) -> int:
    """Take webhooks.

    Every stream of a source of type webhooks is an address that deliveries are sent to. One is answered with 200 once
    it is durable in its topic, which the next run or stream lands; the others hear why not. GET /health tells that it
    lives, GET /ready that it takes deliveries. Ctrl-C or SIGTERM stops it once everything that was taken is answered.
    """
    from catchment.connected import Connected
    from catchment.declared import specs
    from catchment.receive.endpoints import endpoints
    from catchment.receive.serving import Receiver

    connected = Connected.of(invocation.load(), target)
    found = endpoints(connected.project, sources)
    for endpoint in found:
        if not endpoint.is_signed and not as_json:
            note(f"warning: {endpoint.stream} takes from anybody who reaches {endpoint.path} (scheme: none)")
    told = _lines() if as_json else _said
    Receiver(found, connected.broker, told, address, declared=specs(connected)).run()
    return 0


def _lines() -> Callable[[Event], None]:
    from catchment.observe.jsonl import JsonLines

    return JsonLines(sys.stdout, named=named).on


def _said(event: Event) -> None:
    from catchment.events import DeliveriesCounted, Noticed, ReceiverStarted, ReceiverStopped

    if isinstance(event, ReceiverStarted):
        _say_started(event)
    elif isinstance(event, DeliveriesCounted):
        note(_counted(event))
    elif isinstance(event, ReceiverStopped):
        note(_stopped(event))
    elif isinstance(event, Noticed):
        note(f"{_time(event)}  note: {event.message}")


def _say_started(event: ReceiverStarted) -> None:
    from catchment.observe.words import aligned, plural

    note(f"taking webhooks at {event.address}, {plural(len(event.endpoints), 'endpoint')}   (Ctrl-C stops cleanly)")
    for line in aligned([(f"  {path}", stream, f"topic {topic}") for path, stream, topic in event.endpoints]):
        note(line)


def _counted(event: DeliveriesCounted) -> str:
    """`12:04:10  payments.notices  1,204 taken   3 repeated   2 refused (1 forged, 1 stale)   p99 9.1 ms`."""
    words = [f"{event.taken:,} taken"] if event.taken else []
    if event.repeated:
        words.append(f"{event.repeated:,} repeated")
    words += _refused(event.refused)
    if event.p99_ms is not None:
        words.append(f"p99 {event.p99_ms} ms")
    return f"{_time(event)}  {event.stream or '(no endpoint)'}  {'   '.join(words)}"


def _stopped(event: ReceiverStopped) -> str:
    from catchment.observe.words import seconds

    words = [f"{event.taken:,} taken", f"{event.repeated:,} repeated", *_refused(event.refused)]
    return f"stopped after {seconds(event.seconds)}: {', '.join(words)}"


def _refused(reasons: Mapping[str, int]) -> list[str]:
    if not reasons:
        return []
    told = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in reasons.items())
    return [f"{sum(reasons.values()):,} refused ({told})"]


def _time(event: Event) -> str:
    return event.at.strftime("%H:%M:%S")
