-- No line is lost between the facts and the months, and none counted twice, however many builds the months go on.
with facts as (select sum(sales) as sales, count(*) as order_lines from {{ ref('fct_order_lines') }}),

months as (select sum(sales) as sales, sum(order_lines) as order_lines from {{ ref('monthly_sales') }})

select facts.sales, months.sales as in_months
from facts
cross join months
where facts.sales <> months.sales or facts.order_lines <> months.order_lines
