-- One row per user as he is now. Scores 1 (least) to 5 (best) among those who bought; "now" is the newest day of any order.
with newest as (
    select max(ordered_on) as day from {{ ref('fct_transactions') }}
),

bought as (
    select
        user_id,
        max(ordered_on) as last_order_on,
        count(*) as frequency,
        sum(revenue) as monetary
    from {{ ref('fct_transactions') }}
    where is_paid and not is_user_unknown
    group by user_id
),

scored as (
    select
        b.user_id,
        b.last_order_on,
        b.frequency,
        b.monetary,
        date_diff('day', b.last_order_on, n.day) as recency_days,
        ntile(5) over (order by b.last_order_on, b.user_id) as recency_score,
        ntile(5) over (order by b.frequency, b.user_id) as frequency_score,
        ntile(5) over (order by b.monetary, b.user_id) as monetary_score
    from bought as b
    cross join newest as n
)

select
    u.user_id,
    u.country,
    u.tier,
    n.day as as_of,
    s.last_order_on,
    s.recency_days,
    coalesce(s.frequency, 0) as frequency,
    coalesce(s.monetary, 0) as lifetime_value,
    s.recency_score,
    s.frequency_score,
    s.monetary_score,
    case
        when s.user_id is null then 'no order yet'
        when s.recency_score >= 4 and s.frequency_score >= 4 and s.monetary_score >= 4 then 'champion'
        when s.frequency_score >= 4 then 'loyal'
        when s.monetary_score >= 4 then 'big spender'
        when s.recency_score >= 4 then 'recent'
        when s.recency_score <= 2 then 'at risk'
        else 'regular'
    end as segment,
    date_diff(
        'day', greatest(s.last_order_on, cast(l.last_login_at as date), u.registered_on), n.day
    ) > 90 as is_churned
from {{ ref('dim_users') }} as u
cross join newest as n
left join scored as s on u.user_id = s.user_id
left join {{ ref('stg_users') }} as l on u.user_id = l.user_id and l.is_current
where u.is_known and u.is_current
