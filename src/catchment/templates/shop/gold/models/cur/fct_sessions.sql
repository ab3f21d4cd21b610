-- A user's session ends after 30 quiet minutes, whatever the page calls it; the user is as he was when it began.
with gaps as (
    select
        *,
        date_diff(
            'second',
            lag(occurred_at) over (partition by user_id order by occurred_at, event_id),
            occurred_at
        ) as quiet_seconds
    from {{ ref('stg_events') }}
),

parts as (
    select
        *,
        sum(case when quiet_seconds > 1800 then 1 else 0 end) over (
            partition by user_id order by occurred_at, event_id
            rows between unbounded preceding and current row
        ) as part
    from gaps
),

sessions as (
    select
        user_id,
        part,
        min(occurred_at) as started_at,
        max(occurred_at) as ended_at,
        count(*) as events,
        count(distinct session_id) as page_sessions,
        count(*) filter (where event_type = 'product_view') as views,
        count(*) filter (where event_type = 'add_to_cart') as carts,
        count(*) filter (where event_type = 'checkout_start') as checkouts,
        count(*) filter (where is_purchase) as purchases,
        arg_min(device_type, (occurred_at, event_id)) as first_device
    from parts
    group by user_id, part
)

select
    s.user_id || '/' || cast(s.part as integer) as session_key,
    coalesce(u.user_key, '(unknown)') as user_key,
    coalesce(u.user_id, '(unknown)') as user_id,
    s.user_id as named_user_id,
    s.started_at,
    s.ended_at,
    cast(s.started_at as date) as started_on,
    date_diff('second', s.started_at, s.ended_at) / 60.0 as minutes,
    s.events,
    s.page_sessions,
    s.views,
    s.carts,
    s.checkouts,
    s.purchases,
    s.first_device
from sessions as s
left join {{ ref('dim_users') }} as u
    on s.user_id = u.user_id
    and s.started_at >= u.valid_from
    and (u.valid_to is null or s.started_at < u.valid_to)
