"""One lake over another: an environment writes its own tables and reads what it has not made from its base.

Bronze is always the base's: an environment lands nothing. What is asked for with `falls_back` may come from the base as
well; without it, silver and quarantine are the environment's own or not there, so that nothing of the base is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from catchment.errors import ConfigError
from catchment.interfaces import Lake, Table, Upkeep
from catchment.naming import TableName
from catchment.records import Glance, Leftover, Progress

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class LayeredLake(Lake):
    """`own` over `base`; `name` is the environment's."""

    own: Lake
    base: Lake
    name: str
    falls_back: bool = False

    def falling_back(self) -> LayeredLake:
        """The same for reading: what is not its own is the base's."""
        return replace(self, falls_back=True)

    def _of(self, name: TableName) -> Lake:
        """The lake that a table is to be looked for in."""
        if name.layer == "bronze":
            return self.base
        if self.falls_back and self.own.open(TableName("silver", name.name)) is None:
            return self.base
        return self.own

    def open(self, name: TableName, at: int | datetime | None = None) -> Table | None:
        return self._of(name).open(name, at)

    def glance(self, name: TableName) -> Glance | None:
        return self._of(name).glance(name)

    def seen(self, name: TableName, progress: Progress) -> pa.Table | None:
        return self._of(name).seen(name, progress)

    def seen_files(self, name: TableName, progress: Progress) -> Sequence[str]:
        return self._of(name).seen_files(name, progress)

    def create(self, name: TableName, schema: pa.Schema) -> Table:
        self._refuse_bronze(name)
        return self.own.create(name, schema)

    def list(self, layer: str | None = None) -> Sequence[TableName]:
        own = [name for name in self.own.list(layer) if name.layer != "bronze"]
        others = [name for name in self.base.list(layer) if name.layer == "bronze" or self.falls_back]
        made = {name.name for name in own if name.layer == "silver"}
        rest = [name for name in others if name.layer == "bronze" or name.name not in made]
        order = ("bronze", "silver", "quarantine")
        return sorted({*own, *rest}, key=lambda name: (order.index(name.layer), name.name))

    def upkeep(self, name: TableName) -> Upkeep | None:
        return None if name.layer == "bronze" else self.own.upkeep(name)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with self.own.at_work(), self.base.at_work():
            yield

    def at_work_since(self) -> datetime | None:
        found = [at for at in (self.own.at_work_since(), self.base.at_work_since()) if at is not None]
        return min(found, default=None)

    def definitions(self) -> Sequence[Leftover]:
        return self.own.definitions()

    def forget_definitions(self, found: Sequence[Leftover], since: datetime) -> int:
        return self.own.forget_definitions(found, since)

    def keep_definition(self, fingerprint: str, definition: Mapping[str, Any]) -> None:
        self.own.keep_definition(fingerprint, definition)

    def definition(self, fingerprint: str) -> Mapping[str, Any] | None:
        return self.own.definition(fingerprint) or self.base.definition(fingerprint)

    def _refuse_bronze(self, name: TableName) -> None:
        if name.layer == "bronze":
            message = f"environment {self.name} reads {name} and does not land rows of its own"
            raise ConfigError(message, hint="land without --env, or make a target with a lake of its own")
