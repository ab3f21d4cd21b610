-- A customer is who he was in the newest line that names him.
select
    customer_id,
    customer_name,
    segment,
    country,
    market
from {{ ref('stg_order_lines') }}
qualify row_number() over (partition by customer_id order by ordered_on desc, row_id desc) = 1
