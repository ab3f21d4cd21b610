"""What `catchment init` writes: whole projects to start from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from catchment.errors import ConfigError
from catchment.naming import did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

# Builders of packages leave out what a nested .gitignore names, so it travels under a name without the dot.
_RENAMED = {"gitignore": ".gitignore"}
_NAMES = ("blank", "shop", "sales")
# Folders that a template fills with data, always the same.
_FILLED = {"blank": (), "shop": ("data",), "sales": ("data", "inbox")}
_PROJECT_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def template_names() -> tuple[str, ...]:
    """Every template, the plainest first."""
    return _NAMES


def write_template(name: str, folder: Path, *, project_name: str) -> list[Path]:
    """Write the template into `folder`, made where it is absent, and give every file written, project files first.

    `shop` brings 30 days of data along and `sales` ten months, always the same. Nothing is written where one of the
    files is in the way: ConfigError names them. Raises ConfigError for a template that does not exist too.
    """
    if name not in _NAMES:
        hint = did_you_mean(name, _NAMES) or f"there are {', '.join(_NAMES)}"
        message = f"no template `{name}`"
        raise ConfigError(message, hint=hint)
    if not _PROJECT_NAME.fullmatch(project_name):
        message = f"`{project_name}` cannot be a project's name"
        raise ConfigError(message, hint="take letters, digits, - and _, a letter first")
    contents = dict(_contents(name, project_name))
    _refuse_to_overwrite(folder, [*contents, *_FILLED[name]])
    for path, content in contents.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return [folder / path for path in (*contents, *_data(name, folder))]


def _contents(name: str, project_name: str) -> Iterator[tuple[str, bytes]]:
    """Paths relative to the project, and what stands there; `catchment.yaml` first, for it is where people begin."""
    found = sorted(_walk(files(__name__) / name, ""), key=lambda item: (item[0] != "catchment.yaml", item[0]))
    for path, file in found:
        content = file.read_bytes()
        if path == "catchment.yaml":
            content = content.replace(f"\nname: {name}\n".encode(), f"\nname: {project_name}\n".encode(), 1)
        elif path == "README.md":
            content = content.replace(f"# {name}\n".encode(), f"# {project_name}\n".encode(), 1)
        yield path, content


def _walk(folder: Traversable, path: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.name == "__pycache__":
            continue
        below = path + _RENAMED.get(entry.name, entry.name)
        if entry.is_dir():
            yield from _walk(entry, f"{below}/")
        else:
            yield below, entry


def _refuse_to_overwrite(folder: Path, paths: list[str]) -> None:
    present = [path for path in paths if (folder / path).exists()]
    if present:
        shown = ", ".join(present[:5]) + (f" and {len(present) - 5} more" if len(present) > 5 else "")
        message = f"nothing was written: {shown} in {folder} would be overwritten"
        raise ConfigError(message, hint="choose a new folder, or move these away")


def _data(name: str, folder: Path) -> list[str]:
    if not _FILLED[name]:
        return []
    from catchment.generate import generate_sales, generate_shop

    generated = generate_shop(folder) if name == "shop" else generate_sales(folder)
    return [file.path for file in generated.files]
