-- How many views become carts, carts checkouts, and checkouts purchases, by the day on which the session began.
select
    started_on as day,
    count(*) as sessions,
    count(distinct user_id) as users,
    cast(sum(views) as bigint) as views,
    cast(sum(carts) as bigint) as carts,
    cast(sum(checkouts) as bigint) as checkouts,
    cast(sum(purchases) as bigint) as purchases,
    sum(carts) / nullif(sum(views), 0) as view_to_cart,
    sum(checkouts) / nullif(sum(carts), 0) as cart_to_checkout,
    sum(purchases) / nullif(sum(checkouts), 0) as checkout_to_purchase,
    count(*) filter (where purchases > 0) / count(*) as session_conversion
from {{ ref('fct_sessions') }}
group by started_on
