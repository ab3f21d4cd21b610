"""Orders as a shop writes them, made fast, and a project of one stream that takes them: for the benchmarks beside."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb

Mode = Literal["append", "merge", "history"]

# So many of a file's rows are a new state of an order of the last three files.
CHANGED = 0.05
LATE_FILES = 3
_EVERY = round(1 / CHANGED)

_CONTRACT = """\
apiVersion: v3.2.0
kind: DataContract
id: growing-orders
name: orders
version: 1.0.0
status: active
description: {purpose: Orders and their states.}
schema:
  - name: orders
    logicalType: object
    physicalType: table
    description: One row per order.
    properties:
      - {name: order_id, logicalType: %(key)s, required: true, primaryKey: true, description: Its number.}
      - {name: customer_id, logicalType: integer, required: true, description: Who ordered.}
      - name: ordered_at
        logicalType: timestamp
        logicalTypeOptions: {format: "yyyy-MM-dd'T'HH:mm:ssX"}
        required: true
        description: When it was ordered, in UTC.
      - name: updated_at
        logicalType: timestamp
        logicalTypeOptions: {format: "yyyy-MM-dd'T'HH:mm:ssX"}
        required: true
        description: When it last changed, in UTC.
      - name: status
        logicalType: string
        enum: [{value: open}, {value: paid}, {value: sent}, {value: returned}]
        description: How far it has come.
      - name: quantity
        logicalType: integer
        logicalTypeOptions: {minimum: 1}
        description: How many.
      - name: amount
        logicalType: number
        physicalType: decimal(12,2)
        logicalTypeOptions: {minimum: 0}
        description: What it costs.
      - {name: city, logicalType: string, description: Where to.}
"""

_PROJECT = """\
name: growing
sources:
  drops: {{type: files, streams: {{orders: {{path: "{data}/*.csv"}}}}}}
silver:
  orders: {{from: drops.orders, mode: {mode}{latest}}}
targets:
  local: {{memory: {memory}, threads: 2}}
"""

# A state of an order; its number is that of its row among all new orders, its time never before the state before.
_ROWS = """
SELECT {key} AS order_id,
    hash(number) % 200000 AS customer_id,
    strftime(TIMESTAMP '2026-01-01' + to_seconds(number * 86400 // {fresh}), '%Y-%m-%dT%H:%M:%SZ') AS ordered_at,
    strftime(TIMESTAMP '2026-01-01' + to_seconds({file} * 86400 + 86400 * i // {rows}), '%Y-%m-%dT%H:%M:%SZ')
        AS updated_at,
    ['open', 'paid', 'sent', 'returned'][1 + (hash(number + {file}) % 4)::INT] AS status,
    1 + hash(number + 7) % 9 AS quantity,
    (hash(number + 11) % 100000) / 100.0 AS amount,
    ['Berlin', 'Hamburg', 'Leipzig', 'Kiel', 'Bonn', 'Ulm'][1 + (hash(number + 13) % 6)::INT] AS city
FROM (
    SELECT i, CASE WHEN i % {every} = {every} - 1
        THEN {first} - 1 - (hash(i * 31 + {file}) % {back})::BIGINT
        ELSE {first} + i - i // {every} END AS number
    FROM range({rows}) AS t(i)
)
"""


@dataclass(frozen=True)
class Orders:
    """Files of `rows` rows in `folder`. Numbers grow from file to file; `random_keys` hides that from the key."""

    folder: Path
    rows: int
    random_keys: bool = False

    @property
    def key_type(self) -> str:
        return "string" if self.random_keys else "integer"

    @property
    def fresh(self) -> int:
        """New orders in a file."""
        return self.rows - self.rows // _EVERY

    def write(self, files: Sequence[int]) -> None:
        """The files of these ordinals; every one is the same each time."""
        for file in files:
            self._write(file, self.rows)

    def write_more(self, after: int, rows: int) -> Path:
        """A smaller file that comes after so many, and changes orders of the last of them as well."""
        return self._write(after, rows)

    def _write(self, file: int, rows: int) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        first = file * self.fresh
        sql = _ROWS.format(
            # As long as a UUID, and in no order.
            key="md5(number::VARCHAR)" if self.random_keys else "number",
            file=file,
            rows=rows,
            fresh=self.fresh,
            first=first,
            back=max(1, min(first, LATE_FILES * self.fresh)),
            every=_EVERY if file else rows + 1,
        )
        path = self.folder / f"orders-{file:04d}.csv"
        with duckdb.connect() as con:
            con.execute(f"COPY ({sql}) TO '{path}' (FORMAT csv, HEADER)")
        return path

    def project(self, folder: Path, mode: Mode, memory: str) -> Path:
        """A project over the files, anew."""
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "contracts").mkdir(parents=True)
        latest = "" if mode == "append" else ", latest_by: updated_at"
        text = _PROJECT.format(data=self.folder, mode=mode, latest=latest, memory=memory)
        (folder / "catchment.yaml").write_text(text, encoding="utf-8")
        contract = folder / "contracts" / "orders.odcs.yaml"
        contract.write_text(_CONTRACT % {"key": self.key_type}, encoding="utf-8")
        return folder


def told(rows: Sequence[Sequence[Any]], header: Sequence[str]) -> str:
    """Rows as a table in Markdown, for the docs."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def as_json(figures: object) -> str:
    return json.dumps(figures, indent=2)
