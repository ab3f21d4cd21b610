"""How good every load of the silver tables was, and what about it was unusual."""

from __future__ import annotations

from collections.abc import Sequence

from catchment import naming
from catchment.answers import QualityOfLoad, QualityOfTable
from catchment.connected import Connected
from catchment.contract import Contract, Usual
from catchment.errors import CatchmentError, in_short
from catchment.inspect import silver_name
from catchment.project import Project
from catchment.silver.quality import Load
from catchment.silver.quality import loads as kept_loads
from catchment.silver.usual import compared


def quality(
    project: Project, target: str | None, table: str | None = None, loads: int = 30
) -> Sequence[QualityOfTable]:
    """The last `loads` loads of one silver table or of all that are there, each against those before it.

    Loads that an older version of Catchment made have no figures. An environment has those of the target's tables that
    it has not made. Figures that are damaged are a `problem` of their table alone. Raises ConfigError for a table that
    the project does not have.
    """
    names = list(project.silver) if table is None else [silver_name(project, table).name]
    connected = Connected.of(project, target)
    found = (_of_table(connected, name, loads) for name in names)
    return tuple(one for one in found if one is not None)


def _of_table(connected: Connected, name: str, limit: int) -> QualityOfTable | None:
    full = naming.silver_table(name)
    lake = connected.reads
    glance = lake.glance(full)
    if glance is None:
        return None
    usual = _usual(connected.project.contracts[name])
    try:
        kept = kept_loads(lake, full, glance.progress, least=limit + usual.loads)
    except (CatchmentError, OSError) as error:
        return QualityOfTable(str(full), problem=in_short(error, str(full)))
    first = max(0, len(kept) - limit)
    return QualityOfTable(str(full), tuple(_of_load(kept, place, usual) for place in range(first, len(kept))))


def _usual(contract: Contract) -> Usual:
    """How the contract compares loads, all figures of them."""
    told = next((rule.usual for rule in contract.set_rules if rule.usual is not None), Usual())
    return Usual(told.loads, told.deviations)


def _of_load(kept: Sequence[Load], place: int, usual: Usual) -> QualityOfLoad:
    load = kept[place]
    found = compared(load, kept[:place], usual)
    return QualityOfLoad(
        load=load.load,
        at=load.at,
        score=load.figures.get(("score", None)),
        rows=int(load.figures["rows", None]),
        rejected=int(load.figures["rejected", None]),
        measures=tuple(one.figure for one in found),
        unusual=tuple(one.words for one in found if one.words is not None),
    )
