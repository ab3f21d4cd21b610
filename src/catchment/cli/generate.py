"""`catchment generate`: the shop of template `shop` in a database, or behind an API."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from catchment.cli.invocation import examples, json_option
from catchment.cli.signals import stoppable
from catchment.cli.terminal import note, out, out_json
from catchment.errors import ConfigError
from catchment.observe.words import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from catchment.generate.server import ApiServer

_LOCAL = ("127.0.0.1", "localhost")


@click.command(
    epilog=examples(
        'catchment generate --into "$SHOP_DB_URL"',
        "catchment generate --into mongodb://127.0.0.1:27017/shop",
        "catchment generate --into redis://127.0.0.1:6379/0",
        "catchment generate --into http://127.0.0.1:8099",
    )
)
@click.option(
    "--into",
    "url",
    required=True,
    metavar="URL",
    help="postgresql://… gets users, products and transactions, mongodb://… the catalogue, redis://… live sessions;"
    " http://127.0.0.1:PORT serves reviews (GraphQL), exchange rates and shipments (REST) until Ctrl-C. Also a"
    " reference such as '${env:SHOP_DB_URL}'.",
)
@click.option("--days", type=click.IntRange(min=1), default=30, show_default=True, help="So many days of the shop.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another number is another shop.")
@click.option("--again", is_flag=True, help="Also where rows are already: newer ones win, the others stay.")
@json_option
def generate(url: str, days: int, seed: int, again: bool, as_json: bool) -> None:
    """Put the online shop of template `shop` into a database, or serve it as an API.

    The same days and seed are the same shop, without --days and --seed the one in data/ of the template. So its target
    `services` gives the same silver tables as its files do.
    """
    from catchment import settings

    given = settings.resolve(url, Path.cwd(), place="--into")
    if given.startswith("http://"):
        _serve(given, days, seed, as_json=as_json)
    else:
        _load(url, days, seed, again=again, as_json=as_json)


def _load(url: str, days: int, seed: int, *, again: bool, as_json: bool) -> None:
    from catchment import outside, registry
    from catchment.generate.shop import make_shop

    place = outside.address(url, Path.cwd())
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


def _serve(url: str, days: int, seed: int, *, as_json: bool) -> None:
    """Until somebody asks to stop. Nobody else can reach it: it is for trying things out."""
    from catchment.generate.faces import shop_server
    from catchment.generate.shop import generate_shop

    parts = urlsplit(url)
    if parts.hostname not in _LOCAL or parts.path.strip("/"):
        message = f"the shop's API is served on this machine only, not at {url}"
        raise ConfigError(message, hint="write http://127.0.0.1:8099")
    with tempfile.TemporaryDirectory(prefix="catchment-shop-") as folder, stoppable("stopping") as stop:
        note(f"Making {plural(days, 'day')} of the shop …")
        generate_shop(Path(folder), days=days, seed=seed)
        with _listening(shop_server(Path(folder), seed=seed, port=parts.port or 0)) as server:
            if as_json:
                out_json({"url": server.url, "days": days, "seed": seed})
            else:
                out(f"Serving the shop at {server.url}: /graphql (reviews), /v1/rates, /v1/shipments. Ctrl-C ends it.")
            stop.wait()


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
