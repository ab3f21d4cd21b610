-- "Now" is the newest day of any order, so that the same data gives the same figures on any day.
with newest as (
    select max(ordered_on) as day from {{ ref('fct_order_lines') }}
),

bought as (
    select
        customer_id,
        min(ordered_on) as first_order_on,
        max(ordered_on) as last_order_on,
        count(distinct order_id) as orders,
        sum(sales) as sales,
        sum(profit) as profit
    from {{ ref('fct_order_lines') }}
    group by customer_id
)

select
    c.customer_id,
    c.customer_name,
    c.segment,
    c.country,
    b.first_order_on,
    b.last_order_on,
    n.day - b.last_order_on as quiet_days,
    b.orders,
    b.sales,
    b.profit,
    cast(b.sales / b.orders as decimal(18, 2)) as average_order,
    ntile(10) over (order by b.sales desc, b.customer_id) as sales_decile,
    n.day - b.last_order_on > 90 as is_churned
from bought as b
cross join newest as n
inner join {{ ref('dim_customers') }} as c on b.customer_id = c.customer_id
