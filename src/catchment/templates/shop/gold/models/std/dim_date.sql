-- Every day of the shop's years; the bounds stand in dbt_project.yml, so that no run depends on today.
with days as (
    select cast(unnest(generate_series(
        date '{{ var("first_day") }}', date '{{ var("last_day") }}', interval 1 day
    )) as date) as day
)

select
    day,
    cast(extract(year from day) as integer) as year,
    cast(extract(quarter from day) as integer) as quarter,
    cast(extract(month from day) as integer) as month,
    cast(extract(isodow from day) as integer) as weekday,
    dayname(day) as weekday_name,
    extract(isodow from day) >= 6 as is_weekend,
    cast(date_trunc('week', day) as date) as week_begins,
    cast(date_trunc('month', day) as date) as month_begins
from days
