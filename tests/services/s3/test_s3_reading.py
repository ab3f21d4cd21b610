"""Objects of a real server: many and large ones, changed and replaced ones, and a bad way to them."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.services.s3.conftest import KEY, SECRET, Bucket
from tests.services.servers import free_port

from catchment.errors import ChangedFile, ConfigError, RetryableError
from catchment.interfaces import Source
from catchment.reading.kinds.files import FileStream
from catchment.records import Batch, Budget, Cursor, Description
from catchment.sources.files import s3
from catchment.sources.files.source import FilesSource
from catchment.testing.proxy import FaultProxy
from catchment.testing.sources import committed


def read(source: Source, since: Cursor | None = None, budget: Budget | None = None) -> list[Batch]:
    return list(source.read(source.feeds()[0], since, budget or Budget()))


def describe(source: Source, since: Cursor | None = None) -> Description:
    return source.describe(source.feeds()[0], since)


def after(batches: Sequence[Batch], since: Cursor | None = None) -> Cursor | None:
    return committed(since, [batch.cursor for batch in batches if batch.cursor is not None])


def column(batches: Sequence[Batch], name: str = "id") -> list[Any]:
    return [value for batch in batches for value in batch.rows.column(name).to_pylist()]


def counted(source: FilesSource) -> Counter[str]:
    """Requests by operation, as they leave."""
    requests: Counter[str] = Counter()

    def count(request: Any, event_name: str, **_: Any) -> None:
        requests[event_name.rpartition(".")[2]] += 1

    source._buckets._client.meta.events.register("before-send.s3", count)
    return requests


def csv(*ids: int | str) -> str:
    return "id\n" + "".join(f"{one}\n" for one in ids)


def slow_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small parts, so that a small object is a large one."""
    monkeypatch.setattr(s3, "PART", 64 << 10)


LARGE = csv(*(f"{number:09d}" for number in range(200_000)))  # 2 MB: large enough to be no small one


@pytest.fixture
def many(bucket: Bucket) -> Bucket:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: bucket.put(f"in/{number:05d}.csv", csv(number)), range(5000)))
    return bucket


def test_many_small_objects_are_one_load_in_the_order_of_their_names(many: Bucket) -> None:
    source = many.source()
    requests = counted(source)
    assert describe(source).items == 5000
    assert requests == {"ListObjectsV2": 5}
    requests.clear()
    batches = read(source)
    assert column(batches) == [str(number) for number in range(5000)]
    assert sum(batch.cursor is not None for batch in batches) == 1
    assert requests == {"ListObjectsV2": 5, "GetObject": 5000}
    requests.clear()
    assert read(source, after(batches)) == []
    assert requests == {"ListObjectsV2": 5}
    ordered = many.source(ordered=True)
    requests = counted(ordered)
    assert read(ordered, after(batches)) == []
    assert requests == {"ListObjectsV2": 1}
    source.close()
    ordered.close()


def test_an_ordered_stream_sees_what_sorts_behind_what_it_read(bucket: Bucket) -> None:
    bucket.put("in/2026-11-02.csv", csv(2))
    cursor = after(read(bucket.source(ordered=True)))
    bucket.put("in/2026-11-01.csv", csv(1))
    bucket.put("in/2026-11-03.csv", csv(3))
    assert column(read(bucket.source(ordered=True), cursor)) == ["3"]
    assert column(read(bucket.source(), cursor)) == ["1", "3"]


_IN_A_CHILD = """\
import sys
from pathlib import Path
from catchment.reading.kinds.files import FileStream
from catchment.records import Budget
from catchment.sources.files.source import FilesSource
path, endpoint, key, secret = sys.argv[1:]
access = {"endpoint": endpoint, "access_key": key, "secret_key": secret}
source = FilesSource("drops", {"sales": FileStream(path=path)}, Path(), **access)
rows = sum(batch.rows.num_rows for batch in source.read(source.feeds()[0], None, Budget()))
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(rows, int(peak.split()[1]) >> 10)  # Linux's ru_maxrss begins with what the parent had
"""


def in_a_child(bucket: Bucket, key: str) -> tuple[int, int]:
    """Rows of an object, and the megabytes that the process took."""
    words = [sys.executable, "-c", _IN_A_CHILD, f"s3://{bucket.name}/{key}", bucket.server.endpoint, KEY, SECRET]
    told = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    return int(told[0]), int(told[1])


def test_a_large_object_is_never_whole_in_memory(bucket: Bucket, tmp_path: Path) -> None:
    line = "0" * 99 + "\n"
    bucket.put("small.csv", "id\n" + line * 10)
    bucket.put("large.csv", "id\n" + line * 4_000_000)
    before = in_a_child(bucket, "small.csv")
    rows, most = in_a_child(bucket, "large.csv")
    assert rows == 4_000_000
    assert most - before[1] < 300  # MB, of 400


def test_a_large_parquet_object_is_read_from_a_copy_that_leaves_nothing(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3, "_IN_MEMORY", 1 << 20)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    table = pa.table({"id": pa.array(range(500_000)), "name": pa.array([f"name {n}" for n in range(500_000)])})
    pq.write_table(table, tmp_path / "x.parquet", compression="none")
    bucket.put("in/x.parquet", (tmp_path / "x.parquet").read_bytes())
    (tmp_path / "x.parquet").unlink()
    source = bucket.source("in/*.parquet")
    requests = counted(source)
    batches = read(source)
    assert column(batches) == list(range(500_000))
    assert requests["GetObject"] == 2  # parts of 8 MB, each once
    assert list(tmp_path.iterdir()) == []
    source.close()


def test_keys_may_hold_any_sign(bucket: Bucket) -> None:
    names = ["a b", "ä🦊", "p+q", "50%", "x&y=z", "it's", "[1]", "a#b?c", "~x", "tab\there"]
    for name in names:
        bucket.put(f"in/{name}.csv", csv(name.replace("\t", " ")))
    batches = read(bucket.source("in"))
    assert sorted(set(column(batches, "_origin"))) == sorted(f"s3://{bucket.name}/in/{name}.csv" for name in names)
    assert column(batches, "_origin") == sorted(column(batches, "_origin"))
    assert describe(bucket.source("in/[[]1[]].csv")).items == 1
    assert describe(bucket.source("in/a b.csv")).items == 1


def test_a_folder_leaves_out_hidden_names_marks_of_folders_and_its_neighbours(bucket: Bucket) -> None:
    for key in ("in/a.csv", "in/b/c.csv", "in/_x/d.csv", "in/.e.csv", "in/b/", "in-2/f.csv", "one", "one-more"):
        bucket.put(key, csv(key) if not key.endswith("/") else "")
    assert column(read(bucket.source("in/"))) == ["in/a.csv", "in/b/c.csv"]
    assert column(read(bucket.source("in/**/*.csv"))) == ["in/_x/d.csv", "in/a.csv", "in/b/c.csv"]
    assert column(read(bucket.source("in/*/c.csv"))) == ["in/b/c.csv"]
    assert column(read(bucket.source("one", format="csv"))) == ["one"]  # an object of that very name


@pytest.mark.parametrize("changed", ["fail", "ignore", "reload"])
def test_an_object_written_anew_in_the_same_second_and_size_has_changed(bucket: Bucket, changed: Any) -> None:
    bucket.put("in/a.csv", csv(1))
    cursor = after(read(bucket.source(changed=changed)))
    bucket.put("in/a.csv", csv(2))
    if changed == "fail":
        with pytest.raises(ChangedFile):
            read(bucket.source(), cursor)
        return
    batches = read(bucket.source(changed=changed), cursor)
    assert [notice.kind for batch in batches for notice in batch.notices] == ["file_changed"]
    assert column(batches) == (["2"] if changed == "reload" else [])
    assert read(bucket.source(changed=changed), after(batches, cursor)) == []


def test_the_same_content_under_another_etag_is_not_new(bucket: Bucket) -> None:
    bucket.put("in/a.csv", csv(1))
    cursor = after(read(bucket.source()))
    begun = {"Bucket": bucket.name, "Key": "in/a.csv"}
    upload = bucket.client.create_multipart_upload(**begun)["UploadId"]
    part = bucket.client.upload_part(**begun, UploadId=upload, PartNumber=1, Body=csv(1).encode())
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    made = bucket.client.complete_multipart_upload(**begun, UploadId=upload, MultipartUpload=parts)
    assert made["ETag"] not in cursor.seen.column("tag").to_pylist()  # type: ignore[union-attr]
    assert not describe(bucket.source(), cursor).is_new
    assert read(bucket.source(), cursor) == []


def test_an_object_of_another_size_is_not_fetched_to_see_that_it_changed(bucket: Bucket) -> None:
    bucket.put("in/a.csv", csv(1))
    cursor = after(read(bucket.source()))
    bucket.put("in/a.csv", csv(1, 2))
    source = bucket.source()
    requests = counted(source)
    assert [notice.kind for notice in describe(source, cursor).notices] == ["file_changed"]
    assert "GetObject" not in requests
    source.close()


def test_an_object_that_is_replaced_after_it_was_listed_is_not_read(bucket: Bucket) -> None:
    bucket.put("in/a.csv", csv(1))
    source = bucket.source()
    (found,) = source._buckets.found(f"s3://{bucket.name}/in/*.csv").files
    bucket.put("in/a.csv", csv(2))
    with pytest.raises(RetryableError, match="was replaced between listing and reading"):
        found.place.touch(found)
    bucket.delete("in/a.csv")
    with pytest.raises(RetryableError, match="is gone; it was there when it was listed"):
        found.place.touch(found)
    source.close()


def test_two_versions_of_a_large_object_are_never_mixed(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    slow_parts(monkeypatch)
    bucket.put("in/a.csv", LARGE)
    source = bucket.source()
    with source._buckets.open(source._buckets.found(f"s3://{bucket.name}/in/*.csv").files[0]) as opened:
        assert opened.read()
        bucket.put("in/a.csv", LARGE.replace("0", "9"))
        with pytest.raises(RetryableError, match="was replaced"):
            list(iter(opened.read, b""))
    assert column(read(source))[0] == "999999999"
    source.close()


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.parquet"])
def test_a_way_that_is_cut_again_and_again_costs_no_row(
    bucket: Bucket, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_parts(monkeypatch)
    rows = [f"{number:09d}" for number in range(200_000)]
    if name.endswith("parquet"):
        pq.write_table(pa.table({"id": rows}), tmp_path / name, compression="none")
        body = (tmp_path / name).read_bytes()
    elif name.endswith("gz"):
        body = gzip.compress(LARGE.encode(), 0)
    elif name.endswith("zst"):
        frames = [LARGE.encode()[start : start + 1000] for start in range(0, len(LARGE), 1000)]
        body = b"".join(pa.compress(frame, "zstd", asbytes=True) for frame in frames)
    else:
        body = LARGE.encode()
    bucket.put(f"in/{name}", body)
    with FaultProxy(("127.0.0.1", bucket.server.port), cut_after=90_000, cuts=8) as proxy:
        source = bucket.source(f"in/{name}", port=proxy.port)
        batches = read(source)
        source.close()
        assert proxy.cuts < 8
    assert column(batches) == rows
    assert not any(column(batches, "_defect"))


def test_a_slow_way_is_only_slow(bucket: Bucket) -> None:
    for number in range(40):
        bucket.put(f"in/{number:02d}.csv", csv(number))
    with FaultProxy(("127.0.0.1", bucket.server.port), delay_s=0.1) as proxy:
        source = bucket.source(port=proxy.port)
        started = time.monotonic()
        assert column(read(source)) == [str(number) for number in range(40)]
        took = time.monotonic() - started
        source.close()
    assert took < 40 * 0.1  # several at once


def test_a_way_that_is_shut_in_mid_read_loses_nothing(bucket: Bucket) -> None:
    for number in range(60):
        bucket.put(f"in/{number:02d}.csv", csv(number))
    with FaultProxy(("127.0.0.1", bucket.server.port)) as proxy:
        source = bucket.source(port=proxy.port)
        reading = source.read(source.feeds()[0], None, Budget(bytes=1))
        got = [next(reading)]
        proxy.shut()
        with pytest.raises(RetryableError, match="cannot be reached, or went away"):
            got += reading
        proxy.reopen()
        cursor = after(got)
        rest = read(source, cursor)
        source.close()
    whole = got[: sum(batch.cursor is not None for batch in got)]
    assert column(whole) + column(rest) == [str(number) for number in range(60)]


def test_a_server_that_is_started_again_in_mid_read_is_read_to_the_end(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_parts(monkeypatch)
    bucket.put("in/a.csv", LARGE)
    bucket.put("in/b.csv", csv("last"))
    source = bucket.source()
    reading = source.read(source.feeds()[0], None, Budget(bytes=1))
    restarting = threading.Thread(target=bucket.server.restart)
    restarting.start()
    try:
        batches = list(reading)
    except RetryableError:
        restarting.join()
        batches = read(source)
    restarting.join()
    assert len(column(batches)) == 200_001
    assert len(set(column(batches))) == 200_001
    source.close()


def test_objects_that_come_and_go_while_they_are_read_land_once_or_later(bucket: Bucket) -> None:
    for number in range(30):
        bucket.put(f"in/{number:02d}.csv", csv(number))
    source = bucket.source()
    reading = source.read(source.feeds()[0], None, Budget(bytes=1))
    got = [next(reading)]
    bucket.put("in/005.csv", csv("between"))
    bucket.put("in/99.csv", csv("behind"))
    got += reading
    cursor = after(got)
    assert sorted(column(read(source, cursor))) == ["behind", "between"]
    source.close()


KEYS = {"access_key": KEY, "secret_key": SECRET}
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "wrong secret": ({**KEYS, "secret_key": "not-it"}, "is not known there, or its secret is wrong", "access_key"),
    "unknown key": ({**KEYS, "access_key": "nobody"}, "is not known there, or its secret is wrong", "access_key"),
    "no key": ({}, "no key to read", "AWS_ACCESS_KEY_ID"),
    "not for everybody": ({"anonymous": True}, "no right to read", "s3:ListBucket"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_who_may_not_read_is_told_so_without_secrets(bucket: Bucket, case: str) -> None:
    access, words, cure = REFUSED[case]
    streams = {"sales": FileStream(path=f"s3://{bucket.name}/in/*.csv")}
    source = FilesSource("drops", streams, Path(), endpoint=bucket.server.endpoint, **access)
    with pytest.raises(ConfigError, match=words) as refused:
        source.probe(source.feeds()[0])
    assert cure in (refused.value.hint or "")
    told = f"{refused.value.message} {refused.value.hint} {refused.value.__cause__!r}"
    assert bucket.name in told
    assert "not-it" not in told
    assert SECRET not in told
    source.close()


def test_a_public_bucket_is_read_without_a_key(bucket: Bucket) -> None:
    bucket.put("in/a.csv", csv(1))
    arn = f"arn:aws:s3:::{bucket.name}"
    allow = '{"Effect":"Allow","Principal":"*","Action":["s3:ListBucket","s3:GetObject"],"Resource":["%s","%s/*"]}'
    policy = '{"Version":"2012-10-17","Statement":[%s]}' % (allow % (arn, arn))
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=policy)
    streams = {"sales": FileStream(path=f"s3://{bucket.name}/in/*.csv")}
    source = FilesSource("drops", streams, Path(), endpoint=bucket.server.endpoint, anonymous=True)
    assert column(read(source)) == ["1"]
    source.close()


def test_keys_may_come_as_aws_finds_them(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("in/a.csv", csv(1))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.server.endpoint)
    source = FilesSource("drops", {"sales": FileStream(path=f"s3://{bucket.name}/in/*.csv")}, Path())
    assert column(read(source)) == ["1"]
    source.close()


def test_no_bucket_and_no_server_are_told(bucket: Bucket) -> None:
    streams = {"sales": FileStream(path="s3://nowhere-at-all/in/*.csv")}
    source = FilesSource("drops", streams, Path(), endpoint=bucket.server.endpoint, **KEYS)
    with pytest.raises(ConfigError, match="there is no bucket nowhere-at-all at http://127"):
        describe(source)
    source.close()
    port = free_port()
    with pytest.raises(RetryableError, match=f"http://127.0.0.1:{port} cannot be reached"):
        describe(bucket.source(port=port))


def test_probing_touches_an_object(bucket: Bucket) -> None:
    source = bucket.source()
    assert [found.severity for found in source.probe(source.feeds()[0])] == ["warning"]
    bucket.put("in/a.csv", csv(1))
    assert [found.message for found in source.probe(source.feeds()[0])] == ["1 file, 0.0 MB"]
    source.close()
