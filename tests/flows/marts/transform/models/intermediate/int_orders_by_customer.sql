select customer_id, count(*) as orders, sum(amount) as spent, max(ordered_at) as last_order_at
from {{ ref('stg_bakery__orders') }}
left join {{ ref('order_statuses') }} using (status)
where counts
group by 1
