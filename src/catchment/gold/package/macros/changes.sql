{#
  What changed in a source since the build of gold that an incremental model goes on from, to the row: new and late
  rows, old and new form of corrected ones, rows that went. Catchment knows it from the files of the two versions of the
  silver table, so no row has to carry a time or a number.

  `relation` is a silver table, or a view that looks at one row by row (a `stg` model). `by` is what is made anew when
  something in it changed: an SQL expression over the relation's columns, or several; a key, or a day.
#}

{# All rows of every `by` in which something changed; all rows where the model is made from nothing. #}
{% macro new_rows(relation, by) -%}
  {%- if not catchment._goes_on() -%}
    (select * from {{ relation }})
  {%- else -%}
    (
      select everything.* from {{ relation }} as everything
      where exists (
        select 1 from ({{ catchment._touched(relation, by) }}) as touched
        where {% for part in catchment._list(by) -%}
          touched._by_{{ loop.index }} is not distinct from ({{ part }}){{ ' and ' if not loop.last }}
        {%- endfor %}
      )
    )
  {%- endif -%}
{%- endmacro %}


{# As pre_hook: takes from the model what `new_rows` brings again. `column`: what `by` is called in the model. #}
{% macro delete_changed(relation, by, column=none) -%}
  {%- if catchment._goes_on() -%}
    delete from {{ this }} where exists (
      select 1 from ({{ catchment._touched(relation, by) }}) as touched
      where {% for part in catchment._list(column or by) -%}
        touched._by_{{ loop.index }} is not distinct from ({{ part }}){{ ' and ' if not loop.last }}
      {%- endfor %}
    )
  {%- endif -%}
{%- endmacro %}


{# Rows of a silver table, or of a row by row view of one, as they were before they changed or went. #}
{% macro gone_rows(relation) -%}
  {%- if not catchment._goes_on() -%}
    (select * from {{ relation }} where false)
  {%- else -%}
    ({{ catchment._changed(relation, 'left') }})
  {%- endif -%}
{%- endmacro %}


{% macro _goes_on() -%}
  {{ return(execute and is_incremental()) }}
{%- endmacro %}


{% macro _list(by) -%}
  {{ return([by] if by is string else by) }}
{%- endmacro %}


{% macro _touched(relation, by) -%}
  {%- for side in ['came', 'left'] %}
    {{ 'union' if not loop.first }}
    select {% for part in catchment._list(by) -%}
      {{ part }} as _by_{{ loop.index }}{{ ', ' if not loop.last }}
    {%- endfor %}
    from ({{ catchment._changed(relation, side) }}) as changed_rows
  {%- endfor -%}
{%- endmacro %}


{# The relation's query over the rows that came or left only: the views between are read from the database. #}
{% macro _changed(relation, side) -%}
  {%- set views = {} -%}
  {%- set sql = "select schema_name, view_name, sql from duckdb_views() where not internal"
      " and database_name = current_database() and schema_name not like '\\_%' escape '\\'" -%}
  {%- for row in run_query(sql).rows -%}
    {%- do views.update({(row[0], row[1]): row[2]}) -%}
  {%- endfor -%}
  {%- set loaded = [] -%}
  {%- for row in run_query("select schema_name, view_name from duckdb_views() where schema_name like '\\_came\\_%' escape '\\'"
      " and schema_name <> '_came_files' and database_name = current_database()").rows -%}
    {%- do loaded.append((row[0] | replace('_came_', '', 1), row[1])) -%}
  {%- endfor -%}
  {%- set found = {'ctes': [], 'names': {}, 'sources': []} -%}
  {%- set last = catchment._over(relation.database, relation.schema, relation.identifier, side, views, loaded, found) -%}
  {%- if found.sources | length != 1 -%}
    {{ exceptions.raise_compiler_error("catchment.new_rows of " ~ relation ~ ": it reads "
       ~ (found.sources | join(', ') or 'no silver table')
       ~ "; changes can be told of one silver table, or of a view that looks at one row by row") }}
  {%- endif -%}
  {%- if found.ctes %} with {{ found.ctes | join(', ') }} {% endif -%}
  select * from {{ last }}
{%- endmacro %}


{# What to select from for one relation; adds the views below it to `found.ctes`, silver tables to `found.sources`. #}
{% macro _over(database, schema, name, side, views, loaded, found) -%}
  {%- if (schema, name) in loaded -%}
    {%- if (schema ~ '.' ~ name) not in found.sources -%}{%- do found.sources.append(schema ~ '.' ~ name) -%}{%- endif -%}
    {{ return('"' ~ database ~ '"."_' ~ side ~ '_' ~ schema ~ '"."' ~ name ~ '"') }}
  {%- elif (schema, name) not in views -%}
    {{ exceptions.raise_compiler_error("catchment.new_rows: " ~ schema ~ "." ~ name
       ~ " is a table; changes can be told of silver tables and of views that look at one row by row") }}
  {%- endif -%}
  {%- set body = namespace(sql=modules.re.sub("(?is)^\\s*create\\s+.*?\\sas\\s", "", views[(schema, name)], count=1)) -%}
  {%- set body.sql = body.sql.strip().rstrip(';') -%}
  {%- for other in (loaded + (views.keys() | list)) | unique -%}
    {%- set pattern = catchment._named(database, other) -%}
    {%- if other != (schema, name) and modules.re.search(pattern, body.sql) -%}
      {%- set below = catchment._over(database, other[0], other[1], side, views, loaded, found) -%}
      {%- set body.sql = modules.re.sub(pattern, below, body.sql) -%}
    {%- endif -%}
  {%- endfor -%}
  {%- set called = '"' ~ (name if found.names.setdefault(name, schema) == schema else schema ~ '_' ~ name) ~ '"' -%}
  {%- set cte = called ~ ' as (' ~ body.sql ~ ')' -%}
  {%- if cte not in found.ctes -%}{%- do found.ctes.append(cte) -%}{%- endif -%}
  {{ return(called) }}
{%- endmacro %}


{# How DuckDB writes a relation in a view: each part quoted or not. #}
{% macro _named(database, relation) -%}
  {%- set parts = [] -%}
  {%- for part in [database, relation[0], relation[1]] -%}
    {%- do parts.append('"?' ~ modules.re.escape(part) ~ '"?') -%}
  {%- endfor -%}
  {{ return('(?<![\\w"])' ~ (parts | join('\\.')) ~ '(?![\\w"])') }}
{%- endmacro %}
