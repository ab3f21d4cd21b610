"""A site into its folder: pages that are no longer made go, files of others stay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.errors import ConfigError

if TYPE_CHECKING:
    from catchment.project import Project

# Where a site lies in its project, unless somebody says otherwise.
_FOLDER = "site"

# Names what an earlier build wrote, so that only that is ever removed.
_MARK = ".catchment-site"


@dataclass(frozen=True)
class Site:
    """A site that was written. `absent` says which facts are not in it, and why."""

    folder: Path
    pages: int
    tables: int
    columns: int
    bytes: int
    absent: Sequence[str] = ()

    @property
    def index(self) -> Path:
        """The page to open first."""
        return self.folder / "index.html"


def site_folder(project: Path, target: str | None) -> Path:
    """`site/` beside catchment.yaml; `site-alice/` for environment `alice`, which does not write over the team's."""
    environment = (target or "").partition("@")[2]
    return project / (f"{_FOLDER}-{environment}" if environment else _FOLDER)


def build_site(project: Project, target: str | None, to: Path | None = None, *, now: datetime | None = None) -> Site:
    """Write the site of a project into a folder, by default `site_folder`.

    Facts are gathered first, so that a project that cannot be read leaves the folder as it is. Raises ConfigError for
    a folder with other things in it, and for a target that is not there.
    """
    from catchment.site.gathering import gather
    from catchment.site.pages import pages

    folder = site_folder(project.folder, target) if to is None else to
    earlier = _earlier(folder)
    facts = gather(project, target, now=now)
    files = dict(pages(facts))
    _write(folder, files, earlier)
    return Site(
        folder=folder,
        pages=sum(name.endswith(".html") for name in files),
        tables=sum(table.kind not in ("origin", "exposure") for table in facts.tables.values()),
        columns=sum(len(table.columns) for table in facts.tables.values()),
        bytes=sum(len(content) for content in files.values()),
        absent=facts.absent,
    )


def _earlier(folder: Path) -> list[str]:
    """What an earlier build wrote there. Raises ConfigError where the folder is somebody else's."""
    mark = folder / _MARK
    if folder.exists() and not folder.is_dir():
        message = f"{folder} is a file"
        raise ConfigError(message, hint="name a folder: catchment docs build --to DIR")
    if not mark.exists():
        if folder.exists() and any(folder.iterdir()):
            message = f"{folder} is not empty, and no site was built there before"
            raise ConfigError(message, hint="name another folder: catchment docs build --to DIR")
        return []
    try:
        found: Any = json.loads(mark.read_text(encoding="utf-8"))
    except ValueError:
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def _write(folder: Path, files: Mapping[str, bytes], earlier: Iterable[str]) -> None:
    """The mark first: whatever a killed build leaves is known to be ours."""
    folder.mkdir(parents=True, exist_ok=True)
    stale = sorted(set(earlier) - set(files))
    (folder / _MARK).write_text(json.dumps(sorted({*files, *stale}), indent=0) + "\n", encoding="utf-8")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
    for name in stale:
        path = folder / name
        if path.resolve().is_relative_to(folder.resolve()):
            path.unlink(missing_ok=True)
    for below in {(folder / name).parent for name in stale} - {folder}:
        if below.is_dir() and not any(below.iterdir()):
            below.rmdir()
    (folder / _MARK).write_text(json.dumps(sorted(files), indent=0) + "\n", encoding="utf-8")
