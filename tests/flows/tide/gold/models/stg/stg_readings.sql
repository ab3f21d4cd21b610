select r.reading, r.read_at, cast(r.read_at as date) as read_on, r.gauge, cast(r.litres as decimal(18, 2)) as litres
from {{ source('silver', 'readings') }} as r
