SELECT status, count(*) AS orders, sum(total) AS total FROM {{ ref('stg_payments') }} GROUP BY status
