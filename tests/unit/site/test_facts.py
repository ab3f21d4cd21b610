"""Projects of which little is there still have a site, and it says what is absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import catchment
from catchment.errors import ConfigError
from catchment.site import Site
from catchment.site.gathering import gather
from catchment.testing.fakes import column, contract, project

from .orchard import Read, write_orchard


def words(site: Site, page: str) -> str:
    return " ".join(" ".join(Read((site.folder / page).read_text("utf-8")).words).split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The orchard without gold."""
    monkeypatch.setenv("ORCHARD_TREES", "data/trees")
    found = write_orchard(tmp_path / "orchard")
    shutil.rmtree(found / "gold")
    yaml = (found / "catchment.yaml").read_text("utf-8")
    (found / "catchment.yaml").write_text(yaml.replace("gold: {dbt: gold/}\n", ""), encoding="utf-8")
    return found


def test_a_project_that_never_ran_has_a_site_of_what_it_promises(folder: Path) -> None:
    site = catchment.open(folder).docs()
    assert not (folder / "lake").exists()
    assert site.absent == ("nothing has landed yet: pages show what the project promises, not what is there",)
    assert "nothing has landed yet" in words(site, "index.html")
    assert "last run never" in words(site, "index.html")
    silver = words(site, "silver/picks.html")
    assert "orchard-picks 2.1.0" in silver
    assert "bronze. drops__ picks. kilos" in silver
    assert "kilos" in words(site, "bronze/drops__picks.html")


def test_without_gold_nothing_is_said_of_it(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    site = opened.docs()
    assert site.absent == ()
    assert not (site.folder / "gold.html").exists()
    told = words(site, "index.html")
    assert "gold" not in told.replace("From sources to gold", "")


def test_a_table_that_nobody_made_yet_says_so_beside_those_that_are_there(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run(select="drops.trees")
    site = opened.docs()
    assert site.absent == (
        "bronze.drops__picks has not landed yet: its columns are those that contracts read",
        "silver.picks was not made yet: what is told is its contract",
        "silver.trees was not made yet: what is told is its contract",
    )
    assert "was not made yet" in words(site, "silver/picks.html")
    assert "rows 1" in words(site, "bronze/drops__trees.html")
    alone = catchment.open(folder, target="@alice").docs(folder / "alice")
    assert "silver.picks was not made yet in environment alice: what is told is its contract" in alone.absent


def test_a_project_without_a_table_has_a_site(tmp_path: Path) -> None:
    (tmp_path / "catchment.yaml").write_text("name: empty\n", encoding="utf-8")
    site = catchment.open(tmp_path).docs()
    assert (site.pages, site.tables) == (2, 0)
    assert "0 sources" in words(site, "index.html")


def test_a_broken_table_is_said_to_be_broken_and_the_others_are_told(folder: Path) -> None:
    opened = catchment.open(folder)
    opened.run()
    for entry in (folder / "lake/silver/picks/_delta_log").glob("*.json"):
        entry.write_text("{nonsense", encoding="utf-8")
    site = opened.docs()
    assert [told.partition(",")[0] for told in site.absent] == ["silver.picks cannot be read"]
    assert "silver.picks cannot be read, its log in" in words(site, "index.html")
    assert "its log in ./lake/silver/picks" in words(site, "silver/picks.html")
    assert "rows 1 version 1" in words(site, "silver/trees.html")
    assert "rows 2 version" in words(site, "bronze/drops__picks.html")


def test_a_refine_function_that_does_not_do_costs_the_lineage_and_no_more(folder: Path) -> None:
    (folder / "silver/picks.py").write_text("def refine(picks, trees):\n    return picks.sort('kilos')\n", "utf-8")
    site = catchment.open(folder).docs()
    assert any(told.startswith("where columns come from is not known") for told in site.absent)
    assert "orchard-picks 2.1.0" in words(site, "silver/picks.html")
    assert "../bronze/drops__picks.html" in Read((site.folder / "silver/picks.html").read_text("utf-8")).links


def test_gold_that_dbt_cannot_compile_and_nobody_built_is_absent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHARD_TREES", "data/trees")
    monkeypatch.delenv("ORCHARD_SECRET", raising=False)  # another test of this process may have it set
    folder = write_orchard(tmp_path / "orchard")
    site = catchment.open(folder).docs()
    assert any("ORCHARD_SECRET" in told for told in site.absent)
    assert "models are not known" in words(site, "index.html")
    assert (site.folder / "silver/picks.html").exists()


def test_what_looks_like_a_secret_and_is_no_reference_stays_unsaid(tmp_path: Path) -> None:
    from catchment.site.from_lake import _said

    assert _said("password", "hunter22") == "(set)"
    assert _said("headers", {"X-Api": "hunter22"}) == "X-Api: (set)"
    assert _said("password", "${env:PASSWORD}") == "${env:PASSWORD}"
    assert _said("url", "postgres://ada:hunter22@db/shop") == "postgres://…@db/shop"
    assert _said("url", "postgres://ada:hunt/er22@db/shop?sslkey=abc&x=1") == "postgres://…@db/shop?sslkey=…&x=1"
    assert _said("dsn", "host=db password=hunter22 user=ada") == "host=db password=… user=ada"
    assert _said("full", True) == "yes"


def test_a_target_that_is_not_there_is_refused(tmp_path: Path) -> None:
    orders = contract("orders", column("id"))
    with pytest.raises(ConfigError, match="no target"):
        gather(project(tmp_path, [orders], {"orders": {"from": "src.rows"}}), "nowhere")
