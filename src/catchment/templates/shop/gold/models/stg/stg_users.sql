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
    {{ utc('_valid_from') }} as valid_from,
    {{ utc('_valid_to') }} as valid_to,
    _valid_to is null as is_current
from {{ source('silver', 'users') }}
