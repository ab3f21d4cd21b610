select
    transaction_id,
    user_id,
    product_id,
    quantity,
    unit_price,
    discount,
    tax,
    total,
    status,
    payment_method,
    {{ utc('created_at') }} as ordered_at,
    cast({{ utc('created_at') }} as date) as ordered_on,
    {{ utc('updated_at') }} as updated_at
from {{ source('silver', 'transactions') }}
