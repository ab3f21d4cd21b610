-- One row per day between the first and the newest order, also where nothing was sold.
with bounds as (
    select min(ordered_on) as first_day, max(ordered_on) as last_day from {{ ref('fct_transactions') }}
),

days as (
    select d.day
    from {{ ref('dim_date') }} as d
    inner join bounds as b on d.day between b.first_day and b.last_day
),

daily as (
    select
        days.day,
        count(t.transaction_id) as orders,
        count(t.transaction_id) filter (where t.is_paid) as paid_orders,
        count(t.transaction_id) filter (where t.status in ('completed', 'refunded')) as succeeded,
        count(t.transaction_id) filter (where t.status <> 'pending') as settled,
        coalesce(sum(t.revenue), 0) as revenue
    from days
    left join {{ ref('fct_transactions') }} as t on days.day = t.ordered_on
    group by days.day
),

customers as (
    select
        days.day,
        count(distinct t.named_user_id) as paying_customers_30_days
    from days
    left join {{ ref('fct_transactions') }} as t
        on t.is_paid and t.ordered_on between days.day - 29 and days.day
    group by days.day
),

rolled as (
    select
        day,
        orders,
        paid_orders,
        revenue,
        sum(revenue) over (order by day rows between 6 preceding and current row) as revenue_7_days,
        sum(revenue) over (order by day rows between 29 preceding and current row) as revenue_30_days,
        avg(revenue) over (order by day rows between 30 preceding and 1 preceding) as usual_revenue,
        count(*) over (order by day rows between 30 preceding and 1 preceding) as days_before,
        stddev_samp(revenue) over (order by day rows between 30 preceding and 1 preceding) as usual_spread,
        cast(revenue / nullif(paid_orders, 0) as decimal(18, 2)) as average_order,
        succeeded / nullif(settled, 0) as success_share
    from daily
)

select
    rolled.day,
    rolled.orders,
    rolled.paid_orders,
    rolled.revenue,
    rolled.revenue_7_days,
    rolled.revenue_30_days,
    customers.paying_customers_30_days,
    rolled.average_order,
    rolled.success_share,
    rolled.days_before >= 14
    and abs(rolled.revenue - rolled.usual_revenue) > 2 * rolled.usual_spread as is_unusual
from rolled
inner join customers on rolled.day = customers.day
