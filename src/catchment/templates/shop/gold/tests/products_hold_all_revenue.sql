with facts as (select sum(revenue) as revenue from {{ ref('fct_transactions') }}),

products as (select sum(revenue) as revenue from {{ ref('product_performance') }})

select facts.revenue, products.revenue as in_products
from facts
cross join products
where abs(facts.revenue - products.revenue) > 0.01
