select
    t.ordered_on as day,
    u.country,
    count(*) as orders,
    count(*) filter (where t.is_paid) as paid_orders,
    count(*) filter (where t.status = 'refunded') as refunds,
    cast(coalesce(sum(t.quantity) filter (where t.is_paid), 0) as bigint) as units,
    sum(t.revenue) as revenue,
    coalesce(sum(t.tax) filter (where t.is_paid), 0) as tax,
    coalesce(sum(t.total) filter (where t.is_paid), 0) as paid_total,
    cast(sum(t.revenue) / nullif(count(*) filter (where t.is_paid), 0) as decimal(18, 2)) as average_order
from {{ ref('fct_transactions') }} as t
inner join {{ ref('dim_users') }} as u on t.user_key = u.user_key
group by t.ordered_on, u.country
