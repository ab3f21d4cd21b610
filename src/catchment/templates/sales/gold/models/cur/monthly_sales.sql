-- Goes on from build to build: only months in which a line came, changed or went are made anew, late lines' too.
{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ catchment.delete_changed(ref('stg_order_lines'), by='ordered_month', column='month') }}"
) }}
select
    ordered_month as month,
    market,
    category,
    count(distinct order_id) as orders,
    count(*) as order_lines,
    cast(sum(quantity) as bigint) as units,
    sum(sales) as sales,
    sum(profit) as profit,
    sum(shipping_cost) as shipping_cost,
    count(*) filter (where is_large) as large_lines
from {{ catchment.new_rows(ref('stg_order_lines'), by='ordered_month') }} as order_lines
group by ordered_month, market, category
