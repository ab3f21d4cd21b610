"""`catchment publish`: silver's new rows into their refined topics, by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import note, out, out_json
from catchment.errors import CatchmentError, ConfigError
from catchment.observe.words import aligned, plural

if TYPE_CHECKING:
    from catchment.connected import Connected
    from catchment.events import Event
    from catchment.publishing import Order, Publishing, Standing


@click.command(
    epilog=examples("catchment publish", "catchment publish silver.events", "catchment publish silver.events --again")
)
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--from-now", is_flag=True, help="Go on behind what is in the table now, whatever was published.")
@click.option("--again", is_flag=True, help="Publish every row of the table again, under the same ids.")
@click.option("--show", is_flag=True, help="Only show how far each topic is behind its table.")
@target_option
@json_option
@click.pass_obj
def publish(
    invocation: Invocation,
    tables: Sequence[str],
    from_now: bool,
    again: bool,
    show: bool,
    target: str | None,
    as_json: bool,
) -> None:
    """Publish what silver has that its refined topics have not.

    A run and a stream do the same by themselves. After an order that changed rows of older commits (a rebuild, a
    restore) publishing stops, and --from-now or --again says how it goes on. See docs/guides/refined-topic.md.
    """
    from catchment import publishing
    from catchment.connected import Connected

    _refuse_together(tables, from_now=from_now, again=again, show=show)
    connected = Connected.of(invocation.load(), target)
    chosen = [name.removeprefix("silver.") for name in tables] or publishing.published_tables(connected)
    if not chosen:
        message = "no silver table of this project is published"
        raise ConfigError(message, hint="write publish: <a topic> at a silver table (docs/guides/refined-topic.md)")
    if show:
        _show([publishing.standing(connected, name) for name in chosen], as_json=as_json)
        return
    order: Order | None = "from-now" if from_now else "again" if again else None
    heard, failed = _Heard(), list[CatchmentError]()
    for name in chosen:
        publishing.declared_of(connected, name)
    for name in chosen:
        try:
            with publishing.opened(connected, name, heard) as one:
                if order is not None:
                    _move(connected, one, order)
                one.once()
        except CatchmentError as error:  # the others are published all the same
            failed.append(error)
    if heard.rows or not failed:
        heard.tell(as_json=as_json)
    for one_of in failed[:-1]:
        note(f"error: {one_of.message}" + (f"\nhint: {one_of.hint}" if one_of.hint else ""))
    if failed:
        raise failed[-1]


def _move(connected: Connected, one: Publishing, order: Order) -> None:
    """Let a publication go on otherwise, and say what is passed over by that."""
    from catchment.publishing import standing
    from catchment.refined.continuing import OTHER_ROWS

    before = standing(connected, one.table)
    one.move(order)
    if order == "from-now":
        over = "all" if before.stopped in OTHER_ROWS else plural(before.behind, "commit")
        note(f"silver.{one.table} goes on behind what is there; passed over: {over} of silver")


def _refuse_together(tables: Sequence[str], *, from_now: bool, again: bool, show: bool) -> None:
    if from_now + again + show > 1:
        message = "--from-now, --again and --show exclude each other"
        raise click.UsageError(message)
    if (from_now or again) and not tables:
        message = "name the tables that this is about, such as silver.events"
        raise click.UsageError(message)


class _Heard:
    """What was published, and what people should hear of."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def __call__(self, event: Event) -> None:
        from catchment.events import Noticed, RowsPublished

        if isinstance(event, Noticed):
            note(event.message)
        elif isinstance(event, RowsPublished):
            names = ("table", "topic", "rows", "generation")
            self.rows.append({name: getattr(event, name) for name in names})

    def tell(self, *, as_json: bool) -> None:
        if as_json:
            out_json(self.rows)
            return
        for row in self.rows:
            out(f"{row['table']}   {plural(row['rows'], 'row')} into {row['topic']}")
        if not self.rows:
            note("Nothing new.")


def _show(found: Sequence[Standing], *, as_json: bool) -> None:
    if as_json:
        names = ("table", "topic", "behind", "is_new", "order", "stopped", "choices", "messages")
        out_json([{name: getattr(one, name) for name in names} for one in found], words=True)
        return
    for line in aligned([("table", "topic", "behind"), *((one.table, one.topic, _behind(one)) for one in found)]):
        out(line)
    for one in found:
        if one.stopped is not None:
            note(f"{one.table} is not published any further: {one.stopped}")
            note(f"hint: {'   or   '.join(one.choices)}")


def _behind(one: Standing) -> str:
    if one.stopped is not None:
        return "stopped"
    if one.is_new:
        return "never published"
    return plural(one.behind, "commit") if one.behind else "nothing"
