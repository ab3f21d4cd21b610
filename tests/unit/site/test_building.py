"""A site is written into a folder of its own: stale pages go, nobody else's file does."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path
from threading import Thread

import pytest

from catchment.errors import ConfigError
from catchment.project import Project
from catchment.site import build_site, site_folder
from catchment.site.serving import address, server
from catchment.testing.fakes import column, contract, project


def small(folder: Path, *tables: str) -> Project:
    folder.mkdir(exist_ok=True)
    found = [contract(name, column("id")) for name in tables]
    return project(folder, found, {name: {"from": "src.rows"} for name in tables})


def test_pages_of_what_is_gone_go_and_files_of_others_stay(tmp_path: Path) -> None:
    site = build_site(small(tmp_path / "p", "orders", "users"), None)
    assert site.folder == tmp_path / "p" / "site"
    (site.folder / "CNAME").write_text("docs.example", encoding="utf-8")
    build_site(small(tmp_path / "p", "users"), None)
    assert not (site.folder / "silver/orders.html").exists()
    assert (site.folder / "silver/users.html").exists()
    build_site(small(tmp_path / "p"), None)
    assert not (site.folder / "silver").exists()
    assert (site.folder / "CNAME").read_text("utf-8") == "docs.example"


def test_an_environment_has_a_site_of_its_own(tmp_path: Path) -> None:
    assert site_folder(tmp_path, None) == site_folder(tmp_path, "local") == tmp_path / "site"
    assert site_folder(tmp_path, "local@alice") == tmp_path / "site-alice"


def test_a_page_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    site = build_site(small(tmp_path, "orders"), None)
    page = site.folder / "silver" / "orders.html"
    before = page.stat().st_mtime_ns
    build_site(small(tmp_path, "orders"), None)
    assert page.stat().st_mtime_ns == before


@pytest.mark.parametrize("mark", ['["../outside.txt"]', "nonsense", '{"a": 1}', '[1, "/etc/hostname"]'])
def test_a_mark_that_somebody_wrote_removes_nothing_outside(tmp_path: Path, mark: str) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine", encoding="utf-8")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / ".catchment-site").write_text(mark, encoding="utf-8")
    build_site(small(tmp_path, "orders"), None)
    assert outside.read_text("utf-8") == "mine"


def test_a_folder_with_other_things_in_it_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not empty") as raised:
        build_site(small(tmp_path, "orders"), None, tmp_path / "mine")
    assert "--to DIR" in (raised.value.hint or "")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        build_site(small(tmp_path, "orders"), None, tmp_path / "mine" / "notes.txt")


def test_a_site_is_served_to_this_machine_and_nothing_beside_it(tmp_path: Path) -> None:
    site = build_site(small(tmp_path, "orders"), None)
    with server(site.folder) as serving:
        Thread(target=serving.serve_forever, daemon=True).start()
        try:
            with urllib.request.urlopen(address(serving) + "silver/orders.html") as page:
                assert b"silver." in page.read()
            assert status(address(serving) + "silver/") == 404  # no list of a folder
            assert status(address(serving) + "../catchment.yaml") == 404
            assert status(address(serving), host="evil.example") == 403
            assert serving.server_address[0] == "127.0.0.1"
            with pytest.raises(ConfigError, match="cannot serve on port"):
                server(site.folder, serving.server_address[1])
        finally:
            serving.shutdown()


def test_where_nothing_was_built_nothing_is_served(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no site") as raised:
        server(tmp_path)
    assert raised.value.hint == "catchment docs build makes it"


def status(url: str, host: str | None = None) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={} if host is None else {"Host": host})) as got:
            return int(got.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
