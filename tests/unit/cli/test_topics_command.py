from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catchment.cli.group import catchment as root
from catchment.errors import ConfigError, DataError, RetryableError
from catchment.records import Message, TopicSpec
from catchment.topics.embedded import EmbeddedBroker

FIRST = datetime(2026, 11, 21, 9, 14, 3, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "catchment.yaml").write_text("name: tries\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def broker(folder: Path) -> EmbeddedBroker:
    """A topic `clicks` with six messages in its partition 1, a second apart, and one in 0, between the second and the
    third."""
    broker = EmbeddedBroker(folder / "topics")
    broker.declare([TopicSpec("clicks", 2)])
    for number in range(6):
        at = FIRST + timedelta(seconds=number)
        broker.write("clicks", [Message(f'{{"n": {number}}}'.encode(), b"u-1", at=at, partition=1)])
    at = FIRST + timedelta(seconds=1.5)
    broker.write("clicks", [Message(b"\x1b[31m\xff", headers=[("type", b"raw")], at=at, partition=0)])
    return broker


def call(folder: Path, *words: str, given: str = "") -> Result:
    found = CliRunner().invoke(root, ["--project", str(folder), "topics", *words], input=given, standalone_mode=False)
    if found.exception is not None:
        raise found.exception
    return found


def test_without_a_topic_the_list_says_so(folder: Path) -> None:
    found = call(folder, "list")
    assert (found.stdout, found.stderr) == ("", "There is no topic yet.\n")
    assert json.loads(call(folder, "list", "--json").stdout) == []


def test_topics_are_listed(folder: Path, broker: EmbeddedBroker) -> None:
    broker.declare([TopicSpec("empty", 6)])
    head, clicks, empty = call(folder, "list").stdout.splitlines()
    assert head.split() == ["topic", "partitions", "messages", "size", "oldest", "offsets"]
    assert clicks.split()[:3] == ["clicks", "2", "7"]
    assert clicks.endswith("2026-11-21 09:14  0-1 · 0-6")
    assert empty.split()[:3] == ["empty", "6", "0"]
    assert empty.split("-", 1)[1].strip() == ("0-0 · 0-0 · 0-0 · 0-0 · …")


def test_topics_are_listed_as_json(folder: Path, broker: EmbeddedBroker) -> None:
    (told,) = json.loads(call(folder, "list", "--json").stdout)
    assert told.pop("bytes") == broker.size("clicks")
    assert told == {
        "topic": "clicks",
        "messages": 7,
        "partitions": [{"partition": 0, "first": 0, "next": 1}, {"partition": 1, "first": 0, "next": 6}],
        "oldest": "2026-11-21T09:14:03+00:00",
        "retention_s": 604_800,
    }


def test_the_newest_messages_are_shown_the_newest_last(folder: Path, broker: EmbeddedBroker) -> None:
    assert call(folder, "show", "clicks", "--limit", "2").stdout.splitlines() == [
        "1:4  2026-11-21 09:14:07  key u-1",
        '  {"n": 4}',
        "1:5  2026-11-21 09:14:08  key u-1",
        '  {"n": 5}',
    ]
    told = call(folder, "show", "clicks").stdout.splitlines()
    assert [line.split()[0] for line in told if line[0] != " "] == ["1:0", "1:1", "0:0", "1:2", "1:3", "1:4", "1:5"]


def test_what_is_no_text_is_shown_without_harm(folder: Path, broker: EmbeddedBroker) -> None:
    assert call(folder, "show", "clicks", "--partition", "0").stdout.splitlines() == [
        "0:0  2026-11-21 09:14:04",
        "  type: raw",
        r"  \x1b[31m\xff",
    ]
    (told,) = json.loads(call(folder, "show", "clicks", "--partition", "0", "--json").stdout)
    assert told["value"] == {"base64": "G1szMW3/"}
    assert told["headers"] == [{"name": "type", "value": "raw"}]
    assert told["key"] is None


def test_messages_are_shown_from_an_offset_on(folder: Path, broker: EmbeddedBroker) -> None:
    told = json.loads(
        call(folder, "show", "clicks", "--partition", "1", "--from", "2", "--limit", "3", "--json").stdout
    )
    assert [one["offset"] for one in told] == [2, 3, 4]
    assert call(folder, "show", "clicks", "--from", "9").stderr == "No message of clicks is there.\n"


def test_a_tombstone_and_a_long_value_are_shown(folder: Path, broker: EmbeddedBroker) -> None:
    broker.declare([TopicSpec("long", 1)])
    broker.write("long", [Message(None, b"u-9"), Message(b"x" * 1000)])
    _, tombstone, _, long = call(folder, "show", "long").stdout.splitlines()
    assert tombstone == "  (no value: a tombstone)"
    assert len(long) == 402
    assert long.endswith("…")


def test_a_partition_that_is_not_there_is_told(folder: Path, broker: EmbeddedBroker) -> None:
    with pytest.raises(ConfigError, match="no partition 2"):
        call(folder, "show", "clicks", "--partition", "2")


def test_what_retention_took_is_told(folder: Path, broker: EmbeddedBroker) -> None:
    broker.expire("clicks", datetime.now(UTC) + timedelta(days=8))
    broker.write("clicks", [Message(b"later", partition=1)])
    told = call(folder, "show", "clicks", "--partition", "1", "--from", "0")
    assert told.stderr == "messages 0 to 5 of partition 1 are not kept any more\n"
    assert told.stdout.endswith("  later\n")


def test_where_one_topic_cannot_be_as_declared_none_is_changed(folder: Path, broker: EmbeddedBroker) -> None:
    broker.declare([TopicSpec("drops", 1), TopicSpec("tries", 4)])
    declared = "topics: {drops: {partitions: 3}, clicks: {partitions: 1}, tries: {partitions: 2}, new: {}}"
    (folder / "catchment.yaml").write_text(f"name: tries\n{declared}\n", encoding="utf-8")
    for words in (["apply"], ["apply", "--yes"]):
        with pytest.raises(ConfigError) as told:
            call(folder, *words)
        assert "topic clicks has 2 partitions" in told.value.message
        assert "topic tries has 4 partitions" in told.value.message
        assert len(broker.bounds("drops")) == 1
        assert "new" not in broker.topics()


def test_lines_are_put_as_messages_with_their_keys(folder: Path) -> None:
    given = '{"user": {"id": "u-1"}}\n\n{"user": {"id": 7}}\r\n'
    found = call(folder, "put", "tries", "--key", "$.user.id", "--create", given=given)
    assert "topic tries: new, 3 partitions" in found.stderr
    assert "2 messages written to tries." in found.stderr
    told = json.loads(call(folder, "show", "tries", "--json").stdout)
    assert {one["key"]: one["value"] for one in told} == {"u-1": '{"user": {"id": "u-1"}}', "7": '{"user": {"id": 7}}'}


def test_what_was_put_is_told_as_json(folder: Path, broker: EmbeddedBroker) -> None:
    given = "".join(f"line {number}\n" for number in range(2500))
    told = json.loads(call(folder, "put", "clicks", "--text", "--json", given=given).stdout)
    assert (told["topic"], told["messages"]) == ("clicks", 2500)
    bounds = broker.bounds("clicks")
    assert told["next"] == {str(number): bounds[number][1] for number in (0, 1)}


def test_a_line_that_is_no_json_ends_it_and_says_what_was_written(folder: Path, broker: EmbeddedBroker) -> None:
    with pytest.raises(DataError, match="line 2 is no JSON") as caught:
        call(folder, "put", "clicks", given="{}\nnope\n")
    assert caught.value.hint == "nothing was written"
    with pytest.raises(DataError, match="line 1002 is no JSON") as caught:
        call(folder, "put", "clicks", given="\n" + "{}\n" * 1000 + "nope\n")
    assert caught.value.hint == "1,000 messages had been written: go on behind line 1,001, with tail -n +1002"


@pytest.mark.parametrize("line", ["{}", "[1]", '{"user": null}', '{"user": 1}'])
def test_a_message_without_the_key_is_refused(folder: Path, broker: EmbeddedBroker, line: str) -> None:
    with pytest.raises(DataError, match=r"line 1 has no \$\.user\.id"):
        call(folder, "put", "clicks", "--key", "$.user.id", given=line)


def test_a_topic_is_not_made_by_a_slip_of_the_pen(folder: Path, broker: EmbeddedBroker) -> None:
    with pytest.raises(ConfigError, match="no topic click") as caught:
        call(folder, "put", "click", given="{}")
    assert "--create" in (caught.value.hint or "")
    assert broker.topics() == ["clicks"]
    assert "1 message written" in call(folder, "put", "clicks", "--create", given="{}").stderr


@pytest.mark.parametrize("words", [("--key", "user"), ("--key", "$.a", "--text")])
def test_wrong_options_are_wrong_use(folder: Path, broker: EmbeddedBroker, words: tuple[str, ...]) -> None:
    found = CliRunner().invoke(root, ["--project", str(folder), "topics", "put", "clicks", *words], input="{}")
    assert found.exit_code == 2


def test_no_topic_is_made_for_lines_that_are_no_messages(folder: Path) -> None:
    for given, words in (
        ("nope\n", "line 1 is no JSON: Expecting value at character 1"),
        ("{}\n{\n", "line 2"),
        ('"x', "string at character 1"),
        ("[" * 100_000, "line 1 is nested too deeply"),
    ):
        with pytest.raises(DataError, match=words) as caught:
            call(folder, "put", "tries", "--create", given=given)
        assert caught.value.hint == "nothing was written"
    assert EmbeddedBroker(folder / "topics").topics() == []
    with pytest.raises(DataError, match="line 1001 is no JSON") as caught:
        call(folder, "put", "tries", "--create", given="{}\n" * 1000 + "nope\n")
    assert caught.value.hint == "1,000 messages had been written: go on behind line 1,000, with tail -n +1001"
    assert EmbeddedBroker(folder / "topics").topics() == ["tries"]


def no_room() -> None:
    """As a full disk: no file may grow beyond 2 MB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))


def test_a_full_disk_says_what_was_written_and_how_to_go_on(folder: Path, broker: EmbeddedBroker) -> None:
    lines = [json.dumps({"n": number, "pad": "x" * 500}) + "\n" for number in range(10_000)]
    command = [sys.executable, "-m", "catchment", "--project", str(folder), "topics", "put", "clicks", "--key", "$.n"]
    told = subprocess.run(
        command, input="".join(lines).encode(), capture_output=True, preexec_fn=no_room, check=False
    ).stderr.decode()
    written = sum(end for _, end in broker.bounds("clicks").values()) - 7
    assert 0 < written < 10_000
    assert "error: cannot read or write" in told
    assert f"{written:,} messages had been written: go on behind line {written:,}, with tail -n +{written + 1}" in told
    assert "run again" not in told
    call(folder, "put", "clicks", "--key", "$.n", given="".join(lines[written:]))
    found = [one for batch in broker.read("clicks", {}, {0: 20_000, 1: 20_000}) for one in batch["value"].to_pylist()]
    assert sorted(json.loads(one)["n"] for one in found if b"pad" in one) == list(range(10_000))


@pytest.mark.parametrize("written", [0, 1000])
def test_what_was_not_acknowledged_may_be_there(
    folder: Path, broker: EmbeddedBroker, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = EmbeddedBroker.write

    def silent(self: EmbeddedBroker, topic: str, messages: Sequence[Message]) -> Mapping[int, int]:
        if sum(end for _, end in self.bounds(topic).values()) >= written + 7:
            message = "Kafka does not answer"
            raise RetryableError(message, hint="is it running?")
        return whole(self, topic, messages)

    monkeypatch.setattr(EmbeddedBroker, "write", silent)
    with pytest.raises(RetryableError, match="Kafka does not answer") as caught:
        call(folder, "put", "clicks", given="{}\n" * (written + 5))
    before = "1,000 messages had been written: go on behind line 1,000, with tail -n +1001; " if written else ""
    after = "whether the next 5 messages arrived is not known: catchment topics show tells"
    assert caught.value.hint == f"is it running?; {before}{after}"


def test_topics_that_lie_in_a_file_are_refused(folder: Path) -> None:
    (folder / "topics").write_text("")
    for command in ("list", "put"):
        with pytest.raises(ConfigError, match="topics cannot lie in"):
            call(folder, command, *(["tries", "--create"] if command == "put" else []), given="{}")


def test_a_topic_is_made_without_a_message(folder: Path) -> None:
    assert "0 messages written to tries." in call(folder, "put", "tries", "--create").stderr
    assert EmbeddedBroker(folder / "topics").topics() == ["tries"]


def test_a_topic_that_is_not_there_is_told_with_those_that_are(folder: Path, broker: EmbeddedBroker) -> None:
    for command in ("show", "put"):
        with pytest.raises(ConfigError, match="there is no topic click") as caught:
            call(folder, command, "click")
        assert "did you mean `clicks`?" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="there is no topic z") as caught:
        call(folder, "show", "z")
    assert caught.value.hint == "there are clicks"


def test_ctrl_c_says_what_was_written(folder: Path) -> None:
    command = [sys.executable, "-m", "catchment", "--project", str(folder), "topics", "put", "tries", "--create"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b"{}\n" * 1500)
        process.stdin.flush()
        broker, until = EmbeddedBroker(folder / "topics"), time.monotonic() + 60
        while time.monotonic() < until and not (
            broker.topics() and sum(end for _, end in broker.bounds("tries").values()) == 1000
        ):
            time.sleep(0.1)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        told = process.stderr.read().decode()
        assert process.wait(60) == 130
    assert "1,000 messages had been written to tries, and no line after them" in told
