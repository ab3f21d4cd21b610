-- Orders of users or products that nobody knows are counted, not dropped; more than 2 in 100 is a broken feed.
select count(*) filter (where is_user_unknown or is_product_unknown) as orphans, count(*) as orders
from {{ ref('fct_transactions') }}
having count(*) filter (where is_user_unknown or is_product_unknown) > 0.02 * count(*)
