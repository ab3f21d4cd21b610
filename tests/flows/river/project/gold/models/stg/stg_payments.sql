SELECT transaction_id, status, total FROM {{ source('silver', 'payments') }}
