"""Whether the silver tables that gold was built over are as fresh as promised: told, and never a reason to stop.

The promise is the contract's. What dbt calls source freshness (`warn_after`, `error_after` in a user's YAML) is held to
the same rule, so that `dbt source freshness` is not needed; its error is a warning here, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from catchment.errors import ConfigError
from catchment.events import CheckFailed, Noticed
from catchment.gold.sources import silver_behind
from catchment.naming import TableName, quoted, silver_table

if TYPE_CHECKING:
    from catchment.gold.compiled import Manifest
    from catchment.gold.dbt import Dbt
    from catchment.gold.pinned import Pinned
    from catchment.interfaces import Tell, Warehouse

RULE = "freshness"


@dataclass(frozen=True)
class Promise:
    """The newest `at` (SQL) of the table's rows that fulfil `where` is at most so many seconds old; `file` says so."""

    table: TableName
    at: str
    seconds: int
    file: str
    where: str | None = None
    column: str | None = None

    @property
    def newest(self) -> str:
        rows = f"{self.table.layer}.{quoted(self.table.name)}"
        where = "" if self.where is None else f" WHERE {self.where}"
        return f"SELECT CAST(max({self.at}) AS TIMESTAMP WITH TIME ZONE) FROM {rows}{where}"


@dataclass(frozen=True)
class Looking:
    """One look at the tables of a build, as of `now` (UTC)."""

    warehouse: Warehouse
    tables: Mapping[TableName, Pinned]
    step: str
    tell: Tell
    now: datetime

    def found(self, dbt: Dbt, manifest: Manifest) -> list[dict[str, Any]]:
        """Every promise and the newest row, as JSON values; what is late is told."""
        promises = [*self._of_contracts(), *self._of_dbt(dbt, manifest)]
        return [self._told(promise, newest) for promise, newest in self._newest(promises)]

    def _of_contracts(self) -> Iterator[Promise]:
        for name, pinned in self.tables.items():
            contract = pinned.contract
            if contract is not None and contract.freshness is not None:
                column = contract.freshness.column
                yield Promise(name, quoted(column), contract.freshness.seconds, contract.file, column=column)

    def _of_dbt(self, dbt: Dbt, manifest: Manifest) -> Iterator[Promise]:
        names = [name.name for name in self.tables]
        for source in manifest.sources.values():
            name = silver_behind(dbt, source.source, source.name, source.relation[2], names)
            promised, file = source.freshness, f"{dbt.folder.name}/{source.file}"
            if promised is None or name not in names:
                continue
            if promised.at is None:
                message = (
                    f"{file}: source {source.source}.{source.name} promises freshness and names no loaded_at_field"
                )
                self.tell(Noticed(step=self.step, kind="dbt", message=f"{message}, so nobody looks"))
            else:
                yield Promise(silver_table(name), promised.at, promised.seconds, file, promised.where)

    def _newest(self, promises: Sequence[Promise]) -> Iterable[tuple[Promise, datetime | None]]:
        """All in one query; one by one where one of them, which the user wrote, cannot be asked."""
        try:
            return list(zip(promises, self._asked(promises), strict=True))
        except ConfigError as error:
            if len(promises) > 1:
                return [pair for promise in promises for pair in self._newest([promise])]
            message = f"{promises[0].file}: the freshness of {promises[0].table} cannot be asked: {error.message}"
            self.tell(Noticed(step=self.step, kind="dbt", message=message))
            return []

    def _asked(self, promises: Sequence[Promise]) -> list[datetime | None]:
        if not promises:
            return []
        scans = {promise.table: self.tables[promise.table].scan for promise in promises}
        columns = ", ".join(f"({promise.newest}) AS n{place}" for place, promise in enumerate(promises))
        found = self.warehouse.query(f"SELECT {columns}", scans, gold=False).read_all()
        return [column[0].as_py() for column in found.columns]

    def _told(self, promise: Promise, newest: datetime | None) -> dict[str, Any]:
        late = newest is None or (self.now - newest).total_seconds() > promise.seconds
        if late:
            is_of = "no row" if newest is None else f"newest row of {newest.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            message = f"{promise.table}: {is_of}, {promise.file} allows {promise.seconds / 3600:,.4g} h"
            self.tell(CheckFailed(step=self.step, table=str(promise.table), rule=RULE, message=message))
        return {
            "table": str(promise.table),
            "column": promise.column,
            "file": promise.file,
            "within_s": promise.seconds,
            "newest": None if newest is None else newest.astimezone(UTC).isoformat(timespec="seconds"),
            "is_late": late,
        }
