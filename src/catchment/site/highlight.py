"""SQL and Python with marks for the eye, made once at build time; links where a model names another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from markupsafe import Markup, escape

_SQL_WORDS = (
    "all and any array as asc between by case cast create cross current desc distinct else end except exists false"
    " filter first following for from full group having if in inner insert intersect interval into is join last lateral"
    " left like ilike limit not null nulls offset on or order outer over partition pivot preceding qualify recursive"
    " right row rows range select set similar some table then to true try_cast unbounded union unnest unpivot update"
    " using values view when where window with within"
)
_PYTHON_WORDS = (
    "False None True and as assert async await break case class continue def del elif else except finally for from"
    " global if import in is lambda match nonlocal not or pass raise return try while with yield"
)

_SQL = re.compile(
    r"(?P<note>\{#.*?(?:#\}|\Z)|--[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<jinja>\{\{.*?(?:\}\}|\Z)|\{%.*?(?:%\}|\Z))"
    r"|(?P<text>'(?:[^']|'')*(?:'|\Z))"
    r'|(?P<name>"(?:[^"]|"")*(?:"|\Z))'
    r"|(?P<number>\b\d[\w.]*)"
    rf"|(?P<word>(?i:\b(?:{'|'.join(_SQL_WORDS.split())})\b))",
    re.DOTALL,
)
_PYTHON = re.compile(
    r"(?P<note>#[^\n]*)"
    r"""|(?P<text>[rbfRBF]{0,2}(?:'''.*?(?:'''|\Z)|\"\"\".*?(?:\"\"\"|\Z)|'(?:\\.|[^'\\\n])*'?|"(?:\\.|[^"\\\n])*"?))"""
    r"|(?P<number>\b\d[\w.]*)"
    rf"|(?P<word>\b(?:{'|'.join(_PYTHON_WORDS.split())})\b)",
    re.DOTALL,
)
_REF = re.compile(r"""(?P<before>\bref\(\s*(['"]))(?P<model>[^'"]+)(?P<after>\2)""")


def highlighted(text: str, language: Literal["sql", "python"], link: Callable[[str], str | None]) -> Markup:
    """The text with each part in a span of its kind; `link` gives the page of a model that `ref` names."""
    pattern = _SQL if language == "sql" else _PYTHON
    return Markup("").join(_parts(text, pattern, link))


def _parts(text: str, pattern: re.Pattern[str], link: Callable[[str], str | None]) -> Iterator[Markup]:
    at = 0
    for found in pattern.finditer(text):
        yield escape(text[at : found.start()])
        inner = _linked(found.group(), link) if found.lastgroup == "jinja" else escape(found.group())
        yield Markup('<span class="{}">{}</span>').format(found.lastgroup, inner)
        at = found.end()
    yield escape(text[at:])


def _linked(text: str, link: Callable[[str], str | None]) -> Markup:
    parts, at = [], 0
    for found in _REF.finditer(text):
        page = link(found["model"])
        if page is not None:
            parts += [
                escape(text[at : found.start("model")]),
                Markup('<a href="{}">{}</a>').format(page, found["model"]),
            ]
            at = found.end("model")
    return Markup("").join([*parts, escape(text[at:])])
