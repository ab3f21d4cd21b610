-- A session ends after 30 quiet minutes, also where the page kept its id.
with gaps as (
    select
        *,
        date_diff(
            'second',
            lag(occurred_at) over (partition by user_id, session_id order by occurred_at, event_id),
            occurred_at
        ) as quiet_seconds
    from {{ ref('stg_events') }}
),

parts as (
    select
        *,
        sum(case when quiet_seconds > 1800 then 1 else 0 end) over (
            partition by user_id, session_id order by occurred_at, event_id
            rows between unbounded preceding and current row
        ) as part
    from gaps
)

select
    parts.session_id || '/' || parts.user_id || '/' || cast(parts.part as integer) as session_key,
    parts.session_id,
    coalesce(u.user_id, '(unknown)') as user_id,
    min(parts.occurred_at) as started_at,
    max(parts.occurred_at) as ended_at,
    cast(min(parts.occurred_at) as date) as started_on,
    date_diff('second', min(parts.occurred_at), max(parts.occurred_at)) / 60.0 as minutes,
    count(*) as events,
    count(*) filter (where parts.event_type = 'product_view') as views,
    count(*) filter (where parts.event_type = 'add_to_cart') as carts,
    count(*) filter (where parts.event_type = 'checkout_start') as checkouts,
    count(*) filter (where parts.is_purchase) as purchases,
    arg_min(parts.device_type, (parts.occurred_at, parts.event_id)) as first_device
from parts
left join {{ ref('dim_users') }} as u on parts.user_id = u.user_id
group by parts.session_id, parts.user_id, parts.part, u.user_id
