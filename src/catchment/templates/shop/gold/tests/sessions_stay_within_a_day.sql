-- A visit without a pause of 30 minutes that lasts a day is a machine, or several people under one name.
select session_key, minutes
from {{ ref('fct_sessions') }}
where minutes < 0 or minutes > 24 * 60
