select
    product_id,
    title,
    category,
    subcategory,
    coalesce(maker, brand, '(unknown)') as maker,
    warranty_months,
    weight_g,
    {{ utc('updated_at') }} as updated_at
from {{ source('silver', 'catalogue') }}
