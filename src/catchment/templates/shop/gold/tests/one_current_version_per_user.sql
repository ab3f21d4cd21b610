-- Nobody's account was closed so far, so each user has one version that is valid now, and one only.
select user_id, count(*) filter (where is_current) as current_versions
from {{ ref('dim_users') }}
group by user_id
having count(*) filter (where is_current) <> 1
