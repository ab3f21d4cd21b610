"""The orchard, run and built once for all tests of the site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import catchment

from .orchard import HEAD, SECRET, Built, write_orchard


@pytest.fixture(scope="package")
def orchard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """Run twice, so that there are two loads; built once. Nobody may change it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("ORCHARD_TREES", "data/trees")
        patched.setenv("ORCHARD_SECRET", SECRET)
        folder = write_orchard(tmp_path_factory.mktemp("site") / "orchard")
        opened = catchment.open(folder)
        opened.run(select=["+silver.picks"])
        second = folder / "data/picks/2.csv"
        second.write_text(f"{HEAD}\n3,t1,3.5,2026-01-02T10:00:00Z,y\n", encoding="utf-8")
        opened.run()
        yield Built(folder, opened.docs())
