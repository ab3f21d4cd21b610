"""Catchment: one project, from every source to tested gold tables.

From Python: `catchment.open("shop").table("silver.transactions").df()`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catchment.opened import OpenProject

__version__ = "0.5.0"
__all__ = ["__version__", "open"]


def open(folder: str | Path = ".", target: str | None = None) -> OpenProject:
    """Open the project in `folder` or above it; reads no table and holds no lock."""
    from catchment.opened import open_project

    return open_project(folder, target)
