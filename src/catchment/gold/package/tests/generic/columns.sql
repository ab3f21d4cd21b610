{# Tests of one column. A null passes, but for not_null_share: whether it may be there is `not_null`'s to say. #}

{% test accepted_range(model, column_name, min_value=none, max_value=none, inclusive=true) %}
{%- if min_value is none and max_value is none -%}
  {{ exceptions.raise_compiler_error("catchment.accepted_range of " ~ column_name ~ ": say min_value, max_value or both") }}
{%- endif -%}
select *
from {{ model }}
where false
{%- if min_value is not none %}
  or {{ column_name }} {{ '<' if inclusive else '<=' }} {{ min_value }}
{%- endif %}
{%- if max_value is not none %}
  or {{ column_name }} {{ '>' if inclusive else '>=' }} {{ max_value }}
{%- endif %}
{% endtest %}


{% test not_null_share(model, column_name, at_least) %}
select filled, total
from (
  select count({{ column_name }}) as filled, count(*) as total
  from {{ model }}
) as counted
where filled < {{ at_least }} * total
{% endtest %}


{# The newest value lies at most `interval` `datepart`s back. No row at all is old. #}
{% test recency(model, column_name, interval, datepart='day') %}
select newest
from (
  select max({{ column_name }}) as newest
  from {{ model }}
) as newest_of
where newest is null
  or cast(newest as {{ dbt.type_timestamp() }})
    < {{ dbt.dateadd(datepart, -interval, dbt.cast('current_timestamp', dbt.type_timestamp())
         if dbt.cast is defined else 'cast(current_timestamp as ' ~ dbt.type_timestamp() ~ ')') }}
{% endtest %}
