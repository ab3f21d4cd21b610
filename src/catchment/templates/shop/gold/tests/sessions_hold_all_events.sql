with sessions as (select sum(events) as events from {{ ref('fct_sessions') }}),

events as (select count(*) as events from {{ ref('stg_events') }})

select sessions.events, events.events as in_silver
from sessions
cross join events
where sessions.events <> events.events
