"""Cases as they lie in `tests/`: what arrives, what is looked up, what is expected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from catchment import naming
from catchment.errors import ConfigError
from catchment.project import Project

FOLDER = "tests"
EXPECT, REJECTS = "expect.csv", "rejects.csv"

_GIVEN = re.compile(r"given(?:\.(?P<stream>\w+\.\w*[A-Za-z_]\w*))?(?:\.(?P<turn>[0-9]+))?\.(?P<form>csv|jsonl|parquet)")


@dataclass(frozen=True)
class Given:
    """One file of arriving rows; files of a lower `turn` are landed and refined before those of a higher one."""

    stream: str
    turn: int
    form: str
    path: Path


@dataclass(frozen=True)
class Case:
    """One folder with what arrives and what shall come of it; `name` is None where it is the table's own."""

    table: str
    name: str | None
    folder: Path
    given: Sequence[Given]
    lookups: Mapping[str, Path]
    expect: Path | None
    rejects: Path | None

    def __str__(self) -> str:
        return self.table if self.name is None else f"{self.table}/{self.name}"


def cases(project: Project, tables: Sequence[str] = ()) -> list[Case]:
    """The cases in `tests/`, by table and name. Raises ConfigError for one that cannot be read, or where none is."""
    wanted = [name.removeprefix("silver.") for name in tables]
    for name in wanted:
        _known(name, project, f"no table silver.{name} in this project")
    found = []
    for folder in sorted(path for path in (project.folder / FOLDER).glob("*/") if path.name in wanted or not wanted):
        places = [place for place in (folder, *sorted(folder.glob("*/"))) if _is_case(place)]
        if places:
            _known(folder.name, project, f"{FOLDER}/{folder.name} tests no silver table of this project")
        found += [_case(project, folder.name, place, None if place == folder else place.name) for place in places]
    if not found:
        where = f"{FOLDER}/{wanted[0] if wanted else '<table>'}"
        message = f"no test in {where}"
        cure = f"write what arrives into {where}/given.csv, and the rows that shall come of it into {where}/{EXPECT}"
        raise ConfigError(message, hint=cure)
    return found


def _known(name: str, project: Project, message: str) -> None:
    if name not in project.silver:
        cure = naming.did_you_mean(name, project.silver) or f"there are {', '.join(project.silver) or 'none'}"
        raise ConfigError(message, hint=cure)


def _is_case(folder: Path) -> bool:
    return any(folder.glob("given*.*")) or (folder / EXPECT).exists()


def _case(project: Project, table: str, folder: Path, name: str | None) -> Case:
    given, lookups = [], {}
    known = project.looks_at(table)
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        found = _GIVEN.fullmatch(path.name)
        if found is not None:
            given.append(_given(project, table, path, found))
        elif path.suffix == ".csv" and path.stem in known:
            lookups[path.stem] = path
        elif path.suffix == ".csv" and path.name not in (EXPECT, REJECTS):
            message = f"{path.relative_to(project.folder)}: silver.{table} looks nothing up in `{path.stem}`"
            names = ["given.csv", EXPECT, REJECTS, *(f"{other}.csv" for other in known)]
            raise ConfigError(message, hint=naming.did_you_mean(path.name, names) or f"there may be {', '.join(names)}")
    expect, rejects = folder / EXPECT, folder / REJECTS
    absent = "given.csv" if not given else EXPECT if not expect.exists() and not rejects.exists() else None
    if absent is not None:
        message = f"{folder.relative_to(project.folder)} has no {absent}"
        raise ConfigError(message, hint="a test is what arrives (given.csv) and what shall come of it (expect.csv)")
    return Case(
        table=table,
        name=name,
        folder=folder,
        given=sorted(given, key=lambda one: (one.turn, one.stream)),
        lookups=lookups,
        expect=expect if expect.exists() else None,
        rejects=rejects if rejects.exists() else None,
    )


def _given(project: Project, table: str, path: Path, found: re.Match[str]) -> Given:
    streams = project.silver[table].streams
    stream = found["stream"] or (streams[0] if len(streams) == 1 else "")
    if stream not in streams:
        message = f"{path.relative_to(project.folder)}: silver.{table} has no stream `{stream}`"
        if not stream:
            message = f"{path.relative_to(project.folder)} does not say of which stream its rows are"
        raise ConfigError(message, hint=f"call it {' or '.join(f'given.{name}{path.suffix}' for name in streams)}")
    return Given(stream=stream, turn=int(found["turn"] or 1), form=found["form"], path=path)
