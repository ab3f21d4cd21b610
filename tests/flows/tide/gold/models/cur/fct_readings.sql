{{ config(
    materialized='incremental',
    incremental_strategy='append',
    pre_hook="{{ catchment.delete_changed(ref('stg_readings'), by='reading') }}"
) }}
select {{ catchment.surrogate_key(['reading', 'gauge']) }} as reading_key, readings.*
from {{ catchment.new_rows(ref('stg_readings'), by='reading') }} as readings
