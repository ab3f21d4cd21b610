select day, sum(litres) as litres from {{ source('silver', 'readings') }} group by day
