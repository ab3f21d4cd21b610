select reading, read_on, upper(gauge) as gauge, litres from {{ ref('stg_readings') }}
