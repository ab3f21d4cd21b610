{# Tests of a whole model; of a column too, where they stand under one. #}

{# Every row fulfils it; a null does not. #}
{% test expression(model, expression, column_name=none) %}
select *
from {{ model }}
where not coalesce({{ column_name ~ ' ' if column_name else '' }}{{ expression }}, false)
{% endtest %}


{% test unique_combination(model, columns) %}
select {{ columns | join(', ') }}, count(*) as times
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1
{% endtest %}


{% test row_count_between(model, min_value=0, max_value=none) %}
select total
from (
  select count(*) as total
  from {{ model }}
) as counted
where total < {{ min_value }}
{%- if max_value is not none %}
  or total > {{ max_value }}
{%- endif %}
{% endtest %}
