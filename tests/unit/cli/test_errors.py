"""What goes wrong: one line and a cure on stderr, a traceback only with --debug, and the exit code says it."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from catchment import settings
from catchment.cli import main
from catchment.errors import CatchmentError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert main(["init", str(tmp_path / "little"), "--template", "blank"]) == 0
    monkeypatch.chdir(tmp_path / "little")
    return tmp_path / "little"


def _fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def status(*_: object, **__: object) -> None:
        raise error

    module = types.ModuleType("catchment.status")
    module.status = status  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "catchment.status", module)


def test_an_error_is_followed_by_its_hint(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fail_with(monkeypatch, CatchmentError("the lake is dry", hint="wait for rain"))
    assert main(["status"]) == 1
    captured = capsys.readouterr()
    assert captured.err.endswith("error: the lake is dry\nhint: wait for rain\n")
    assert "Traceback" not in captured.err


def test_what_nobody_expected_is_called_a_bug(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    assert main(["status"]) == 1
    told = capsys.readouterr().err
    assert "error: ZeroDivisionError: division by zero" in told
    assert "bug" in told
    assert "catchment --debug status" in told
    assert "Traceback" not in told


def test_debug_shows_the_traceback(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _fail_with(monkeypatch, ZeroDivisionError("division by zero"))
    assert main(["--debug", "status"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_ctrl_c_exits_with_130(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fail_with(monkeypatch, KeyboardInterrupt())
    assert main(["status"]) == 130


def test_secrets_are_not_printed(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAKE_PASSWORD", "hunter2hunter2")
    settings.resolve("${env:LAKE_PASSWORD}", project)
    _fail_with(monkeypatch, CatchmentError("no entry with hunter2hunter2"))
    main(["--debug", "status"])
    told = capsys.readouterr().err
    assert "hunter2" not in told
    assert "${env:LAKE_PASSWORD}" in told


def test_every_mistake_of_a_project_is_told_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = project / "catchment.yaml"
    text = file.read_text(encoding="utf-8").replace("silver: {}", "silver: {orders: {from: drops.orders}}\nschedle: 1")
    file.write_text(text, encoding="utf-8")
    capsys.readouterr()
    assert main(["run"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].endswith("problems. Nothing was run.")
    assert len(lines) == 1 + int(lines[-1].split()[0])
    assert all(line.startswith("catchment.yaml:") for line in lines[:-1])


def test_check_prints_the_problems_as_data(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    file = project / "catchment.yaml"
    file.write_text(file.read_text(encoding="utf-8") + "\nschedle: 1\n", encoding="utf-8")
    capsys.readouterr()
    assert main(["check"]) == 1
    captured = capsys.readouterr()
    assert "unknown key" in captured.out
    assert captured.out.endswith("1 problem. Nothing was run.\n")
    assert captured.err == ""


def _write_users(project: Path, targets: str = "") -> None:
    """A project with one silver table."""
    text = "name: little\nsources: {a: {type: files, streams: {b: {path: b.csv}}}}\nsilver: {users: {from: a.b}}\n"
    (project / "catchment.yaml").write_text(text + targets, encoding="utf-8")
    columns = "{name: users, properties: [{name: x, logicalType: string}]}"
    contract = f"apiVersion: v3.2.0\nkind: DataContract\nid: u\nversion: 1.0.0\nstatus: active\nschema: [{columns}]\n"
    (project / "contracts" / "users.odcs.yaml").write_text(contract, encoding="utf-8")


def test_check_counts_a_missing_variable_as_a_problem(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _write_users(project, 'targets: {local: {lake: "${env:CATCHMENT_NO_SUCH}"}}\n')
    capsys.readouterr()
    assert main(["check", "--json"]) == 1
    (problem,) = json.loads(capsys.readouterr().out)["problems"]
    assert problem["file"] == "catchment.yaml"
    assert "CATCHMENT_NO_SUCH" in problem["message"]
    assert problem["cure"].startswith("set it before the command")


def test_a_table_to_rebuild_that_is_not_there_is_told_with_the_nearest_one(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write_users(project)
    assert main(["run", "--rebuild", "silver.user"]) == 1
    assert "hint: did you mean `silver.users`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["rnu"], ["run", "--jobs", "0"], ["preview"], ["query", "select 1", "--json", "--csv"], ["run", "--what"]],
    ids=" ".join,
)
def test_wrong_use_exits_with_2_and_names_the_help(
    words: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert "error: " in told
    assert "--help" in told


def test_a_slip_of_the_pen_gets_the_nearest_command(capsys: pytest.CaptureFixture[str]) -> None:
    main(["rnu"])
    assert "did you mean `run`?" in capsys.readouterr().err


def test_no_project_is_told_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["status"]) == 1
    told = capsys.readouterr().err
    assert "catchment.yaml" in told
    assert "catchment init" in told


def test_a_reader_that_has_seen_enough_is_no_failure(project: Path) -> None:
    program = subprocess.Popen(
        [sys.executable, "-m", "catchment", "query", "from range(300000)", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert program.stdout is not None
    assert program.stderr is not None
    assert program.stdout.readline() == b"[\n"
    program.stdout.close()
    told = program.stderr.read()
    program.stderr.close()
    assert (program.wait(), told) == (0, b"")


def test_a_run_in_a_log_has_plain_lines_and_a_stopped_one_exits_with_130(project: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from catchment import run\n"
        "from catchment.cli import main\n"
        "def one(*_, stop, **__):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    assert stop.wait(5)\n"
        "    return 'stopped'\n"
        "run.run = one\n"
        "sys.exit(main(['run']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stderr == "stopping after this commit … press Ctrl-C again to stop at once\n"
    assert done.stdout == ""
