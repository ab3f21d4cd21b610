"""Texts as YAML has them."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable, Iterator

_LONGEST_LINE = 120

# Plain in YAML 1.1 and 1.2 alike.
_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_.$/ -]*(?<! )")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n", "inf", "nan"})


def scalar(text: str, *, always: bool = False) -> str:
    """A scalar that every reader takes for text; `always` in quotes."""
    if not always and _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def comment(text: str) -> str:
    """A text that cannot end a comment."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def beside(entry: str, words: str) -> Iterator[str]:
    """An entry with a comment behind it, or above it where the line would be too long."""
    line = f"{entry}    # {comment(words)}"
    if len(line) <= _LONGEST_LINE:
        yield line
    else:
        bare = entry.rstrip()
        yield f"{bare[: len(bare) - len(bare.lstrip())]}# {comment(words)}"
        yield bare


def folded(lines: Iterable[str]) -> Iterator[str]:
    """The lines, comments that are too long in several; what is no comment stays as it is."""
    for line in lines:
        text = line.lstrip(" ")
        if len(line) <= _LONGEST_LINE or not text.startswith("# "):
            yield line
            continue
        indent = " " * (len(line) - len(text)) + "# "
        yield from textwrap.wrap(
            text[2:],
            _LONGEST_LINE,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
