with sold as (
    select
        product_id,
        count(distinct order_id) as orders,
        cast(sum(quantity) as bigint) as units,
        sum(sales) as sales,
        sum(profit) as profit,
        sum(discount_share * sales) / sum(sales) as discount_share,
        count(*) filter (where is_loss) as lines_at_a_loss
    from {{ ref('fct_order_lines') }}
    group by product_id
)

select
    p.product_id,
    p.product_name,
    p.category,
    p.subcategory,
    s.orders,
    s.units,
    s.sales,
    s.profit,
    s.profit / s.sales as margin_share,
    s.discount_share,
    s.lines_at_a_loss,
    rank() over (order by s.sales desc) as sales_rank,
    rank() over (partition by p.category order by s.profit desc) as profit_rank_in_category
from sold as s
inner join {{ ref('dim_products') }} as p on s.product_id = p.product_id
