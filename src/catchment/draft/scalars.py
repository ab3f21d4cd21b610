"""Texts as YAML has them."""

from __future__ import annotations

import json
import re

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
