"""Sessions of users and every click in them: the shop's user events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catchment.generate.draws import literal
from catchment.generate.entities import PRODUCTS
from catchment.generate.traffic import make_rows

if TYPE_CHECKING:
    import duckdb

    from catchment.generate.dirt import Dirt
    from catchment.generate.traffic import Calendar

# What follows what, in percent. search to view 50, view to cart 30, cart to checkout 60 and checkout to purchase 70 are
# the shop's known figures; the rest spreads over what people do instead.
NEXT = {
    "login": (("search", 50), ("page_view", 50)),
    "page_view": (("search", 35), ("product_view", 25), ("page_view", 40)),
    "search": (("product_view", 50), ("search", 15), ("page_view", 35)),
    "product_view": (("add_to_cart", 30), ("product_view", 35), ("search", 20), ("page_view", 15)),
    "add_to_cart": (("checkout_start", 60), ("remove_from_cart", 8), ("product_view", 20), ("page_view", 12)),
    "remove_from_cart": (("product_view", 50), ("page_view", 50)),
    "checkout_start": (("purchase", 70), ("page_view", 30)),
    "purchase": (("page_view", 60), ("search", 40)),
}
FIRST = (("page_view", 45), ("login", 30), ("search", 25))
SEARCHES = ("lamp", "tent", 'monitor 27"', "novel", "gift", "pan, cast iron", "bike light", "câmera", "yoga", "sale %")
DEVICES = ("desktop", "mobile", "tablet")
BROWSERS = ("chrome", "safari", "firefox", "edge")

# A session has 3 to 20 events in 2 to 30 minutes; one in five of the longer ones ends with a logout.
_SESSIONS = """
create temp table sessions as
with numbered as (
    select *, coalesce(sum(sessions) over (order by day rows between unbounded preceding and 1 preceding), 0)
        as offset_no
    from days
), drawn as (
    select offset_no + i as s, day, known, draw('session', offset_no + i) as h
    from (select *, unnest(range(sessions)) as i from numbered)
)
select s::bigint as s, day, h, least(wide(h, 0, known), wide(h, 1, known)) as user_no,
    {first} + day * 86400 + wide(h, 2, 43200) + pick(h, 6, 43200) as starts,
    3 + pick(h, 7, 18) as events, 120 + pick(h, 0, 1681) as lasts,
    case when pick(h, 7, 18) > 0 and pick(h, 1, 100) < 20 then 1 else 0 end as logs_out
from drawn;
"""

_STEPS = """
create temp table steps as
with recursive walk as (
    select s, 0 as k, draw('step', s || ':0') as g, {begin} as event_type, 0 as product_no, events - logs_out as steps
    from sessions
    union all
    select s, k, g, {follow} as event_type,
        case when event_type = 'product_view' then least(pick(g, 4, {products}), pick(g, 5, {products}))
             else product_no end as product_no, steps
    from (select s, k + 1 as k, draw('step', s || ':' || (k + 1)) as g, event_type as past, product_no, steps
          from walk where k + 1 < steps)
)
select s, k, g, event_type, product_no from walk
union all
select s, events - 1, draw('step', s || ':' || (events - 1)), 'logout', 0 from sessions where logs_out = 1;
"""

_FACTS = """
create temp table clicks as
select t.s, t.k, t.g, t.event_type, t.product_no, e.user_no,
    e.starts + (e.lasts * (10 * t.k + case when t.k in (0, e.events - 1) then 0 else pick(t.g, 6, 9) - 4 end))
        // (10 * (e.events - 1)) as updated
from steps t join sessions e on e.s = t.s;

create temp table purchases as
select row_number() over (order by s, k) - 1 as n, s, k, user_no, product_no, updated as placed_at,
    (updated - {first}) // 86400 as day
from clicks where event_type = 'purchase' and updated < {first} + {days} * 86400;
"""

_PRICED = """
create temp table user_events_facts as
select c.*, (c.updated - {first}) // 86400 as own_day,
    case when c.event_type = 'purchase' then o.price * o.quantity - o.discount + o.tax
         when c.event_type in ('add_to_cart', 'checkout_start') then g.price end as amount
from clicks c
left join purchases p on p.s = c.s and p.k = c.k
left join orders o on o.n = p.n
left join goods g on g.no = c.product_no
where c.updated < {first} + {days} * 86400;
"""

# A key that a source does not know is left out of the document, as applications do.
EVENT_LINE = """
    '{{"event_id":' || case when r.kind = 'missing_keys' then 'null'
                           else '"' || name_of('event', r.s || ':' || r.k) || '"' end
    || ',"user_id":"' || p.user_id || '","session_id":"s-' || left(name_of('session', r.s), 18)
    || '","event_type":"' || r.event_type || '","timestamp":"' || iso(r.updated) || '"'
    || case r.event_type
         when 'page_view' then ',"page_url":"/"'
         when 'search' then ',"page_url":"/search","search_query":' || to_json(query)::varchar
         when 'product_view' then ',"page_url":"/products/' || product || '"'
         when 'add_to_cart' then ',"page_url":"/cart"'
         when 'remove_from_cart' then ',"page_url":"/cart"'
         when 'checkout_start' then ',"page_url":"/checkout"'
         when 'purchase' then ',"page_url":"/checkout/done"'
         else '' end
    || case when r.event_type in ('product_view', 'add_to_cart', 'remove_from_cart', 'checkout_start', 'purchase')
            then ',"product_id":"' || product || '"' else '' end
    || ',"device_type":"' || {devices}[1 + least(pick(e.h, 3, 3), pick(e.h, 5, 3))]
    || '","browser":"' || {browsers}[1 + least(pick(e.h, 4, 4), pick(e.h, 2, 4))]
    || '","ip_address":"' || case when pick(e.h, 3, 2) = 0 then '203.0.113.' else '198.51.100.' end
    || (1 + pick(e.h, 5, 254)) || '","properties":'
    || case when r.kind = 'bad_properties' then '"{{''amount'': ' || coalesce(r.amount, r.k) || '"'
            when r.event_type = 'search' then '{{"results_count":' || pick(r.g, 5, 60) || '}}'
            when r.amount is not null then '{{"amount":' || money(r.amount) || '}}'
            else '{{}}' end || '}}' as line_text
"""
EVENT_FROM = """
    from (select *, 'p-' || lpad((product_no + 1)::varchar, 4, '0') as product,
              {searches}[1 + pick(g, 7, {n_searches})] as query from user_events_rows) r
    join sessions e on e.s = r.s join people p on p.no = r.user_no
"""


def _choose(chances: tuple[tuple[str, int], ...]) -> str:
    bound, cases = 0, []
    for name, percent in chances:
        bound += percent
        cases.append(f"when pick(g, 3, 100) < {bound} then '{name}'")
    return f"case {' '.join(cases)} end"


def make_sessions(connection: duckdb.DuckDBPyConnection, calendar: Calendar) -> None:
    """Tables `sessions`, `clicks` and `purchases` (the orders that were placed in a session); needs `days`."""
    follow = " ".join(f"when '{past}' then {_choose(chances)}" for past, chances in NEXT.items())
    connection.execute(_SESSIONS.format(first=calendar.first))
    connection.execute(_STEPS.format(begin=_choose(FIRST), follow=f"case past {follow} end", products=PRODUCTS))
    connection.execute(_FACTS.format(first=calendar.first, days=calendar.days))


def make_events(connection: duckdb.DuckDBPyConnection, calendar: Calendar, dirt: Dirt) -> None:
    """Table `user_events_rows`; needs `orders`, for what a purchase came to."""
    connection.execute(_PRICED.format(first=calendar.first, days=calendar.days))
    make_rows(connection, calendar, "user_events", key="s, k", dirt=dirt)


def event_columns() -> str:
    """One column, the line of JSON."""
    return EVENT_LINE.format(devices=literal(DEVICES), browsers=literal(BROWSERS))


def event_source() -> str:
    """Where the line's parts come from."""
    return EVENT_FROM.format(searches=literal(SEARCHES), n_searches=len(SEARCHES))
