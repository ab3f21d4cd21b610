-- An order between two versions of its user would have none, one within both would be counted twice.
select user_id, valid_from, valid_to, next_from
from (
    select
        *,
        lead(valid_from) over (partition by user_id order by valid_from) as next_from
    from {{ ref('dim_users') }}
) as versions
where valid_to <= valid_from or (next_from is not null and valid_to is distinct from next_from)
