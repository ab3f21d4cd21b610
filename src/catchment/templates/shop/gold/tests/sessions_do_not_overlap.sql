-- Between two sessions of a user lie more than 30 quiet minutes.
with followed as (
    select
        named_user_id,
        ended_at,
        lead(started_at) over (partition by named_user_id order by started_at, session_key) as next_started_at
    from {{ ref('fct_sessions') }}
)

select named_user_id, ended_at, next_started_at
from followed
where date_diff('second', ended_at, next_started_at) <= 1800
