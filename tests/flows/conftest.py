"""Small projects that the flow tests run whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

_PROJECT = """\
name: mill
sources:
  drops:
    type: files
    streams:
      orders: {path: "data/orders/*.csv"}
      customers: {path: "data/customers/*.csv"}
silver:
  orders: {from: drops.orders}
  customers: {from: drops.customers, mode: merge, latest_by: updated_at}
  open_orders: {from: drops.orders, mode: merge, refine: silver/open_orders.py, with: {customers: current}}
"""

_REFINE = """\
import narwhals as nw


def refine(orders, customers):
    return orders.filter(nw.col("amount") > 1).join(customers.select("customer", "town"), on="customer", how="left")
"""

_HEAD = """\
apiVersion: v3.2.0
kind: DataContract
id: {0}
version: 1.0.0
status: active
schema:
  - name: {0}
    properties:
"""

_ORDERS = """\
      - {name: order_id, logicalType: integer, required: true}
      - {name: customer, logicalType: string, required: true}
      - {name: amount, logicalType: number, physicalType: "decimal(10,2)", logicalTypeOptions: {minimum: 0}}
      - {name: ordered_on, logicalType: date}
"""

_OPEN_ORDERS = """\
      - {name: order_id, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: customer, logicalType: string, required: true}
      - {name: amount, logicalType: number, physicalType: "decimal(10,2)", logicalTypeOptions: {minimum: 0}}
      - {name: town, logicalType: string, required: true, transformLogic: made by silver/open_orders.py}
"""

_CUSTOMERS = """\
      - {name: customer, logicalType: string, required: true, primaryKey: true, primaryKeyPosition: 1}
      - {name: town, logicalType: string, required: true}
      - {name: updated_at, logicalType: timestamp, required: true}
"""


def write_day(folder: Path, day: int) -> None:
    """One day's files: good rows, late ones, rejects, a defect, a duplicate key, from day 3 on a new column."""
    orders = ["order_id,customer,amount,ordered_on" + (",note" if day >= 3 else "")]
    for number in range(40):
        amount = "n/a" if number == 7 else f"{number % 9}.50"
        dirty = ",," if number == 11 else f"c{number % 6},{amount},2026-01-{day:02d}"
        orders.append(f"{day * 30 + number},{dirty}" + (",note" if day >= 3 and number != 11 else ""))
    orders.append("only one field")
    (folder / "data/orders").mkdir(parents=True, exist_ok=True)
    (folder / f"data/orders/day-{day}.csv").write_text("\n".join(orders) + "\n")
    customers = ["customer,town,updated_at"]
    customers += [
        f"c{number},{'Porto' if day % 2 else 'Faro'} {number},2026-01-{day:02d}T0{number}:00:00Z" for number in range(5)
    ]
    (folder / "data/customers").mkdir(parents=True, exist_ok=True)
    (folder / f"data/customers/day-{day}.csv").write_text("\n".join(customers) + "\n")


def write_project(folder: Path) -> Path:
    (folder / "contracts").mkdir(parents=True)
    (folder / "silver").mkdir()
    (folder / "catchment.yaml").write_text(_PROJECT)
    (folder / "silver/open_orders.py").write_text(_REFINE)
    for name, columns in (("orders", _ORDERS), ("customers", _CUSTOMERS), ("open_orders", _OPEN_ORDERS)):
        (folder / f"contracts/{name}.odcs.yaml").write_text(_HEAD.format(name) + columns)
    return folder


@pytest.fixture
def mill(tmp_path: Path) -> Callable[[str], Path]:
    """Makes projects of one kind by name: three streams' worth of silver, no gold, no data yet."""
    return lambda name: write_project(tmp_path / name)
