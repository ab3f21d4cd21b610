select customers.customer_id, customers.first_name, orders.orders, orders.spent, {{ shout('first_name') }} as loud_name
from {{ ref('stg_bakery__customers') }} as customers
left join {{ ref('int_orders_by_customer') }} as orders on orders.customer_id = customers.customer_id
