"""Objects of moto's S3, which answers as AWS does: read once, found changed, refused in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.services.moto.conftest import MotoServer

from catchment.errors import ChangedFile, ConfigError
from catchment.reading.kinds.files import FileStream
from catchment.records import Budget, Cursor
from catchment.sources.files.source import FilesSource


def read(path: str, since: Cursor | None = None) -> tuple[list[Any], Cursor | None]:
    source = FilesSource("drops", {"sales": FileStream(path=path)}, Path())
    batches = list(source.read(source.feeds()[0], since, Budget()))
    source.close()
    ids = [value for batch in batches for value in batch.rows.column("id").to_pylist()]
    return ids, batches[-1].cursor if batches else since


def test_objects_are_read_once_and_found_changed(moto: MotoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto.endpoint)
    client = boto3.client("s3")
    client.create_bucket(Bucket="drops", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for number in range(40):
        client.put_object(Bucket="drops", Key=f"in/{number:04d} é.csv", Body=f"id\n{number}\n".encode())
    ids, cursor = read("s3://drops/in/*.csv")
    assert ids == [str(number) for number in range(40)]
    assert read("s3://drops/in/*.csv", cursor)[0] == []
    client.put_object(Bucket="drops", Key="in/0007 é.csv", Body=b"id\n8\n")
    with pytest.raises(ChangedFile, match=r"s3://drops/in/0007 é\.csv changed"):
        read("s3://drops/in/*.csv", cursor)
    with pytest.raises(ConfigError, match="there is no bucket not-there"):
        read("s3://not-there/in/*.csv")
    client.close()
