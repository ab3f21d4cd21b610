"""The house: public names, module names, who imports which SDK, and a promise suite for every interface."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import catchment
from catchment import errors, events, interfaces, records

SOURCE = Path(catchment.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

REFUSED = {"utils", "common", "helpers", "core", "base", "manager", "service", "handler", "util", "helper", "misc"}

# Package -> files or folders that may import it; one technology in one role is one file.
ONLY_IN = {
    "deltalake": ("lake/delta.py", "lake/upkeep.py", "sources/delta.py", "testing/crash.py"),
    "duckdb": (
        "engines/",
        "warehouses/",
        "stores/duckdb.py",
        "sources/",  # over Arrow in memory, for JSON, digests and anti-joins
        "generate/",
        "draft/",
        "testing/",
    ),
    "clickhouse_connect": ("stores/clickhouse.py",),
    "dbt": (),
    "dlt": ("sources/dlt/",),
    "tenacity": (
        "execution.py",
        "sources/http/waits.py",
        "topics/kafka/",
        "topics/registry.py",
        "deploy/connect/rest.py",
    ),
    "confluent_kafka": ("topics/kafka/",),
    "fastavro": ("sources/topic/avro.py", "refined/avro.py"),
    "google": ("sources/topic/protobuf.py",),
    "grpc_tools": ("sources/topic/protobuf.py",),
    "adbc_driver_postgresql": ("sources/postgres/", "generate/postgres.py", "generate/into_postgres.py"),
    "adbc_driver_manager": ("sources/postgres/", "generate/postgres.py", "generate/into_postgres.py"),
    "psycopg": ("sources/postgres_changes/",),
    "sqlalchemy": ("sources/sql/",),
    "pymongo": ("sources/mongodb/", "sources/mongodb_changes/", "generate/mongodb.py"),
    "bson": ("sources/mongodb/", "sources/mongodb_changes/", "generate/mongodb.py"),
    "redis": ("sources/redis/", "generate/redis.py"),
    "httpx": ("sources/http/client.py", "topics/registry.py", "deploy/connect/rest.py"),
    "pyiceberg": ("sources/iceberg.py",),
    "boto3": ("aws_secrets.py", "sources/files/s3.py"),
    "narwhals": ("silver/refine.py", "engines/", "interfaces.py", "templates/", "testing/"),
    "open_data_contract_standard": ("odcs/",),
    "rich": ("observe/", "cli/"),
    "click": ("cli/",),
    "pytest": ("testing/",),
    "hypothesis": ("testing/",),
    "sqlite3": ("observe/", "topics/segments.py"),
}

SUITES: dict[type, str] = {
    interfaces.Source: "catchment.testing.sources:SourcePromises",
    interfaces.Broker: "catchment.testing.brokers:BrokerPromises",
    interfaces.Publication: "catchment.testing.publications:PublicationPromises",
    interfaces.Lake: "catchment.testing.lakes:LakePromises",
    interfaces.Table: "catchment.testing.lakes:LakePromises",
    interfaces.Upkeep: "catchment.testing.pasts:PastPromises",
    interfaces.Engine: "catchment.testing.engines:EnginePromises",
    interfaces.Warehouse: "catchment.testing.warehouses:WarehousePromises",
    interfaces.LiveStore: "catchment.testing.stores:LiveStorePromises",
}
# One side of another interface (Build belongs to Warehouse), or nothing that could be promised but to listen.
WITHOUT_SUITE = {interfaces.Build, interfaces.Listener}


def _imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            yield node.module.partition(".")[0], node.lineno


def _inside(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_what_a_user_imports_is_there() -> None:
    assert set(catchment.__all__) == {"__version__", "open"}
    assert all(hasattr(catchment, name) for name in catchment.__all__)


def test_the_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert catchment.__version__ == version("catchment")


@pytest.mark.parametrize("path", MODULES, ids=_inside)
def test_modules_are_named_by_what_they_are(path: Path) -> None:
    assert not {part.removesuffix(".py") for part in path.relative_to(SOURCE).parts} & REFUSED


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_technology_is_imported_only_in_its_place(package: str) -> None:
    strangers = [
        f"{_inside(path)}:{line}"
        for path in MODULES
        for name, line in _imports(path)
        if name == package and not _inside(path).startswith(ONLY_IN[package])
    ]
    assert strangers == []


def _interfaces() -> list[type]:
    found = [value for _, value in inspect.getmembers(interfaces, inspect.isclass)]
    return [value for value in found if value.__module__ == interfaces.__name__]


@pytest.mark.parametrize("interface", _interfaces(), ids=lambda found: found.__name__)
def test_every_interface_has_a_promise_suite_that_is_run(interface: type) -> None:
    if interface in WITHOUT_SUITE:
        return
    module, _, name = SUITES[interface].partition(":")
    suite = getattr(importlib.import_module(module), name)
    promises = [member for member, _ in inspect.getmembers(suite, inspect.isfunction) if member.startswith("test_")]
    assert len(promises) >= 10
    used = [path for path in Path(__file__).parent.rglob("test_*.py") if f"{name})" in path.read_text(encoding="utf-8")]
    assert used, f"no test runs {name}"


def test_interfaces_are_few_and_short() -> None:
    for interface in _interfaces():
        methods = [name for name in vars(interface) if not name.startswith("_") and callable(vars(interface)[name])]
        assert len(methods) <= 14, interface


def test_values_and_events_are_frozen() -> None:
    for module in (records, events):
        for name, value in inspect.getmembers(module, inspect.isclass):
            if value.__module__ == module.__name__:
                assert value.__dataclass_params__.frozen, name


def test_every_error_can_be_printed_with_its_cure() -> None:
    found: list[Any] = [v for _, v in inspect.getmembers(errors, inspect.isclass) if issubclass(v, Exception)]
    assert all(issubclass(error, errors.CatchmentError) for error in found)
    for kind in found:
        if kind is not errors.ProjectProblems:
            error = kind("what", hint="cure")
            assert (error.message, error.hint, str(error)) == ("what", "cure", "what")
    told = errors.ProjectProblems([errors.Problem("catchment.yaml", "wrong", 3, 5, cure="mend it")])
    assert str(told) == "catchment.yaml:3:5  wrong; mend it"


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = ("duckdb", "deltalake", "pyarrow", "sqlglot", "narwhals", "pydantic", "rich", "yaml")
    code = f"import sys, catchment; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_module_says_what_it_is() -> None:
    silent = [
        _inside(path) for path in MODULES if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert [path for path in silent if not path.startswith("templates/")] == []
