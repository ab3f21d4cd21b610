select
    id as customer_id,
    first_name,
    coalesce(last_name, '') as last_name
from {{ source('bakery', 'customers') }}
