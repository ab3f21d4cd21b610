"""The shop's other faces over HTTP: exchange rates, carriers and shipments over REST, reviews over GraphQL.

Made of the files that `generate_shop` wrote, so that they tell of the same orders; same files and seed, same answers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catchment.errors import ConfigError
from catchment.generate.documents import document_path
from catchment.generate.draws import literal, make_draws
from catchment.generate.routes import Collection, Connection, Route
from catchment.generate.server import ApiServer

CARRIERS = ("alder", "northbank", "swift", "tern")
DEPOTS = ("Berlin", "Leeds", "Lyon", "Málaga", "Utrecht", "Gdańsk", "Malmö")

_COMPLETED = """
create temp table completed as
select transaction_id, user_id, product_id, min(epoch(try_cast(updated_at as timestamptz)))::bigint as settled
from read_csv({files}, all_varchar = true, union_by_name = true)
where status = 'completed' and transaction_id is not null and try_cast(updated_at as timestamptz) is not null
group by all
"""

# A shipment leaves within two days and arrives within six; it is told of once, as it stands when it arrived.
_SHIPMENTS = """
select name_of('shipment', transaction_id) as shipment_id, transaction_id, {carriers}[1 + pick(h, 0, {n})] as carrier,
    1 + pick(h, 1, 4) as parcels, iso(sent) as sent_at, iso(arrived) as delivered_at, iso(arrived) as updated_at
from (select *, settled + 3600 + wide(h, 1, 169200) as sent, settled + 172800 + wide(h, 2, 345600) as arrived
      from (select *, draw('shipment', transaction_id) as h from completed))
order by arrived, shipment_id
"""


def shop_routes(folder: Path, *, seed: int = 1) -> Mapping[str, Route]:
    """What the shop under `folder` answers, by path.

    `/v1/rates` page by page, `/v1/carriers` by offset, `/v1/carriers/{carrier}/depots` by cursor, `/v1/shipments` by
    link with `since`, `/graphql` a connection `reviews` with `since`. Raises ConfigError where there is no shop.
    """
    made = _made(folder, seed)
    carriers = [{"carrier": name, "name": name.capitalize()} for name in CARRIERS]
    depots = [
        {"depot_id": f"{name}-{place}", "carrier": name, "city": city}
        for name in CARRIERS
        for place, city in enumerate(DEPOTS[len(name) % 3 :])
    ]
    reviews = _told(folder, "reviews")
    return {
        "/v1/rates": Collection("rates", _told(folder, "rates"), way="page", size=100, key="day"),
        "/v1/carriers": Collection("carriers", carriers, way="offset", size=3, key="carrier"),
        "/v1/carriers/{carrier}/depots": Collection("depots", depots, way="cursor", size=4, key="depot_id"),
        "/v1/shipments": Collection(
            "shipments",
            made(_SHIPMENTS.format(carriers=literal(list(CARRIERS)), n=len(CARRIERS))),
            way="link",
            size=200,
            key="shipment_id",
        ),
        "/graphql": Connection(Collection("reviews", reviews, size=100, time="updatedAt", key="reviewId")),
    }


def _told(folder: Path, table: str) -> list[Any]:
    path = folder / document_path(table)
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def shop_server(folder: Path, *, seed: int = 1, port: int = 0) -> ApiServer:
    """The shop's server; it begins to answer as a context, or with `start`."""
    return ApiServer(shop_routes(folder, seed=seed), port=port)


def _made(folder: Path, seed: int) -> Any:
    """Rows of a statement over the completed orders, as mappings."""
    import duckdb

    files = sorted(str(path) for path in (folder / "data/transactions").glob("*.csv"))
    if not files:
        message = f"there are no transactions of a shop under {folder}"
        raise ConfigError(message, hint="write them first: catchment.generate.generate_shop(folder)")
    connection = duckdb.connect(":memory:")
    connection.execute("set timezone = 'UTC'")
    make_draws(connection, seed)
    connection.execute(_COMPLETED.format(files=literal(files)))

    def rows(sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = connection.execute(sql).to_arrow_table().to_pylist()
        return found

    return rows
