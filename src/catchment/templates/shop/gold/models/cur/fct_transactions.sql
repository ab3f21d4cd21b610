-- One row per order, beside the user as he was when he ordered. An order whose user or product is not in the dimension
-- keeps its own ids in named_*.
select
    t.transaction_id,
    coalesce(u.user_key, '(unknown)') as user_key,
    coalesce(u.user_id, '(unknown)') as user_id,
    coalesce(p.product_id, '(unknown)') as product_id,
    t.user_id as named_user_id,
    t.product_id as named_product_id,
    t.ordered_at,
    t.ordered_on,
    t.quantity,
    t.unit_price,
    t.discount,
    t.tax,
    t.total,
    t.unit_price * t.quantity - t.discount as net_amount,
    case when t.status = 'completed' then t.unit_price * t.quantity - t.discount else 0 end as revenue,
    case when t.status = 'completed' then p.unit_cost * t.quantity else 0 end as cost,
    t.status,
    t.status = 'completed' as is_paid,
    t.payment_method,
    date_diff('second', t.ordered_at, t.updated_at) / 60.0 as minutes_to_status,
    u.user_id is null as is_user_unknown,
    p.product_id is null as is_product_unknown
from {{ ref('stg_transactions') }} as t
left join {{ ref('dim_users') }} as u
    on t.user_id = u.user_id
    and t.ordered_at >= u.valid_from
    and (u.valid_to is null or t.ordered_at < u.valid_to)
left join {{ ref('dim_products') }} as p on t.product_id = p.product_id
