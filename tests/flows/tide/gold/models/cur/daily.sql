{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ catchment.delete_changed(ref('stg_loud'), by=['read_on', 'gauge'], column=['day', 'gauge']) }}"
) }}
select read_on as day, gauge, sum(litres) as litres, count(*) as readings, max(litres) as highest
from {{ catchment.new_rows(ref('stg_loud'), by=['read_on', 'gauge']) }} as readings
group by read_on, gauge
