select
    review_id,
    product_id,
    user_id,
    stars,
    words,
    cast({{ utc('created_at') }} as date) as written_on
from {{ source('silver', 'reviews') }}
