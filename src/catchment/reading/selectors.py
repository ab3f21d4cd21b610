"""Where something stands in a JSON document: `$.data.items[*].id`, a small part of JSONPath."""

from __future__ import annotations

import re
from typing import Literal

# A member by its name, a place in a list (from the end where negative), or every one of a list.
Step = str | int | Literal[True]
Steps = tuple[Step, ...]

EVERY: Literal[True] = True

_STEP = re.compile(
    r"""\.(?P<name>[^.\[\]*'"\s]+) | \[(?P<place>-?[0-9]{1,9})\] | \[(?P<every>\*)\]
        | \['(?P<quoted>[^']+)'\] | \["(?P<double>[^"]+)"\]""",
    re.VERBOSE,
)


def steps(text: str, *, one: bool = False) -> Steps:
    """The steps of a selector; with `one` it must name one place. Raises ValueError(what is wrong, the cure)."""
    if not text.startswith("$"):
        cure = f"write $.{text.lstrip('.')}" if text and "$" not in text else "write it from the top, such as $.data.id"
        message = f"`{text[:60]}` does not begin with $"
        raise ValueError(message, cure)
    found: list[Step] = []
    at = 1
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None:
            message = f"`{text[:60]}` cannot be followed from `{text[at : at + 20]}` on"
            raise ValueError(message, "there are .name, ['a name'], [0], [-1] and [*]")
        place, every = step["place"], step["every"]
        found.append(EVERY if every else int(place) if place else step["name"] or step["quoted"] or step["double"])
        at = step.end()
    if one and EVERY in [step for step in found if step is EVERY]:
        message = f"`{text[:60]}` names many places, and one is asked for"
        raise ValueError(message, "write [0] or [-1] for [*]")
    return tuple(found)
