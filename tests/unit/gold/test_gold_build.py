"""A tiny dbt project, the real dbt, the real warehouse. dbt takes seconds to start: its runs are shared."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catchment.errors import CatchmentError, ConfigError, Conflict, DataError, MissingExtra, Stopped
from catchment.events import CheckFailed, Event, GoldBuilt, GoldPublished, Noticed, StepProgress
from catchment.gold.build import Built, build_gold, changes, content, publish_gold, rollback
from catchment.gold.dbt import Dbt, fingerprint
from catchment.gold.pinned import Pinned
from catchment.naming import TableName
from catchment.records import Pin, Scan
from catchment.warehouses.duckdb import DuckDBWarehouse

Told = TypeVar("Told", bound=Event)
SALES = TableName("silver", "sales")
FILES = {
    "dbt_project.yml": """
name: tiny
version: '1.0.0'
profile: shop_gold
models:
  tiny:
    stg: {+materialized: view, +schema: stg}
    cur: {+materialized: table, +schema: cur}
""",
    "models/sources.yml": """
version: 2
sources:
  - name: silver
    schema: silver
    tables: [{name: sales}]
models:
  - name: stg_sales
    columns:
      - name: id
        data_tests: [unique]
      - name: day
        data_tests: [{unique: {config: {severity: warn}}}]
""",
    "models/stg/stg_sales.sql": "select id, day, amount from {{ source('silver', 'sales') }}",
    "models/cur/middle.sql": "{{ config(materialized='ephemeral') }} select * from {{ ref('stg_sales') }}",
    "models/cur/daily.sql": "select day, sum(amount) as amount from {{ ref('middle') }} group by all",
    "seeds/countries.csv": "code\nNA\n",
    "tests/no_negative_amounts.sql": "select * from {{ ref('daily') }} where amount < 0",
}


@dataclass
class Shop:
    """A project, its lake of one table, and what was told."""

    folder: Path
    told: list[Event] = field(default_factory=list)
    versions: int = 0
    first: dict[TableName, Pinned] = field(default_factory=dict)
    first_told: list[Event] = field(default_factory=list)

    @property
    def warehouse(self) -> DuckDBWarehouse:
        return DuckDBWarehouse(self.folder / "warehouse", "shop")

    @property
    def dbt(self) -> Dbt:
        return Dbt(self.folder / "gold", self.folder / ".catchment" / "dbt")

    def sales(self, ids: Sequence[int], amount: int = 10) -> dict[TableName, Pinned]:
        """A new version of silver.sales."""
        self.versions += 1
        path = self.folder / f"{self.versions}.parquet"
        rows = pa.table({"id": ids, "day": ["2026-11-21"] * len(ids), "amount": [amount] * len(ids)})
        pq.write_table(rows, path)
        scan = Scan([str(path)], rows.schema, rows=len(ids))
        return {SALES: Pinned(scan, Pin(self.versions, self.versions), rows.column_names)}

    def build(self, tables: dict[TableName, Pinned], dbt: Dbt | None = None) -> Built | None:
        self.told.clear()
        return build_gold(self.warehouse, dbt or self.dbt, tables, step="model:gold", tell=self.told.append)

    def publish(self, built: Built | None) -> int:
        assert built is not None
        return publish_gold(self.warehouse, built, step="publish:gold", tell=self.told.append)

    def heard(self, kind: type[Told]) -> list[Told]:
        return [event for event in self.told if isinstance(event, kind)]

    def daily(self) -> list[int]:
        return list(
            self.warehouse.query("select amount::int as amount from gold.daily").read_all()["amount"].to_pylist()
        )

    def left_builds(self) -> list[str]:
        return [p.name for p in (self.folder / "warehouse" / "builds").iterdir() if p.name != ".lock"]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def everything(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Gold is served: build 1 over version 1, an amount of 20."""
    shop = Shop(tmp_path_factory.mktemp("shop"))
    write(shop.folder / "gold", FILES)
    before = everything(shop.folder / "gold")
    first = shop.sales([1, 2])
    built = shop.build(first)
    assert shop.warehouse.served() is None, "the model step publishes nothing"
    assert shop.publish(built) == 1
    assert everything(shop.folder / "gold") == before, "the user's dbt project is untouched"
    shop.first, shop.first_told = first, list(shop.told)
    return shop


@pytest.fixture
def added(shop: Shop) -> Iterator[dict[str, str]]:
    """Files that are in the project for one test only."""
    files: dict[str, str] = {}
    yield files
    for name in files:
        (shop.folder / "gold" / name).unlink(missing_ok=True)


def test_a_green_build_is_served_with_its_pins_and_models(shop: Shop) -> None:
    served = shop.warehouse.served()
    assert served is not None
    assert served["build"] == 1
    assert served["pins"]["silver.sales"]["version"] == 1
    assert served["project"] == fingerprint(shop.folder / "gold")
    assert served["models"] == {
        "stg_sales": "main_stg.stg_sales",
        "daily": "main_cur.daily",
        "countries": "main.countries",
    }
    assert shop.daily() == [20]
    assert shop.warehouse.query("select code from gold.countries").read_all()["code"].to_pylist() == ["NA"]


def test_a_green_build_tells_progress_figures_and_warnings(shop: Shop) -> None:
    shop.told[:] = shop.first_told
    progress = [(e.done, e.unit) for e in shop.heard(StepProgress)]
    assert progress == [(1, "models"), (2, "models"), (3, "models")]
    (built,) = shop.heard(GoldBuilt)
    assert (built.models, built.tests, built.warnings, built.failures) == (3, 3, 1, 0)
    (check,) = shop.heard(CheckFailed)
    assert (check.table, check.rule, check.message, check.severity) == (
        "gold.stg_sales",
        "unique_stg_sales_day",
        "1 row",
        "warn",
    )
    assert [e.build for e in shop.heard(GoldPublished)] == [1]


def test_nothing_new_does_not_start_dbt(shop: Shop) -> None:
    no_dbt = Dbt(shop.dbt.folder, shop.dbt.state, command="no-such-program")
    assert shop.build(shop.first, no_dbt) is None
    assert shop.told == []


def test_a_red_test_leaves_the_old_gold_served(shop: Shop) -> None:
    with pytest.raises(DataError) as raised:
        shop.build(shop.sales([5, 5, 6]))
    message = raised.value.message
    assert "gold was not published: 1 of 2 tests failed" in message  # the third was skipped
    assert "unique_stg_sales_id on gold.stg_sales: 1 row (gold/models/sources.yml)" in message
    assert "build 1 is still served" in message
    sql = Path(str(raised.value.hint).split("found by ")[1].split(";")[0])
    assert "having count(*) > 1" in sql.read_text()
    stops = [e for e in shop.heard(CheckFailed) if e.severity == "stop"]
    assert [(e.table, e.rule) for e in stops] == [("gold.stg_sales", "unique_stg_sales_id")]
    (built,) = shop.heard(GoldBuilt)
    assert built.failures == 1
    assert shop.daily() == [20]
    assert shop.left_builds() == []
    # The second run of dbt had the first one's parse cache, though its build lies in another folder.
    log = (shop.dbt.state / "logs" / "dbt.log").read_text()
    assert log.count("Unable to do partial parsing") == 1


def test_a_broken_model_is_named_with_its_file_and_dbts_words(shop: Shop, added: dict[str, str]) -> None:
    added["models/cur/broken.sql"] = "select nope from {{ ref('stg_sales') }}"
    write(shop.folder / "gold", added)
    with pytest.raises(ConfigError, match=r"(?s)1 of 4 models could not be built.*gold\.broken: .*nope") as raised:
        shop.build(shop.first)
    assert "gold/models/cur/broken.sql" in raised.value.message
    assert shop.left_builds() == []
    assert shop.daily() == [20]


def test_what_dbt_cannot_read_is_named_with_file_and_line(shop: Shop, added: dict[str, str]) -> None:
    added["models/cur/broken.sql"] = "select 1\n{% if x %}"
    write(shop.folder / "gold", added)
    with pytest.raises(ConfigError, match=r"(?s)^gold/models/cur/broken\.sql:2  dbt .*Unexpected end of template"):
        shop.build(shop.first)
    assert shop.heard(GoldBuilt) == []
    assert shop.left_builds() == []


def test_a_materialization_that_no_build_can_hold_is_refused(shop: Shop, added: dict[str, str]) -> None:
    added["models/cur/outside.sql"] = "{{ config(materialized='external', location='/tmp/no.csv') }} select 1 as one"
    write(shop.folder / "gold", added)
    with pytest.raises(ConfigError, match=r"(?s)not yet:.*gold/models/cur/outside\.sql: outside is external"):
        shop.build(shop.first)
    assert shop.left_builds() == []


def test_another_run_that_was_faster_is_a_conflict(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    slow = Built(shop.warehouse.build(), {"models": {}})
    assert shop.publish(Built(shop.warehouse.build(), {"models": {}})) == 1
    with pytest.raises(Conflict):
        shop.publish(slow)
    assert shop.left_builds() == []


def test_a_silver_table_that_is_not_there_is_named_before_dbt_starts(shop: Shop) -> None:
    users = {TableName("silver", "sale"): shop.first[SALES]}
    with pytest.raises(ConfigError, match=r"gold/ reads silver\.sales, which is not in the lake") as raised:
        shop.build(users)
    assert raised.value.hint is not None
    assert raised.value.hint.startswith("catchment check tells whether catchment.yaml has it")
    assert raised.value.hint.endswith("did you mean `sale`?")


def test_a_table_that_is_not_made_yet_is_empty_until_its_rows_come(shop: Shop) -> None:
    columns = pa.schema([("id", pa.int64()), ("day", pa.string()), ("amount", pa.int64())])
    nothing = {SALES: Pinned(Scan([], columns), Pin(0, 0), columns.names, is_made=False)}
    shop.publish(shop.build(nothing))
    assert shop.daily() == []
    served = shop.warehouse.served()
    assert served is not None
    assert served["pins"] == {}  # no version that upkeep would have to keep
    assert changes(served, nothing, served["project"]) == ()

    rows = shop.sales([1, 2])
    assert changes(served, rows, served["project"]) == ("silver.sales is new",)
    shop.publish(shop.build(rows))
    assert shop.daily() == [20]


def processes(words: str) -> list[int]:
    """Living processes whose command line holds `words`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if words in (folder / "cmdline").read_text() and state != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def gone(words: str, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while processes(words) and time.monotonic() < end:
        time.sleep(0.05)
    return not processes(words)


PARENT = """
import sys
from pathlib import Path
import pyarrow as pa
from catchment.gold.build import build_gold
from catchment.gold.pinned import Pinned
from catchment.gold.dbt import Dbt
from catchment.naming import TableName
from catchment.records import Pin, Scan
from catchment.warehouses.duckdb import DuckDBWarehouse
folder = Path(sys.argv[1])
schema = pa.schema([("id", pa.int64()), ("day", pa.string()), ("amount", pa.int64())])
tables = {TableName("silver", "sales"): Pinned(Scan([], schema), Pin(99, 99), schema.names)}
dbt = Dbt(folder / "gold", folder / ".catchment" / "dbt")
warehouse = DuckDBWarehouse(folder / "warehouse", "shop")
build_gold(warehouse, dbt, tables, step="model:gold", tell=lambda event: print(type(event).__name__, flush=True))
"""


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_kill_9_in_the_middle_of_dbt_leaves_no_dbt_and_the_old_gold(shop: Shop, added: dict[str, str]) -> None:
    added["models/cur/slow.sql"] = (
        "select count(*) as n from range(100000000) a, range(1000000) b, {{ ref('daily') }} where a.range + b.range = 7"
    )
    write(shop.folder / "gold", added)
    served = shop.warehouse.served()
    with subprocess.Popen([sys.executable, "-c", PARENT, str(shop.folder)], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        while b"StepProgress" not in parent.stdout.readline():
            assert parent.poll() is None, "the model step ended before it could be killed"
        assert len(processes(f"{shop.folder}/.catchment/dbt")) == 2, "dbt and its leash"
        parent.send_signal(signal.SIGKILL)
    assert gone(f"{shop.folder}/.catchment/dbt")
    assert shop.warehouse.served() == served
    assert shop.daily() == [20]
    assert len(shop.left_builds()) == 1
    build = shop.warehouse.build()
    assert shop.left_builds() == [build.id], "the next build removes what the dead one left"
    shop.warehouse.discard(build)


def a_program(folder: Path, text: str) -> str:
    """Something that is started in dbt's place."""
    path = folder / "program.py"
    path.write_text(text)
    return f"{sys.executable} {path}"


def small(tmp_path: Path, program: str) -> tuple[Shop, Dbt]:
    shop = Shop(tmp_path)
    write(tmp_path / "gold", FILES)
    return shop, Dbt(tmp_path / "gold", tmp_path / "state", command=a_program(tmp_path, program))


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("stubborn", [False, True])
def test_asked_to_stop_dbt_is_ended_and_the_build_dropped(
    tmp_path: Path, stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catchment.leash._PATIENCE_S", 0.5)
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if stubborn else ""
    shop, dbt = small(
        tmp_path, f"import pathlib, signal, time\n{deaf}\npathlib.Path({str(tmp_path)!r}, 'up').touch()\ntime.sleep(60)"
    )
    stop = threading.Event()

    def ask() -> None:
        while not (tmp_path / "up").exists():
            time.sleep(0.02)
        stop.set()

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(Stopped, match="untouched"):
        build_gold(shop.warehouse, dbt, shop.sales([1]), step="model:gold", tell=shop.told.append, stop=stop)
    asking.join()
    assert processes(str(tmp_path / "program.py")) == []
    assert shop.left_builds() == []
    assert shop.warehouse.served() is None


def test_a_listener_that_raises_does_not_leave_dbt_behind(tmp_path: Path) -> None:
    warning = '{"info": {"name": "Deprecated", "level": "warn", "msg": "old"}, "data": {}}'
    shop, dbt = small(tmp_path, f"import time\nprint({warning!r}, flush=True)\ntime.sleep(60)")

    def tell(event: Event) -> None:
        assert isinstance(event, Noticed)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_gold(shop.warehouse, dbt, shop.sales([1]), step="model:gold", tell=tell)
    assert shop.left_builds() == []
    assert not Path("/proc").exists() or processes(str(tmp_path / "program.py")) == []


def test_a_dbt_that_cannot_even_start_is_reported_with_what_it_printed(tmp_path: Path) -> None:
    shop, dbt = small(tmp_path, "import sys\nprint('half')\nsys.exit('ImportError: no dbt here')")
    with pytest.raises(CatchmentError, match=r"(?s)dbt ended with code 1 .*ImportError: no dbt here"):
        shop.build(shop.sales([1]), dbt)


def test_a_dbt_without_the_adapter_names_the_extra(tmp_path: Path) -> None:
    said = '{"info": {"name": "E", "level": "error", "msg": "Could not find adapter type duckdb!"}, "data": {}}'
    shop, dbt = small(tmp_path, f"print({said!r})")
    with pytest.raises(MissingExtra, match="Could not find adapter type duckdb"):
        shop.build(shop.sales([1]), dbt)


def test_while_another_run_has_the_state_dbt_gets_one_of_its_own(tmp_path: Path) -> None:
    import fcntl

    shop, dbt = small(tmp_path, "import sys\nsys.exit(' '.join(sys.argv))")
    dbt.state.mkdir()
    with (dbt.state / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CatchmentError) as raised:
            shop.build(shop.sales([1]), dbt)
    assert f"--target-path {shop.folder}/warehouse/builds/" in raised.value.message
    with pytest.raises(CatchmentError, match=f"--target-path {dbt.state}/target"):
        shop.build(shop.sales([1]), dbt)


def test_changes_are_told_in_words() -> None:
    schema = pa.schema([("id", pa.int64())])

    def pinned(version: int, file: str = "/lake/1.parquet") -> dict[TableName, Pinned]:
        return {SALES: Pinned(Scan([file], schema), Pin(version, version), ["id"])}

    def made_of(version: int) -> dict[str, object]:
        pin = {"version": version, "generation": version, "file": "/lake/1.parquet", "columns": ["id"]}
        return {"pins": {"silver.sales": pin}, "project": "abc"}

    assert changes(None, pinned(1), "abc") == ("gold was never built",)
    assert changes(made_of(1), pinned(1), "abc") == ()
    assert changes(made_of(1), pinned(2), "abc") == ("silver.sales changed",)
    assert changes(made_of(1), pinned(1, "/moved/1.parquet"), "abc") == ("silver.sales changed",)
    assert changes(made_of(1), pinned(1), "xyz") == ("the dbt project changed",)
    assert changes(made_of(1), {}, "abc") == ("silver.sales is no longer read",)
    assert changes({"project": "abc"}, pinned(1), "abc") == ("silver.sales is new",)


def test_what_somebody_went_back_from_is_not_built_again_until_something_changes(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    models = {"daily": "main.daily"}
    for version in (1, 2):
        build = shop.warehouse.build()
        build.connect().execute(f"create table main.daily as select {version} as amount")
        pins = {"silver.sales": {"version": version}}
        shop.publish(Built(build, {"pins": pins, "project": "p", "models": models}))
    bad = shop.warehouse.served()
    shop.publish(rollback(shop.warehouse))
    served = shop.warehouse.served()
    assert served is not None
    assert bad is not None
    assert shop.daily() == [1]
    assert (served["build"], content(served)) == (3, 1)
    assert served["instead_of"] == {"build": 2, "pins": bad["pins"], "project": "p"}
    shop.publish(rollback(shop.warehouse, to=2))
    forth = shop.warehouse.served()
    assert forth is not None
    assert "instead_of" not in forth
    assert shop.daily() == [2]


def test_changes_against_gold_that_was_rolled_back() -> None:
    schema = pa.schema([("id", pa.int64())])

    def pinned(version: int) -> dict[TableName, Pinned]:
        return {SALES: Pinned(Scan(["/lake/1.parquet"], schema), Pin(version, version), ["id"])}

    def pins(version: int) -> dict[str, object]:
        return {
            "silver.sales": {"version": version, "generation": version, "file": "/lake/1.parquet", "columns": ["id"]}
        }

    served = {"pins": pins(1), "project": "old", "instead_of": {"pins": pins(2), "project": "new"}}
    assert changes(served, pinned(2), "new") == ()
    assert changes(served, pinned(3), "new") == ("silver.sales changed", "the dbt project changed")
    assert changes(served, pinned(2), "mended") == ("silver.sales changed", "the dbt project changed")


def test_an_edited_model_that_goes_on_is_told_of_and_one_whose_past_is_gone_is_made_from_nothing(
    shop: Shop, added: dict[str, str]
) -> None:
    model = "{{ config(materialized='incremental') }} select id, 0 as zero from {{ ref('stg_sales') }}"
    added["models/cur/ids.sql"] = model
    write(shop.folder / "gold", added)
    shop.publish(shop.build(shop.sales([1, 2])))
    added["models/cur/ids.sql"] = model.replace("0", "1")
    write(shop.folder / "gold", added)
    shop.publish(shop.build(shop.sales([3])))
    assert [e.message for e in shop.heard(Noticed)] == [
        "gold.ids was edited: rows of earlier builds stay as they are. catchment gold rebuild makes all of it anew"
    ]
    ids = "select id, zero from gold.ids order by id"
    assert [row["id"] for row in shop.warehouse.query(ids).read_all().to_pylist()] == [1, 2, 3]
    for file in shop.folder.glob("*.parquet"):
        file.unlink()
    shop.publish(shop.build(shop.sales([5])))
    assert [e.message for e in shop.heard(Noticed)] == [
        "incremental models are made from nothing: what silver.sales held at the last build is no longer there"
    ]
    assert [tuple(row.values()) for row in shop.warehouse.query(ids).read_all().to_pylist()] == [(5, 1)]
