-- Large lines are kept as they are; more than 1 in 100 is rather a slip of the decimal point.
{{ config(severity='warn') }}
select count(*) filter (where is_large) as large_lines, count(*) as order_lines
from {{ ref('fct_order_lines') }}
having count(*) filter (where is_large) > 0.01 * count(*)
