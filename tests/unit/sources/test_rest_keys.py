"""What catchment.yaml may say of APIs, and how mistakes in it are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.connected import Connected
from catchment.project import load_project, read_project
from catchment.reading.selectors import EVERY, steps

_PROJECT = """\
name: hub
sources:
  api:
    type: rest
    url: ${{env:HUB_URL}}
    auth: {auth}
    rate: {rate}
    streams:
      repos: {{path: "/${{env:HUB_ORG}}/repos", paging: {{type: link}}}}
      issues:
        path: /repos/{{repo}}/issues
        parent: {{stream: repos, as: {{repo: {path}}}}}
        paging: {paging}
        cursor: {cursor}
        key: [$.id, $.repo.id]
  reviews:
    type: graphql
    url: https://api.test/graphql
    streams:
      reviews:
        query: "{{ reviews {{ id }} }}"
        records: {records}
        paging: {{type: relay, connection: $.data.reviews}}
"""
_GOOD = {
    "auth": '{type: bearer, token: "${env:HUB_TOKEN}"}',
    "rate": "10/s",
    "path": "$.full_name",
    "paging": "{type: offset, size: 50}",
    "cursor": "{field: $.updated_at, param: since, lookback: 10 minutes}",
    "records": '"$.data.reviews.edges[*].node"',
}


def _written(folder: Path, **changed: str) -> Path:
    (folder / "catchment.yaml").write_text(_PROJECT.format(**{**_GOOD, **changed}))
    return folder


def test_streams_with_a_cursor_are_not_whole_and_all_bring_documents(tmp_path: Path) -> None:
    project = load_project(_written(tmp_path))
    streams = ("api.repos", "api.issues", "reviews.reviews")
    assert [project.is_full(stream) for stream in streams] == [True, False, True]
    assert all(project.brings_documents(stream) for stream in streams)


def test_a_source_has_its_values_from_outside_and_the_parents_of_its_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"URL": "https://api.test/", "ORG": "acme", "TOKEN": "t0ken"}.items():
        monkeypatch.setenv(f"HUB_{name}", value)
    source = Connected.of(load_project(_written(tmp_path))).source("api", "issues")
    endpoint = source.endpoint("issues")  # type: ignore[attr-defined]
    assert [feed.name for feed in source.feeds()] == ["api.issues", "api.repos"]
    assert endpoint.request.url == "https://api.test/repos/{repo}/issues"
    assert endpoint.above.endpoint.request.url == "https://api.test/acme/repos"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"auth": "{type: barer, token: x}"},
            "`barer` is not one of api_key, basic, bearer, oauth2; did you mean `bearer`",
        ),
        ({"auth": "{token: x}"}, "type is missing"),
        ({"auth": "{type: api_key, value: x}"}, "an API key goes into a header or into the query; write one of"),
        ({"auth": "{type: bearer, tokn: x}"}, "unknown key `tokn`; did you mean `token`"),
        ({"rate": "often"}, "`often` is no rate; write one such as 10/s"),
        ({"path": "full_name"}, "`full_name` does not begin with $; write $.full_name"),
        ({"path": '"$.names[*]"'}, "names many places, and one is asked for"),
        ({"paging": "{type: page, size: 5}"}, "a page's size needs the parameter that asks for it"),
        ({"paging": "{type: pages}"}, "`pages` is not one of page, offset, cursor, link, next_url, none"),
        ({"paging": "{type: offset, until: total}"}, "`total` does not begin with $"),
        ({"cursor": "{field: $.at, param: since, lookback: long}"}, "`long` is no distance; write one such as 10 min"),
        ({"cursor": "{field: $.at, param: since, format: text, lookback: 1 h}"}, "text has no distance to look back"),
        ({"cursor": "{field: $.at, param: since, format: number, send: date}"}, "a number cannot be sent as date"),
        ({"cursor": "{field: $.at}"}, "param is missing"),
        ({"cursor": "{field: $.at, param: since, template: x}"}, "the template has no place for the cursor"),
        ({"records": '"$.data.rows[-1]"'}, "counts from the end"),
        ({"records": '"$.data..rows"'}, "cannot be followed from `..rows` on"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_its_cure(tmp_path: Path, changed: dict[str, str], words: str) -> None:
    project, problems = read_project(_written(tmp_path, **changed))
    assert project is None
    told = "\n".join(map(str, problems))
    assert words in told
    assert told.startswith("catchment.yaml:")


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        ("{a: {path: /a, parent: {stream: b, as: {x: $.x}}}}", "has a parent that is not there: `b`"),
        ("{a: {path: /a, parent: {stream: a, as: {x: $.x}}}}", "is its own parent"),
        ("{a: {path: '/a/{x}'}}", "nothing fills {x} of the path"),
        ("{a: {path: /a, body: {}}}", "a GET has no body"),
    ],
)
def test_streams_that_cannot_be_asked_are_told(tmp_path: Path, streams: str, words: str) -> None:
    text = f"name: hub\nsources:\n  api: {{type: rest, url: 'https://api.test', streams: {streams}}}\n"
    (tmp_path / "catchment.yaml").write_text(text)
    assert words in "\n".join(map(str, read_project(tmp_path)[1]))


@pytest.mark.parametrize(
    ("url", "words"),
    [("api.test", "is no address; begin it with https://"), ("https://me:x@api.test", "holds a name or a password")],
)
def test_an_address_that_is_none_is_told(tmp_path: Path, url: str, words: str) -> None:
    text = f"name: hub\nsources:\n  api: {{type: rest, url: '{url}', streams: {{a: {{path: /a}}}}}}\n"
    (tmp_path / "catchment.yaml").write_text(text)
    assert words in "\n".join(map(str, read_project(tmp_path)[1]))


def test_selectors_have_steps() -> None:
    assert steps("$") == ()
    assert steps("$.a[0]['b c'][\"d\"][-1][*]") == ("a", 0, "b c", "d", -1, EVERY)


@pytest.mark.parametrize("guide", ["rest", "graphql"])
def test_the_example_of_the_guide_is_a_project_without_a_mistake(tmp_path: Path, guide: str) -> None:
    text = (Path(__file__).parents[3] / f"docs/guides/{guide}.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "catchment.yaml").write_text(f"name: hub\n{example}", encoding="utf-8")
    assert read_project(tmp_path)[1] == []
