with sold as (
    select
        product_id,
        count(*) filter (where is_paid) as orders,
        cast(coalesce(sum(quantity) filter (where is_paid), 0) as bigint) as units,
        sum(revenue) as revenue,
        sum(revenue) - sum(cost) as margin,
        count(*) filter (where status = 'refunded') as refunds
    from {{ ref('fct_transactions') }}
    group by product_id
)

select
    p.product_id,
    p.product_name,
    p.category,
    p.subcategory,
    coalesce(s.orders, 0) as orders,
    coalesce(s.units, 0) as units,
    coalesce(s.revenue, 0) as revenue,
    s.margin,
    s.margin / nullif(s.revenue, 0) as margin_share,
    coalesce(s.refunds, 0) as refunds,
    rank() over (order by coalesce(s.revenue, 0) desc) as revenue_rank,
    rank() over (partition by p.category order by coalesce(s.revenue, 0) desc) as revenue_rank_in_category
from {{ ref('dim_products') }} as p
left join sold as s on p.product_id = s.product_id
where p.is_known or s.product_id is not null
