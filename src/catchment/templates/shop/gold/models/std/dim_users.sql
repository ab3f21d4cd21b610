-- Type 2: one row per version of a user's attributes. A login is no attribute: it changes stg_users, and begins nothing
-- here. Orders and sessions of nobody we know count under the last row.
with told as (
    select
        *,
        (email, first_name, last_name, birth_date, registered_at, country, city, tier, is_active) as attributes
    from {{ ref('stg_users') }}
),

neighbours as (
    select
        *,
        lag(user_id) over (partition by user_id order by valid_from) is null as is_first,
        lag(attributes) over (partition by user_id order by valid_from) is distinct from attributes
        or lag(valid_to) over (partition by user_id order by valid_from) is distinct from valid_from as begins,
        lead(attributes) over (partition by user_id order by valid_from) is distinct from attributes
        or lead(valid_from) over (partition by user_id order by valid_from) is distinct from valid_to as ends
    from told
),

-- Of neighbours that say the same, the first and the last are left: a version begins with the one, ends with the other.
bounds as (
    select
        *,
        case
            when ends then valid_to else lead(valid_to) over (partition by user_id order by valid_from)
        end as ends_at
    from neighbours
    where begins or ends
)

select
    md5(user_id || '@' || cast(valid_from as varchar)) as user_key,
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
    -- What was ordered before the shop first told of a user was ordered by him as he was then told.
    case when is_first then timestamp '1900-01-01' else valid_from end as valid_from,
    ends_at as valid_to,
    ends_at is null as is_current,
    true as is_known
from bounds
where begins

union all

select
    '(unknown)' as user_key,
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
    timestamp '1900-01-01' as valid_from,
    null as valid_to,
    true as is_current,
    false as is_known
