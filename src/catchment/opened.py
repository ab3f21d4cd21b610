"""A project from Python: `catchment.open("shop").table("silver.sales").df()`, with no lock held."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.errors import ConfigError, MissingExtra
from catchment.naming import TableName

if TYPE_CHECKING:
    import pyarrow as pa

    from catchment.project import Project


@dataclass(frozen=True, repr=False)
class OpenProject:
    """A project on one target; every call reads what is there at that moment."""

    project: Project
    target: str | None = None

    def table(self, name: str) -> OpenTable:
        """A table by its name (`silver.sales`, `gold.daily_sales`). Raises ConfigError, with the nearest name."""
        known = [str(found) for found in self.tables()]
        if name not in known:
            message = f"no table {name}"
            raise ConfigError(
                message, hint=naming.did_you_mean(name, known) or f"there are {', '.join(known) or 'none yet'}"
            )
        return OpenTable(self, TableName.parse(name))

    def tables(self) -> list[TableName]:
        """Every table of the lake, and every model of the served gold."""
        from catchment.connected import Connected

        connected = Connected.of(self.project, self.target)
        served = connected.warehouse.served() or {}
        return [*connected.lake.list(), *(TableName("gold", model) for model in sorted(served.get("models", ())))]

    def __repr__(self) -> str:
        return f"<project {self.project.name} in {self.project.folder}>"

    def query(self, sql: str) -> pa.RecordBatchReader:
        """Rows of a reading statement, streamed."""
        from catchment.inspect import query

        return query(self.project, self.target, sql)


@dataclass(frozen=True, repr=False)
class OpenTable:
    """One table, read anew at each call."""

    opened: OpenProject
    name: TableName

    def reader(self) -> pa.RecordBatchReader:
        """Rows as Arrow batches: bounded memory."""
        return self.opened.query(f"SELECT * FROM {self.name.layer}.{naming.quoted(self.name.name)}")

    def arrow(self) -> pa.Table:
        """All rows as one Arrow table."""
        return self.reader().read_all()

    def df(self) -> Any:
        """All rows as a pandas data frame. Raises MissingExtra where pandas is not installed."""
        if importlib.util.find_spec("pandas") is None:
            message = "cannot make a data frame: package `pandas` is not installed"
            raise MissingExtra(message, hint="pip install pandas, or use .arrow(), which needs nothing")
        return self.arrow().to_pandas()

    def __repr__(self) -> str:
        return f"<{self.name} of {self.opened.project.name}>"


def open_project(folder: str | Path = ".", target: str | None = None) -> OpenProject:
    """The project in `folder` or above it. Raises ConfigError, ProjectProblems."""
    from catchment.project import find_project, load_project

    project = load_project(find_project(Path(folder)))
    project.target(target)
    return OpenProject(project, target)
