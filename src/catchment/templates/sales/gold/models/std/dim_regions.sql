-- Of the United States a region is a part, elsewhere it holds the whole country.
select distinct
    {{ catchment.surrogate_key(['market', 'region', 'country']) }} as region_key,
    market,
    region,
    country
from {{ ref('stg_order_lines') }}
