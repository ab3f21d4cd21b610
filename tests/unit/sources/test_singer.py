"""What a tap writes lands with its state; a tap that crashes, hangs or writes rubbish costs no row and doubles none."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from catchment import leash
from catchment.errors import CatchmentError, ConfigError, DataError, ProjectProblems, RetryableError
from catchment.project import load_project
from catchment.records import Batch, Budget, Cursor
from catchment.settings import resolve
from catchment.sources import bridged
from catchment.sources.singer import reading as singer_reading
from catchment.sources.singer import tap as singer_tap
from catchment.sources.singer.messages import Record, message
from catchment.sources.singer.source import SingerSource
from catchment.testing.sources import committed, rows_in

WHOLE = Budget()
TAP = Path(__file__).with_name("singer_tap_of_tests.py")


@dataclass(frozen=True)
class Stream:
    stream: str | None = None
    full: bool = False
    method: str | None = None
    replication_key: str | None = None
    along: Sequence[str] = ()


@dataclass
class Shop:
    """A tap over pages of rows, read as runs do."""

    folder: Path
    config: dict[str, Any] = field(default_factory=dict)
    stream: Stream = field(default_factory=Stream)
    keys: dict[str, Any] = field(default_factory=dict)
    command: str = ""

    def put(self, *ids: int | str, **more: Any) -> None:
        rows = [{"id": one, **more} if isinstance(one, int) else {"id": 5, "text": one} for one in ids]
        page = len(list(self.folder.glob("page-*.json")))
        (self.folder / f"page-{page:03}.json").write_text(json.dumps(rows))

    def source(self) -> SingerSource:
        command = self.command or f"{sys.executable} -S {self.folder / 'tap.py'}"
        keys = {"command": command, "config": self.config, **self.keys}
        return SingerSource("shop", {"users": self.stream}, self.folder, **keys)

    def open(self, since: Cursor | None = None, budget: Budget = WHOLE) -> Iterator[Batch]:
        source = self.source()
        return source.read(source.feeds()[0], since, budget)

    def read(self, since: Cursor | None = None, budget: Budget = WHOLE) -> tuple[list[dict[str, Any]], Cursor | None]:
        found = list(self.open(since, budget))
        return rows_in(found), committed(since, [batch.cursor for batch in found if batch.cursor is not None])

    def ids(self, since: Cursor | None = None) -> tuple[list[int], Cursor | None]:
        rows, cursor = self.read(since)
        return [json.loads(row["document"])["id"] for row in rows], cursor

    def until_error(
        self, kind: type[CatchmentError], since: Cursor | None = None
    ) -> tuple[list[Batch], CatchmentError, Cursor | None]:
        """What was handed over before it failed, and the cursor after what would have been committed of it."""
        found = list[Batch]()
        with pytest.raises(kind) as told:
            found.extend(self._taken(found, since))
        return found, told.value, committed(since, [batch.cursor for batch in found if batch.cursor is not None])

    def _taken(self, found: list[Batch], since: Cursor | None) -> list[Batch]:
        for batch in self.open(since):
            found.append(batch)
        return []

    def finding(self) -> tuple[str, str]:
        source = self.source()
        (found,) = source.probe(source.feeds()[0])
        return found.severity, f"{found.message} | {found.hint}"

    def called(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "called.json").read_text())
        return told


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shutil.copyfile(TAP, tmp_path / "tap.py")
    return Shop(tmp_path)


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_tap_goes_on_with_the_state_that_it_told_last(shop: Shop) -> None:
    shop.put(0, 1)
    assert shop.ids() == ([0, 1], (cursor := shop.read()[1]))
    assert cursor is not None
    assert list(shop.open(cursor)) == []
    assert shop.called()["state"] == {"bookmarks": {"users": {"id": 1}}}
    shop.put(2)
    assert shop.ids(cursor)[0] == [2]


def test_a_row_of_the_bookmark_that_has_changed_lands_again_and_an_equal_one_does_not(shop: Shop) -> None:
    shop.put(0, 1)
    _, cursor = shop.read()
    shop.put(1, name="new")
    rows, cursor = shop.read(cursor)
    assert [row["document"] for row in rows] == ['{"id": 1, "name": "new"}']
    assert list(shop.open(cursor)) == []


def test_equal_rows_without_a_key_are_as_many_as_the_tap_gives(shop: Shop) -> None:
    shop.config = {"key": [], "states": False}
    shop.put(1, 1)
    rows, cursor = shop.ids()
    assert rows == [1, 1]
    shop.put(1)
    rows, cursor = shop.ids(cursor)
    assert rows == [1]
    assert list(shop.open(cursor)) == []


def test_a_row_that_went_to_another_value_and_back_within_one_run_lands_both_times(shop: Shop) -> None:
    shop.put(1, name="a")
    _, cursor = shop.read()
    shop.folder.joinpath("page-000.json").unlink()
    shop.put(1, name="b")
    shop.put(1, name="a")
    rows, _ = shop.read(cursor)
    assert [json.loads(row["document"])["name"] for row in rows] == ["b", "a"]


def test_records_land_as_the_very_text_that_the_tap_wrote(shop: Shop) -> None:
    text = '{"id": 5, "sum": 1.10, "much": 12345678901234567890.123456789012345678, "é": "\\u00e9"}'
    shop.put(f'{{"stream": "users" , "record":{text}, "type":"RECORD"}}')
    assert [row["document"] for row in shop.read()[0]] == [text]


def test_a_load_ends_at_a_state_once_it_holds_enough(shop: Shop) -> None:
    for page in range(6):
        shop.put(page)
    loads = [batch for batch in shop.open(budget=Budget(bytes=18)) if batch.cursor is not None]
    assert [batch.rows.num_rows for batch in loads] == [2, 2, 2]
    assert [batch.cursor is not None for batch in shop.open()] == [True]


def test_what_follows_the_last_state_is_kept_and_not_doubled(shop: Shop) -> None:
    shop.put(0, 1)
    shop.put(2)
    shop.config = {"states": False}
    rows, cursor = shop.ids()
    assert rows == [0, 1, 2]
    assert list(shop.open(cursor)) == []
    shop.put(3)
    assert shop.ids(cursor)[0] == [3]


def test_a_tap_that_fails_keeps_what_it_gave_up_to_its_last_state(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAP_TOKEN", "very-secret-token")
    token = resolve("${env:TAP_TOKEN}", shop.folder)
    shop.put(0, 1)
    shop.put(2, 3, 4)
    shop.config = {"at": 4, "how": "crash", "token": token}
    found, error, cursor = shop.until_error(ConfigError)
    assert [json.loads(row["document"])["id"] for row in rows_in(found)] == [0, 1]
    assert "ended with code 3" in str(error)
    assert "CRITICAL no luck with ${env:TAP_TOKEN}" in str(error)
    assert "very-secret" not in str(error)
    shop.config = {}
    assert shop.ids(cursor)[0] == [2, 3, 4]


@pytest.mark.parametrize(("how", "words"), [("busy", "ended with code 1"), ("killed", "was ended by signal 9")])
def test_what_may_pass_is_tried_again(shop: Shop, how: str, words: str) -> None:
    shop.put(0, 1)
    shop.config = {"at": 1, "how": how}
    _, error, _ = shop.until_error(RetryableError)
    assert words in str(error)


def test_a_whole_run_that_fails_leaves_nothing(shop: Shop) -> None:
    shop.stream = Stream(full=True)
    shop.put(0)
    shop.put(1)
    shop.config = {"at": 1, "how": "crash"}
    found, _, cursor = shop.until_error(ConfigError)
    assert cursor is None
    assert [batch.cursor for batch in found] == [None] * len(found)


def test_a_tap_that_hangs_is_ended_even_where_it_does_not_want_to(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leash, "_PATIENCE_S", 0.5)
    shop.put(0, 1)
    shop.put(2)
    shop.config = {"at": 2, "how": "hang"}
    shop.keys = {"silence": "4 s"}  # starting takes its time, too
    found, error, _ = shop.until_error(RetryableError)
    assert "has said nothing for 4 s" in str(error)
    assert len(rows_in(found)) == 2
    told = shop.called()
    assert not is_alive(told["pid"])
    assert not Path(told["folder"]).exists()


def test_who_waits_for_a_tap_that_says_nothing_can_stop_between_two_batches(shop: Shop) -> None:
    shop.put(0, text='{"type": "RECORD", "stream": "users", "record": {"id": "' + "x" * (5 << 20) + '"}}')
    shop.put(1)
    shop.config = {"at": 1, "how": "hang"}
    given = shop.open()
    assert next(given).rows.num_rows == 1
    assert next(given).rows.num_rows == 0
    os.kill(shop.called()["pid"], signal.SIGKILL)
    given.close()  # type: ignore[attr-defined]


def test_a_source_that_is_closed_in_the_middle_of_a_read_leaves_no_tap(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leash, "_PATIENCE_S", 0.5)
    for page in range(3):
        shop.put(page)
    shop.config = {"at": 2, "how": "hang"}
    source = shop.source()
    given = source.read(source.feeds()[0], None, Budget(bytes=1))
    next(given)
    source.close()
    told = shop.called()
    assert not is_alive(told["pid"])
    assert not Path(told["folder"]).exists()
    assert len(rows_in(source.read(source.feeds()[0], None, Budget(rows=2)))) == 2


def test_a_read_that_is_given_up_ends_the_tap_and_removes_its_secrets(shop: Shop) -> None:
    for page in range(3):
        shop.put(page)
    given = shop.open(budget=Budget(bytes=1))
    next(given)
    given.close()  # type: ignore[attr-defined]
    told = shop.called()
    assert not is_alive(told["pid"])
    assert not Path(told["folder"]).exists()


def test_what_the_tap_reads_is_private(shop: Shop) -> None:
    shop.config = {"token": "t-1"}
    shop.put(0)
    _, cursor = shop.read()
    shop.read(cursor)
    told = shop.called()
    assert told["config"] == {"token": "t-1"}
    assert told["modes"] == ["0o600"] * 3


def test_neither_tap_nor_secrets_outlive_a_process_that_is_killed(shop: Shop) -> None:
    shop.put(0)
    shop.config = {"at": 0, "how": "hang", "token": "t-1"}
    code = f"""
        from pathlib import Path
        from catchment.records import Budget
        from catchment.sources.singer.source import SingerSource

        class Stream:
            stream, full, method, replication_key, along = None, False, None, None, ()

        source = SingerSource("shop", {{"users": Stream()}}, Path("."), command={sys.executable + " -S ./tap.py"!r},
                              config={shop.config!r}, discover=False)
        list(source.read(source.feeds()[0], None, Budget()))
    """
    reader = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=shop.folder)
    until = time.monotonic() + 30
    while not (shop.folder / "called.json").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.3)
    told = shop.called()
    assert is_alive(told["pid"])
    assert Path(told["folder"]).exists()
    reader.kill()
    reader.wait()
    while (is_alive(told["pid"]) or Path(told["folder"]).exists()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_alive(told["pid"])
    assert not Path(told["folder"]).exists()


def test_rubbish_is_a_defect_and_does_not_come_again(shop: Shop) -> None:
    shop.put(0, 1, 2)
    shop.config = {"at": 1, "how": "rubbish"}
    rows, cursor = shop.read()
    assert [row["document"] for row in rows if row["_defect"] is None] == [f'{{"id": {n}}}' for n in (0, "NaN", 1, 2)]
    defects = [(row["_defect"], row["_raw"]) for row in rows if row["_defect"]]
    assert [reason for reason, _ in defects] == [
        "no Singer message: not a JSON object",
        "no Singer message: RECORD without `record`",
        "no Singer message: type 'NEWS' is not known",
        "not UTF-8 text: byte 36 of the line",
        "no Singer message: Expecting ',' delimiter: line 1 column 57 (char 56)",
    ]
    assert defects[0][1] == b"starting, please wait"
    shop.config = {"at": 2, "how": "rubbish"}
    assert shop.read(cursor)[0] == []


def test_a_line_longer_than_any_message_is_a_defect_with_its_beginning(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(singer_tap, "_LONGEST", 1 << 20)
    long = '{"type": "RECORD", "stream": "users", "record": {"id": "' + "x" * (3 << 20) + '"}}'
    shop.put(long, 6)
    rows, _ = shop.read()
    assert [row["_defect"] for row in rows] == [
        f"a line of {len(long):,} bytes, longer than any message; the first 65,536 are kept",
        None,
    ]
    assert len(rows[0]["_raw"]) == 64 << 10


def test_memory_holds_a_batch_and_not_the_run(shop: Shop) -> None:
    shop.config = {"states": False}
    text = json.dumps({"type": "RECORD", "stream": "users", "record": {"id": 5, "text": "x" * (1 << 20)}})
    shop.put(*[text] * 48)
    sizes = [batch.rows.nbytes for batch in shop.open()]
    assert sum(sizes) > 48 << 20
    assert max(sizes) < 8 << 20


def test_warnings_of_the_tap_are_passed_on(shop: Shop) -> None:
    shop.put(0)
    shop.config = {"at": 0, "how": "warn"}
    said = [notice for batch in shop.open() for notice in batch.notices]
    assert [(notice.kind, notice.message.partition(": ")[2]) for notice in said] == [("said", "WARNING the api is old")]


def test_a_table_that_is_replaced_in_each_run_is_told_where_it_is_not_full(shop: Shop) -> None:
    shop.put(0)
    shop.config = {"activate": True}
    assert [notice.kind for batch in shop.open() for notice in batch.notices] == ["replaces_all"]
    shop.stream = Stream(full=True)
    assert [notice.kind for batch in shop.open() for notice in batch.notices] == []


def test_a_whole_run_is_given_no_state_and_changes_nothing_where_it_brings_the_same(shop: Shop) -> None:
    shop.stream = Stream(full=True)
    shop.put(0, 1)
    rows, cursor = shop.ids()
    assert rows == [0, 1]
    assert shop.read(cursor)[0] == []
    assert shop.called()["state"] is None
    (shop.folder / "page-000.json").write_text("[]")
    assert [notice.kind for batch in shop.open(cursor) for notice in batch.notices] == ["empty_file"]


def test_messages_of_files_are_refused(shop: Shop) -> None:
    shop.put(0)
    shop.config = {"at": 0, "how": "batch"}
    with pytest.raises(ConfigError, match="BATCH messages of `users`") as refused:
        shop.read()
    assert "batch_config" in (refused.value.hint or "")


def test_a_state_that_moves_without_a_row_is_kept(shop: Shop) -> None:
    shop.put(0, 1)
    _, cursor = shop.read()
    shop.put('{"type": "RECORD", "stream": "others", "record": {"id": 5}}')
    rows, cursor = shop.read(cursor)
    assert rows == []
    assert json.loads(bridged.Landed.of(cursor).state or "")["bookmarks"]["users"]["id"] == 5
    assert list(shop.open(cursor)) == []


def test_too_many_rows_without_a_state_are_refused_before_they_could_come_twice(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (bridged, singer_reading):
        monkeypatch.setattr(module, "MOST", 10)
    shop.put(*range(11))
    assert len(shop.ids()[0]) == 11
    shop.config = {"states": False}
    with pytest.raises(DataError, match="gives 11 rows and no new state"):
        shop.read()


def test_only_the_stream_that_is_wanted_is_selected_in_the_catalog(shop: Shop) -> None:
    shop.put(0)
    shop.stream = Stream("shop-users", method="FULL_TABLE", replication_key="id", along=["orders"])
    shop.read()
    users, orders = shop.called()["catalog"]["streams"]
    top = {"forced-replication-method": "INCREMENTAL", "selected": True}
    assert users["metadata"][0]["metadata"] == {**top, "replication-method": "FULL_TABLE", "replication-key": "id"}
    assert users["metadata"][1]["metadata"] == {"inclusion": "available", "selected": True}
    assert users["replication_method"] == "FULL_TABLE"
    assert orders["metadata"][0]["metadata"] == top
    shop.stream = Stream("users")
    shop.read()
    assert [one["selected"] for one in shop.called()["catalog"]["streams"]] == [True, False]
    assert [one["schema"]["selected"] for one in shop.called()["catalog"]["streams"]] == [True, False]


def test_fields_of_a_catalog_file_are_selected_as_they_stand_there(shop: Shop) -> None:
    shop.put(0)
    fields = [{"breadcrumb": ["properties", "name"], "metadata": {"selected": False}}]
    entries = [{"stream": "users", "tap_stream_id": "users", "schema": {}, "metadata": fields}]
    (shop.folder / "mine.json").write_text(json.dumps({"streams": entries}))
    shop.keys = {"catalog": "mine.json"}
    shop.read()
    (found,) = shop.called()["catalog"]["streams"]
    assert found["metadata"] == [{"breadcrumb": [], "metadata": {"selected": True}}, *fields]


@pytest.mark.parametrize(
    ("keys", "stream", "words"),
    [
        ({"command": "no-such-tap-anywhere"}, Stream(), "there is no program no-such-tap-anywhere"),
        ({"command": "bin/tap-x --quick"}, Stream(), "there is no program bin/tap-x"),
        ({"command": "tap 'x"}, Stream(), "is not closed"),
        ({}, Stream("userz"), "the tap has no stream `userz`"),
        ({}, Stream(along=["orderz"]), "the tap has no stream `orderz`"),
        ({"catalog": "none.json"}, Stream(), "there is no catalog none.json"),
        ({"catalog": "tap.py"}, Stream(), "catalog tap.py cannot be read"),
        ({"command": "/bin/echo"}, Stream(), "writes no catalog"),
        ({"command": "/bin/false"}, Stream(), "ended with code 1"),
    ],
)
def test_mistakes_are_told_in_words(shop: Shop, keys: dict[str, Any], stream: Stream, words: str) -> None:
    shop.put(0)
    shop.keys, shop.stream = keys, stream
    with pytest.raises(ConfigError) as refused:
        shop.read()
    assert words in str(refused.value)
    assert refused.value.hint is not None
    severity, told = shop.finding()
    assert severity == "error"
    assert words in told


def test_check_says_of_a_stream_that_is_read_whole_each_time_that_it_should_be_full(shop: Shop) -> None:
    shop.put(0)
    assert shop.finding()[0] == "ok"
    shop.stream = replace(shop.stream, method="FULL_TABLE")
    severity, words = shop.finding()
    assert severity == "warning"
    assert "full: true" in words


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"type":"RECORD","stream":"a","record":{"x":{"record":1}}}', '{"x":{"record":1}}'),
        (b' { "record" : {"x" : 1e400} , "stream" : "a" , "type" : "RECORD" } \r', '{"x" : 1e400}'),
        (b'{"type":"RECORD","stream":"a","record":{},"version":1,"time_extracted":"2026"}', "{}"),
    ],
)
def test_a_record_is_found_wherever_it_stands_in_its_message(line: bytes, text: str) -> None:
    found = message(line)
    assert isinstance(found, Record)
    assert found.text == text


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"silence": "soon"}, "`soon` is no length of time"),
        ({"discover": False, "catalog": "a.json"}, "says that the tap knows none"),
        ({"discover": False, "streams": {"users": {"along": ["orders"]}}}, "says what is written into a catalog"),
        ({"streams": {"users": {"method": "FULL"}}}, "is not one of FULL_TABLE, INCREMENTAL, LOG_BASED"),
        ({"streams": {"users": {"key": "id"}}}, "unknown key `key`"),
    ],
)
def test_mistakes_in_keys_are_told_with_their_place(tmp_path: Path, keys: dict[str, Any], words: str) -> None:
    source = {"type": "singer", "command": "tap", "streams": {"users": {}}, **keys}
    (tmp_path / "catchment.yaml").write_text(yaml.safe_dump({"name": "shop", "sources": {"shop": source}}))
    with pytest.raises(ProjectProblems) as refused:
        load_project(tmp_path)
    assert words in str(refused.value)
