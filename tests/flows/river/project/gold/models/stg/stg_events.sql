SELECT event_id, user_id, event_type, occurred_at FROM {{ source('silver', 'events') }}
