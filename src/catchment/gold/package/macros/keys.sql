{# One text key of several columns: the same on every warehouse, and a null is not an empty text. #}
{% macro surrogate_key(columns) -%}
  {%- set parts = [] -%}
  {%- for column in columns -%}
    {%- do parts.append("coalesce(cast(" ~ column ~ " as " ~ dbt.type_string() ~ "), '_null_')") -%}
    {%- if not loop.last -%}{%- do parts.append("'|'") -%}{%- endif -%}
  {%- endfor -%}
  {{ dbt.hash(dbt.concat(parts)) }}
{%- endmacro %}


{# A query of one row per `datepart`, from `first` to before `until`: SQL expressions or 'yyyy-mm-dd'. #}
{% macro date_spine(first, until, datepart='day') -%}
  {{ dbt.date_spine(datepart, catchment._day(first), catchment._day(until)) }}
{%- endmacro %}


{% macro _day(value) -%}
  {%- if modules.re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value | string) -%} cast('{{ value }}' as date)
  {%- else -%} {{ value }}
  {%- endif -%}
{%- endmacro %}
