"""Layer rules: what a model of stg, std and cur may do, held against its SQL as dbt compiled it.

models.py    a model as the rules see it, from dbt's manifest
rules.py     every rule: its name, what it says, its cure
sql.py       what stands in parsed SQL: tables, joins, aggregates, windows
meaning.py   whether an expression of stg renames, casts and handles nulls, or decides
held.py      the rules against one model
places.py    from compiled SQL back to the user's line
allowed.py   `-- catchment: allow RULE because …`
lint.py      all of it over all models
"""
