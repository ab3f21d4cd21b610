"""The shop's own server, as the demo runs it: everything that it answers lands, and is what the files tell of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from catchment.cli.group import catchment
from catchment.generate import generate_shop
from catchment.generate.faces import shop_server
from catchment.generate.server import ApiServer, Limit, Tokens
from catchment.opened import OpenProject
from catchment.project import load_project

_PROJECT = """\
name: shop
sources:
  drops:
    type: files
    streams:
      transactions: {path: "data/transactions/*.csv"}
  api:
    type: rest
    url: ${env:SHOP_URL}/v1
    auth: {type: oauth2, token_url: "${env:SHOP_URL}/oauth/token", client_id: demo, client_secret: "${env:SHOP_SECRET}"}
    streams:
      rates: {path: /rates, records: "$.rates[*]", paging: {type: page, pages: $.pages}}
      carriers: {path: /carriers, records: "$.carriers[*]", paging: {type: offset, size: 3}, key: $.carrier}
      depots:
        path: /carriers/{carrier}/depots
        parent: {stream: carriers, as: {carrier: $.carrier}}
        records: $.depots[*]
        paging: {type: cursor, param: after, next: $.meta.next}
      shipments:
        path: /shipments
        params: {order: asc, per_page: 20}
        paging: {type: link}
        cursor: {field: $.updated_at, param: since, order: ascending}
        key: $.shipment_id
  reviews:
    type: graphql
    url: ${env:SHOP_URL}/graphql
    auth: {type: oauth2, token_url: "${env:SHOP_URL}/oauth/token", client_id: demo, client_secret: "${env:SHOP_SECRET}"}
    streams:
      reviews:
        query: |
          query($first: Int, $after: String, $since: String) {
            reviews(first: $first, after: $after, since: $since) {
              edges { node { reviewId productId userId stars words createdAt updatedAt } }
              pageInfo { hasNextPage endCursor }
            }
          }
        variables: {first: 10}
        records: $.data.reviews.edges[*].node
        paging: {type: relay, connection: $.data.reviews}
        cursor: {field: $.updatedAt, variable: since}
        key: $.reviewId
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generate_shop(tmp_path, start=date(2026, 10, 22), days=3, users=100, scale=0.1)
    (tmp_path / "catchment.yaml").write_text(_PROJECT)
    return tmp_path


@pytest.fixture
def server(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with shop_server(folder) as server:
        server.tokens = Tokens("demo", "shop-secret", uses=7)
        server.limit = Limit(200, 1)
        monkeypatch.setenv("SHOP_URL", server.url)
        monkeypatch.setenv("SHOP_SECRET", "shop-secret")
        yield server


def _run(folder: Path, *words: str) -> str:
    told = CliRunner().invoke(catchment, ["--project", str(folder), *words], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    return told.output


def test_all_faces_of_the_shop_land_once(server: ApiServer, folder: Path) -> None:
    _run(folder, "run")
    project = OpenProject(load_project(folder))

    def value(sql: str) -> object:
        return project.query(sql).read_all().column(0)[0].as_py()

    settled = (
        "SELECT count(DISTINCT transaction_id) FROM bronze.drops__transactions"
        " WHERE status = 'completed' AND transaction_id <> '' AND updated_at LIKE '____-%'"
    )
    assert value("SELECT count(*) FROM bronze.api__shipments") == value(settled) > 20  # type: ignore[operator]
    known = "SELECT transaction_id FROM bronze.drops__transactions"
    strange = f"(document->>'$.transaction_id') NOT IN ({known})"
    assert value(f"SELECT count(*) FROM bronze.api__shipments WHERE {strange}") == 0
    assert value("SELECT count(*) FROM bronze.api__carriers") == 4
    asked_for = "(document->>'$.carrier') = (document->>'$._parent.carrier')"
    assert value(f"SELECT count(*) FILTER (WHERE {asked_for}) = count(*) FROM bronze.api__depots")
    assert value("SELECT count(DISTINCT document->>'currency') FROM bronze.api__rates") == 6
    assert value("SELECT count(*) > 5 FROM bronze.reviews__reviews")
    assert value("SELECT any_value(_origin) FROM bronze.reviews__reviews") == server.url
    assert value("SELECT any_value(_origin) FROM bronze.api__shipments") == f"{server.url}/shipments"
    assert server.tokens is not None
    assert server.tokens.given > 5
    assert "nothing new" in _run(folder, "run")
    assert "Nothing new" in _run(folder, "plan")


def test_the_same_shop_answers_the_same(folder: Path) -> None:
    from catchment.generate.faces import shop_routes

    first, second = (shop_routes(folder, seed=3) for _ in range(2))
    assert first == second
    assert first != shop_routes(folder, seed=4)
