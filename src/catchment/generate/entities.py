"""Who buys and what is sold: users and products, with every change of them.

Money is counted in cents, instants in seconds since 1970; chance is that of `draws.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchment.generate.draws import literal, make_draws

if TYPE_CHECKING:
    import duckdb

    from catchment.generate.traffic import Calendar

# Words are parted by spaces, names of several words by `|`.
FIRST_NAMES = (
    "Ada Amélie Anna Ben Bruno Carla Chloé Daniel Elif Emma Eva Felix Finn Greta Hanna Hugo Ida Ines Jan João Jonas "
    "José Julia Karl Lara Lea Leo Lina Lucía Luis Maja Marek Maria Mia Mila Nina Noah Nora Olga Omar Otto Paula Pedro "
    "Rosa Sam Sara Sofía Tom Vera Zoë"
)
LAST_NAMES = (
    "Almeida Andersson Bakker Bauer Bianchi Brown Castro Costa Dubois Evans Fischer Fontaine García González Greco "
    "Hansen Hoffmann Jansen Johansson Jones Keller King Koch Kowalska Larsson Lefèvre Lewis Lopes Martin Meyer Moreau "
    "Müller Navarro Nowak Olsen Parker Pérez Ricci Roberts Romano Rossi Santos Schäfer Schmidt Silva Smith Souza "
    "Visser Weber Wójcik"
)
# country, tax in percent, cities; the first countries are drawn most often
COUNTRIES = (
    ("DE", 19, ("Berlin", "Hamburg", "Köln")),
    ("GB", 20, ("London", "Leeds", "Bristol")),
    ("FR", 20, ("Paris", "Lyon", "Nîmes")),
    ("US", 7, ("Austin", "Boston", "Denver")),
    ("ES", 21, ("Madrid", "Málaga", "Bilbao")),
    ("IT", 22, ("Milano", "Torino", "Bari")),
    ("NL", 21, ("Utrecht", "Delft", "Breda")),
    ("PL", 23, ("Kraków", "Gdańsk", "Lublin")),
    ("BR", 17, ("São Paulo", "Recife", "Curitiba")),
    ("SE", 25, ("Malmö", "Lund", "Umeå")),
)
# category, subcategory, dearest price in whole units, what it is
GOODS = (
    ("Electronics", "Audio", 320, ("Headphones", "Speaker", "Radio")),
    ("Electronics", "Screens", 690, ('Monitor 24"', 'Monitor 27"', "Projector")),
    ("Electronics", "Cameras", 540, ("Camera", "Action camera", "Tripod")),
    ("Home", "Kitchen", 180, ("Kettle", "Pan, cast iron", "Knife set")),
    ("Home", "Lighting", 140, ("Desk lamp", "Floor lamp", "Lantern")),
    ("Home", "Textiles", 90, ("Blanket", "Towels, set of 4", "Cushion")),
    ("Sports", "Cycling", 260, ("Helmet", "Bike light", "Pannier")),
    ("Sports", "Outdoor", 310, ("Tent", "Rucksack", "Sleeping bag")),
    ("Sports", "Fitness", 150, ("Dumbbells", "Yoga mat", "Rope")),
    ("Books", "Fiction", 28, ("Novel", "Short stories", "Graphic novel")),
    ("Books", "Reference", 75, ("Atlas", "Dictionary", "Field guide")),
    ("Toys", "Games", 60, ("Board game", "Card game", "Puzzle")),
)
BRANDS = "Alder Birch & Co|Brightwater|Corrie|Fjell|Headland|Kestrel|Lowland|Meander|Northbank|Ripple|Saltmarsh"
STREETS = "Mill Lane|Rua Augusta|High Street|Bergstraße|Rue du Port|Calle Mayor|Via Roma|Storgatan|Kerkstraat"
TIERS = ("bronze", "silver", "gold", "platinum")
PRODUCTS = 240

_PEOPLE = """
create temp table people as
select
    no, h, case when no < {old} then -1 else (no - {old}) * {days} // {new} end as day,
    case when no < {old} then {first} - 86400 - wide(h, 0, 730 * 86400)
         else {first} + ((no - {old}) * {days} // {new}) * 86400 + wide(h, 0, 86400) end as registered,
    name_of('user', no) as user_id,
    {first_names}[1 + pick(h, 2, {n_first})] as first_name,
    {last_names}[1 + pick(h, 3, {n_last})] as last_name,
    1 + least(pick(h, 4, {n_countries}), pick(h, 5, {n_countries})) as country_no,
    1 + pick(h, 6, 3) as city_no,
    {countries}[country_no] as country,
    {cities}[country_no][city_no] as city,
    {taxes}[country_no] as tax_percent,
from (select no, draw('person', no) as h from range({users}) r(no));
"""

# `known` users were there before a day began: only they change, browse and buy on it.
_USER_ROWS = """
create temp table user_changes as
with picks as (
    select distinct 1 + c % greatest({days} - 1, 1) as day,
        wide(draw('change', c), 0, {old} + ({new} * (1 + c % greatest({days} - 1, 1))) // {days}) as no
    from range({changes}) r(c) where {days} > 1
)
select no, day, {first} + day * 86400 + wide(draw('changed', no || '@' || day), 0, 86400) as updated from picks;

create temp table user_facts as
with versions as (
    select no, greatest(day, 0) as day,
        case when day < 0 then registered + wide(h, 0, greatest({first} - registered, 1)) else registered end as updated
    from people
    union all
    select c.no, c.day, c.updated from user_changes c join people p on p.no = c.no and p.day < c.day
)
select v.*, row_number() over (partition by no order by updated, day) - 1 as version,
    draw('user-row', v.no || '@' || v.day) as g
from versions v;

create temp table user_rows as
with judged as (
    select f.*, {kind} as kind from user_facts f
)
select day, no, version, g, updated, copy, case when kind = 'duplicates' and copy = 0 then null else kind end as kind,
    row_number() over (partition by day order by updated, no, version, copy) as line
from judged cross join (values (0), (1)) c(copy) where copy = 0 or kind = 'duplicates';
"""

USER_COLUMNS = """
    case when r.kind = 'missing_keys' then null else p.user_id end as user_id,
    case when r.kind = 'mixed_case_emails' then upper(email[1]) || replace(email[2:], '@mail', '@Mail') else email end
        as email,
    p.first_name, p.last_name,
    case when r.kind = 'impossible_dates' then (1950 + pick(p.h, 0, 56)) || '-02-30'
         else strftime(date '1950-01-01' + pick(p.h, 0, 56 * 365)::integer, '%Y-%m-%d') end as birth_date,
    iso(p.registered) as registered_at, p.country, p.city,
    {tiers}[least(4, 1 + case when pick(p.h, 7, 100) < 60 then 0 when pick(p.h, 7, 100) < 85 then 1
                              when pick(p.h, 7, 100) < 97 then 2 else 3 end + r.version // 2)] as tier,
    pick(r.g, 2, 100) >= 4 as is_active,
    case when r.version = 0 and pick(r.g, 3, 100) < 5 then null
         else iso(greatest(p.registered, r.updated - pick(r.g, 4, 3600))) end as last_login_at,
    iso(p.registered) as created_at,
    case when r.kind = 'updated_before_created' then iso(p.registered - 3600 * (1 + pick(r.g, 5, 48)))
         else iso(r.updated) end as updated_at
"""
USER_FROM = """
    from {rows} r join (select *, lower(strip_accents(first_name || '.' || last_name)) || no || '@mail.example'
    as email from people) p on p.no = r.no
"""

_PRODUCT_ROWS = """
create temp table goods as
select no, h, 'p-' || lpad((no + 1)::varchar, 4, '0') as product_id, kind_no,
    {brands}[1 + pick(h, 0, {n_brands})] as brand,
    {things}[kind_no][1 + pick(h, 1, 3)] as thing,
    {categories}[kind_no] as category, {subcategories}[kind_no] as subcategory,
    499 + wide(h, 1, {dearest}[kind_no] * 100 - 499) as price,
    {first} - 86400 * (30 + pick(h, 4, 700)) + pick(h, 5, 65536) as created,
from (select no, 1 + no % {n_goods} as kind_no, draw('product', no) as h from range({products}) r(no));

create temp table product_facts as
with picks as (
    select distinct 1 + c % greatest({days} - 1, 1) as day, pick(draw('reprice', c), 0, {products}) as no
    from range({repriced}) r(c) where {days} > 1
), versions as (
    select no, 0 as day, created + wide(h, 3, {first} - created) as updated, price from goods
    union all
    select p.no, p.day, {first} + p.day * 86400 + wide(draw('repriced', p.no || '@' || p.day), 0, 86400),
        g.price * (95 + pick(draw('repriced', p.no || '@' || p.day), 4, 11)) // 100
    from picks p join goods g on g.no = p.no
)
select v.*, row_number() over (partition by no order by updated) - 1 as version,
    draw('product-row', v.no || '@' || v.day) as g
from versions v;

create temp table product_rows as
with judged as (select f.*, {kind} as kind from product_facts f)
select day, no, version, g, updated, price, copy,
    case when kind = 'duplicates' and copy = 0 then null else kind end as kind,
    row_number() over (partition by day order by updated, no, version, copy) as line
from judged cross join (values (0), (1)) c(copy) where copy = 0 or kind = 'duplicates';
"""

PRODUCT_COLUMNS = """
    case when r.kind = 'missing_keys' then null else p.product_id end as product_id,
    p.brand || ' ' || p.thing as name, p.category, p.subcategory,
    money(case when r.kind = 'negative_amounts' then -r.price else r.price end) as price,
    money(p.price * (45 + pick(p.h, 6, 31)) // 100) as cost,
    p.brand, p.thing || ', ' || lower(p.subcategory) || ' by ' || p.brand as description,
    pick(r.g, 2, 100) >= 3 as is_active, iso(p.created) as created_at, iso(r.updated) as updated_at
"""
PRODUCT_FROM = " from {rows} r join goods p on p.no = r.no "


def names() -> dict[str, object]:
    """People's names as SQL, and how many there are."""
    first, last = FIRST_NAMES.split(), LAST_NAMES.split()
    return {"first_names": literal(first), "n_first": len(first), "last_names": literal(last), "n_last": len(last)}


def brands() -> dict[str, object]:
    """Makers' names as SQL, and how many there are."""
    return {"brands": literal(BRANDS.split("|")), "n_brands": len(BRANDS.split("|"))}


def make_entities(
    connection: duckdb.DuckDBPyConnection, calendar: Calendar, *, seed: int, users: int, kinds: tuple[str, str]
) -> None:
    """Tables `people`, `goods`, `user_rows` and `product_rows`; `kinds` are the dirt expressions of both."""
    old = max(1, users * 4 // 5)
    common = {"days": calendar.days, "first": calendar.first, "old": old, "new": max(1, users - old)}
    make_draws(connection, seed)
    connection.execute(
        _PEOPLE.format(
            **common,
            users=users,
            **names(),
            n_countries=len(COUNTRIES),
            countries=literal([c[0] for c in COUNTRIES]),
            taxes=literal([c[1] for c in COUNTRIES]),
            cities=literal([c[2] for c in COUNTRIES]),
        )
    )
    connection.execute(_USER_ROWS.format(**common, changes=users * (calendar.days - 1) // 50, kind=kinds[0]))
    connection.execute(
        _PRODUCT_ROWS.format(
            **common,
            products=PRODUCTS,
            repriced=PRODUCTS * (calendar.days - 1) // 50,
            kind=kinds[1],
            n_goods=len(GOODS),
            **brands(),
            categories=literal([g[0] for g in GOODS]),
            subcategories=literal([g[1] for g in GOODS]),
            dearest=literal([g[2] for g in GOODS]),
            things=literal([g[3] for g in GOODS]),
        )
    )


def user_columns() -> str:
    """The columns of a users file."""
    return USER_COLUMNS.format(tiers=literal(TIERS))
