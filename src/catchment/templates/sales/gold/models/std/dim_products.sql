-- Products are renamed under their number now and then: the newest name counts.
select
    product_id,
    product_name,
    category,
    subcategory
from {{ ref('stg_order_lines') }}
qualify row_number() over (partition by product_id order by ordered_on desc, row_id desc) = 1
