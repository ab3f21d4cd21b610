"""One case in a project of its own, thrown away afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment import naming
from catchment.connected import Connected
from catchment.contract import Column, Contract
from catchment.errors import DataError
from catchment.events import Event, StepFinished
from catchment.inspect import quarantine_rows, query
from catchment.interfaces import Listener
from catchment.plan import plan
from catchment.project import Project
from catchment.reading.declaration import SilverTable, Target
from catchment.reading.kinds.files import FilesSource, FileStream
from catchment.run import run
from catchment.trial.cases import EXPECT, Case
from catchment.trial.outcome import Trial, paired
from catchment.trial.rejects import reasons_of, unlike
from catchment.trial.written import as_values, columns_of, comparable, compared_contract, text

if TYPE_CHECKING:
    import pyarrow as pa

# Names that no project can have: theirs hold no double underscore.
_SOURCE, _EXPECTED = "test__", "expected__"

_MOST_DIFFERENCES = 1000
_MOST_REJECTS = 10_000


@dataclass
class _Failures(Listener):
    """Why steps failed."""

    found: list[StepFinished] = field(default_factory=list)

    def on(self, event: Event) -> None:
        if isinstance(event, StepFinished) and event.outcome == "failed":
            self.found.append(event)


class Bench:
    """A case in a project of its own: the table as it is declared, all else from the case's files."""

    def __init__(self, project: Project, case: Case, folder: Path) -> None:
        self._case = case
        self._folder = folder
        self._declared = project.silver[case.table]
        self._contract = project.contracts[case.table]
        self._expected = None if case.expect is None else text(case.expect)
        self._project = self._made(project)

    def tried(self) -> Trial:
        """Every turn through the real steps, then what came of them beside what should."""
        for turn in sorted({given.turn for given in self._case.given}):
            for given in self._case.given:
                if given.turn == turn:
                    place = self._folder / "given" / given.stream
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(given.path, place / f"{turn:06}.{given.form}")
            self._run()
        self._refuse_unreadable()
        rejected = quarantine_rows(self._project, None, self._case.table, _MOST_REJECTS)
        wrong: Sequence[str] = ()
        if self._case.rejects is not None:
            wrong = unlike(self._contract, text(self._case.rejects), rejected)
        told = Trial(str(self._case), rows=self._count(), rejected=len(rejected), rejects=wrong)
        if self._case.rejects is None:
            told = replace(told, reasons=[reason for row in rejected for reason in reasons_of(row)])
        return told if self._expected is None else self._compared(told, self._expected)

    def _run(self) -> None:
        failures = _Failures()
        run(self._project, None, plan(self._project), listeners=[failures])
        if failures.found:
            first = failures.found[0]
            raise DataError(first.cause or f"{first.name} failed", hint=first.hint)

    def _made(self, project: Project) -> Project:
        """A project as a value; only the refine function's file is the user's own."""
        case, declared = self._case, self._declared
        others = project.looks_at(case.table)
        streams = {name: _parquet(name) for name in others}
        contracts = {name: as_values(project.contracts[name]) for name in others}
        refine = None if declared.refine is None else str((project.folder / declared.refine).absolute())
        silver = {name: _looked_up(project.silver[name], name, contracts[name]) for name in others}
        # A test has no tomorrow on which the row that is referred to could come.
        silver[case.table] = declared.model_copy(update={"refine": refine, "wait": "0 seconds"})
        contracts[case.table] = replace(
            self._contract,
            # What holds for a whole load says nothing about a handful of rows.
            set_rules=(),
            references=tuple(r for r in self._contract.references if r.table in (case.table, *case.lookups)),
        )
        for name, path in case.lookups.items():
            self._write(name, columns_of(text(path), contracts[name], path, whole=True))
        if self._expected is not None and case.expect is not None:
            contract = compared_contract(self._contract, self._expected, case.expect, declared.mode)
            streams[_EXPECTED] = _parquet(_EXPECTED)
            contracts[_EXPECTED] = contract
            silver[_EXPECTED] = SilverTable.model_validate({"from": f"{_SOURCE}.{_EXPECTED}"})
            self._write(_EXPECTED, columns_of(self._expected, contract, case.expect))
        return Project(
            name="test",
            folder=self._folder,
            sources={
                **self._given_sources(project),
                **({_SOURCE: FilesSource(type="files", streams=streams)} if streams else {}),
            },
            silver=silver,
            gold=None,
            targets={"local": Target(default=True)},
            contracts=contracts,
        )

    def _given_sources(self, project: Project) -> dict[str, FilesSource]:
        forms = {given.stream: given.form for given in reversed(self._case.given)}
        found: dict[str, dict[str, FileStream]] = {}
        for name in self._declared.streams:
            source, _, stream = name.partition(".")
            form = forms.get(name, "csv")
            keys: dict[str, Any] = {"path": f"given/{name}/*.{form}", "format": form, "full": project.is_full(name)}
            found.setdefault(source, {})[stream] = FileStream.model_validate(keys)
        return {source: FilesSource(type="files", streams=streams) for source, streams in found.items()}

    def _write(self, name: str, rows: pa.Table) -> None:
        import pyarrow.parquet as pq

        place = self._folder / "written" / name
        place.mkdir(parents=True)
        pq.write_table(rows, place / "rows.parquet")

    def _refuse_unreadable(self) -> None:
        """Values of the user's own files that are not of their column's type."""
        for name in self._project.silver:
            if name == self._case.table:
                continue
            rejected = quarantine_rows(self._project, None, name, 1)
            if rejected:
                file = EXPECT if name == _EXPECTED else f"{name}.csv"
                message = f"{file}, {reasons_of(rejected[0])[0]}"
                raise DataError(message, hint="write values as silver has them: 2026-11-01T08:30:00Z, 39.90, true")

    def _count(self) -> int:
        if not self._is_there(self._case.table):
            return 0
        counted = query(self._project, None, f"SELECT count(*) AS n FROM {_sql_name(self._case.table)}")
        return int(counted.read_all().column("n")[0].as_py())

    def _is_there(self, table: str) -> bool:
        return Connected.of(self._project).lake.open(naming.silver_table(table)) is not None

    def _compared(self, told: Trial, expected: pa.Table) -> Trial:
        columns = self._project.contracts[_EXPECTED].columns
        sides = {_EXPECTED: self._side(_EXPECTED, columns), self._case.table: self._side(self._case.table, columns)}
        missing = self._only_in(sides[_EXPECTED], sides[self._case.table])
        unexpected = self._only_in(sides[self._case.table], sides[_EXPECTED])
        key = list(self._contract.key)
        if self._declared.mode == "history":
            key.append("valid_from")
        if not key or not set(key) <= {column.name for column in columns}:
            return replace(told, missing=missing, unexpected=unexpected)
        different = paired(missing, unexpected, key)
        known = {tuple(one.key.values()) for one in different}
        missing, unexpected = (
            [row for row in rows if tuple(row[name] for name in key) not in known] for rows in (missing, unexpected)
        )
        return replace(told, missing=missing, unexpected=unexpected, different=different)

    def _side(self, table: str, columns: Sequence[Column]) -> str:
        """The rows of a table with every value as the text by which it is compared."""
        if not self._is_there(table):
            nothing = ", ".join(f"CAST(NULL AS VARCHAR) AS {naming.quoted(column.name)}" for column in columns)
            return f"SELECT {nothing} WHERE false"
        items = ", ".join(
            f"{comparable(column, table == self._case.table)} AS {naming.quoted(column.name)}" for column in columns
        )
        return f"SELECT {items} FROM {_sql_name(table)}"

    def _only_in(self, these: str, those: str) -> list[dict[str, str | None]]:
        sql = f"SELECT * FROM ({these} EXCEPT ALL {those}) ORDER BY ALL LIMIT {_MOST_DIFFERENCES}"
        found: list[dict[str, str | None]] = query(self._project, None, sql).read_all().to_pylist()
        return found


def _sql_name(table: str) -> str:
    return f"silver.{naming.quoted(table)}"


def _parquet(name: str) -> FileStream:
    return FileStream.model_validate({"path": f"written/{name}/*.parquet", "format": "parquet"})


def _looked_up(declared: SilverTable, name: str, contract: Contract) -> SilverTable:
    """A table that is looked things up in, made of rows that are already silver's."""
    keys: dict[str, Any] = {"from": f"{_SOURCE}.{name}", "mode": "merge" if contract.key else "append"}
    if declared.mode == "history":
        keys.update(mode="history", latest_by=declared.latest_by)
    return SilverTable.model_validate(keys)
