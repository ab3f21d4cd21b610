"""The function that makes a dlt source or resource: found in a package or in a file of the project, and called."""

from __future__ import annotations

import copy
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import dlt
from dlt.extract.resource import DltResource

from catchment.errors import ConfigError
from catchment.naming import did_you_mean

# Apart from every package, so that sources/stripe.py may import stripe; dlt looks at the last part of the name only.
_PREFIX = "_catchment_sources"
_loading = threading.RLock()


class _Unremembered(importlib.machinery.SourceFileLoader):
    """Runs what the file says now, and writes no cache into the user's folder."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Files(importlib.abc.MetaPathFinder):
    """Finds the other files of a folder, also those that a function imports when it is called: bytecode would hide an
    edit of the same length within a second."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if path is None or not fullname.startswith(f"{_PREFIX}."):
            return None
        kinds = (
            (importlib.machinery.ExtensionFileLoader, importlib.machinery.EXTENSION_SUFFIXES),
            (_Unremembered, importlib.machinery.SOURCE_SUFFIXES),
        )
        found = (importlib.machinery.FileFinder(place, *kinds).find_spec(fullname, target) for place in path)
        return next((spec for spec in found if spec is not None), None)


def is_file(place: str) -> bool:
    """Whether a place names a file or folder of the project, and not a package."""
    module = place.rpartition(":")[0]
    return module.endswith(".py") or "/" in module


def function(place: str, folder: Path) -> Any:
    """What `package.module:name` or `sources/my_api.py:name` names. Raises ConfigError, or what the file raises."""
    where, _, name = place.rpartition(":")
    module = _file(folder / where, where) if is_file(place) else _module(where)
    found = getattr(module, name, None)
    if found is None:
        near = did_you_mean(name, [known for known in vars(module) if not known.startswith("_")])
        message = f"there is no `{name}` in {where}"
        raise ConfigError(message, hint=near or "write the name of the function that makes the dlt source")
    return found


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            message = f"{name} needs package `{error.name}`, which is not installed"
            raise ConfigError(message, hint=f"install it beside catchment: pip install {error.name}") from None
        message = f"there is no package `{name}`"
        hint = "install it beside catchment, or name a file of the project: sources/my_api.py:function"
        raise ConfigError(message, hint=hint) from None


def _file(path: Path, shown: str) -> ModuleType:
    """A file, or a folder with `__init__.py` whose files import one another relatively, as dlt's own sources do."""
    file = path / "__init__.py" if path.is_dir() else path
    if not file.is_file():
        message = f"there is no file {shown}"
        raise ConfigError(message, hint="`source` names a file of the project, or a folder with `__init__.py`")
    package = file.parent if file.name == "__init__.py" else None
    stem = re.sub(r"\W", "_", file.stem if package is None else package.name)
    name = f"{_PREFIX}.{stem}"
    spec = importlib.util.spec_from_file_location(
        name,
        file,
        loader=_Unremembered(name, str(file)),
        submodule_search_locations=None if package is None else [str(package)],
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with _loading:
        for old in [known for known in sys.modules if known == name or known.startswith(f"{name}.")]:
            del sys.modules[old]
        _prepare()
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return module


def _prepare() -> None:
    """Once in a process: files of a folder are found, and `from . import other` finds what their names begin with."""
    if _PREFIX not in sys.modules:
        above = ModuleType(_PREFIX)
        above.__path__ = []
        sys.modules[_PREFIX] = above
        sys.meta_path.insert(0, _Files())


def called(found: Any, place: str, arguments: Mapping[str, Any], name: str) -> dlt.sources.DltSource:
    """The dlt source that a function gives. Raises ConfigError for what is none, or whatever the function raises."""
    made = _call(found, place, arguments)
    resources = [made] if isinstance(made, DltResource) else made
    if isinstance(made, dlt.sources.DltSource):
        return made
    if not isinstance(resources, list | tuple) or not all(isinstance(one, DltResource) for one in resources):
        message = f"{place} gives {type(made).__name__}, which is no dlt source and no resource"
        raise ConfigError(message, hint="put @dlt.source or @dlt.resource before the function")
    # Its state and its settings are kept under the source's name: dlt would make one up for a resource without any.
    sections = {one.section for one in resources if one.section}
    section = sections.pop() if len(sections) == 1 else name
    return dlt.sources.DltSource(dlt.Schema(name), section, list(resources))


def _call(found: Any, place: str, arguments: Mapping[str, Any]) -> Any:
    given = copy.deepcopy(dict(arguments))  # dlt's own sources change what they are given
    is_made = isinstance(found, dlt.sources.DltSource) or (isinstance(found, DltResource) and found.args_bound)
    if is_made or not callable(found):
        if given:
            message = f"{place} takes no arguments"
            raise ConfigError(message, hint="remove `with`")
        return found
    _refuse_strange(found, place, given)
    return found(**given)


def _refuse_strange(found: Callable[..., Any], place: str, given: Mapping[str, Any]) -> None:
    import inspect

    try:
        taken = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in taken.values()):
        return
    for name in given:
        if name not in taken:
            message = f"{place} takes no argument `{name}`"
            raise ConfigError(message, hint=did_you_mean(name, list(taken)) or f"there are {', '.join(taken)}")
