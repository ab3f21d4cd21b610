"""Marks on code change nothing of its text, whatever the text."""

from __future__ import annotations

import re
from html import unescape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catchment.site.highlight import highlighted

PARTS = st.sampled_from(
    [
        "select",
        " ",
        "'",
        '"',
        "--",
        "\n",
        "{{",
        "}}",
        "{%",
        "%}",
        "/*",
        "*/",
        "#",
        "'''",
        "<b>",
        "&",
        "ref('a')",
        "é",
        "1.5",
    ]
)


def plain(marked: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", marked))


@given(st.lists(PARTS, max_size=30).map("".join), st.sampled_from(["sql", "python"]))
def test_the_text_stays_as_it_is(text: str, language: str) -> None:
    marked = highlighted(text, language, lambda name: f"{name}.html")  # type: ignore[arg-type]
    assert plain(str(marked)) == text
    assert "<b>" not in marked


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("SELECT 1", '<span class="word">SELECT</span> <span class="number">1</span>'),
        ("selected", "selected"),
        ("-- select", '<span class="note">-- select</span>'),
        ("'it''s' x", '<span class="text">&#39;it&#39;&#39;s&#39;</span> x'),
        ("{{ ref('b') }}", '<span class="jinja">{{ ref(&#39;b&#39;) }}</span>'),
        ('{{ ref("a") }}', '<span class="jinja">{{ ref(&#34;<a href="a.html">a</a>&#34;) }}</span>'),
        ("{# never closed", '<span class="note">{# never closed</span>'),
    ],
)
def test_sql_is_marked(text: str, marked: str) -> None:
    assert highlighted(text, "sql", lambda name: "a.html" if name == "a" else None) == marked


def test_python_is_marked() -> None:
    found = highlighted("def f():  # def\n    return 'x'", "python", lambda name: None)
    assert found == (
        '<span class="word">def</span> f():  <span class="note"># def</span>\n'
        '    <span class="word">return</span> <span class="text">&#39;x&#39;</span>'
    )
