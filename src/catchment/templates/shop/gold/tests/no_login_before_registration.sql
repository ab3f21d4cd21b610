select user_id, valid_from
from {{ ref('stg_users') }}
where last_login_at < registered_at
