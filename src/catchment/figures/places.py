"""Where the targets of a project keep live figures: a store is of one target."""

from __future__ import annotations

import urllib.parse
from collections.abc import Sequence

from catchment.errors import ConfigError
from catchment.naming import LIVE
from catchment.project import Project
from catchment.reading.declaration import ClickHouseStore
from catchment.settings import references, resolve

_PORTS = {"http": 8123, "https": 8443}


def shared(project: Project) -> Sequence[tuple[str, str]]:
    """(target, one before it) of those that name the same store; asks nobody. An address whose references cannot be
    resolved on this machine is the same where its text is."""
    first, found = dict[str, str](), list[tuple[str, str]]()
    for name, target in project.targets.items():
        if isinstance(target.live, ClickHouseStore):
            other = first.setdefault(_place(project, target.live.url, name), name)
            if other != name:
                found.append((name, other))
    return found


def _place(project: Project, url: str, target: str) -> str:
    """What is equal for addresses of one database, whoever logs in."""
    if any(reference.kind not in ("env", "file") for reference in references(url)):
        return url
    try:
        parts = urllib.parse.urlsplit(resolve(url, project.folder, place=f"targets.{target}.live.url"))
        port = parts.port or _PORTS.get(parts.scheme)
    except (ConfigError, ValueError):
        return url
    return f"{parts.hostname}:{port}/{parts.path.strip('/') or LIVE}"
