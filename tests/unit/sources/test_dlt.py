"""What resources of dlt yield lands with their state, and nothing is written by dlt itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catchment.errors import CatchmentError, ConfigError, ProjectProblems, RetryableError, SchemaDrift
from catchment.project import load_project
from catchment.records import Batch, Budget, Cursor
from catchment.sources import bridged
from catchment.sources.dlt import reading as dlt_reading
from catchment.sources.dlt.source import DltSource
from catchment.testing.sources import committed, rows_in


@dataclass(frozen=True)
class Stream:
    resource: str | None = None
    full: bool | None = None


@dataclass
class Asking:
    """A dlt source in a file of a project, read as runs do."""

    folder: Path
    place: str = "api.py:api"

    def write(self, code: str, name: str = "api.py") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("import dlt\n" + textwrap.dedent(code))

    def source(self, stream: Stream = Stream(), **arguments: Any) -> DltSource:
        return DltSource("api", {"things": stream}, self.folder, source=self.place, with_=arguments)

    def batches(self, since: Cursor | None = None, stream: Stream = Stream(), **arguments: Any) -> list[Batch]:
        source = self.source(stream, **arguments)
        return list(source.read(source.feeds()[0], since, Budget()))

    def read(
        self, since: Cursor | None = None, stream: Stream = Stream(), **arguments: Any
    ) -> tuple[list[Any], Cursor | None]:
        """Documents, and the cursor as it comes back from the table."""
        found = self.batches(since, stream, **arguments)
        return documents(found), committed(since, [batch.cursor for batch in found if batch.cursor is not None])

    def finding(self, stream: Stream = Stream(), **arguments: Any) -> tuple[str, str]:
        source = self.source(stream, **arguments)
        (found,) = source.probe(source.feeds()[0])
        return found.severity, f"{found.message} | {found.hint}"


def documents(found: list[Batch]) -> list[Any]:
    return [json.loads(row["document"]) for row in rows_in(found) if "document" in row]


@pytest.fixture
def asking(tmp_path: Path) -> Asking:
    return Asking(tmp_path)


STATEFUL = """
    @dlt.resource
    def things(ends):
        state = dlt.current.resource_state()
        begins = state.get("ends", 0)
        for number in range(begins, ends):
            yield {"number": number}
            state["ends"] = number + 1

    @dlt.source
    def api(ends):
        return things(ends)
"""


def test_a_resource_goes_on_with_the_state_that_it_had(asking: Asking) -> None:
    asking.write(STATEFUL)
    first, cursor = asking.read(ends=3)
    assert [one["number"] for one in first] == [0, 1, 2]
    second, cursor = asking.read(cursor, ends=5)
    assert [one["number"] for one in second] == [3, 4]
    assert asking.batches(cursor, ends=5) == []


def test_times_decimals_and_bytes_in_a_state_stay_what_they_are(asking: Asking) -> None:
    asking.write("""
        from datetime import UTC, date, datetime
        from decimal import Decimal

        AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
        KEPT = {"at": AT, "on": date(2026, 2, 1), "sum": Decimal("1.10"), "raw": b"\\0a"}

        @dlt.resource
        def things():
            state = dlt.current.resource_state()
            if not state:
                state.update(KEPT)
                yield {"first": True}
            else:
                yield {"equal": dict(state) == KEPT, "types": [type(state[name]).__name__ for name in KEPT]}
                state["seen"] = True

        @dlt.source
        def api():
            return things
    """)
    _, cursor = asking.read()
    (found,), _ = asking.read(cursor)
    assert found == {"equal": True, "types": ["datetime", "date", "Decimal", "bytes"]}


def test_the_state_of_the_source_is_one_for_each_stream(asking: Asking) -> None:
    asking.write("""
        def counting(name):
            @dlt.resource(name=name)
            def counted():
                state = dlt.current.source_state()
                state["reads"] = state.get("reads", 0) + 1
                yield {"name": name, "reads": state["reads"]}
            return counted

        @dlt.source
        def api():
            return counting("one"), counting("other")
    """)
    _, one = asking.read(stream=Stream("one"))
    assert asking.read(one, Stream("one"))[0] == [{"name": "one", "reads": 2}]
    assert asking.read(None, Stream("other"))[0] == [{"name": "other", "reads": 1}]


def test_what_a_source_function_writes_into_its_state_is_not_kept(asking: Asking) -> None:
    asking.write("""
        @dlt.source
        def api():
            calls = dlt.current.source_state().setdefault("calls", 0)
            dlt.current.source_state()["calls"] = calls + 1
            return dlt.resource([{"calls": calls}], name="things")
    """)
    found, cursor = asking.read()
    assert found == [{"calls": 0}]
    assert asking.read(cursor)[0] == [{"calls": 0}]


def test_a_resource_that_fails_in_the_middle_leaves_no_cursor_and_no_state(asking: Asking) -> None:
    asking.write("""
        @dlt.resource
        def things(fails: bool, at=dlt.sources.incremental("id", initial_value=0)):
            yield [{"id": number} for number in range(1, 70_001)]
            if fails:
                raise ValueError("no luck")
            yield {"id": 70_001}

        @dlt.source
        def api(fails):
            return things(fails)
    """)
    source, given = asking.source(fails=True), list[Batch]()
    with pytest.raises(ConfigError, match=r"api\.py:7  ValueError: no luck"):
        given.extend(source.read(source.feeds()[0], None, Budget(bytes=1)))
    assert given
    assert [batch.cursor for batch in given] == [None] * len(given)
    found, cursor = asking.read(fails=False)
    assert len(found) == 70_001
    assert asking.batches(cursor, fails=False) == []


def test_memory_holds_a_batch_and_not_the_resource(asking: Asking) -> None:
    asking.write("""
        @dlt.resource
        def api():
            for number in range(64):
                yield {"number": number, "text": "x" * (1 << 20)}
    """)
    sizes = [batch.rows.nbytes for batch in asking.batches(stream=Stream("api"))]
    assert sum(sizes) > 64 << 20
    assert max(sizes) < 8 << 20


def test_rows_of_the_last_cursor_value_do_not_come_twice_and_late_ones_of_it_come(asking: Asking) -> None:
    asking.write("""
        @dlt.resource
        def things(ids, at=dlt.sources.incremental("day", initial_value="")):
            yield [{"id": id, "day": "2026-01-31"} for id in ids]

        @dlt.source
        def api(ids):
            return things(ids)
    """)
    _, cursor = asking.read(ids=[1, 2])
    assert asking.batches(cursor, ids=[2, 1]) == []
    found, cursor = asking.read(cursor, ids=[1, 2, 3])
    assert [one["id"] for one in found] == [3]
    assert asking.batches(cursor, ids=[3, 2, 1]) == []


def test_of_a_resource_that_merges_only_what_has_changed_lands_again(asking: Asking) -> None:
    asking.write("""
        @dlt.resource(write_disposition="merge", primary_key="id")
        def things(names):
            yield [{"id": id, "name": name} for id, name in enumerate(names)]

        @dlt.source
        def api(names):
            return things(names)
    """)
    found, cursor = asking.read(names=["a", "b"])
    assert len(found) == 2
    assert asking.batches(cursor, names=["a", "b"]) == []
    found, cursor = asking.read(cursor, names=["a", "c"])
    assert found == [{"id": 1, "name": "c"}]
    found, cursor = asking.read(cursor, names=["a", "b"])
    assert found == [{"id": 1, "name": "b"}]
    assert asking.batches(cursor, names=["a", "b"]) == []


def test_a_merge_that_tells_a_key_twice_in_one_read_keeps_the_order_of_its_versions(asking: Asking) -> None:
    asking.write("""
        @dlt.resource(write_disposition="merge", primary_key="id")
        def things(names):
            yield [{"id": 1, "name": name} for name in names]

        @dlt.source
        def api(names):
            return things(names)
    """)
    _, cursor = asking.read(names=["a"])
    found, _ = asking.read(cursor, names=["b", "a"])
    assert [one["name"] for one in found] == ["b", "a"]


def test_a_resource_without_state_and_key_lands_all_that_it_yields_and_check_warns(asking: Asking) -> None:
    asking.write("api = dlt.resource([{'reading': 20}], name='things')")
    found, cursor = asking.read()
    assert asking.read(cursor)[0] == found == [{"reading": 20}]
    severity, words = asking.finding()
    assert severity == "warning"
    assert "each run lands all that it yields" in words
    assert "full: true" in words


WHOLE = """
    @dlt.resource(write_disposition="replace")
    def things(ids):
        yield [{"id": id} for id in ids]

    @dlt.source
    def api(ids):
        return things(ids)
"""


def test_a_resource_that_replaces_wants_to_be_said_full_or_not(asking: Asking) -> None:
    asking.write(WHOLE)
    with pytest.raises(ConfigError, match="write disposition of resource `things` is replace") as refused:
        asking.read(ids=[1])
    assert "full: true" in (refused.value.hint or "")
    assert asking.finding(ids=[1])[0] == "error"
    _, cursor = asking.read(stream=Stream(full=False), ids=[1, 2])
    assert asking.read(cursor, Stream(full=False), ids=[2, 3])[0] == [{"id": 3}]


def test_a_whole_read_that_brings_the_same_in_another_order_is_thrown_away(asking: Asking) -> None:
    asking.write(WHOLE)
    whole = Stream(full=True)
    _, cursor = asking.read(stream=whole, ids=[1, 2])
    assert asking.batches(cursor, whole, ids=[2, 1])[-1].unchanged
    found, cursor = asking.read(cursor, whole, ids=[2])
    assert found == [{"id": 2}]
    emptied = asking.batches(cursor, whole, ids=[])
    assert [notice.kind for notice in emptied[-1].notices] == ["empty_file"]
    assert asking.batches(emptied[-1].cursor, whole, ids=[]) == []


def test_a_full_stream_begins_from_nothing_although_its_resource_keeps_a_state(asking: Asking) -> None:
    asking.write(STATEFUL)
    whole = Stream(full=True)
    _, cursor = asking.read(stream=whole, ends=2)
    assert [one["number"] for one in asking.read(cursor, whole, ends=3)[0]] == [0, 1, 2]


def test_a_state_that_moves_without_a_row_is_kept_so_that_a_read_does_not_stand_still(asking: Asking) -> None:
    asking.write("""
        @dlt.resource
        def things():
            state = dlt.current.resource_state()
            state["month"] = state.get("month", 0) + 1
            if state["month"] == 3:
                yield {"month": 3}

        @dlt.source
        def api():
            return things
    """)
    cursor, found = None, []
    for _ in range(3):
        rows, cursor = asking.read(cursor)
        found += rows
    assert found == [{"month": 3}]


def test_children_of_rows_come_from_their_transformer(asking: Asking) -> None:
    asking.write("""
        @dlt.resource
        def users(at=dlt.sources.incremental("id", initial_value=0)):
            yield [{"id": 1}, {"id": 2}]

        @dlt.transformer(data_from=users)
        def orders(found):
            for user in found:
                yield [{"user": user["id"], "order": number} for number in range(2)]

        @dlt.source
        def api():
            return users, orders
    """)
    found, cursor = asking.read(stream=Stream("orders"))
    assert [(one["user"], one["order"]) for one in found] == [(1, 0), (1, 1), (2, 0), (2, 1)]
    assert asking.batches(cursor, Stream("orders")) == []


def test_arrow_tables_keep_their_types_and_gain_columns_from_load_to_load(asking: Asking) -> None:
    asking.write("""
        from decimal import Decimal
        import pyarrow as pa

        @dlt.resource
        def things(more, at=dlt.sources.incremental("id", initial_value=0)):
            first = pa.table({"id": [1, 2], "sum": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2))})
            yield first
            if more == 1:
                yield first.slice(0, 1).set_column(0, "id", [[3]])
            if more == 2:
                yield pa.table({"id": [3], "sum": [Decimal("3.00")], "day": pa.array([0], pa.date32())})

        @dlt.source
        def api(more):
            return things(more)
    """)
    first = asking.batches(more=0)
    assert first[0].rows.schema.field("sum").type == pa.decimal128(9, 2)
    again = asking.batches(first[-1].cursor, more=1)
    assert rows_in(again)[0]["id"] == 3
    third = asking.batches(first[-1].cursor, more=2)
    assert third[0].rows.schema.field("day").type == pa.date32()
    assert [notice.kind for notice in third[0].notices] == ["columns_added"]
    with pytest.raises(SchemaDrift, match="in the middle of its rows"):
        asking.batches(more=2)


def test_the_same_arrow_rows_of_a_merge_are_told_by_their_values(asking: Asking) -> None:
    asking.write("""
        from datetime import UTC, datetime
        import pyarrow as pa

        @dlt.resource(write_disposition="merge", primary_key="id")
        def things(names):
            at = pa.array([datetime(2026, 1, 31, tzinfo=UTC)] * len(names), pa.timestamp("us", "UTC"))
            yield pa.table({"id": list(range(len(names))), "it's \\"name\\"": names, "at": at})

        @dlt.source
        def api(names):
            return things(names)
    """)
    first = asking.batches(names=["a", None, "c"])
    cursor = committed(None, [first[-1].cursor]) if first[-1].cursor else None
    assert asking.batches(cursor, names=["a", None, "c"]) == []
    assert [row["id"] for row in rows_in(asking.batches(cursor, names=["a", "b", "c"]))] == [1]


def test_documents_are_json_without_a_loss_and_what_is_none_is_a_defect(asking: Asking) -> None:
    asking.write("""
        from datetime import UTC, date, datetime
        from decimal import Decimal
        from uuid import UUID

        CIRCLE = []
        CIRCLE.append(CIRCLE)

        @dlt.resource
        def api():
            yield {"sum": Decimal("1.10"), "at": datetime(2026, 1, 31, 12, tzinfo=UTC), "on": date(2026, 2, 1)}
            yield {"large": 2**70, "raw": b"abc", "id": UUID(int=1), "odd": [float("nan"), float("-inf")]}
            yield {"circle": CIRCLE}
            yield {"half": "\\ud800"}
            yield {(1, 2): "no name"}
            yield "only text"
            yield None
    """)
    rows = rows_in(asking.batches(stream=Stream("api")))
    assert [json.loads(row["document"]) for row in rows if row["_defect"] is None] == [
        {"sum": "1.10", "at": "2026-01-31T12:00:00+00:00", "on": "2026-02-01"},
        {"large": 2**70, "raw": "YWJj", "id": "00000000-0000-0000-0000-000000000001", "odd": ["NaN", "-Infinity"]},
        "only text",
    ]
    assert [row["_defect"].partition(":")[0] for row in rows if row["_defect"]] == ["cannot be written as JSON"] * 3
    assert all(row["_raw"] for row in rows if row["_defect"])


def test_a_folder_with_its_own_files_is_a_source_and_may_be_called_as_the_package_that_it_uses(asking: Asking) -> None:
    asking.write(
        "from .helpers import rows\n\n@dlt.source\ndef api():\n    return rows", "sources/requests/__init__.py"
    )
    helpers = "import requests\n\n@dlt.resource\ndef rows():\n    yield {'get': callable(requests.get), 'n': 1}"
    asking.write(helpers, "sources/requests/helpers.py")
    asking.place = "sources/requests:api"
    assert asking.read(stream=Stream("rows"))[0] == [{"get": True, "n": 1}]
    asking.write(helpers.replace("1}", "2}"), "sources/requests/helpers.py")
    assert asking.read(stream=Stream("rows"))[0] == [{"get": True, "n": 2}]
    assert not list(asking.folder.rglob("__pycache__/__init__*"))


def test_a_file_of_the_folder_that_is_imported_when_the_function_is_called_is_run_as_it_says_now(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    late = """
        @dlt.resource
        def rows():
            from .deep import number, plain
            from .deep.number import VALUE
            yield {"n": VALUE, "plain": plain.__name__.rpartition(".")[2]}

        @dlt.source
        def api():
            return rows
    """
    asking.write(late, "sources/late/__init__.py")
    asking.write("VALUE = 1", "sources/late/deep/number.py")
    asking.write("", "sources/late/deep/plain.py")
    asking.place = "sources/late:api"
    assert asking.read(stream=Stream("rows"))[0] == [{"n": 1, "plain": "plain"}]
    number = asking.folder / "sources/late/deep/number.py"
    before = number.stat()
    number.write_text(number.read_text(encoding="utf-8").replace("VALUE = 1", "VALUE = 2"), encoding="utf-8")
    os.utime(number, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert asking.read(stream=Stream("rows"))[0] == [{"n": 2, "plain": "plain"}]
    assert not list(asking.folder.rglob("__pycache__"))
    assert sum(type(finder).__name__ == "_Files" for finder in sys.meta_path) == 1


def test_a_source_that_dlt_ships_reads_an_api_with_the_settings_of_the_project(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME__REQUEST_MAX_ATTEMPTS", "1")

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.path.partition("since=")[2]
            found = [{"id": number, "at": f"2026-01-0{number}"} for number in (1, 2, 3)]
            body = json.dumps([one for one in found if str(one["at"]) >= asked]).encode()
            self.send_response(200 if self.headers["Authorization"] == "Bearer secret" else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asking.place = "dlt.sources.rest_api:rest_api_source"
    at = {"type": "incremental", "cursor_path": "at", "initial_value": "2026-01-02"}
    things = {"name": "things", "primary_key": "id", "endpoint": {"path": "things", "params": {"since": at}}}

    def arguments(token: str) -> Mapping[str, Any]:
        client = {"base_url": f"http://127.0.0.1:{server.server_port}", "auth": {"token": token}}
        return {"config": {"client": {**client, "paginator": "single_page"}, "resources": [things]}}

    try:
        found, cursor = asking.read(**arguments("secret"))
        assert [one["id"] for one in found] == [2, 3]
        assert asking.batches(cursor, **arguments("secret")) == []
        with pytest.raises(ConfigError, match="401") as refused:
            asking.read(**arguments("wrong"))
        assert "token" in (refused.value.hint or "")
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(RetryableError):
        asking.read(**arguments("secret"))


@pytest.mark.filterwarnings("ignore:`detect_precision_hints`:DeprecationWarning")
def test_tables_of_a_database_come_typed_through_the_source_that_dlt_ships(asking: Asking) -> None:
    import sqlite3

    with sqlite3.connect(asking.folder / "shop.db") as database:
        database.execute("CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT)")
        database.executemany("INSERT INTO things VALUES (?, ?)", [(1, "one"), (2, "two")])
    database.close()
    asking.place = "dlt.sources.sql_database:sql_database"
    address = f"sqlite:///{asking.folder}/shop.db"
    batches = asking.batches(stream=Stream(full=True), credentials=address, backend="pyarrow")
    assert [(row["id"], row["name"]) for row in rows_in(batches)] == [(1, "one"), (2, "two")]
    assert batches[0].rows.schema.field("id").type == pa.int64()


@pytest.mark.parametrize(
    ("code", "place", "words"),
    [
        ("", "nowhere.py:api", "there is no file nowhere.py"),
        ("", "api.py:api", "there is no `api` in api.py"),
        ("", "no_such_package_here:api", "there is no package `no_such_package_here`"),
        ("import no_such_package_here", "api.py:api", "No module named 'no_such_package_here'"),
        ("def api():\n    yield 1", "api.py:api", "gives generator, which is no dlt source"),
        ("api = dlt.resource([1], name='other')", "api.py:api", "has no resource `things`"),
        (
            "@dlt.resource\ndef things(key=dlt.secrets.value):\n    yield key\napi = things",
            "api.py:api",
            "asks for key",
        ),
        ("@dlt.source\ndef api(a):\n    return []", "api.py:api", "takes no argument `wrong`"),
        (
            "@dlt.resource(name='things')\ndef api():\n    raise SystemExit(0)\n    yield",
            "api.py:api",
            "api.py:4  SystemExit",
        ),
        ("1 +", "api.py:api", "SyntaxError"),
    ],
)
def test_mistakes_are_told_in_words(asking: Asking, code: str, place: str, words: str) -> None:
    asking.write(code)
    asking.place = place
    arguments = {"wrong": 1} if "wrong" in words else {}
    with pytest.raises(ConfigError) as refused:
        asking.read(**arguments)
    assert words in str(refused.value)
    assert refused.value.hint is not None
    assert asking.finding(**arguments)[0] == "error"


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        ("ConnectionResetError('reset')", RetryableError),
        ("requests.Timeout('slow')", RetryableError),
        ("requests.HTTPError('429 for https://u:pw@api/x?key=hidden', response=answer(429))", RetryableError),
        ("requests.HTTPError('403 for https://u:pw@api/x?key=hidden', response=answer(403))", ConfigError),
        ("KeyError('items')", ConfigError),
    ],
)
def test_what_may_pass_is_tried_again_and_nothing_secret_is_told(
    asking: Asking, raised: str, kind: type[CatchmentError]
) -> None:
    asking.write(f"""
        from dlt.sources.helpers import requests

        def answer(status):
            found = requests.Response()
            found.status_code = status
            return found

        @dlt.resource(name="things")
        def api():
            yield {{"id": 1}}
            raise {raised}
    """)
    with pytest.raises(kind) as told:
        asking.read()
    assert type(told.value) is kind
    assert "api.py:13" in str(told.value)
    assert "hidden" not in str(told.value)
    assert "pw" not in str(told.value)
    assert told.value.__cause__ is None


def test_too_many_rows_without_a_state_are_refused_before_they_could_come_twice(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bridged, dlt_reading):
        monkeypatch.setattr(module, "MOST", 10)
    asking.write("""
        @dlt.resource(write_disposition="merge", primary_key="id")
        def things():
            yield [{"id": number} for number in range(11)]

        api = things
    """)
    with pytest.raises(ConfigError, match="gives 11 rows each time and keeps no state"):
        asking.read()


def test_resources_in_several_threads_keep_their_states_apart(asking: Asking) -> None:
    asking.write("""
        import time

        @dlt.resource
        def things(name):
            state = dlt.current.resource_state()
            for number in range(30):
                state.setdefault("names", []).append(name)
                time.sleep(0.002)
                yield {"name": name, "number": number}

        @dlt.source
        def api(name):
            return things(name)
    """)
    found: dict[str, Cursor | None] = {}
    threads = [
        threading.Thread(target=lambda name=name: found.update({name: asking.read(name=name)[1]}))  # type: ignore[misc]
        for name in ("a", "b", "c")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in ("a", "b", "c"):
        state = bridged.Landed.of(found[name]).state
        assert state is not None
        assert json.loads(state)["sources"]["api"]["resources"]["things"]["names"] == [name] * 30


def test_parallel_resources_end_where_a_look_has_seen_enough(asking: Asking) -> None:
    asking.write("""
        @dlt.resource(parallelized=True)
        def api():
            for number in range(100_000):
                yield {"number": number}
    """)
    source = asking.source(Stream("api"))
    found = rows_in(source.read(source.feeds()[0], None, Budget(rows=3)))
    assert 3 <= len(found) < 1000


def test_dlt_writes_no_file_anywhere(asking: Asking, tmp_path: Path) -> None:
    asking.write(STATEFUL)
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    code = f"""
        from pathlib import Path
        from catchment.records import Budget
        from catchment.sources.dlt.source import DltSource

        class Stream:
            resource, full = "things", None

        folder = Path({str(asking.folder)!r})
        source = DltSource("api", {{"things": Stream()}}, folder, source="api.py:api", with_={{"ends": 2}})
        print(len(list(source.read(source.feeds()[0], None, Budget()))))
    """
    environment = {**os.environ, "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"api.py", "home", "work"}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("sources/my_api.py", "does not say which function"),
        ("my_api.fetch", "does not say which function"),
        ("", "empty"),
    ],
)
def test_a_place_without_a_function_is_told_with_its_own_place(tmp_path: Path, source: str, words: str) -> None:
    text = f"name: shop\nsources: {{api: {{type: dlt, source: '{source}', streams: {{things: {{}}}}}}}}\n"
    (tmp_path / "catchment.yaml").write_text(text)
    with pytest.raises(ProjectProblems, match=r"catchment\.yaml:2:") as refused:
        load_project(tmp_path)
    assert words in str(refused.value)
