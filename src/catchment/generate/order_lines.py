"""Who orders what, where and when: the sales sheet's order lines, before they are written with their mistakes.

Money is counted in cents, days from the first of the generated year's first month.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from catchment.generate.draws import literal, make_draws
from catchment.generate.entities import brands, names

if TYPE_CHECKING:
    import duckdb

# city, state, country, postal code, market, region; only the US and Canada have states and postal codes
PLACES = (
    ("New York City", "New York", "United States", "10011", "US", "East"),
    ("Boston", "Massachusetts", "United States", "02108", "US", "East"),
    ("Newark", "New Jersey", "United States", "07102", "US", "East"),
    ("Portland", "Maine", "United States", "04101", "US", "East"),
    ("Chicago", "Illinois", "United States", "60610", "US", "Central"),
    ("Houston", "Texas", "United States", "77041", "US", "Central"),
    ("Seattle", "Washington", "United States", "98103", "US", "West"),
    ("Los Angeles", "California", "United States", "90036", "US", "West"),
    ("Atlanta", "Georgia", "United States", "30318", "US", "South"),
    ("Miami", "Florida", "United States", "33142", "US", "South"),
    ("Berlin", "", "Germany", "", "EU", "Central"),
    ("Köln", "", "Germany", "", "EU", "Central"),
    ("Paris", "", "France", "", "EU", "Central"),
    ("Utrecht", "", "Netherlands", "", "EU", "Central"),
    ("London", "", "United Kingdom", "", "EU", "North"),
    ("Malmö", "", "Sweden", "", "EU", "North"),
    ("Dublin", "", "Ireland", "", "EU", "North"),
    ("Madrid", "", "Spain", "", "EU", "South"),
    ("Milano", "", "Italy", "", "EU", "South"),
    ("Sydney", "", "Australia", "", "APAC", "Oceania"),
    ("Auckland", "", "New Zealand", "", "APAC", "Oceania"),
    ("Manila", "", "Philippines", "", "APAC", "Southeast Asia"),
    ("Osaka", "", "Japan", "", "APAC", "North Asia"),
    ("Busan", "", "Korea, South", "", "APAC", "North Asia"),
    ("Mumbai", "", "India", "", "APAC", "Central Asia"),
    ("Puebla", "", "Mexico", "", "LATAM", "North"),
    ("São Paulo", "", "Brazil", "", "LATAM", "South"),
    ("Bogotá", "", "Colombia", "", "LATAM", "South"),
    ("Santo Domingo", "", "Dominican Republic", "", "LATAM", "Caribbean"),
    ("Toronto", "Ontario", "Canada", "M5V 2T6", "Canada", "Canada"),
    ("Montréal", "Quebec", "Canada", "H2Y 1C6", "Canada", "Canada"),
    ("Istanbul", "", "Turkey", "", "EMEA", "EMEA"),
    ("Kraków", "", "Poland", "", "EMEA", "EMEA"),
    ("Lagos", "", "Nigeria", "", "Africa", "Africa"),
    ("Nairobi", "", "Kenya", "", "Africa", "Africa"),
    ("Casablanca", "", "Morocco", "", "Africa", "Africa"),
)
# category, sub-category, dearest price in whole units, what it is
SHELVES = (
    ("Furniture", "Chairs", 480, ("Swivel chair", "Stacking chair", "Stool, oak")),
    ("Furniture", "Tables", 890, ("Desk", "Round table", "Standing desk")),
    ("Furniture", "Bookcases", 390, ("Bookcase", "Corner shelf", "Cabinet, 2 doors")),
    ("Furniture", "Furnishings", 120, ("Clock", "Door mat", "Picture frame")),
    ("Office Supplies", "Paper", 45, ("Copy paper", "Notepad", "Card stock, white")),
    ("Office Supplies", "Binders", 60, ("Ring binder", "Report cover", "Binding machine")),
    ("Office Supplies", "Storage", 210, ("File cart", "Box, 12 pieces", "Locker")),
    ("Office Supplies", "Art", 35, ("Pencils", "Markers", "Sketch pad")),
    ("Office Supplies", "Labels", 18, ("Round labels", "Shipping labels")),
    ("Technology", "Phones", 640, ("Desk phone", "Smart phone", "Headset")),
    ("Technology", "Copiers", 1900, ("Copier", "Ink copier", "Laser copier")),
    ("Technology", "Machines", 1200, ("Label printer", "3D printer", "Shredder")),
    ("Technology", "Accessories", 190, ('Screen 24"', "Keyboard", "Memory card, 64 GB")),
)
SEGMENTS = ("Consumer", "Corporate", "Home Office")
# mode, soonest and latest day of shipping, price in hundredths of the line
SHIP_MODES = (("Standard Class", 4, 7, 5), ("Second Class", 2, 5, 8), ("First Class", 1, 3, 11), ("Same Day", 0, 0, 14))
PRIORITIES = ("Medium", "High", "Low", "Critical")
DISCOUNTS = (0, 0, 0, 10, 20, 40)

CUSTOMERS = 1500
PRODUCTS = 260
# From this month on some products are called otherwise, under their old number.
RENAMED_IN = 5

_BUYERS = """
create temp table places as
select row_number() over () as no, * from (values {places}) p(city, state, country, postal_code, market, region);

create temp table buyers as
select no, {first_names}[1 + pick(h, 0, {n_first})] as first_name, {last_names}[1 + pick(h, 1, {n_last})] as last_name,
    first_name || ' ' || last_name as customer_name,
    first_name[1] || last_name[1] || '-' || (10000 + no * 7) as customer_id,
    {segments}[1 + least(pick(h, 2, 3), pick(h, 3, 4))] as segment,
    least(pick(h, 4, {n_places}), pick(h, 5, {n_places})) as home
from (select no, draw('buyer', no) as h from range({customers}) r(no));

create temp table shelf as
select no, {categories}[shelf_no] as category, {subcategories}[shelf_no] as subcategory,
    upper(category[1:3]) || '-' || upper(subcategory[1:2]) || '-' || (10001000 + no * 13) as product_id,
    {brands}[1 + pick(h, 0, {n_brands})] || ' ' || {things}[shelf_no][1 + pick(h, 1, len({things}[shelf_no]))] as thing,
    399 + wide(h, 1, {dearest}[shelf_no] * 100 - 399) as price, 40 + pick(h, 4, 31) as cost_percent
from (select no, 1 + no % {n_shelves} as shelf_no, draw('shelf', no) as h from range({products}) r(no));
"""

# Row ids follow order dates. One line in forty names the product of its order's first line again.
_LINES = """
create temp table sheet as
with orders as (
    select no, draw('sheet-order', no) as h, (no * {days}::bigint // {orders})::integer as ordered
    from range({orders}) r(no)
), placed as (
    select o.*, least(pick(h, 0, {customers}), pick(h, 1, {customers})) as buyer,
        1 + least(pick(h, 2, 6), pick(h, 3, 6)) as lines,
        1 + least(pick(h, 4, 4), pick(h, 4, 6)) as mode_no,
        {soonest}[mode_no] + pick(h, 5, {latest}[mode_no] - {soonest}[mode_no] + 1) as takes,
        1 + least(pick(h, 6, 4), pick(h, 6, 5)) as priority_no, pick(h, 7, 65536) as place_luck
    from orders o
), lines as (
    select p.*, i, draw('sheet-line', p.no || ':' || i) as f from (select *, unnest(range(lines)) as i from placed) p
), drawn as (
    select l.*, least(pick(f, 0, {products}), pick(f, 1, {products})) as own_product,
        first_value(own_product) over (partition by no order by i) as first_product,
        case when i > 0 and pick(f, 2, 40) = 0 then first_product else own_product end as product
    from lines l
)
select row_number() over (order by ordered, d.no, i)::integer as row_id, d.no as order_no, takes, mode_no,
    priority_no, buyer, product, (1 + least(pick(f, 3, 9), pick(f, 4, 12)))::integer as quantity,
    {discounts}[1 + pick(f, 5, {n_discounts})] as discount,
    1 + case when place_luck % 10 = 0 then place_luck % {n_places} else b.home end as place_no,
    (s.price * quantity * (100 - discount) // 100)::integer as sales,
    (sales - s.price * quantity * s.cost_percent // 100)::integer as profit,
    greatest(99, sales * {ship_price}[mode_no] // 100)::integer as shipping,
    ({start} + ordered)::date as ordered_on, date_diff('month', {start}, ordered_on)::integer as month,
    draw('sheet-row', d.no || ':' || i) as g
from drawn d join shelf s on s.no = d.product join buyers b on b.no = d.buyer
"""


def make_lines(connection: duckdb.DuckDBPyConnection, *, start: date, days: int, seed: int, orders: int) -> None:
    """Tables `places`, `buyers`, `shelf` and `sheet`: one row per order line, its `month` counted from `start`."""
    make_draws(connection, seed)
    connection.execute(
        _BUYERS.format(
            places=", ".join(f"({literal(place)[1:-1]})" for place in PLACES),
            **names(),
            segments=literal(SEGMENTS),
            customers=CUSTOMERS,
            n_places=len(PLACES),
            products=PRODUCTS,
            n_shelves=len(SHELVES),
            categories=literal([shelf[0] for shelf in SHELVES]),
            subcategories=literal([shelf[1] for shelf in SHELVES]),
            dearest=literal([shelf[2] for shelf in SHELVES]),
            things=literal([shelf[3] for shelf in SHELVES]),
            **brands(),
        )
    )
    connection.execute(
        _LINES.format(
            start=f"date '{start.isoformat()}'",
            days=days,
            orders=orders,
            customers=CUSTOMERS,
            products=PRODUCTS,
            n_places=len(PLACES),
            soonest=literal([mode[1] for mode in SHIP_MODES]),
            latest=literal([mode[2] for mode in SHIP_MODES]),
            ship_price=literal([mode[3] for mode in SHIP_MODES]),
            discounts=literal(DISCOUNTS),
            n_discounts=len(DISCOUNTS),
        )
    )
