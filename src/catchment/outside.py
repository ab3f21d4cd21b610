"""A database that no project reads yet: its address, what is in it, and a project over it that nobody wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from catchment import naming, registry, settings
from catchment.errors import ConfigError
from catchment.project import Project
from catchment.reading.declaration import Target
from catchment.reading.kinds import KINDS
from catchment.records import FoundStream

_HINT = "write an address such as postgresql://user@host/shop or sqlite:///data/legacy.db, or `${env:SHOP_DB_URL}`"
_API = "an API is declared by hand: catchment sources rest and catchment sources graphql show how"


@dataclass(frozen=True)
class Address:
    """Where a database is, the type of source that reads it, and the reference that stands for it in a project.

    `source` is what a source over it may be called. `is_set` says that the reference gives this very address already.
    """

    url: str
    type: str
    reference: str
    source: str
    is_set: bool

    def __repr__(self) -> str:
        return f"<address {self.shown}>"

    @property
    def shown(self) -> str:
        """The address without what may be secret in it: no password, nothing behind a `?`."""
        user, password, rest = _parts(self.url)
        secret = "" if password is None else ":***"
        place, query, _ = rest.partition("?")
        return f"{user}{secret}{place}{'?…' if query else ''}"

    @property
    def is_shown_whole(self) -> bool:
        return self.shown == self.url


def _parts(url: str) -> tuple[str, str | None, str]:
    """`scheme://user`, the password, and all behind it; the sign before the host may stand in a password too."""
    before, sign, rest = url.rpartition("@")
    if not sign:
        return "", None, url
    scheme, _, user = before.partition("://")
    name, colon, password = user.partition(":")
    return f"{scheme}://{name}", password if colon else None, f"@{rest}"


def is_address(text: str) -> bool:
    """Whether a text means a place on a server or a database, rather than files."""
    return "://" in text or settings.has_references(text)


def address(text: str, folder: Path) -> Address:
    """The address that a text is, or refers to; from then on output hides what is secret in it. Raises ConfigError."""
    given = settings.resolve(text, folder, place="--from")
    kind = registry.source_at(given)
    if kind is None:
        message = f"there is no way to find tables at {given.partition('://')[0]}://…"
        is_api = given.startswith(("http://", "https://"))
        raise ConfigError(message, hint=_API if is_api else _HINT)
    url = _absolute(given, folder)
    name = _source_name(url, kind)
    own = re.fullmatch(r"\$\{[^{}]+\}", text) is not None
    reference = text if own else f"${{env:{name.upper()}_URL}}"
    found = Address(url, kind, reference, name, is_set=own and url == given)
    if not found.is_shown_whole:
        settings.hide(url, reference)
    _, password, _ = _parts(url)
    # `postgres:postgres@…/postgres`: to hide such a word would hide half of what is said, and no secret.
    for secret in {password or "", unquote(password or "")}:
        if secret and secret not in found.shown:
            settings.hide(secret, "***")
    return found


def _absolute(url: str, folder: Path) -> str:
    """A file's address from the root on: a project elsewhere would read it from its own folder on."""
    found = re.fullmatch(r"(sqlite(?:\+\w+)?):///([^/?].*)", url)
    return url if found is None else f"{found[1]}:///{(folder / found[2]).absolute()}"


def _source_name(url: str, kind: str) -> str:
    """`shop_db` for a database called shop; a file is called by its stem, one that has a number by its kind."""
    path = url.partition("://")[2].rpartition("@")[2].partition("?")[0].partition("/")[2]
    stem = unquote(path).rstrip("/").rpartition("/")[2].partition(".")[0]
    name = _name(stem)
    if not name:
        return f"{kind}_db"
    return name if name.endswith("db") else f"{name}_db"


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _name(text: str) -> str:
    """The text as a name, or "" where none is left of it."""
    name = _plain(text)
    return name if naming.is_name(name) else ""


def find(place: Address, folder: Path) -> Sequence[FoundStream]:
    """Every table or collection there that may be read, under names that a project can have.

    Raises what `Source.read` may, and MissingExtra.
    """
    finder = registry.implementation("finders", place.type)
    return _named(finder(place.url, folder))


def _named(found: Sequence[FoundStream]) -> Sequence[FoundStream]:
    """Keys of Redis and collections are called as they like, streams are not; no two alike."""
    taken: set[str] = set()
    named = []
    for one in found:
        wanted = _name(one.name) or f"table_{_plain(one.name)}".rstrip("_")
        name, count = wanted, 2
        while name in taken:
            name, count = f"{wanted}_{count}", count + 1
        taken.add(name)
        named.append(replace(one, name=name))
    return named


def names_of(found: FoundStream) -> tuple[str, str]:
    """What it is called there, without quotes, and what its stream is called."""
    told = next((value for value in found.keys.values() if isinstance(value, str)), found.name)
    return told.replace('"', ""), found.name


def project_over(place: Address, found: FoundStream, folder: Path) -> Project:
    """A project of that one stream, which nobody wrote and nothing is written for."""
    keys = {"type": place.type, "url": place.reference, "streams": {found.name: dict(found.keys)}}
    source = KINDS[place.type].model_validate(keys)
    target = Target(default=True)
    named = {place.source: source.model_copy(update={"url": place.url})}
    return Project("outside", folder, named, {}, None, {"local": target}, {})
