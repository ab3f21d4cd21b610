select user_id
from {{ ref('dim_users') }}
where last_login_at < registered_at
