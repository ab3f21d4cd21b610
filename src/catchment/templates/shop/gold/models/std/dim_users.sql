-- Type 1: the user as he is now. Orders and sessions of nobody we know count under the last row.
select
    user_id,
    email,
    first_name || ' ' || last_name as full_name,
    birth_date,
    registered_at,
    cast(registered_at as date) as registered_on,
    country,
    city,
    tier,
    is_active,
    last_login_at,
    true as is_known
from {{ ref('stg_users') }}

union all

select
    '(unknown)' as user_id,
    null as email,
    '(unknown)' as full_name,
    null as birth_date,
    null as registered_at,
    null as registered_on,
    '(unknown)' as country,
    '(unknown)' as city,
    '(unknown)' as tier,
    false as is_active,
    null as last_login_at,
    false as is_known
