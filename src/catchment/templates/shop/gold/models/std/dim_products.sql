select
    product_id,
    product_name,
    category,
    subcategory,
    brand,
    list_price,
    unit_cost,
    list_price - unit_cost as list_margin,
    is_active,
    true as is_known
from {{ ref('stg_products') }}

union all

select
    '(unknown)' as product_id,
    '(unknown)' as product_name,
    '(unknown)' as category,
    '(unknown)' as subcategory,
    '(unknown)' as brand,
    null as list_price,
    null as unit_cost,
    null as list_margin,
    false as is_active,
    false as is_known
