"""`catchment generate`: the shop of template `shop` in a database, behind an API, or going on in topics."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.signals import stoppable
from catchment.cli.terminal import note, out, out_json
from catchment.cli.values import LENGTH, RATE, TIME
from catchment.errors import ConfigError
from catchment.naming import did_you_mean
from catchment.observe.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from catchment.generate.server import ApiServer
    from catchment.outside import Address

_LOCAL = ("127.0.0.1", "localhost")

TOPICS = "topics"

# What topics get where nobody says how fast.
_RATE = "120/min"

# The day after the last one in the template's files.
_START = datetime(2026, 11, 21, tzinfo=UTC)

_SHARE = click.FloatRange(0, 1)


@click.command(
    epilog=examples(
        "catchment generate --for 10m",
        "catchment generate --rate 1000/s --late 0.05 --duplicates 0.01",
        'catchment generate --into "$SHOP_DB_URL"',
        'catchment generate --into "$SHOP_DB_URL" --rate 120/min',
        "catchment generate --into mongodb://127.0.0.1:27017/shop",
        "catchment generate --into http://127.0.0.1:8099",
    )
)
@click.option(
    "--into",
    "url",
    default=TOPICS,
    show_default=True,
    metavar="URL",
    help="`topics`: clicks and orders go on in topics user_events and transactions of the project's target."
    " postgresql://… gets users, products and transactions, and with --rate orders go on there; mongodb://… the"
    " catalogue, redis://… live sessions; http://127.0.0.1:PORT serves reviews (GraphQL), exchange rates and shipments"
    " (REST) until Ctrl-C. Also a reference such as '${env:SHOP_DB_URL}'.",
)
@click.option("--days", type=click.IntRange(min=1), default=30, show_default=True, help="So many days of the shop.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number is another shop.")
@click.option("--again", is_flag=True, help="Also where rows are already: newer ones win, the others stay.")
@click.option(
    "--rate",
    type=RATE,
    metavar="RATE",
    help="So many clicks, and a tenth of that orders: 120/min (topics' own), 1000/s, max.",
)
@click.option("--for", "length", type=LENGTH, metavar="TIME", help="Stop after so long, such as 10m or 2 hours.")
@click.option("--count", type=click.IntRange(min=0), help="Stop after so many ordinals.")
@click.option(
    "--start",
    type=TIME,
    metavar="TIME",
    help="When ordinal 0 happens in the shop; by default 2026-11-21, where its files end.",
)
@click.option("--now", is_flag=True, help="Clicks happen when they are sent.")
@click.option("--resume", is_flag=True, help="Go on behind what is there.")
@click.option("--from-ordinal", "first", type=click.IntRange(0, 10**12), help="Begin there, whatever is there.")
@click.option("--late", type=_SHARE, default=0.0, help="So many clicks (0-1) are sent 200 to 10,000 ordinals late.")
@click.option("--out-of-order", type=_SHARE, default=0.0, help="So many are sent 1 to 50 ordinals late.")
@click.option("--duplicates", type=_SHARE, default=0.0, help="So many are sent twice.")
@click.option("--broken", type=_SHARE, default=0.0, help="So many are cut off, lack their key, or hold no JSON.")
@click.option(
    "--visits",
    type=click.IntRange(min=1, max=1 << 24),
    default=128,
    show_default=True,
    help="So many visitors at a time, rounded up to a power of two: at 120/min each clicks once a minute.",
)
@click.option("--only", type=click.Choice(["user_events", "transactions"]), help="Only this topic.")
@target_option
@json_option
@click.pass_context
def generate(
    context: click.Context, /, url: str, days: int, seed: int, again: bool, as_json: bool, **going: Any
) -> None:
    """Put the online shop of template `shop` into a database, serve it as an API, or let it go on.

    The same days and seed are the same shop, without --days and --seed the one in data/ of the template. So its target
    `services` gives the same silver tables as its files do.

    A shop that goes on (--rate) sends clicks and changes of orders until it is stopped. Each has a place in an endless
    sequence, its ordinal; the same seed and visits are the same sequence, at any rate and from wherever it is sent.
    """
    from catchment import settings

    if url == TOPICS or going["rate"] is not None:
        if again:
            message = "--again is for a shop that does not go on; --resume goes on, --from-ordinal 0 sends it again"
            raise click.UsageError(message)
        _go_on(context.obj, url, days, seed, as_json=as_json, **going)
        return
    for name in context.params:
        if name in going and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            message = f"--{_SPELT.get(name, name.replace('_', '-'))} is for a shop that goes on; name its --rate too"
            raise click.UsageError(message)
    given = settings.resolve(url, Path.cwd(), place="--into")
    if given.startswith("http://"):
        _serve(given, days, seed, as_json=as_json)
    else:
        _load(url, days, seed, again=again, as_json=as_json)


# Options whose parameters are called otherwise.
_SPELT = {"length": "for", "first": "from-ordinal"}


def _go_on(invocation: Invocation | None, url: str, days: int, seed: int, *, as_json: bool, **going: Any) -> None:
    from catchment.cli.generate_going import Asked, go_on
    from catchment.generate.going import Rate
    from catchment.generate.sequence import Shares

    for one, other in (("now", "start"), ("resume", "first")):
        if going[one] and going[other] is not None:
            message = f"--{one} and --{_SPELT.get(other, other)} exclude each other"
            raise click.UsageError(message)
    asked = Asked(
        into=None if url == TOPICS else _database(url),
        rate=going["rate"] or Rate.parse(_RATE),
        length=going["length"],
        count=going["count"],
        start=None if going["now"] else going["start"] or _START,
        first=going["first"],
        resume=going["resume"],
        shares=Shares(going["late"], going["out_of_order"], going["duplicates"], going["broken"]),
        only=going["only"],
        visits=going["visits"],
        seed=seed,
        days=days,
        target=going["target"],
    )
    go_on(invocation or Invocation(), asked, as_json=as_json)


def _load(url: str, days: int, seed: int, *, again: bool, as_json: bool) -> None:
    from catchment import registry
    from catchment.generate.shop import make_shop

    place = _database(url)
    known = registry.names("loaders")
    if place.type not in known:
        message = f"nothing puts the shop into {place.shown}"
        raise ConfigError(message, hint=f"there are {', '.join(known)}, and http://127.0.0.1:PORT")
    load: Callable[..., None] = registry.implementation("loaders", place.type)
    brought: dict[str, int] = {}

    def tell(table: str, rows: int) -> None:
        brought[table] = rows
        note(f"  {table:<14}{rows:>10,}")

    note(f"Making {plural(days, 'day')} of the shop, into {place.shown} …")
    with make_shop(days=days, seed=seed) as shop:
        load(place.url, shop, again=again, tell=tell)
    if as_json:
        out_json({"into": place.shown, "days": days, "seed": seed, "rows": brought})
        return
    out(f"Brought {plural(sum(brought.values()), 'row')} into {place.shown}.")


def _database(text: str) -> Address:
    """The database that `--into` names. Raises ConfigError for what is none."""
    from catchment import outside, registry, settings

    given = settings.resolve(text, Path.cwd(), place="--into")
    if registry.source_at(given) is None:
        # What a reference stands for may hold a password, and is not told.
        shown = given.partition("://")[0] + "://…" if "://" in given else text
        near = did_you_mean(given, [TOPICS])
        message = f"nothing puts the shop into {shown}"
        raise ConfigError(message, hint=near or f"write {TOPICS}, postgresql://user@host/shop or http://127.0.0.1:8099")
    return outside.address(text, Path.cwd())


def _serve(url: str, days: int, seed: int, *, as_json: bool) -> None:
    """Until somebody asks to stop. Nobody else can reach it: it is for trying things out."""
    from catchment.generate.faces import shop_server
    from catchment.generate.shop import generate_shop

    host, port = _listened_at(url)
    if host not in _LOCAL or urlsplit(url).path.strip("/"):
        message = f"the shop's API is served on this machine only, not at {url}"
        raise ConfigError(message, hint="write http://127.0.0.1:8099")
    with tempfile.TemporaryDirectory(prefix="catchment-shop-") as folder, stoppable("stopping") as stop:
        note(f"Making {plural(days, 'day')} of the shop …")
        generate_shop(Path(folder), days=days, seed=seed)
        with _listening(shop_server(Path(folder), seed=seed, port=port)) as server:
            if as_json:
                out_json({"url": server.url, "days": days, "seed": seed})
            else:
                out(f"Serving the shop at {server.url}: /graphql (reviews), /v1/rates, /v1/shipments. Ctrl-C ends it.")
            stop.wait()


def _listened_at(url: str) -> tuple[str | None, int]:
    """Host and port, 0 for any port that is free. Raises ConfigError for what is no address."""
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port or 0
    except ValueError as error:
        message = f"--into {url} is no address: {str(error).lower()}"
        raise ConfigError(message, hint="write http://127.0.0.1:8099") from None


@contextmanager
def _listening(server: ApiServer) -> Iterator[ApiServer]:
    try:
        server.start()
    except OSError as error:
        message = f"cannot listen at {server.url}: {error.strerror}"
        raise ConfigError(message, hint="name another port") from None
    try:
        yield server
    finally:
        server.stop()
