"""Objects keep the promises of files, in each format: what the unit tests write into a folder is put into a bucket."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.services.s3.conftest import KEY, SECRET, Bucket
from tests.unit.sources import test_source_promises as files

from catchment.interfaces import Source
from catchment.sources.files.source import FilesSource


class _InABucket(files._InAFolder):
    """Every file of the folder is an object before a source is made."""

    @pytest.fixture(autouse=True)
    def _bucket(self, bucket: Bucket) -> None:
        self.bucket = bucket
        self.put: set[Path] = set()

    def source(self) -> Source:
        for path in sorted(set((self.project / "in").iterdir()) - self.put):
            self.bucket.put(f"in/{path.name}", path.read_bytes())
            self.put.add(path)
        streams = {
            "sales": replace(self.settings, path=f"s3://{self.bucket.name}/in"),
            "others": files.Settings(f"s3://{self.bucket.name}/none/*.csv"),
        }
        endpoint = self.bucket.server.endpoint
        return FilesSource("drops", streams, self.project, endpoint=endpoint, access_key=KEY, secret_key=SECRET)


class TestCsvObjects(_InABucket, files.TestCsvFiles):
    pass


class TestLargeCsvObjectsInGzip(_InABucket, files.TestLargeCsvFilesInGzip):
    pass


class TestCsvObjectsInZstandard(_InABucket, files.TestCsvFilesInZstandard):
    pass


class TestCsvObjectsInUtf16(_InABucket, files.TestCsvFilesInUtf16):
    pass


class TestJsonLinesObjects(_InABucket, files.TestJsonLinesFiles):
    pass


class TestObjectsOfJsonArrays(_InABucket, files.TestJsonArrays):
    pass


class TestParquetObjects(_InABucket, files.TestParquetFiles):
    pass


class TestObjectsThatAreLoads(_InABucket, files.TestFilesThatAreLoads):
    pass


class TestObjectsThatAreWhole(_InABucket, files.TestFilesThatAreWhole):
    pass


class TestObjectsInOrder(_InABucket, files.TestCsvFiles):
    settings = files.Settings(ordered=True)
