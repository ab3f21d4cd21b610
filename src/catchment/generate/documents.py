"""What the shop keeps in other systems, as documents: a catalogue, live sessions, reviews and exchange rates.

Each is one file of JSON lines here, as the other system would tell it: the catalogue as an export of MongoDB, sessions
as keys of Redis, reviews as GraphQL answers them and rates as REST does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchment.generate.draws import literal

if TYPE_CHECKING:
    import duckdb

    from catchment.generate.traffic import Calendar

CURRENCIES = {"EUR": 10_000, "GBP": 8_700, "USD": 10_900, "PLN": 43_000, "BRL": 58_000, "SEK": 113_000}
WORDS = (
    "Does what it says.|Smaller than I thought.|A gift, and it was liked.|Came late, but came.|Would buy it again.|"
    "Broke on the second day.|Good value.|The colour is another one."
)
MATERIALS = ("cast iron", "steel", "oak", "cotton", "glass")

# A document says what its kind of thing has; those of before a change of the application name the maker otherwise.
_CATALOGUE = """
create temp table catalogue_rows as
with told as (
    select g.*, f.updated,
        case category
            when 'Electronics' then json_object('warranty_months', 12 * (1 + pick(h, 2, 3)),
                'power', json_object('watts', 5 + pick(h, 3, 95), 'plug', ['EU', 'UK', 'US'][1 + pick(h, 4, 3)]))
            when 'Sports' then json_object('weight_g', 100 + pick(h, 2, 4900), 'sizes', json_array('S', 'M', 'L'))
            when 'Books' then json_object('pages', 80 + pick(h, 2, 900),
                'language', ['en', 'de', 'fr'][1 + pick(h, 3, 3)])
            when 'Toys' then json_object('from_age', 3 + pick(h, 2, 10),
                'players', json_object('most', 2 + pick(h, 3, 6)))
            else json_object('material', {materials}[1 + pick(h, 2, {n_materials})], 'weight_g', 50 + pick(h, 3, 3000))
        end as attributes,
        json_object('category', category, 'subcategory', subcategory) as shelf
    from goods g join (select no, max(updated) as updated from product_facts group by no) f on f.no = g.no
)
select 0 as day, row_number() over (order by product_id) as line, null::varchar as kind,
    (case when no % 3 = 0
        then json_object('_id', product_id, 'title', brand || ' ' || thing, 'shelf', shelf,
            'brand', brand, 'attributes', attributes, 'updated_at', json_object('$date', iso(updated)))
        else json_object('_id', product_id, 'title', brand || ' ' || thing, 'shelf', shelf,
            'maker', json_object('name', brand, 'since', 1900 + pick(h, 5, 110)), 'attributes', attributes,
            'updated_at', json_object('$date', iso(updated)))
    end)::varchar as document
from told;
"""

# Those of the last day, as they were left: in Redis they would end a day after their last click.
_SESSIONS = """
create temp table sessions_rows as
with left_behind as (
    select s, min(updated) as began, max(updated) as seen, count(*) as pages,
        greatest(0, count(*) filter (where event_type = 'add_to_cart')
            - count(*) filter (where event_type = 'remove_from_cart')) as cart
    from clicks where updated < {end} group by s having max(updated) >= {end} - 86400
)
select 0 as day, row_number() over (order by seen, l.s) as line, null::varchar as kind,
    json_object('key', 'session:s-' || left(name_of('session', l.s), 18), 'value', json_object(
        'user_id', p.user_id, 'began_at', iso(began), 'seen_at', iso(seen), 'pages', pages::varchar,
        'cart', cart::varchar))::varchar as document
from left_behind l join sessions e on e.s = l.s join people p on p.no = e.user_no;
"""

_REVIEWS = """
create temp table reviews_rows as
with completed as (
    select n, name_of('transaction', n) as transaction_id, user_no, product_no, min(updated) as settled,
        draw('review', name_of('transaction', n)) as h
    from transactions_facts where status = 'completed' and stranger = 0 group by n, user_no, product_no
), written as (
    select *, settled + 3600 + wide(h, 2, 259200) as told_at from completed where pick(h, 3, 100) < 30
)
select 0 as day, row_number() over (order by told_at, name_of('review', transaction_id)) as line, null::varchar as kind,
    json_object('reviewId', name_of('review', transaction_id), 'productId',
        'p-' || lpad((product_no + 1)::varchar, 4, '0'), 'userId', name_of('user', user_no),
        'stars', 1 + greatest(pick(h, 0, 5), pick(h, 1, 5)), 'words', {words}[1 + pick(h, 2, {n_words})],
        'createdAt', iso(told_at), 'updatedAt', iso(told_at))::varchar as document
from written where told_at < {end};
"""

_RATES = """
create temp table rates_rows as
with days as (select unnest(range({days})) as number), rates as (
    select strftime(make_timestamp(({first} + number * 86400) * 1000000), '%Y-%m-%d') as day, currency, base
    from days cross join (select unnest({currencies}) as currency, unnest({bases}) as base)
)
select 0 as day, row_number() over (order by day, currency) as line, null::varchar as kind,
    json_object('day', day, 'currency', currency, 'rate',
        (base * (case when currency = 'EUR' then 10000 else 9700 + pick(draw('rate', currency || day), 0, 600) end)
            / 100000000)::decimal(12, 6)::varchar)::varchar as document
from rates;
"""

TABLES = ("catalogue", "sessions", "reviews", "rates")


def make_documents(connection: duckdb.DuckDBPyConnection, calendar: Calendar) -> None:
    """A table `<name>_rows` with a `document` for each of `TABLES`; needs everything else of the shop."""
    words = WORDS.split("|")
    times = {"first": calendar.first, "days": calendar.days, "end": calendar.first + calendar.days * 86400}
    connection.execute(_CATALOGUE.format(materials=literal(MATERIALS), n_materials=len(MATERIALS)))
    connection.execute(_SESSIONS.format(**times))
    connection.execute(_REVIEWS.format(**times, words=literal(words), n_words=len(words)))
    currencies = {"currencies": literal(list(CURRENCIES)), "bases": literal(list(CURRENCIES.values()))}
    connection.execute(_RATES.format(**times, **currencies))


def document_path(table: str) -> str:
    """Where the documents of a table lie in a shop's folder."""
    return f"data/{table}/{table}.jsonl"
