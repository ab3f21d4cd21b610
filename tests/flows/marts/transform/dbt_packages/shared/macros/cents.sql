{% macro cents_to_euros(column, places=2) %}round({{ column }} / 100.0, {{ places }}){% endmacro %}
