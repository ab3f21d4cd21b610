select
    l.row_id,
    l.order_id,
    l.customer_id,
    l.product_id,
    r.region_key,
    l.ordered_on,
    l.shipped_on,
    l.shipped_on - l.ordered_on as days_to_ship,
    l.ship_mode,
    l.order_priority,
    l.quantity,
    l.sales,
    l.discount_share,
    l.profit,
    l.shipping_cost,
    l.profit < 0 as is_loss,
    l.is_large
from {{ ref('stg_order_lines') }} as l
inner join {{ ref('dim_regions') }} as r
    on l.market = r.market and l.region = r.region and l.country = r.country
