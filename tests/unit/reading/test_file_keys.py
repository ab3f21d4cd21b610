"""What a source of files may say about buckets, and every way in which it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from catchment.errors import ProjectProblems
from catchment.project import load_project

HEAD = "name: shop\nsources:\n  drops:\n    type: files\n"


def load(folder: Path, keys: str, stream: str = 'path: "s3://shop-drops/in/*.csv"') -> None:
    (folder / "catchment.yaml").write_text(f"{HEAD}{keys}    streams:\n      sales: {{{stream}}}\n")
    load_project(folder)


GOOD = [
    "",
    "    region: eu-west-1\n",
    "    endpoint: http://127.0.0.1:9000\n    access_key: a\n    secret_key: b\n    session_token: c\n",
    "    endpoint: ${env:S3}\n    access_key: ${env:S3_KEY}\n    secret_key: ${aws-secret:s3#secret}\n",
    "    anonymous: true\n",
]


@pytest.mark.parametrize("keys", GOOD)
def test_a_bucket_is_reached_as_the_project_says(keys: str, tmp_path: Path) -> None:
    load(tmp_path, keys)


WRONG_KEYS = [
    ("    access_key: a\n", "secret_key is missing", "write access_key and secret_key, or neither"),
    ("    secret_key: b\n", "access_key is missing", "write access_key and secret_key, or neither"),
    ("    session_token: c\n", "a session_token goes with a key", "remove it"),
    ("    anonymous: true\n    access_key: a\n    secret_key: b\n", "anonymous asks without a key", "remove one"),
    ("    endpoint: minio:9000\n", "is not an address of a host", "http://host:port"),
    ("    endpoint: https://a:b@minio\n", "is not an address of a host", "access_key"),
]


@pytest.mark.parametrize(("keys", "words", "cure"), WRONG_KEYS)
def test_keys_that_do_not_go_together_are_mistakes(keys: str, words: str, cure: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectProblems) as caught:
        load(tmp_path, keys)
    (problem,) = caught.value.problems
    assert words in problem.message
    assert cure in (problem.cure or "")


WRONG_STREAMS = [
    ('path: "gs://shop-drops/in/*.csv"', "files cannot be read from `gs://`"),
    ('path: "https://example.com/a.csv"', "files cannot be read from `https://`"),
    ('path: "s3:///in/*.csv"', "names no bucket"),
    ('path: "s3://*/in/*.csv"', "names no bucket"),
    ('path: "s3://shop-drops/in/*.xyz"', "does not tell its format"),
    ('path: "s3://shop-drops/in/*.csv", ordered: true, changed: reload', "does not look at files again"),
    ('path: "s3://shop-drops/in/*.csv", ordered: true, changed: fail', "does not look at files again"),
]


@pytest.mark.parametrize(("stream", "words"), WRONG_STREAMS)
def test_a_stream_that_cannot_be_read_is_a_mistake(stream: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ProjectProblems) as caught:
        load(tmp_path, "", stream)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "stream", ['path: "s3://shop-drops/in", ordered: true', 'path: "s3://${env:B}/in", format: csv']
)
def test_a_stream_of_a_bucket_is_good(stream: str, tmp_path: Path) -> None:
    load(tmp_path, "", stream)
