select item from {{ ref('stg_warehouse__stock') }} where pieces = 0
