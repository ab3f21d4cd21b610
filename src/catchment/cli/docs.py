"""`catchment docs`: the project as a web site."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from catchment.cli.invocation import Invocation, examples, json_option, target_option
from catchment.cli.terminal import note, out, out_json
from catchment.observe.words import plural, seconds, size

if TYPE_CHECKING:
    from catchment.site import Site

# So many absent facts are named; the overview and --json have all of them.
_MOST_ABSENT = 5

to_option = click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The site's folder; without it `site` in the project.",
)


@click.group(epilog=examples("catchment docs build", "catchment docs serve"))
def docs() -> None:
    """Make the project's documentation: contracts, tables, columns, tests and lineage as a web site.

    Plain files that work offline and from a disk; put them on any web server, or send them to somebody.
    """


@docs.command(epilog=examples("catchment docs build", "catchment docs build --to /tmp/shop-site"))
@to_option
@target_option
@json_option
@click.pass_obj
def build(invocation: Invocation, to: Path | None, target: str | None, as_json: bool) -> None:
    """Write the site.

    What an earlier build wrote is replaced, and what is no longer in the project goes; a folder with anything else in
    it is refused. Nothing is run: figures are of the last run, test results of the served build of gold.
    """
    made = _build(invocation, to, target)
    if as_json:
        out_json(as_value(made))
        return
    out(str(made.index))


@docs.command(epilog=examples("catchment docs serve", "catchment docs serve --port 8100"))
@click.option("--port", type=click.IntRange(min=1, max=65535), metavar="N", help="By default any that is free.")
@click.option("--no-build", is_flag=True, help="Serve the site as it was built last.")
@to_option
@target_option
@click.pass_obj
def serve(invocation: Invocation, port: int | None, no_build: bool, to: Path | None, target: str | None) -> int:
    """Write the site and show it on this machine, until Ctrl-C.

    Other machines cannot reach it.
    """
    from catchment.site import site_folder
    from catchment.site.serving import address, server

    there = site_folder(invocation.folder(), target) if to is None else to
    folder = there if no_build else _build(invocation, to, target).folder
    with server(folder, port) as serving:
        out(address(serving))
        note("Ctrl-C ends it")
        with _until_told():
            serving.serve_forever()
    note("ended")
    return 0


@contextmanager
def _until_told() -> Iterator[None]:
    """Ctrl-C and SIGTERM end what is inside."""

    def heard(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, heard)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def _build(invocation: Invocation, to: Path | None, target: str | None) -> Site:
    import time

    from catchment.site import build_site

    began = time.monotonic()
    made = build_site(invocation.load(), target, to)
    spent = seconds(time.monotonic() - began)
    what = f"{plural(made.pages, 'page')} on {plural(made.tables, 'table')} and {plural(made.columns, 'column')}"
    note(f"Built the site in {made.folder}: {what}, {size(made.bytes)}, in {spent}.")
    for words in made.absent[:_MOST_ABSENT]:
        note(f"  not in it: {words}")
    if len(made.absent) > _MOST_ABSENT:
        note(f"  and {len(made.absent) - _MOST_ABSENT} more; its first page has all of them")
    return made


def as_value(made: Site) -> dict[str, Any]:
    """`docs build --json`."""
    return {
        "folder": str(made.folder),
        "index": str(made.index),
        "pages": made.pages,
        "tables": made.tables,
        "columns": made.columns,
        "bytes": made.bytes,
        "absent": list(made.absent),
    }
