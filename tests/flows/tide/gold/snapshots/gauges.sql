{% snapshot gauges %}
{{ config(unique_key='gauge', strategy='check', check_cols=['last_reading'], target_schema='snapshots') }}
select gauge, max(reading) as last_reading from {{ ref('stg_readings') }} group by gauge
{% endsnapshot %}
