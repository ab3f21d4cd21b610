SELECT
    time_bucket(INTERVAL 1 MINUTE, occurred_at) AS window_start,
    event_type,
    count(*) AS events,
    count(DISTINCT user_id) AS users
FROM {{ ref('stg_events') }}
GROUP BY ALL
