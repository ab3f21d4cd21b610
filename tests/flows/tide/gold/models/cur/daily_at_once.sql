select read_on as day, gauge, sum(litres) as litres, count(*) as readings, max(litres) as highest
from {{ ref('stg_loud') }} as readings
group by read_on, gauge
