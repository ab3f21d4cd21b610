select
    event_id,
    user_id,
    session_id,
    event_type,
    {{ utc('occurred_at') }} as occurred_at,
    cast({{ utc('occurred_at') }} as date) as occurred_on,
    product_id,
    search_query,
    results_count,
    amount,
    device_type,
    browser,
    coalesce(country, '(unknown)') as country,
    is_purchase
from {{ source('silver', 'events') }}
