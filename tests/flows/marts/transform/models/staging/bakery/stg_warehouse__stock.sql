select item, pieces from {{ source('warehouse', 'stock') }}
