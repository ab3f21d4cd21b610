"""The shop's other faces over HTTP: exchange rates, carriers and shipments over REST, reviews over GraphQL.

Made of the files that `generate_shop` wrote, so that they tell of the same orders; same files and seed, same answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catchment.errors import ConfigError
from catchment.generate.draws import literal, make_draws
from catchment.generate.routes import Collection, Connection, Route
from catchment.generate.server import ApiServer

CURRENCIES = {"EUR": 10_000, "GBP": 8_700, "USD": 10_900, "PLN": 43_000, "BRL": 58_000, "SEK": 113_000}
CARRIERS = ("alder", "northbank", "swift", "tern")
DEPOTS = ("Berlin", "Leeds", "Lyon", "Málaga", "Utrecht", "Gdańsk", "Malmö")
WORDS = (
    "Does what it says.|Smaller than I thought.|A gift, and it was liked.|Came late, but came.|Would buy it again.|"
    "Broke on the second day.|Good value.|The colour is another one."
)

_COMPLETED = """
create temp table completed as
select transaction_id, user_id, product_id, min(epoch(try_cast(updated_at as timestamptz)))::bigint as settled
from read_csv({files}, all_varchar = true, union_by_name = true)
where status = 'completed' and transaction_id is not null and try_cast(updated_at as timestamptz) is not null
group by all
"""

_RATES = """
select strftime(day, '%Y-%m-%d') as day, currency,
    (base * (case when currency = 'EUR' then 10000 else 9700 + pick(draw('rate', currency || day::varchar), 0, 600) end)
        / 100000000)::decimal(12, 6)::varchar as rate
from (select unnest(range((select to_timestamp(min(settled)) from completed)::date,
        (select to_timestamp(max(settled)) from completed)::date + 1, interval 1 day))::date as day)
cross join (select unnest({currencies}) as currency, unnest({bases}) as base)
order by day, currency
"""

# A shipment leaves within two days and arrives within six; it is told of once, as it stands when it arrived.
_SHIPMENTS = """
select name_of('shipment', transaction_id) as shipment_id, transaction_id, {carriers}[1 + pick(h, 0, {n})] as carrier,
    1 + pick(h, 1, 4) as parcels, iso(sent) as sent_at, iso(arrived) as delivered_at, iso(arrived) as updated_at
from (select *, settled + 3600 + wide(h, 1, 169200) as sent, settled + 172800 + wide(h, 2, 345600) as arrived
      from (select *, draw('shipment', transaction_id) as h from completed))
order by arrived, shipment_id
"""

_REVIEWS = """
select name_of('review', transaction_id) as "reviewId", product_id as "productId", user_id as "userId",
    1 + greatest(pick(h, 0, 5), pick(h, 1, 5)) as stars, {words}[1 + pick(h, 2, {n})] as words,
    iso(written) as "createdAt", iso(written) as "updatedAt"
from (select *, settled + 86400 + wide(h, 2, 864000) as written
      from (select *, draw('review', transaction_id) as h from completed))
where pick(h, 3, 100) < 30 and user_id is not null and product_id is not null
order by written, "reviewId"
"""


def shop_routes(folder: Path, *, seed: int = 1) -> Mapping[str, Route]:
    """What the shop under `folder` answers, by path.

    `/v1/rates` page by page, `/v1/carriers` by offset, `/v1/carriers/{carrier}/depots` by cursor, `/v1/shipments` by
    link with `since`, `/graphql` a connection `reviews` with `since`. Raises ConfigError where there is no shop.
    """
    made = _made(folder, seed)
    words = WORDS.split("|")
    carriers = [{"carrier": name, "name": name.capitalize()} for name in CARRIERS]
    depots = [
        {"depot_id": f"{name}-{place}", "carrier": name, "city": city}
        for name in CARRIERS
        for place, city in enumerate(DEPOTS[len(name) % 3 :])
    ]
    rates = _RATES.format(currencies=literal(list(CURRENCIES)), bases=literal(list(CURRENCIES.values())))
    reviews = made(_REVIEWS.format(words=literal(words), n=len(words)))
    return {
        "/v1/rates": Collection("rates", made(rates), way="page", size=100, key="day"),
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
