select
    product_id,
    name as product_name,
    category,
    subcategory,
    brand,
    price as list_price,
    cost as unit_cost,
    is_active,
    {{ utc('created_at') }} as created_at,
    {{ utc('updated_at') }} as updated_at
from {{ source('silver', 'products') }}
