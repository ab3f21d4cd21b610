-- No order is lost between the facts and the days, orders of unknown users included.
with facts as (select sum(revenue) as revenue, count(*) as orders from {{ ref('fct_transactions') }}),

days as (select sum(revenue) as revenue, sum(orders) as orders from {{ ref('daily_sales') }})

select facts.revenue, days.revenue as in_days
from facts
cross join days
where abs(facts.revenue - days.revenue) > 0.01 or facts.orders <> days.orders
