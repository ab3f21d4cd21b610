"""Where something of the compiled SQL stands in the file that the user wrote.

A node of the tree knows where its names and functions stood in the compiled text; a keyword is looked for before them.
From the compiled line to the user's: lines that are the same in both are each other, and between those, words are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cached_property

import sqlglot
from sqlglot import exp

_WORD = re.compile(r"\w+|[^\w\s]")
_COMMENTS = re.compile(r"\{#.*?#\}", re.DOTALL)


class Places:
    """One model's text, raw and compiled."""

    def __init__(self, raw: str, sql: str | None, dialect: str | None) -> None:
        self._raw = raw.splitlines()
        self._sql = sql or ""
        self._dialect = dialect

    @property
    def first(self) -> int:
        """The model's first line that says something."""
        return next((number for number, line in enumerate(self._raw, 1) if line.strip()), 1)

    def of(self, node: exp.Expr, *keywords: str) -> int:
        """The user's line of a node; of the keyword before it where some are given."""
        start = min((part.meta["start"] for part in node.walk() if "start" in part.meta), default=None)
        if start is None:
            return self.first
        before = [token for token in self._tokens if token[0] < start and token[1] in keywords]
        at = before[-1][0] if before else start
        return self._line(self._sql.count("\n", 0, at) + 1)

    def call(self, function: str, name: str) -> int:
        """The line that says `ref('name')` or `source('…', 'name')`, as the user wrote it."""
        text = _COMMENTS.sub(lambda found: "\n" * found.group().count("\n"), "\n".join(self._raw))
        pattern = rf"""\b{function}\s*\((?:[^()]*,)?\s*['"]{re.escape(name)}['"]\s*[,)]"""
        found = re.search(pattern, text)
        return self.first if found is None else text.count("\n", 0, found.start()) + 1

    def word(self, word: str) -> int:
        """The first line with a word in it."""
        return next((number for number, line in enumerate(self._raw, 1) if word in line), self.first)

    @cached_property
    def _tokens(self) -> list[tuple[int, str]]:
        return [(token.start, token.text.upper()) for token in sqlglot.tokenize(self._sql, read=self._dialect)]

    def _line(self, compiled: int) -> int:
        return self._lines.get(compiled, self.first)

    @cached_property
    def _lines(self) -> dict[int, int]:
        """From compiled lines to the user's; both count from 1."""
        there, here = self._sql.splitlines(), self._raw
        matcher = SequenceMatcher(
            None, [_plain(line) for line in there], [_plain(line) for line in here], autojunk=False
        )
        lines: dict[int, int] = {}
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag == "equal":
                lines.update((a + offset + 1, c + offset + 1) for offset in range(b - a))
            elif tag == "replace":
                lines.update(_by_words(there, here, range(a, b), range(c, d)))
            elif tag == "delete":
                lines.update((at + 1, max(c, 1)) for at in range(a, b))
        return lines


def _plain(line: str) -> str:
    return " ".join(line.split())


def _by_words(there: Sequence[str], here: Sequence[str], compiled: range, raw: range) -> dict[int, int]:
    """Lines that Jinja made differ: a line is where most of its words are, else where the line before it is."""
    left = [(word, at) for at in compiled for word in _WORD.findall(there[at])]
    right = [(word, at) for at in raw for word in _WORD.findall(here[at])]
    matcher = SequenceMatcher(None, [word for word, _ in left], [word for word, _ in right], autojunk=False)
    votes: dict[int, dict[int, int]] = {}
    for block in matcher.get_matching_blocks():
        for offset in range(block.size):
            word, at = left[block.a + offset]
            to = right[block.b + offset][1]
            mine = votes.setdefault(at, {})
            mine[to] = mine.get(to, 0) + (3 if word[0].isalnum() else 1)
    lines: dict[int, int] = {}
    last = raw[0]
    for at in compiled:
        if at in votes:
            last = max(votes[at], key=lambda to: (votes[at][to], -to))
        lines[at + 1] = last + 1
    return lines
