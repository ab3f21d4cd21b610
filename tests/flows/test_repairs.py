"""Every repair on a project with a past leaves what a fresh project would: undisturbed, killed anywhere, beside a run.

A project `yard` has seen some days under one definition. It is repaired; beside it stands another one that was made
under the new definition from the beginning, or that was never hurt.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from deltalake import DeltaTable

from catchment.records import Order
from catchment.testing import crash

pytestmark = pytest.mark.long

_PROJECT = """\
name: yard
sources:
  drops:
    type: files
    streams:
      orders: {path: "data/orders/*.csv"}
      customers: {path: "data/customers/*.csv"}
silver:
  orders: {from: drops.orders, mode: merge, latest_by: at}
  visits: {from: drops.orders, mode: history, latest_by: at, deleted_when: "amount = 8"}
  lines: {from: drops.orders}
  newest: {from: drops.orders, mode: merge, latest_by: at, refine: silver/newest.py}
  customers: {from: drops.customers, mode: merge, latest_by: at}
"""

_REFINE = """\
import narwhals as nw


def refine(rows):
    return rows.filter(nw.col("amount") < LIMIT)
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
      - {{name: id, logicalType: string, required: true, primaryKey: {1}}}
      - {{name: customer, logicalType: string{2}}}
      - {{name: amount, logicalType: integer, logicalTypeOptions: {{minimum: 2}}}}
      - {{name: at, logicalType: timestamp, required: true}}
"""

_CUSTOMERS = """\
apiVersion: v3.2.0
kind: DataContract
id: customers
version: 1.0.0
status: active
schema:
  - name: customers
    properties:
      - {name: customer, logicalType: string, required: true, primaryKey: true}
      - {name: at, logicalType: timestamp, required: true}
"""

_REFERS = ", relationships: [{type: foreignKey, to: customers.customer}]"
TABLES = ("orders", "visits", "lines", "newest")


def write_yard(folder: Path, *, minimum: int = 2, limit: int = 7) -> Path:
    (folder / "contracts").mkdir(parents=True)
    (folder / "silver").mkdir()
    (folder / "catchment.yaml").write_text(_PROJECT)
    (folder / "contracts/customers.odcs.yaml").write_text(_CUSTOMERS)
    for table in TABLES:
        keyed, refers = "false" if table == "lines" else "true", _REFERS if table == "orders" else ""
        (folder / f"contracts/{table}.odcs.yaml").write_text(_HEAD.format(table, keyed, refers))
    define(folder, minimum, limit)
    return folder


def define(folder: Path, minimum: int, limit: int) -> None:
    """What the repairs below change: a rule of every contract, and a refine function."""
    for table in TABLES:
        contract = folder / f"contracts/{table}.odcs.yaml"
        text = contract.read_text()
        contract.write_text(text.replace(text[text.index("{minimum:") :].split("}")[0], f"{{minimum: {minimum}"))
    (folder / "silver/newest.py").write_text(_REFINE.replace("LIMIT", str(limit)))


def write_day(folder: Path, day: int) -> None:
    """Late rows, keys again and again, deletes, rows below the least amount, customers that come a day later."""
    rows = ["id,customer,amount,at"]
    for number in range(24):
        hour = (number * 7 + day * 5) % 24
        late = day - 1 if number % 5 == 0 and day > 1 else day
        amount = "n/a" if number == 13 else (number + day) % 9
        rows.append(f"o{number % 9},c{number % 4 + day},{amount},2026-01-{late:02}T{hour:02}:{number:02}:00Z")
    for name, lines in (
        ("orders", rows),
        ("customers", ["customer,at", *(f"c{n},2026-01-{day:02}T00:00:00Z" for n in range(day + 3))]),
    ):
        (folder / f"data/{name}").mkdir(parents=True, exist_ok=True)
        (folder / f"data/{name}/day-{day}.csv").write_text("\n".join(lines) + "\n")


def run_days(folder: Path, days: Sequence[int], orders: Mapping[str, Order] | None = None) -> None:
    for day in days:
        write_day(folder, day)
        ended = crash.run_until(folder, orders=orders)
        assert ended.outcome == "done", ended.causes


def ordered(verb: str, **rest: object) -> dict[str, Order]:
    return {f"silver.{table}": Order(verb, **rest) for table in TABLES}  # type: ignore[arg-type]


def repair(folder: Path, orders: Mapping[str, Order], kill_at: str | None = None) -> crash.Ended:
    return crash.run_until(folder, kill_at=kill_at, select=list(orders), orders=orders)


@dataclass(frozen=True)
class Scene:
    """A hurt project and how it is repaired; `whole` makes the one that it must become, from the same days."""

    hurt: Callable[[Path], None]
    whole: Callable[[Path], None]
    orders: Mapping[str, Order]
    points: Sequence[str] = field(
        default=("silver.claimed", "quarantine.committed", "silver.written", "silver.filled", "silver.committed")
    )
    again: bool = True  # whether it can be asked for once more after it was done
    needed: bool = True  # whether a run alone would not do
    after: Mapping[str, Order] | None = None  # what the last run has to be told besides
    new_day: bool = True  # whether the run beside it may take one
    batched_otherwise: bool = False


DAYS = (1, 2, 3)


def _relaxed(folder: Path) -> None:
    write_yard(folder)
    run_days(folder, DAYS)
    define(folder, 0, 7)
    assert repair(folder, ordered("forward")).outcome == "done"


def _tightened(folder: Path) -> None:
    write_yard(folder, minimum=1, limit=9)
    run_days(folder, DAYS)
    define(folder, 4, 6)
    assert repair(folder, ordered("forward")).outcome == "done"


def _whole(minimum: int, limit: int) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        write_yard(folder, minimum=minimum, limit=limit)
        run_days(folder, DAYS)

    return make


def _went_on(folder: Path) -> None:
    write_yard(folder)
    run_days(folder, DAYS)


_STOPS = """\
    quality:
      - {type: custom, engine: catchment, implementation: {rejectedShare: 0.01}, severity: error}
"""


def _held(folder: Path) -> None:
    write_yard(folder)
    contract = folder / "contracts/lines.odcs.yaml"
    contract.write_text(contract.read_text() + _STOPS)
    for day in DAYS:
        write_day(folder, day)
        assert crash.run_until(folder).outcome == "failed"


def _held_no_more(folder: Path) -> None:
    _went_on(folder)
    contract = folder / "contracts/lines.odcs.yaml"
    contract.write_text(contract.read_text() + _STOPS)


def _put_back_by_another_program(folder: Path) -> None:
    _went_on(folder)
    for table in TABLES:
        DeltaTable(str(folder / f"lake/silver/{table}")).restore(1)


def _lost_its_states(folder: Path) -> None:
    _went_on(folder)
    for table in TABLES:
        shutil.rmtree(folder / f"lake/_progress/silver.{table}")


SCENES = {
    "replay after a rule was relaxed": Scene(_relaxed, _whole(0, 7), ordered("replay")),
    "backfill after rules were tightened": Scene(_tightened, _whole(4, 6), ordered("backfill")),
    "restore of tables that went on": Scene(
        _went_on,
        _whole(2, 7),
        ordered("restore", to=1),
        ("silver.claimed", "silver.filled", "silver.committed"),
        needed=False,
    ),
    "accept what a rule holds": Scene(
        _held,
        _held_no_more,
        {"silver.lines": Order("accept")},
        ("silver.claimed", "silver.filled", "silver.committed"),
        new_day=False,
        again=False,
    ),
    "rewind of a stream": Scene(
        _went_on,
        _whole(2, 7),
        {"drops.orders": Order("rewind", to=1)},
        ("bronze.claimed", "bronze.filled", "bronze.committed"),
        needed=False,
        after=ordered("rebuild"),
        batched_otherwise=True,
    ),
    "adopt what another program put back": Scene(
        _put_back_by_another_program,
        _whole(2, 7),
        ordered("adopt"),
        ("silver.claimed", "silver.filled", "silver.committed"),
        again=False,
    ),
    "adopt tables whose states were lost": Scene(
        _lost_its_states,
        _whole(2, 7),
        ordered("adopt"),
        ("silver.claimed", "silver.filled", "silver.committed"),
        again=False,
    ),
}


@pytest.fixture(params=list(SCENES), scope="module")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, Path, Path]:
    """(the scene, a hurt project, a whole one); copy them before they are touched."""
    found, folder = SCENES[request.param], tmp_path_factory.mktemp("scene")
    found.hurt(folder / "hurt")
    found.whole(folder / "whole")
    return found, folder / "hurt", folder / "whole"


def _becomes(found: Scene, folder: Path, whole: Path) -> None:
    ended = crash.run_until(folder, orders=found.after)
    assert ended.outcome in ("done", "nothing_new"), ended.causes
    assert crash.differences(folder, whole, batched_otherwise=found.batched_otherwise) == []
    assert crash.faults(folder) == []


def test_a_repaired_project_is_what_a_fresh_one_would_be(scene: tuple[Scene, Path, Path], tmp_path: Path) -> None:
    found, hurt, whole = scene
    folder = shutil.copytree(hurt, tmp_path / "folder")
    unrepaired = shutil.copytree(hurt, tmp_path / "unrepaired")
    if found.needed and crash.run_until(unrepaired).outcome != "failed":
        assert crash.differences(unrepaired, whole) != []
    ended = repair(folder, found.orders)
    assert ended.outcome == "done", ended.causes
    _becomes(found, folder, whole)


@pytest.mark.timeout(240)
def test_a_repair_killed_at_any_point_and_asked_for_again_leaves_the_same(
    scene: tuple[Scene, Path, Path], tmp_path: Path
) -> None:
    found, hurt, whole = scene
    for point in found.points:
        folder = shutil.copytree(hurt, tmp_path / "folder")
        assert repair(folder, found.orders, kill_at=point).killed, point
        ended = repair(folder, found.orders)
        assert ended.outcome == "done" or not found.again, (point, ended.causes)
        _becomes(found, folder, whole)
        shutil.rmtree(folder)


@pytest.mark.timeout(240)
def test_a_repair_beside_a_run_that_takes_a_new_day_leaves_the_same(
    scene: tuple[Scene, Path, Path], tmp_path: Path
) -> None:
    found, hurt, whole = scene
    folder, other = shutil.copytree(hurt, tmp_path / "folder"), shutil.copytree(whole, tmp_path / "other")
    if found.new_day:
        run_days(other, [4])
        write_day(folder, 4)
    both = [crash.start(folder, select=list(found.orders), orders=found.orders), crash.start(folder)]
    for child in both:
        child.join()
    ended = repair(folder, found.orders)
    assert ended.outcome == "done" or not found.again, ended.causes
    _becomes(found, folder, other)
