-- A version begins where an attribute changed, and nowhere else.
select user_id, valid_from
from (
    select
        *,
        (email, full_name, birth_date, registered_at, country, city, tier, is_active) as attributes,
        lag(user_id) over (partition by user_id order by valid_from) is not null as has_one_before,
        lag((email, full_name, birth_date, registered_at, country, city, tier, is_active)) over (
            partition by user_id order by valid_from
        ) as before
    from {{ ref('dim_users') }}
) as versions
where has_one_before and before = attributes
