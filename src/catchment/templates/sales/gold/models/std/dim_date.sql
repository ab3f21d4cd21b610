-- Every day between the bounds in dbt_project.yml, so that no run depends on today.
with days as (
    {{ catchment.date_spine(var('first_day'), var('last_day')) }}
)

select
    cast(date_day as date) as day,
    cast(extract(year from date_day) as integer) as year,
    cast(extract(quarter from date_day) as integer) as quarter,
    cast(date_trunc('month', date_day) as date) as month_begins,
    cast(extract(isodow from date_day) as integer) as weekday,
    extract(isodow from date_day) >= 6 as is_weekend
from days
