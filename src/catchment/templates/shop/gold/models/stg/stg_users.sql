select
    user_id,
    email,
    first_name,
    last_name,
    birth_date,
    {{ utc('registered_at') }} as registered_at,
    country,
    coalesce(city, '(unknown)') as city,
    tier,
    is_active,
    {{ utc('last_login_at') }} as last_login_at,
    {{ utc('updated_at') }} as updated_at
from {{ source('silver', 'users') }}
