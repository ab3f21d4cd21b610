select
    cast(created_at as date) as day,
    payment_method,
    count(*) as orders,
    count(distinct user_id) as customers,
    sum(quantity) filter (where status = 'completed') as units,
    sum(total) filter (where status = 'completed') as revenue,
    avg(total) as average_order
from {{ source('silver', 'transactions') }}
group by all
