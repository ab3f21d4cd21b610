"""Orders and each change of them: the shop's transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchment.generate.draws import literal
from catchment.generate.entities import PRODUCTS, STREETS
from catchment.generate.traffic import make_rows

if TYPE_CHECKING:
    import duckdb

    from catchment.generate.dirt import Dirt
    from catchment.generate.traffic import Calendar

STREET_NAMES = STREETS.split("|")
METHODS = ("credit_card", "paypal", "debit_card", "apple_pay")

# Purchases of sessions come first; what the day's figure lacks was ordered without a session (telephone, other apps).
_ORDERS = """
create temp table orders as
with missing as (
    select d.day, d.known, greatest(0, d.orders - coalesce(p.placed, 0)) as direct,
        (select count(*) from purchases) + coalesce(sum(greatest(0, d.orders - coalesce(p.placed, 0)))
            over (order by d.day rows between unbounded preceding and 1 preceding), 0) as offset_no
    from days d left join (select day, count(*) as placed from purchases group by day) p on p.day = d.day
), direct as (
    select offset_no + i as n, day, known, draw('order', offset_no + i) as h
    from (select *, unnest(range(direct)) as i from missing)
), placed as (
    select n, user_no, product_no, placed_at, draw('order', n) as h from purchases
    union all
    select n::bigint, least(wide(h, 0, known), wide(h, 1, known)),
        least(pick(h, 4, {products}), pick(h, 5, {products})), {first} + day * 86400 + wide(h, 3, 86400), h
    from direct
), drawn as (
    select *, draw('order-money', n) as f from placed
)
select
    d.n::integer as n, d.user_no::integer as user_no, d.product_no::integer as product_no, d.placed_at,
    pick(d.h, 7, {n_streets} * 120)::integer as door,
    (1 + least(pick(f, 0, 5), pick(f, 1, 5)))::integer as quantity, g.price::integer as price,
    (g.price * (1 + least(pick(f, 0, 5), pick(f, 1, 5)))
        * (case when pick(f, 2, 100) < 80 then 0 else 5 * (1 + pick(f, 2, 100) % 4) end) // 100)::integer as discount,
    ((g.price * quantity - discount) * p.tax_percent // 100)::integer as tax,
    pick(f, 3, 1000)::integer as luck,
    (30 + pick(f, 4, 3570))::integer as settles_in,
    (86400 + pick(f, 7, 65536) * 12)::integer as refunded_in,
    case when pick(f, 5, 65536) < {orphans} then 1 + n % 2 else 0 end::integer as stranger,
    (1 + least(pick(f, 6, 4), pick(f, 6, 7)))::integer as method
from drawn d join goods g on g.no = d.product_no join people p on p.no = d.user_no;
"""

# 5 in 100 stay pending, 7 fail, 88 are completed; of those 4 in 100 are sent back later.
_CHANGES = """
create temp table transactions_facts as
with changes as (
    select n, 0 as version, 'pending' as status, placed_at as updated from orders
    union all
    select n, 1, case when luck < 70 then 'failed' else 'completed' end, placed_at + settles_in
    from orders where luck < 950
    union all
    select n, 2, 'refunded', placed_at + settles_in + refunded_in from orders where luck >= 70 and luck < 105
)
select c.*, (c.updated - {first}) // 86400 as own_day, draw('transaction-row', c.n * 4 + c.version) as g,
    o.* exclude (n, placed_at, luck, settles_in, refunded_in), o.placed_at as created
from changes c join orders o on o.n = c.n where c.updated < {first} + {days} * 86400;
"""

TRANSACTION_COLUMNS = """
    case when r.kind = 'missing_keys' then null else name_of('transaction', r.n) end as transaction_id,
    case when r.stranger = 1 then name_of('stranger', r.n) else p.user_id end as user_id,
    case when r.stranger = 2 then 'p-9' || lpad((r.n % 1000)::varchar, 3, '0')
         else 'p-' || lpad((r.product_no + 1)::varchar, 4, '0') end as product_id,
    r.quantity,
    money(sign * r.price) as unit_price, money(sign * r.discount) as discount, money(sign * r.tax) as tax,
    money(sign * (r.price * r.quantity - r.discount + r.tax)
        + case when r.kind = 'wrong_totals' then (100 + pick(r.g, 4, 1901)) * (2 * pick(r.g, 5, 2) - 1) else 0 end)
        as total,
    r.status, {methods}[r.method] as payment_method,
    (1 + r.door // {n_streets}) || ' ' || {streets}[1 + r.door % {n_streets}] || ', ' || p.city || ', ' || p.country
        as shipping_address,
    case r.kind when 'second_date_format' then european(r.created)
        when 'impossible_dates' then '31/02/' || strftime(make_timestamp(r.created * 1000000), '%Y %H:%M:%S')
        else iso(r.created) end as created_at,
    case r.kind when 'second_date_format' then european(r.updated)
        when 'updated_before_created' then iso(r.created - 3600 * (1 + pick(r.g, 6, 48)))
        else iso(r.updated) end as updated_at
"""
TRANSACTION_FROM = """
    from (select *, case kind when 'negative_amounts' then -1 when 'zero_amounts' then 0 else 1 end as sign
          from {rows}) r
    join people p on p.no = r.user_no
"""


def make_transactions(connection: duckdb.DuckDBPyConnection, calendar: Calendar, dirt: Dirt) -> None:
    """Tables `orders` and `transactions_rows`; needs `people`, `goods`, `days` and `purchases`."""
    orphans = round(dirt.orphans * 65536)
    connection.execute(
        _ORDERS.format(products=PRODUCTS, first=calendar.first, n_streets=len(STREET_NAMES), orphans=orphans)
    )
    connection.execute(_CHANGES.format(first=calendar.first, days=calendar.days))
    make_rows(connection, calendar, "transactions", key="n, version", dirt=dirt, known="stranger > 0")


def transaction_columns() -> str:
    """The columns of a transactions file."""
    return TRANSACTION_COLUMNS.format(
        methods=literal(METHODS), streets=literal(STREET_NAMES), n_streets=len(STREET_NAMES)
    )
