from __future__ import annotations

import json

import pyarrow as pa
import pytest

from catchment.errors import DataError
from catchment.reading.selectors import steps
from catchment.sources.files.json_lines import Validity
from catchment.sources.http.pages import Page, page
from catchment.sources.http.requests import Again, Answer, Request
from catchment.sources.http.rows import Identity, rows


def _page(content: bytes | str, records: str = "$.items[*]", status: int = 200, charset: str | None = None) -> Page:
    body = content.encode() if isinstance(content, str) else content
    answer = Answer("http://api/items", status, {}, body, charset)
    return page(answer, steps(records), "api.items", Request("http://api/items?key=secret"))


def _rows(found: Page, **parent: str) -> pa.Table:
    return rows(found.records, "http://api/items", 7, Validity(), parent or None)


def test_records_keep_the_text_in_which_they_came() -> None:
    text = '{ "a": [1, {"items": 2}], "items" : [ {"price": 1.10, "n": 12345678901234567890.5} ,\n{"é":"\\u00e9"}]}'
    found = _page(text)
    assert [record.text for record in found.records] == [
        '{"price": 1.10, "n": 12345678901234567890.5}',
        '{"é":"\\u00e9"}',
    ]
    assert found.at(steps("$.a[1].items")) == 2
    assert found.at(steps("$.a[-1].items")) == 2
    assert found.at(steps("$.a[7]")) is None


@pytest.mark.parametrize(
    ("selector", "text", "found"),
    [
        ("$[*]", "[1, 2]", ["1", "2"]),
        ("$", '{"a": 1}', ['{"a": 1}']),
        ("$.data[0].rows[*]", '{"data": [{"rows": [5]}, {"rows": [6]}]}', ["5"]),
        ("$.data[*].rows[*]", '{"data": [{"rows": [5]}, {"rows": [6]}]}', ["5", "6"]),
        ("$['a b'][*].node", '{"a b": [{"node": {"x": 1}}, {"node": null}]}', ['{"x": 1}', "null"]),
        ("$.items[*]", '{"items": null}', []),
        ("$.items[*]", '\ufeff{"items": []}', []),
    ],
)
def test_selectors_find_what_they_name(selector: str, text: str, found: list[str]) -> None:
    assert [record.text for record in _page(text, selector).records] == found


@pytest.mark.parametrize(
    "text", ['{"items": [{"a": 1}', '{"items": [1,]}', '{"items": [1]} x', '{"items" 1}', "{,}", ""]
)
def test_what_is_no_json_may_be_asked_for_again(text: str) -> None:
    with pytest.raises(Again) as again:
        _page(text)
    assert "secret" not in again.value.error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"data": [], "meta": {}}', r"has no \$\.items; it has `data`, `meta`"),
        ("[1]", r"has no \$\.items; it has a list"),
        ('{"items": {"a": 1}}', r"has no \$\.items\[\*\]; it has `a`"),
        ("<html>", "not JSON"),
        ('{"items": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_another_answer_than_was_declared_is_told(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words) as stopped:
        _page(text)
    assert stopped.value.hint is not None


def test_an_answer_without_content_has_no_records() -> None:
    assert _page(b"", status=204).records == ()


def test_records_that_are_none_are_defects_with_their_bytes() -> None:
    found = _page(b'{"items": [{"a": "\xff"}, null, {"c": "\t"}, {"ok": 1}]}')
    table = _rows(found)
    assert table["document"].to_pylist() == [None, None, None, '{"ok": 1}']
    assert table["_raw"].to_pylist()[:2] == [b'{"a": "\xff"}', b"null"]
    assert [reason is None for reason in table["_defect"].to_pylist()] == [False, False, False, True]
    assert table["_position"].to_pylist() == [7, 8, 9, 10]


def test_another_charset_is_read_as_it_says() -> None:
    assert _page('{"items": ["é"]}'.encode("latin-1"), charset="iso-8859-1").records[0].value == "é"


def test_what_a_parent_gave_stands_in_front() -> None:
    table = _rows(_page('{"items": [{"a": 1.0}, {}, 5]}'), repo='a"b')
    documents = table["document"].to_pylist()
    assert documents == ['{"_parent":{"repo": "a\\"b"},"a": 1.0}', '{"_parent":{"repo": "a\\"b"}}', "5"]
    assert json.loads(documents[0]) == {"_parent": {"repo": 'a"b'}, "a": 1.0}


def test_a_record_is_known_by_its_key_or_by_all_of_it() -> None:
    one, other, without = _page('{"items": [{"id": 1, "x": 1}, {"id": 1, "x": 2}, {"x": 2}]}').records
    keyed, unkeyed = Identity([steps("$.id")]), Identity([])
    assert keyed.of(one) == keyed.of(other) != keyed.of(without)
    assert unkeyed.of(one) != unkeyed.of(other)
    assert keyed.of(one, "a", "b") != keyed.of(one, "ab", "")
