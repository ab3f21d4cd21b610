"""What came of a case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """A row that is there, with other values: `columns` are (expected, found), as text."""

    key: Mapping[str, str | None]
    columns: Mapping[str, tuple[str | None, str | None]]


@dataclass(frozen=True)
class Trial:
    """What came of a case. `problem` says why it could not be compared; all else is as text."""

    case: str
    rows: int = 0
    rejected: int = 0
    seconds: float = 0.0
    problem: str | None = None
    hint: str | None = None
    missing: Sequence[Mapping[str, str | None]] = ()
    unexpected: Sequence[Mapping[str, str | None]] = ()
    different: Sequence[Difference] = ()
    rejects: Sequence[str] = ()  # how what was rejected differs from rejects.csv
    reasons: Sequence[str] = ()  # what was rejected, where nobody said what should be

    @property
    def passed(self) -> bool:
        return self.problem is None and not (self.missing or self.unexpected or self.different or self.rejects)


def paired(
    missing: Sequence[Mapping[str, str | None]], unexpected: Sequence[Mapping[str, str | None]], key: Sequence[str]
) -> list[Difference]:
    """Rows of one key that differ in something else."""

    def by_key(rows: Sequence[Mapping[str, str | None]]) -> dict[tuple[str | None, ...], Mapping[str, str | None]]:
        found: dict[tuple[str | None, ...], list[Mapping[str, str | None]]] = {}
        for row in rows:
            found.setdefault(tuple(row[name] for name in key), []).append(row)
        return {values: same[0] for values, same in found.items() if len(same) == 1}

    wanted, made = by_key(missing), by_key(unexpected)
    return [
        Difference(
            key=dict(zip(key, values, strict=True)),
            columns={name: (row[name], made[values][name]) for name in row if row[name] != made[values][name]},
        )
        for values, row in wanted.items()
        if values in made
    ]
