{% snapshot customers_snapshot %}
{{ config(target_schema='snapshots', unique_key='customer_id', strategy='check', check_cols=['last_name']) }}
select * from {{ ref('stg_bakery__customers') }}
{% endsnapshot %}
