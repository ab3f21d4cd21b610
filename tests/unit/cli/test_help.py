"""`--help` is quick, complete, and what the reference says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from catchment.cli import reference

ROOT = Path(__file__).parents[3]
HEAVY = (
    "duckdb",
    "pyarrow",
    "deltalake",
    "narwhals",
    "sqlglot",
    "pydantic",
    "rich",
    "yaml",
    "jsonschema",
    "dbt",
    "numpy",
)
COMMANDS = dict(reference.commands())


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from catchment.cli import main\n"
        "assert main(['--help']) == 0\n"
        f"print(','.join(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""
    assert "Show what a run would do." in done.stdout


def test_python_dash_m_is_the_same_program() -> None:
    done = subprocess.run([sys.executable, "-m", "catchment", "--version"], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"catchment \d+\.\d+\.\d+\n", done.stdout)


def test_the_reference_page_is_what_the_commands_say() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    assert page == reference.reference(), "stale: python -m catchment.cli.reference > docs/reference/commands.md"


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_stands_in_the_reference(path: str) -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    section = page.split(f"## {path}\n")[1].split("\n## ")[0]
    for parameter in COMMANDS[path].params:
        if isinstance(parameter, click.Option):
            assert all(name in section for name in parameter.opts)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_and_option_has_help_and_an_example(path: str) -> None:
    command = COMMANDS[path]
    assert command.help
    assert command.epilog
    assert f"  {path}" in command.epilog
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    assert all(option.help for option in options)
