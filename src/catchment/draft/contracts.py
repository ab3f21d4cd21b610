"""A drafted table's contract, each column under its evidence."""

from __future__ import annotations

from collections.abc import Iterator

from catchment.draft.drafted import DraftedTable, Relation
from catchment.draft.scalars import comment, folded, scalar
from catchment.draft.types import ColumnGuess


def contract_text(table: DraftedTable, project: str) -> str:
    """The document, to be read by people first."""
    lines = [
        *(f"# {comment(line)}" for line in table.head),
        "apiVersion: v3.2.0",
        "kind: DataContract",
        f"id: {project}-{table.name}",
        f"name: {scalar(table.name)}",
        "version: 0.1.0",
        "status: draft",
        "schema:",
        f"  - name: {scalar(table.name)}",
        "    logicalType: object",
        "    physicalType: table",
        f"    # key: {comment(table.key.evidence)}",
        *_relationships(table),
        "    properties:",
        *(line for column in table.columns for line in _property(column, table)),
    ]
    return "\n".join(folded(lines)) + "\n"


def _relationships(table: DraftedTable) -> Iterator[str]:
    """Those of several columns; one column says its own."""
    several = [relation for relation in table.references if len(relation.columns) > 1]
    if several:
        yield "    relationships:"
    for relation in several:
        own = ", ".join(f"{table.name}.{name}" for name in relation.columns)
        to = ", ".join(f"{relation.table}.{name}" for name in relation.to)
        yield f"      - {{type: foreignKey, from: [{own}], to: [{to}]}}"


def _property(column: ColumnGuess, table: DraftedTable) -> Iterator[str]:
    indent = " " * 8
    yield f"      # {comment(column.evidence)}"
    yield f"      - name: {scalar(column.name)}"
    yield f"{indent}logicalType: {column.type}"
    if column.physical is not None:
        yield f"{indent}physicalType: {column.physical}"
    if column.description:
        yield f"{indent}description: {scalar(column.description, always=True)}"
    if len(column.formats) == 1:
        yield f"{indent}logicalTypeOptions: {{format: {scalar(column.formats[0], always=True)}}}"
    if column.source != column.name:
        yield f"{indent}transformSourceObjects: [{scalar(column.source, always=True)}]"
    if column.name in table.key.columns:
        yield f"{indent}primaryKey: true"
        yield f"{indent}primaryKeyPosition: {table.key.columns.index(column.name) + 1}"
    if column.required:
        yield f"{indent}required: true"
    yield from _refers([one for one in table.references if one.columns == (column.name,)], indent)
    yield from _custom(column, indent)


def _refers(relations: list[Relation], indent: str) -> Iterator[str]:
    if relations:
        yield f"{indent}relationships:"
    for relation in relations:
        yield f"{indent}  - {{type: foreignKey, to: {relation.table}.{relation.to[0]}}}"


def _custom(column: ColumnGuess, indent: str) -> Iterator[str]:
    custom = []
    if len(column.formats) > 1:
        custom.append(("formats", column.formats))
    if column.null_markers:
        custom.append(("nullMarkers", column.null_markers))
    if custom:
        yield f"{indent}customProperties:"
    for name, values in custom:
        yield f"{indent}  - {{property: {name}, value: [{', '.join(scalar(value, always=True) for value in values)}]}}"
