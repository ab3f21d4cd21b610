with facts as (select sum(sales) as sales from {{ ref('fct_order_lines') }}),

products as (select sum(sales) as sales from {{ ref('product_performance') }})

select facts.sales, products.sales as in_products
from facts
cross join products
where facts.sales <> products.sales
