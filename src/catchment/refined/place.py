"""How far a publication has come with its table: what rides in the transactions that write its messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from catchment.naming import literal

# Rows are published in this order. The last one tells rows of one origin apart.
ORDER = ("_judged", "_load", "_row", "_shard", "_stream", "_part")

_CLAIMED = "claimed"


@dataclass(frozen=True)
class Place:
    """The rows of silver's commits up to `sent` are published, and those of later ones up to the row `part`, which is
    None between two commits.

    So much was known of the table then: its `generation`, in `version`, made `at` an instant, with `rows` that it
    shows, under a `definition`. `order` is what somebody asked for by hand.

    Rows that have gone from the table are told before new ones come: those up to the row `gone`, of all that went
    between `version` and the version `until`. Commits up to `passed` may have rows that were passed over by hand and
    are in no message. `messages` were written under this name, None where nobody has counted, into the topic that
    `topic` tells from others of its name, as far as its broker knows them apart.
    """

    sent: int
    part: tuple[Any, ...] | None = None
    generation: int = 0
    version: int = 0
    at: str = ""
    rows: int = 0
    definition: str | None = None
    order: str | None = None
    gone: tuple[Any, ...] | None = None
    until: int | None = None
    passed: int = 0
    messages: int | None = None
    topic: str | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any] | None) -> Place | None:
        """What a publication's progress says; None where it has not begun."""
        if told is None or told.get(_CLAIMED):
            return None
        known = {name: value for name, value in told.items() if name in cls.__dataclass_fields__}
        places = {name: tuple(known[name]) for name in ("part", "gone") if known.get(name) is not None}
        return cls(**{**known, **places})

    def progress(self) -> dict[str, Any]:
        """As a publication keeps it."""
        told = asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    def is_at(self, generation: int) -> bool:
        """Whether all rows of that commit, and none of a later one, are published."""
        return self.part is None and self.sent == generation

    @property
    def least(self) -> int:
        """The first commit of which rows may be left to publish."""
        return self.sent + 1 if self.part is None else max(self.sent + 1, int(self.part[0]))

    def follows(self) -> str:
        """An SQL condition on the rows that come after it."""
        if self.part is None:
            return f"_judged > {self.sent:d}"
        return f"{_ordered()} > {_row(self.part)} AND _judged > {self.sent:d}"

    def precedes(self) -> str:
        """An SQL condition on the rows that are published."""
        if self.part is None:
            return f"_judged <= {self.sent:d}"
        return f"({_ordered()} <= {_row(self.part)} OR _judged <= {self.sent:d})"

    def not_told(self) -> str:
        """An SQL condition on the rows that went and were not told yet."""
        return "TRUE" if self.gone is None else f"{_ordered()} > {_row(self.gone)}"


def claim(topic: str | None) -> dict[str, Any]:
    """The progress of a publication that is about to begin in a topic."""
    return {"sent": 0, "topic": topic, _CLAIMED: True}


def _ordered() -> str:
    return f"({', '.join(ORDER)})"


def _row(part: tuple[Any, ...]) -> str:
    judged, load, row, shard, stream, rest = part
    return f"({judged:d}, {load:d}, {row:d}, {shard:d}, {literal(stream)}, {literal(rest)})"
