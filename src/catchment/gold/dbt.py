"""A dbt project: its files, how dbt is called on it, and what is said where dbt cannot read it.

The user's dbt project is read only. What dbt writes goes to a state folder, which stays, so that the second run parses
only what changed; dbt drops that cache when the profile changes, so the profile names the build through one lasting
link.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catchment.errors import CatchmentError, ConfigError, MissingExtra
from catchment.gold.process import Told, follow

if TYPE_CHECKING:
    import threading

    from catchment.interfaces import Tell

TARGET = "catchment"
ARTIFACTS = ("manifest.json", "run_results.json")

# Tests and macros of ours, `catchment.…` in a user's project.
PACKAGE = Path(__file__).with_name("package")
OURS = (
    *("new_rows", "delete_changed", "gone_rows", "surrogate_key", "date_spine"),
    *("accepted_range", "expression", "not_null_share", "recency", "row_count_between", "unique_combination"),
)
_OURS = re.compile(rf"\bcatchment\.(?:{'|'.join(OURS)})\b")

_JINJA_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)
_PLACE = re.compile(r"\(([^()\s]+\.(?:sql|yml|yaml|py|md|csv))\)|^\s*Error reading \w+: (\S+\.ya?ml)", re.MULTILINE)
_LINE = re.compile(r"\bline (\d+)")


@dataclass(frozen=True)
class Dbt:
    """A dbt project and how it is run.

    `folder` is the user's and never written to; `state` lies outside it and keeps the parse cache, compiled SQL and
    log; `command` starts dbt (`gold.command`), None means the one beside this Python or on PATH; `sources` says of a
    dbt source (`raw.orders`) which silver table it is (`gold.sources`).
    """

    folder: Path
    state: Path
    command: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)


def run(
    dbt: Dbt,
    profile: Callable[[Path], Mapping[str, Any]],
    folder: Path,
    *,
    step: str,
    tell: Tell,
    stop: threading.Event | None = None,
    anew: bool = False,
) -> Path:
    """`dbt build` of the whole project; the folder, in the build's `folder`, that holds its artifacts.

    `profile` gets a lasting name of `folder`. With `anew` incremental models forget what they hold; snapshots never do.
    dbt ends before this returns or raises, and with this process however that ends. Raises ConfigError where dbt
    cannot read the project, MissingExtra where there is no dbt, Stopped when `stop` is set. Failed models and tests
    are told in the artifacts.
    """
    name = profile_name(dbt.folder)
    command = find(dbt.command)
    refuse_missing_packages(dbt.folder)
    with _state(dbt.state, folder / "dbt") as state:
        link = state / "build"
        link.unlink(missing_ok=True)
        link.symlink_to(folder, target_is_directory=True)
        target = state / "target"
        for left in ARTIFACTS:
            (target / left).unlink(missing_ok=True)
        output = {name: {"target": TARGET, "outputs": {TARGET: dict(profile(link))}}}
        (folder / "profiles.yml").write_text(json.dumps(output, indent=2))  # JSON is YAML
        words = ["build", "--full-refresh"] if anew else ["build"]
        arguments = [*command, *_flags(state), *words, *_paths(project(dbt, state), link, name, target)]
        with (folder / "dbt.stderr").open("w+b") as stderr:
            told, code = follow(arguments, dbt.folder, stderr, step=step, tell=tell, stop=stop)
            stderr.seek(0)
            told.tail.extend(stderr.read().decode(errors="replace").splitlines())
        if not (target / "run_results.json").exists():
            raise _unread(dbt.folder, told, code)
        (folder / "artifacts").mkdir()
        for left in ARTIFACTS:  # the next dbt begins by removing them
            shutil.copyfile(target / left, folder / "artifacts" / left)
    return folder / "artifacts"


def call(dbt: Dbt, words: Sequence[str], *, state: Path, profiles: Path) -> list[str]:
    """A command of dbt that builds nothing, on its leash: the lines that it said; it leaves `state`/target.

    `profiles` is the folder with profiles.yml. Raises ConfigError where dbt cannot do it, MissingExtra where there is
    no dbt.
    """
    refuse_missing_packages(dbt.folder)
    arguments = [*find(dbt.command), *_flags(state), *words]
    arguments += _paths(project(dbt, state), profiles, profile_name(dbt.folder), state / "target")
    lines: list[str] = []
    told, code = follow(arguments, dbt.folder, subprocess.STDOUT, tell=lambda _event: None, heard=lines.append)
    if code != 0:
        error = _unread(dbt.folder, told, code)
        raise ConfigError(error.message) if isinstance(error, ConfigError) else error  # no gold is at stake here
    return lines


def profile_name(folder: Path) -> str:
    """What the project calls its profile; ours is called so, too."""
    return str(project_file(folder).get("profile") or TARGET)


def find(command: str | None) -> list[str]:
    """How dbt is started. Raises MissingExtra."""
    if command is not None:
        words = shlex.split(command)
        if words and shutil.which(words[0]) is not None:
            return words
        message = f"cannot start dbt: gold.command is {command!r}, and there is no such program"
        raise MissingExtra(message, hint="correct gold.command, or remove it and pip install 'catchment[dbt]'")
    beside = Path(sys.executable).with_name("dbt")
    found = str(beside) if beside.exists() else shutil.which("dbt")
    if found is None:
        message = "cannot build gold: dbt is not installed"
        raise MissingExtra(
            message, hint="pip install 'catchment[dbt]', or set `gold.command` to the dbt you keep elsewhere"
        )
    return [found]


def project(dbt: Dbt, state: Path) -> Path:
    """The folder that dbt runs in: the user's own, or one in `state` of links to what is in it, with our package among
    those that are installed, where a file names a macro or test of ours (`catchment.…`)."""
    if not _uses_ours(dbt.folder):
        return dbt.folder
    beside = state.absolute() / "project"
    packages = Path(os.path.normpath(beside / os.path.relpath(_installed(dbt.folder), dbt.folder)))
    if not packages.is_relative_to(beside):
        message = f"{dbt.folder.name}/dbt_project.yml keeps packages outside the project, where ours cannot be added"
        raise ConfigError(message, hint="name a folder inside: `packages-install-path: dbt_packages`")
    if beside.exists():
        shutil.rmtree(beside)  # links; what they lead to stays
    packages.mkdir(parents=True)
    left_out = {*_written(dbt.folder), packages.relative_to(beside).parts[0]}
    _link_each([path for path in dbt.folder.iterdir() if path.name not in left_out], beside)
    installed = _installed(dbt.folder)
    _link_each([path for path in installed.iterdir() if path.is_dir()] if installed.is_dir() else [], packages)
    _link_each([PACKAGE], packages, name="catchment")
    return beside


def refuse_missing_packages(folder: Path) -> None:
    """Raises ConfigError where packages are named that nobody has installed. It is never done here: it needs the net,
    and runs what it brings."""
    import yaml

    named: list[Mapping[str, Any]] = []
    for file in ("packages.yml", "dependencies.yml"):
        with contextlib.suppress(FileNotFoundError, yaml.YAMLError, AttributeError):
            named += (yaml.safe_load((folder / file).read_bytes()) or {}).get("packages") or []
    place = _installed(folder)
    there = {path.name for path in place.iterdir() if path.is_dir()} if place.is_dir() else set()
    if len(there) < len(named):
        asked = [str(one.get("package") or one.get("git") or one.get("local") or one) for one in named]
        missing = [name for name in asked if name.rstrip("/").rpartition("/")[2].removesuffix(".git") not in there]
        message = f"{folder.name}/ needs dbt packages that are not installed: {', '.join(missing or asked)}"
        hint = f"dbt deps --project-dir {folder} brings them, once; Catchment never fetches packages by itself"
        raise ConfigError(message, hint=hint)


def fingerprint(folder: Path) -> str:
    """A hash over every file of the project, but for what dbt writes or installs itself and for hidden ones.

    Packages that are only linked to (`local:` in packages.yml) count, and ours where it is used.
    """
    digest = hashlib.blake2b(digest_size=16)
    place = _installed(folder)
    links = sorted(path for path in place.iterdir() if path.is_symlink()) if place.is_dir() else []
    ours = [PACKAGE] if _uses_ours(folder) else []
    for root in (folder, *links, *ours):
        for path in files(root):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()


def _uses_ours(folder: Path) -> bool:
    if project_file(folder).get("name") == "catchment" or (_installed(folder) / "catchment").exists():
        return False  # a project or package of that name is the user's
    texts = (text_of(path) for path in files(folder) if path.suffix in {".sql", ".yml", ".yaml"})
    return any("catchment." in text and _OURS.search(text) is not None for text in texts)


def text_of(path: Path) -> str:
    """A file of the project without what Jinja leaves out; what is left stands on the lines where it stood."""
    text = path.read_text(encoding="utf-8", errors="replace")
    return _JINJA_COMMENT.sub(lambda comment: "\n" * comment.group().count("\n"), text)


def _installed(folder: Path) -> Path:
    return folder / str(project_file(folder).get("packages-install-path") or "dbt_packages")


def _link_each(paths: Sequence[Path], folder: Path, name: str | None = None) -> None:
    for path in paths:
        (folder / (name or path.name)).symlink_to(path.absolute(), target_is_directory=path.is_dir())


def files(folder: Path) -> Iterator[Path]:
    """In an order that does not depend on the disk."""
    written = _written(folder)
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in written)
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(place, name)


def _written(folder: Path) -> set[str]:
    """Names of what dbt writes or installs itself."""
    project = project_file(folder)
    named = {str(project[key]) for key in ("target-path", "log-path", "packages-install-path") if project.get(key)}
    return {"target", "logs", "dbt_packages", "dbt_modules", "__pycache__", *named}


def project_file(folder: Path) -> Mapping[str, Any]:
    import yaml

    path = folder / "dbt_project.yml"
    try:
        content = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError as error:
        message = f"{folder.name}/ is not a dbt project: there is no {path}"
        raise ConfigError(
            message, hint="`gold.dbt` in catchment.yaml names the folder that holds dbt_project.yml"
        ) from error
    except yaml.YAMLError as error:
        message = f"{folder.name}/dbt_project.yml: {error}"
        raise ConfigError(message) from error
    return content if isinstance(content, dict) else {}


@contextlib.contextmanager
def _state(state: Path, own: Path) -> Iterator[Path]:
    """The lasting state folder; while another run of dbt has it, one of our own, which parses from nothing."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            own.mkdir(parents=True)
            yield own
        else:
            yield state.absolute()


def _flags(state: Path) -> list[str]:
    flags = "--no-use-colors --log-format json --log-level info --no-quiet --no-send-anonymous-usage-stats"
    return [*flags.split(), "--partial-parse", "--write-json", "--log-path", str(state / "logs")]


def _paths(folder: Path, profiles: Path, profile: str, target: Path) -> list[str]:
    places = {"--project-dir": folder.absolute(), "--profiles-dir": profiles, "--target-path": target}
    options = [*places.items(), ("--profile", profile), ("--target", TARGET)]
    return [str(word) for option in options for word in option]


def _unread(folder: Path, told: Told, code: int) -> CatchmentError:
    """dbt ended before it ran anything: its own words, with the place in front where it names one."""
    words = "\n".join(told.errors) or "\n".join(line for line in told.tail[-20:] if line)
    if "Could not find adapter type" in words:
        return MissingExtra(f"cannot build gold: {words.strip()}", hint="pip install 'catchment[dbt]' where dbt lives")
    if not told.errors:
        return CatchmentError(f"dbt ended with code {code} before it built anything:\n{words}".rstrip(":\n"))
    found, line = _PLACE.search(words), _LINE.search(words)
    place = folder.name + "/"
    if found is not None:
        file = found.group(1) or _whole(folder, found.group(2))
        place = f"{folder.name}/{file}" + (f":{line.group(1)}" if line is not None else "")
    return ConfigError(f"{place}  dbt cannot read the project: {words}", hint="gold that is served is untouched")


def _whole(folder: Path, name: str) -> str:
    """dbt names YAML files from their model path; from the project where exactly one fits."""
    fitting = [p.relative_to(folder).as_posix() for p in files(folder) if p.as_posix().endswith(f"/{name}")]
    return fitting[0] if len(fitting) == 1 else name
