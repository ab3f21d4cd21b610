"""The folder that `catchment init` makes a project in: what is refused, how it is named, how one gets there."""

from __future__ import annotations

import shlex
from pathlib import Path

from catchment.errors import ConfigError


def shown(folder: Path) -> str:
    return folder.absolute().name if str(folder) == "." else str(folder)


def go(folder: Path) -> str:
    return "" if folder.absolute() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "


def refuse_project(folder: Path) -> None:
    """Raises ConfigError where the folder holds a project already."""
    from catchment.reading.declaration import FILE

    if (folder / FILE).exists():
        message = f"nothing was written: {folder / FILE} is there already"
        raise ConfigError(message, hint="choose a new folder: catchment init --from … FOLDER")
