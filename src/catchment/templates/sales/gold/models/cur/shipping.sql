select
    r.market,
    l.ship_mode,
    count(distinct l.order_id) as orders,
    count(*) as order_lines,
    avg(l.days_to_ship) as average_days,
    max(l.days_to_ship) as longest_days,
    sum(l.shipping_cost) as shipping_cost,
    sum(l.shipping_cost) / sum(l.sales) as share_of_sales
from {{ ref('fct_order_lines') }} as l
inner join {{ ref('dim_regions') }} as r on l.region_key = r.region_key
group by r.market, l.ship_mode
