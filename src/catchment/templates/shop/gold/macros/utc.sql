{# An instant as a timestamp in UTC, whatever the session's time zone is. #}
{% macro utc(column) -%}
    cast({{ column }} at time zone 'UTC' as timestamp)
{%- endmacro %}
