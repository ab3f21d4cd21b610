select
    r.product_id,
    coalesce(c.title, '(unknown)') as title,
    coalesce(c.maker, '(unknown)') as maker,
    coalesce(c.category, '(unknown)') as category,
    count(*) as reviews,
    cast(avg(r.stars) as decimal(3, 2)) as mean_stars,
    count(*) filter (where r.stars <= 2) as bad_reviews,
    max(r.written_on) as last_written_on
from {{ ref('stg_reviews') }} as r
left join {{ ref('stg_catalogue') }} as c on c.product_id = r.product_id
group by all
