"""What lands of a Redis that lives: every type, keys that come and go, streams that are trimmed, and every fault."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.services.redis.conftest import Asking
from tests.services.redis.server import RedisServer
from tests.services.servers import free_port, running

from catchment.errors import ConfigError, DataError, RetryableError
from catchment.reading.kinds.redis import RedisStream
from catchment.records import Batch, Budget, Cursor
from catchment.sources.redis.source import RedisSource, find, scan
from catchment.testing.proxy import FaultProxy
from catchment.testing.sources import committed

BINARY = bytes(range(256))


def read(source: RedisSource, since: Cursor | None = None, budget: int = 1) -> Iterator[Batch]:
    yield from source.read(source.feeds()[0], since, Budget(bytes=budget))


def landed(batches: Sequence[Batch]) -> list[dict[str, Any]]:
    texts = [text for batch in batches for text in batch.rows.column("document").to_pylist()]
    return [json.loads(text) for text in texts if text is not None]


def defects(batches: Sequence[Batch]) -> list[str]:
    return [one for batch in batches for one in batch.rows.column("_defect").to_pylist() if one is not None]


def after(since: Cursor | None, batches: Sequence[Batch]) -> Cursor | None:
    return committed(since, [batch.cursor for batch in batches if batch.cursor is not None])


def mark(value: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(value).decode()}


def test_every_type_of_value_is_told_bytes_and_all(asking: Asking, client: Any) -> None:
    client.set("string", "K\u00f6rbe \0 \U0001f9fa")
    client.set(b"\xffkey", BINARY)
    client.set("empty", "")
    client.set("number", 12)
    client.rpush("list", "b", "a", b"\xfe", "a")
    client.sadd("set", "b", "a", b"\xfe")
    client.hset("hash", mapping={"name": "x", "blob": b"\xfe", "": "empty"})
    client.hset("binary hash", mapping={b"\xff": "x", "a": "y"})
    client.zadd("scores", {"b": 1.5, "a": 1.5, "least": float("-inf"), "most": float("inf"), b"\xfe": -2})
    client.execute_command("XADD", "entries", "5-1", "page", "/", "page", "/again", b"\xff", "b")
    client.execute_command("XADD", "entries", "5-2", "page", "/")
    client.setbit("bits", 7, 1)
    client.pfadd("counted", "a")
    batches = list(read(asking.source(keys="*")))
    assert defects(batches) == []
    found = {json.dumps(one["key"]): (one["type"], one["value"]) for one in landed(batches)}
    counted = found.pop('"counted"')
    assert counted[0] == "string"
    assert found == {
        '"string"': ("string", "K\u00f6rbe \0 \U0001f9fa"),
        json.dumps(mark(b"\xffkey")): ("string", mark(BINARY)),
        '"empty"': ("string", ""),
        '"number"': ("string", "12"),
        '"list"': ("list", ["b", "a", mark(b"\xfe"), "a"]),
        '"set"': ("set", ["a", "b", mark(b"\xfe")]),
        '"hash"': ("hash", {"": "empty", "blob": mark(b"\xfe"), "name": "x"}),
        '"binary hash"': ("hash", [["a", "y"], [mark(b"\xff"), "x"]]),
        '"scores"': (
            "zset",
            [
                {"member": "least", "score": "-inf"},
                {"member": mark(b"\xfe"), "score": -2.0},
                {"member": "a", "score": 1.5},
                {"member": "b", "score": 1.5},
                {"member": "most", "score": "inf"},
            ],
        ),
        '"entries"': (
            "stream",
            [
                {"id": "5-1", "fields": [["page", "/"], ["page", "/again"], [mark(b"\xff"), "b"]]},
                {"id": "5-2", "fields": {"page": "/"}},
            ],
        ),
        '"bits"': ("string", "\x01"),
    }


def test_large_values_come_in_parts_and_are_whole(asking: Asking, client: Any) -> None:
    words = [f"word {number:06d} " + "x" * 40 for number in range(20_000)]
    client.rpush("l", *words)
    client.sadd("s", *words)
    client.hset("h", mapping={word: word for word in words})
    client.zadd("z", {word: number for number, word in enumerate(words)})
    with client.pipeline() as pipe:
        for number, word in enumerate(words):
            pipe.xadd("x", {"word": word}, id=f"{number + 1}-0")
        pipe.execute()
    client.set("str", "x" * (4 << 20))
    batches = list(read(asking.source(keys="*")))
    assert defects(batches) == []
    found = {one["key"]: one["value"] for one in landed(batches)}
    assert found["l"] == words
    assert found["s"] == words
    assert found["h"] == {word: word for word in words}
    assert found["z"] == [{"member": word, "score": float(number)} for number, word in enumerate(words)]
    assert [one["fields"]["word"] for one in found["x"]] == words
    assert len(found["str"]) == 4 << 20


def test_a_value_too_large_is_a_defect_that_says_which(asking: Asking, client: Any) -> None:
    client.set("huge", b"x" * (17 << 20))
    client.rpush("list", *[b"y" * (1 << 20)] * 17)
    client.set("small", "1")
    batches = list(read(asking.source(keys="*")))
    assert [one["key"] for one in landed(batches)] == ["small"]
    assert sorted(defects(batches)) == [
        f"key huge: a value of more than 16 MB; the first 65,536 of {17 << 20:,} bytes are kept",
        *[one for one in defects(batches) if one.startswith("key list: a value of more than 16 MB")],
    ]


def test_times_to_live_are_told_and_are_no_change(asking: Asking, client: Any) -> None:
    client.set("session:1", "a", px=600_000)
    client.set("session:2", "b")
    first = list(read(asking.source(keys="session:*")))
    ttl = {one["key"]: one["ttl_ms"] for one in landed(first)}
    assert 590_000 < ttl["session:1"] <= 600_000
    assert ttl["session:2"] is None
    cursor = after(None, first)
    time.sleep(0.02)
    assert list(read(asking.source(keys="session:*"), cursor))[-1].unchanged
    client.set("session:2", "c")
    assert not list(read(asking.source(keys="session:*"), cursor))[-1].unchanged


def test_emptied_keys_are_told_once(asking: Asking, client: Any) -> None:
    client.set("session:1", "a")
    cursor = after(None, list(read(asking.source(keys="session:*"))))
    client.flushdb()
    (emptied,) = read(asking.source(keys="session:*"), cursor)
    assert [notice.kind for notice in emptied.notices] == ["empty_file"]
    assert list(read(asking.source(keys="session:*"), after(cursor, [emptied]))) == []


@contextmanager
def meanwhile(port: int, change: Callable[[Any, random.Random], None]) -> Iterator[None]:
    """Somebody changes things without a pause."""
    over, chance = threading.Event(), random.Random(20261121)

    def work() -> None:
        with redis.Redis(port=port) as client:
            while not over.is_set():
                change(client, chance)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        over.set()
        worker.join()


def test_keys_that_come_and_go_cost_the_others_nothing(asking: Asking, client: Any) -> None:
    kept = {f"kept:{number}": f"value {number}" for number in range(5000)}
    client.mset(kept)

    def change(other: Any, chance: random.Random) -> None:
        name = f"passing:{chance.randint(0, 300)}"
        which = chance.randint(0, 5)
        if which == 0:
            other.delete(*[f"passing:{number}" for number in range(300)])
        elif which == 1:
            other.set(name, "x", px=chance.randint(1, 5))
        elif which == 2:
            other.delete(name)
            other.rpush(name, *"abc")
        elif which == 3:
            other.delete(name)
            other.hset(name, "a", "b")
        else:
            # The table of keys grows and shrinks, so that SCAN meets keys twice.
            some = [f"grow:{chance.randint(0, 20) * 200 + number}" for number in range(200)]
            other.unlink(*some) if chance.random() < 0.6 else other.mset(dict.fromkeys(some, "x"))

    with meanwhile(asking.port, change):
        for _ in range(4):
            batches = list(read(asking.source(keys="*")))
            found = landed(batches)
            names = [one["key"] for one in found]
            assert len(set(names)) == len(names)
            assert {one["key"]: one["value"] for one in found if one["key"].startswith("kept:")} == kept
            assert all(one["value"] for one in found)
            assert [one for one in defects(batches) if "type was another" not in one] == []


def test_a_large_list_that_changes_is_of_one_moment(asking: Asking, client: Any) -> None:
    # Each element is one more than the one before, at any moment.
    client.rpush("list", *[f"{number:08d}" + "x" * 60 for number in range(30_000)])
    first = [0]

    def change(other: Any, _: random.Random) -> None:
        first[0] += 1
        with other.pipeline() as pipe:
            pipe.lpop("list")
            pipe.rpush("list", f"{30_000 + first[0] - 1:08d}" + "x" * 60)
            pipe.execute()

    with meanwhile(asking.port, change):
        for _ in range(3):
            (one,) = landed(list(read(asking.source(keys="list"))))
            numbers = [int(value[:8]) for value in one["value"]]
            assert numbers == list(range(numbers[0], numbers[0] + 30_000))
    assert first[0] > 10


def test_the_server_goes_on_answering_others(asking: Asking, client: Any) -> None:
    with client.pipeline(transaction=False) as pipe:
        for number in range(8000):
            pipe.hset(f"user:{number}", mapping={"name": "x" * 50, "number": number})
        pipe.rpush("large", *["y" * 100] * 50_000)
        pipe.zadd("ranks", {f"member {number}": number for number in range(100_000)})
        pipe.execute()
    client.config_set("slowlog-log-slower-than", 0)
    client.config_set("slowlog-max-len", 100_000)
    client.slowlog_reset()
    asker = subprocess.Popen(
        [sys.executable, "-c", _ASKER, str(asking.port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        batches = list(read(asking.source(keys="*")))
    finally:
        told, _ = asker.communicate(b"over")
        slowest = max(one["duration"] for one in client.slowlog_get(100_000))
        client.config_set("slowlog-log-slower-than", 10_000)
    assert len(landed(batches)) == 8002
    pings, longest = told.split()
    assert int(pings) > 100
    # In microseconds, for one command: all of `ranks` at once takes more.
    assert slowest < 20_000
    # In seconds, with all that else goes on on this machine.
    assert float(longest) < 0.3


# How long the longest of very many PINGs took, asked in a process of its own until it hears something.
_ASKER = """
import select, sys, time, redis
client, gaps = redis.Redis(port=int(sys.argv[1])), []
while not select.select([sys.stdin], [], [], 0)[0]:
    begun = time.perf_counter()
    client.ping()
    gaps.append(time.perf_counter() - begun)
print(len(gaps), max(gaps))
"""


def test_scan_gives_each_key_once_while_the_table_shrinks(client: Any) -> None:
    client.mset({f"key:{number}": "x" for number in range(4000)})
    client.mset({f"other:{number}": "x" for number in range(60_000)})
    seen: list[bytes] = []
    for step, keys in enumerate(scan(client, "key:*")):
        seen += keys
        if step == 100:
            client.unlink(*[f"other:{number}" for number in range(60_000)])
            time.sleep(0.5)  # the server makes its table smaller by the way
    assert len(set(seen)) == len(seen) == 4000


def test_a_stream_lands_each_entry_once_however_it_is_read(asking: Asking, client: Any) -> None:
    number, chance = [0], random.Random(3)

    def change(other: Any, _: random.Random) -> None:
        with other.pipeline() as pipe:
            for _ in range(5):
                pipe.xadd("clicks", {"number": number[0]})
                number[0] += 1
            pipe.execute()

    got: list[int] = []
    cursor: Cursor | None = None
    with meanwhile(asking.port, change):
        until = time.monotonic() + 3
        while time.monotonic() < until:
            wanted, taken = chance.choice([1, 3, 1 << 30]), []
            with closing(read(asking.source(stream="clicks"), cursor, chance.choice([1, 300, 1 << 20]))) as batches:
                for batch in batches:
                    taken.append(batch)
                    wanted -= batch.cursor is not None
                    if not wanted:
                        break
            cursor = after(cursor, taken)
            got += [int(one["fields"]["number"]) for one in landed(taken)]
    last = list(read(asking.source(stream="clicks"), cursor))
    assert [notice for batch in last for notice in batch.notices] == []
    got += [int(one["fields"]["number"]) for one in landed(last)]
    assert got == list(range(number[0]))
    assert len(got) > 500
    assert list(read(asking.source(stream="clicks"), after(cursor, last))) == []


def _clicks(client: Any, count: int) -> None:
    with client.pipeline() as pipe:
        for number in range(count):
            pipe.xadd("clicks", {"number": number})
        pipe.execute()


def test_entries_that_were_trimmed_before_they_were_read_are_counted(asking: Asking, client: Any) -> None:
    _clicks(client, 10)
    cursor = after(None, list(read(asking.source(stream="clicks"))))
    client.xtrim("clicks", maxlen=0)
    assert list(read(asking.source(stream="clicks"), cursor)) == []  # what was read may go
    _clicks(client, 10)
    client.xtrim("clicks", maxlen=4, approximate=False)
    batches = list(read(asking.source(stream="clicks"), cursor))
    assert len(landed(batches)) == 4
    (notice,) = [notice for batch in batches for notice in batch.notices]
    assert (notice.kind, notice.detail["entries"]) == ("lost", 6)
    assert "6 entries" in notice.message
    cursor = after(cursor, batches)
    _clicks(client, 3)
    client.xtrim("clicks", maxlen=0, approximate=False)
    (told,) = read(asking.source(stream="clicks"), cursor)
    assert (told.rows.num_rows, told.notices[0].detail["entries"]) == (0, 3)
    assert list(read(asking.source(stream="clicks"), after(cursor, [told]))) == []


def test_lost_entries_are_counted_over_a_read_that_was_given_up(asking: Asking, client: Any) -> None:
    _clicks(client, 5)
    cursor = after(None, list(read(asking.source(stream="clicks"))))
    _clicks(client, 10)
    client.xtrim("clicks", maxlen=8, approximate=False)
    begun = read(asking.source(stream="clicks"), cursor)
    taken = [next(begun), next(begun)]
    begun.close()  # type: ignore[attr-defined]
    cursor = after(cursor, taken)
    rest = list(read(asking.source(stream="clicks"), cursor))
    assert len(landed(taken) + landed(rest)) == 8
    assert [notice.detail["entries"] for batch in rest for notice in batch.notices] == [2]


def test_a_stream_that_was_made_anew_stops(asking: Asking, client: Any) -> None:
    client.xadd("clicks", {"a": 1}, id="9000000000000-0")
    cursor = after(None, list(read(asking.source(stream="clicks"))))
    client.delete("clicks")
    assert list(read(asking.source(stream="clicks"), cursor)) == []
    _clicks(client, 1)
    with pytest.raises(DataError, match="now ends with") as stopped:
        list(read(asking.source(stream="clicks"), cursor))
    assert stopped.value.hint is not None


def test_a_wrong_project_is_told_what_to_mend(asking: Asking, client: Any) -> None:
    client.set("text", "x")
    _clicks(client, 1)
    source = asking.source(stream="text")
    with pytest.raises(ConfigError, match="holds no stream"):
        list(read(source))
    assert source.probe(source.feeds()[0])[0].severity == "error"
    for keys, words in (({"stream": "click"}, "there is no stream"), ({"keys": "sesion:*"}, "no key")):
        missing = asking.source(**keys)
        (finding,) = missing.probe(missing.feeds()[0])
        assert (finding.severity, words in finding.message) == ("warning", True)
    cursor = after(None, list(read(asking.source(stream="clicks"))))
    with pytest.raises(ConfigError, match="was read as a stream"):
        list(read(asking.source(keys="*"), cursor))
    whole = after(None, list(read(asking.source(keys="*"))))
    with pytest.raises(ConfigError, match="by a pattern of keys"):
        list(read(asking.source(stream="clicks"), whole))
    stream = RedisStream(keys="*")
    for url, words in (
        (f"redis://127.0.0.1:{asking.port}/99", "there is no database"),
        ("redis://user:secret@nowhere.invalid:1/0", "the name of nowhere.invalid:1/0 does not resolve"),
        ("http://user:secret@127.0.0.1/0", "is no URL of Redis"),
        ("redis://user:sec/ret@127.0.0.1:1/0", "the server|is no URL"),
    ):
        with pytest.raises((ConfigError, RetryableError), match=words) as wrong:
            list(read(RedisSource("live", {"found": stream}, Path(), url=url)))
        assert "secret" not in str(wrong.value)
        assert "sec/ret" not in str(wrong.value)
        assert wrong.value.hint is not None


def test_passwords_and_rights_are_told_apart(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--requirepass", "opensesame")
    with running(server), redis.Redis(port=server.port, password="opensesame") as admin:
        admin.set("session:1", "x")
        admin.set("other", "x")
        commands = ["+@read", "+@keyspace", "+info", "+ping", "+scan"]
        admin.acl_setuser("reader", enabled=True, passwords=["+letmein1"], keys=["session:*"], commands=commands)
        stream = {"found": RedisStream(keys="*")}

        def ask(user: str, keys: str = "*") -> list[Batch]:
            url = f"redis://{user}@127.0.0.1:{server.port}/0"
            return list(read(RedisSource("live", {**stream, "found": RedisStream(keys=keys)}, Path(), url=url)))

        assert len(landed(ask(":opensesame"))) == 2
        assert len(landed(ask("reader:letmein1", "session:*"))) == 1
        for user, words in ((":wrongword", "does not let us in"), ("reader:letmein1", "no right to read")):
            with pytest.raises(ConfigError, match=words) as refused:
                ask(user)
            assert "wrongword" not in str(refused.value)
            assert "letmein1" not in str(refused.value)
        url = f"redis://127.0.0.1:{server.port}/0"
        with pytest.raises(ConfigError, match="does not let us in"):
            list(read(RedisSource("live", stream, Path(), url=url)))


def test_a_node_of_a_cluster_is_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--cluster-enabled", "yes")
    with running(server):
        source = RedisSource("live", {"found": RedisStream(keys="*")}, Path(), url=f"redis://127.0.0.1:{server.port}/0")
        with pytest.raises(ConfigError, match="is a node of a cluster"):
            list(read(source))
        (finding,) = source.probe(source.feeds()[0])
        assert finding.severity == "error"


def test_a_server_that_is_not_there_may_come_back(asking: Asking, client: Any) -> None:
    with pytest.raises(RetryableError, match=r"cannot reach 127\.0\.0\.1"):
        list(read(asking.source(port=free_port(), keys="*")))


def test_a_connection_that_breaks_costs_a_load_and_no_row(asking: Asking, client: Any) -> None:
    _clicks(client, 3000)
    with FaultProxy(("127.0.0.1", asking.port), cut_after=60_000, cuts=3) as proxy:
        source, got, errors = asking.source(port=proxy.port, stream="clicks"), [], 0
        cursor: Cursor | None = None
        while True:
            taken: list[Batch] = []
            try:
                for batch in read(source, cursor, 4000):
                    taken.append(batch)
                    if batch.cursor is not None:
                        got, cursor, taken = got + landed(taken), after(cursor, taken), []
            except RetryableError:
                errors += 1
                continue
            break
        source.close()
    assert errors == 3
    assert [int(one["fields"]["number"]) for one in got] == list(range(3000))


@pytest.mark.parametrize("options", ["", "?socket_timeout=0.3"])
def test_slow_answers_are_waited_for_or_given_up(asking: Asking, client: Any, options: str) -> None:
    client.mset({f"k:{number}": "x" for number in range(300)})
    with FaultProxy(("127.0.0.1", asking.port), delay_s=0.5 if options else 0.05) as proxy:
        source = asking.source(port=proxy.port, keys="k:*", options=options)
        if options:
            with pytest.raises(RetryableError):
                list(read(source))
        else:
            assert len(landed(list(read(source)))) == 300
        source.close()


def test_keys_of_a_server_that_is_started_again_in_mid_read_are_read_anew(
    server: RedisServer, asking: Asking, client: Any
) -> None:
    client.mset({f"k:{number}": "x" * 20_000 for number in range(2000)})
    source = asking.source(keys="k:*")
    begun = read(source)
    assert next(begun).cursor is None
    client.close()
    server.restart()
    with pytest.raises(RetryableError):
        list(begun)
    assert len(landed(list(read(source)))) == 2000
    source.close()


def test_find_tells_streams_and_prefixes(asking: Asking, client: Any) -> None:
    client.mset({f"session:{number}": "x" for number in range(50)})
    client.set("a[b]:1", "x")
    client.set("alone", "x")
    client.hset("h:1", "a", "b")
    _clicks(client, 3)
    found = {one.name: one for one in find(asking.url, Path())}
    assert {name: dict(one.keys) for name, one in found.items()} == {
        "clicks": {"stream": "clicks"},
        "session": {"keys": "session:*"},
        "a[b]": {"keys": r"a\[b\]:*"},
        "h": {"keys": "h:*"},
        "alone": {"keys": "alone"},
    }
    assert found["session"].rows == 50
    assert [column.type for column in found["session"].columns] == ["string", "string", "integer", "string"]
    assert found["h"].columns[-1].type == "object"
    assert len(landed(list(read(asking.source(**found["a[b]"].keys))))) == 1
    client.mset({f"{number}": "x" for number in range(30)})
    assert "keys" in [one.name for one in find(asking.url, Path())]
