-- Every line has found its region, and only one.
with facts as (select count(*) as order_lines from {{ ref('fct_order_lines') }}),

lines as (select count(*) as order_lines from {{ ref('stg_order_lines') }})

select facts.order_lines, lines.order_lines as in_stg
from facts
cross join lines
where facts.order_lines <> lines.order_lines
