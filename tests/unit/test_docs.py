"""The documents say what is there: links, commands, keys, paths, words and figures that can be looked up are."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import duckdb
import pytest

import catchment
from catchment.cli.group import COMMANDS
from catchment.cli.group import catchment as root_command
from catchment.reading.documents import Findings, parse
from catchment.reading.kinds import KINDS
from catchment.reading.odcs.document import read_node
from catchment.reading.shape import fit

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "catchment"
TOP = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")]
DOCUMENTS = [*TOP, *sorted((ROOT / "docs").rglob("*.md"))]
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
LONGEST = {"README.md": 150, "ARCHITECTURE.md": 180}

# Names in examples: files of a user's project, and a test that stands for any.
EXAMPLES = {"silver/orders.py", "silver/users.py", "silver/events.py"}

# One word for one thing: what stands on the left is called what stands on the right.
RIVALS = {
    r"dead[- ]letter": "quarantine",
    r"raw (layer|zone)|landing zone": "bronze",
    r"(staging|cleansed|refined) (layer|zone)": "silver or stg",
    r"ingest\w*": "land",
    r"connectors?": "source",
    r"bookmarks?|watermarks?": "cursor",
    r"data ?sets?": "table",
    r"upserts?": "merge",
    r"lookups?": "look-up",
}
# Where a word means the thing of somebody else that is called so.
OF_OTHERS = {
    r"connectors?": ("docs/guides/connect.md", "docs/decisions/0026-connect.md", "docs/reference/catchment-yaml.md")
}
PRAISE = (
    r"seamless\w*|powerful|blazing\w*|effortless\w*|cutting[- ]edge|robust\w*|leverag\w*|best[- ]in[- ]class"
    r"|game[- ]chang\w*|supercharg\w*|simply"
)

# Whom the documents may point to outside: nobody's registry is among them.
HOSTS = {"json-schema.org"}

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _prose(path: Path) -> str:
    """Without fences and inline code, where names of others may stand."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", _text(path)))


def _fences(kind: str) -> list[tuple[str, str]]:
    return [
        (_name(path), body)
        for path in DOCUMENTS
        for found, body in _FENCE.findall(_text(path))
        if found.strip() == kind
    ]


def _anchors(path: Path) -> set[str]:
    """What headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", _text(path)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _links(path: Path) -> list[str]:
    return [inline or reference for inline, reference in _LINK.findall(_FENCE.sub("", _text(path)))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in _links(path):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (path.parent / file) if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        if path in reached or path.suffix != ".md":
            continue
        reached.add(path)
        waiting += [(path.parent / link.partition("#")[0]).resolve() for link in _links(path) if "://" not in link]
    assert set(DOCUMENTS) <= reached


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_documents_point_to_no_registry_and_to_no_unknown_host(path: Path) -> None:
    hosts = re.findall(r"\b(?:[a-z0-9-]+\.)+(?:org|com|io|net|dev)\b", _text(path))
    assert {host for host in hosts if not host.endswith("example.com")} <= HOSTS  # nobody has a name below that one


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_documents_use_our_words_and_praise_nothing(path: Path) -> None:
    text = _prose(path)
    for rival, word in RIVALS.items():
        if _name(path) in OF_OTHERS.get(rival, ()):
            continue
        found = re.search(rf"\b({rival})\b", text, re.IGNORECASE)
        assert found is None, f"{found.group(0) if found else ''}: we say {word}"
    assert re.search(rf"\b({PRAISE})\b", text, re.IGNORECASE) is None


def test_every_word_of_the_glossary_is_used_and_explained_once() -> None:
    glossary = _text(ROOT / "docs" / "index.md").partition("## Words")[2]
    words = [word for row in re.findall(r"^\| ([^|]+) \|", glossary, re.MULTILINE) for word in row.split(", ")]
    words = [word for word in words if word not in ("word", "---")]
    assert {"bronze", "silver", "quarantine", "gold", "contract", "step", "generation", "pin"} <= set(words)
    assert len(words) == len(set(words))
    elsewhere = "\n".join(_text(path) for path in DOCUMENTS if path.name != "index.md").lower()
    assert [word for word in words if re.search(rf"\b{word}s?\b", elsewhere) is None] == []


def test_decisions_are_numbered_one_after_the_other_and_listed() -> None:
    assert [path.name[:4] for path in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]
    listed = [link for link in _links(ROOT / "docs" / "decisions" / "README.md") if link[0].isdigit()]
    assert listed == [path.name for path in DECISIONS]


@pytest.mark.parametrize("path", DECISIONS, ids=_name)
def test_a_decision_is_one_page_with_what_was_given_up(path: Path) -> None:
    lines = _text(path).splitlines()
    assert len(lines) <= 60
    assert lines[0].startswith(f"# {path.name[:4]} ")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## Context"
    assert headings[-1] == "## What we gave up"


@pytest.mark.parametrize("path", [*TOP, *DECISIONS, *(ROOT / "docs" / "concepts").glob("*.md")], ids=_name)
def test_documents_are_short_and_their_lines_too(path: Path) -> None:
    lines = _text(path).splitlines()
    assert len(lines) <= LONGEST.get(path.name, 200)
    assert [line for line in lines if len(line) > 120] == []


def test_the_changelog_begins_with_the_version_of_the_package() -> None:
    versions = re.findall(r"^## (\S+)", _text(ROOT / "CHANGELOG.md"), re.MULTILINE)
    package = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]["version"]
    assert versions[0] == catchment.__version__ == package


@pytest.mark.parametrize(("file", "body"), _fences("yaml catchment"))
def test_a_project_in_the_documents_is_one(file: str, body: str) -> None:
    findings = Findings(file)
    root = parse(body, findings)
    assert root is not None
    document = fit(root, findings)
    assert findings.problems == []
    assert document is not None
    streams = {f"{name}.{stream}" for name, source in document.sources.items() for stream in source.streams}
    assert {table.from_ for table in document.silver.values()} <= streams


@pytest.mark.parametrize(("file", "body"), _fences("yaml contract"))
def test_a_contract_in_the_documents_is_one(file: str, body: str) -> None:
    findings = Findings(file)
    root = parse(body, findings)
    assert root is not None
    contract = read_node(root, str(root.string("id")), findings)
    assert findings.problems == []
    assert contract is not None


def test_the_readme_shows_a_project_and_the_concepts_a_contract() -> None:
    assert "README.md" in [file for file, _ in _fences("yaml catchment")]
    assert "docs/concepts/contracts.md" in [file for file, _ in _fences("yaml contract")]


def _called(path: Path) -> Iterator[list[str]]:
    """Words after `catchment` in fences and inline code, as a shell takes them."""
    text = _text(path)
    code = [body for kind, body in _FENCE.findall(text) if kind.strip() in ("", "sh", "console")]
    spans = re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
    lines = [line for body in code for line in body.splitlines()] + spans
    for line in lines:
        found = re.match(r"(?:\$ |\S*/bin/)?catchment (.+)", line.strip())
        if found is not None:
            yield _words(found.group(1))


def _words(line: str) -> list[str]:
    line = re.split(r" && | \| |;", line)[0]
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that goes on in the next line
        return line.split()


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_every_command_and_option_exists(path: Path) -> None:
    for words in _called(path):
        if not words or re.fullmatch(r"-*[a-z-]+", words[0]) is None:
            continue  # output of a terminal, such as "catchment 0.1.0"
        command: click.Command = root_command
        options = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        context = click.Context(command)
        for word in words:
            if isinstance(command, click.Group) and not word.startswith("-"):
                sub = command.get_command(context, word)
                assert sub is not None, f"catchment {' '.join(words)}"
                command = sub
                options |= {option for parameter in command.params for option in parameter.opts}
            elif word.startswith("--"):
                assert word.partition("=")[0] in options, f"catchment {' '.join(words)}"


def test_the_readme_names_commands_and_the_reference_all_of_them() -> None:
    named = {words[0] for words in _called(ROOT / "README.md")}
    assert {"init", "preview", "run", "check", "plan", "status", "query", "quarantine"} <= named
    reference = _text(ROOT / "docs" / "reference" / "commands.md")
    assert [name for name in COMMANDS if f"## catchment {name}" not in reference] == []


def test_every_verb_that_is_named_can_be_made_and_every_verb_is_named() -> None:
    rules = set(re.findall(r"^([a-z]+):", _text(ROOT / "Makefile"), re.MULTILINE))
    named = {verb for path in DOCUMENTS for verb in re.findall(r"(?:`|^)make ([a-z]+)", _text(path), re.MULTILINE)}
    assert named <= rules
    contributing = _text(ROOT / "CONTRIBUTING.md")
    assert [rule for rule in rules - {"clean"} if f"`make {rule}`" not in contributing] == []


@pytest.mark.parametrize("path", [*TOP, *DECISIONS], ids=_name)
def test_every_source_file_that_is_named_exists(path: Path) -> None:
    # What a changelog tells of may be gone since.
    places = re.findall(r"`((?:[\w.]+/)*[a-z_]+\.py)`", _text(path)) if path.name != "CHANGELOG.md" else []
    for place in places:
        assert place in EXAMPLES or any((base / place).exists() for base in (ROOT, SOURCE)), place


def test_every_ability_of_a_source_names_a_test_that_is_there() -> None:
    page = _text(ROOT / "docs" / "reference" / "sources.md")
    named = re.findall(r"`(test_\w+\.py)::(\w+)`", page)
    assert len(named) >= 25
    for file, name in named:
        (place,) = (ROOT / "tests").rglob(file)
        assert re.search(rf"^(def|class) {name}\b", _text(place), re.MULTILINE), f"{file}::{name}"
    assert all(f"| [{kind}](" in page for kind in KINDS)


def test_the_architecture_opens_with_the_rule() -> None:
    first = _text(ROOT / "ARCHITECTURE.md").split("\n\n")[1]
    assert first == (
        "A pipeline is a list of steps; a step reads named tables and writes one table,"
        " and running it twice changes nothing."
    )


def test_the_tree_in_the_architecture_has_every_folder_and_module_and_no_other() -> None:
    tree = _text(ROOT / "ARCHITECTURE.md").partition("## The tree")[2].partition("```\n\n## ")[0]
    inside = tree.partition("src/catchment/\n")[2].partition("\ntests/")[0]
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")} | {"templates"}
    modules = {path.name for path in SOURCE.glob("*.py") if not path.name.startswith("_")}
    assert [name for name in sorted(folders) if f"{name}/" not in inside] == []
    assert [name for name in sorted(modules) if name.removesuffix(".py") not in inside] == []
    drawn = re.findall(r"^  (?:\S.*? {5,})?(\w+)(/|\.py) ", inside, re.MULTILINE)
    assert [name for name, end in drawn if f"{name}{end}" not in modules | {f"{f}/" for f in folders}] == []


def test_the_architecture_tells_the_import_contract() -> None:
    told = _text(ROOT / "ARCHITECTURE.md").partition("## Who may import whom")[2].partition("\n## ")[0]
    numbered = "\n".join(re.findall(r"^\d+\. .*(?:\n   .*)*", told, re.MULTILINE))
    contracts = tomllib.loads(_text(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    expected = [{module.strip().rpartition(".")[2] for module in layer.split("|")} for layer in layers]
    words = re.findall(r"`([a-z]+)`", numbered)
    assert set(words) == set().union(*expected)
    place = 0
    for layer in expected:
        assert set(words[place : place + len(layer)]) == layer
        place += len(layer)


def _casts() -> list[tuple[str, str]]:
    text = _text(ROOT / "docs" / "decisions" / "0008-strict-conform.md")
    return re.findall(r"^\| `(TRY_[^`]+)` \| `([^`]+)` \|$", text, re.MULTILINE)


@pytest.mark.parametrize(("expression", "gives"), _casts())
def test_the_casts_of_decision_8_are_as_surprising_as_it_says(expression: str, gives: str) -> None:
    found = duckdb.connect().execute(f"SELECT CAST({expression} AS VARCHAR)").fetchone()
    assert found == (gives,)


def test_decision_8_lists_casts() -> None:
    assert len(_casts()) >= 8


def test_nothing_planned_is_shown_as_a_command() -> None:
    planned = {"serve", "deploy", "doctor", "new"}
    assert planned.isdisjoint(COMMANDS)
    named = {words[0] for path in DOCUMENTS for words in _called(path) if words}
    assert named & planned == set()
