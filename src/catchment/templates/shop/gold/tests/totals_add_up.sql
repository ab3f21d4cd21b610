-- Within a cent: total = price x quantity - discount + tax.
select transaction_id, total
from {{ ref('fct_transactions') }}
where abs(total - (net_amount + tax)) > 0.01
