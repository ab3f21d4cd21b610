"""Five million rows of CSV to gold: Catchment against a script written by hand for this one table, in one run.

    python benchmarks/csv_to_gold/run.py [--rows 5000000] [--rounds 3] [--memory 2GB]

Both write four layers of the same rows under the same memory limit; afterwards their silver and gold must be equal.
dbt's start-up is measured in the same run, over the same project with empty silver, and given apart. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
WORK = ROOT / "build" / "bench" / "csv_to_gold"
CONTRACT = ROOT / "src/catchment/templates/shop/contracts/transactions.odcs.yaml"
# A day's worth at this rate, over 30 days, is about five million rows.
_ROWS_A_RATE = 92_500

PROJECT = """\
name: bench
sources:
  drops: {{type: files, streams: {{transactions: {{path: "{data}/*.csv"}}}}}}
silver:
  transactions: {{from: drops.transactions, mode: merge, latest_by: updated_at}}
gold: {{dbt: gold/, lint: warn}}
targets:
  local: {{memory: {memory}}}
"""


def make_data(rows: int) -> Path:
    from catchment.generate import Traffic, generate_shop

    folder = WORK / f"data-{rows}"
    if not folder.exists():
        draft = folder.with_suffix(".draft")
        shutil.rmtree(draft, ignore_errors=True)
        generate_shop(draft, traffic=Traffic(0, rows / _ROWS_A_RATE))
        draft.rename(folder)
    return folder / "data" / "transactions"


def make_project(folder: Path, data: Path, memory: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "contracts").mkdir(parents=True)
    (folder / "gold/models/cur").mkdir(parents=True)
    (folder / "catchment.yaml").write_text(PROJECT.format(data=data, memory=memory))
    shutil.copy(CONTRACT, folder / "contracts")
    (folder / "gold/dbt_project.yml").write_text(
        "name: bench\nversion: '1.0.0'\nprofile: bench\nmodels: {bench: {+materialized: table}}\n"
    )
    (folder / "gold/models/sources.yml").write_text(
        "version: 2\nsources: [{name: silver, schema: silver, tables: [{name: transactions}]}]\n"
    )
    shutil.copy(HERE / "daily_sales.sql", folder / "gold/models/cur/daily_sales.sql")


def timed(command: list[str]) -> tuple[float, float, int]:
    """(seconds, CPU seconds with children, peak bytes of the largest process) of a command that must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, code, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    if code != 0:
        sys.exit(f"{command}: {process.stderr.read() if process.stderr else code}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def steps(project: Path) -> dict[str, float]:
    """Seconds of the last run by kind of step."""
    import sqlite3

    with sqlite3.connect(project / ".catchment/runs.sqlite") as runs:
        found = runs.execute("SELECT kind, sum(seconds) FROM steps GROUP BY kind").fetchall()
    return {kind: round(seconds, 2) for kind, seconds in found}


def same_rows(project: Path, by_hand: Path) -> dict[str, int]:
    """Rows of each layer; fails unless silver and gold are equal."""
    import duckdb

    import catchment

    opened = catchment.open(project)
    con = duckdb.connect()
    con.execute(f"SET TimeZone = 'UTC'; ATTACH '{by_hand}/gold/shop.duckdb' AS hand (READ_ONLY)")
    ours = "SELECT * EXCLUDE (_stream, _shard, _load, _row, _judged) FROM silver.transactions"
    con.register("ours", opened.query(ours).read_all())
    con.register("our_gold", opened.query("SELECT * FROM gold.daily_sales").read_all())
    pairs = (("ours", f"read_parquet('{by_hand}/silver/transactions.parquet')"), ("our_gold", "hand.daily_sales"))
    for one, other in (*pairs, *((other, one) for one, other in pairs)):
        skip = "EXCLUDE (average_order)" if "our_gold" in (one, other) else ""  # a float, summed in another order
        more = con.execute(
            f"SELECT count(*) FROM (SELECT * {skip} FROM {one} EXCEPT ALL SELECT * {skip} FROM {other})"
        ).fetchone()
        if more != (0,):
            sys.exit(f"not equal: {more} rows of {one} are not in {other}")
    count = "SELECT count(*) AS n FROM {}"
    return {
        "bronze": opened.query(count.format("bronze.drops__transactions")).read_all()["n"][0].as_py(),
        "quarantine": opened.query(count.format("quarantine.transactions")).read_all()["n"][0].as_py(),
        "silver": opened.query(count.format("silver.transactions")).read_all()["n"][0].as_py(),
        "gold": opened.query(count.format("gold.daily_sales")).read_all()["n"][0].as_py(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="2GB")
    options = parser.parse_args()
    data = make_data(options.rows)
    ours, hand, empty = WORK / "ours", WORK / "by_hand", WORK / "empty"
    catchment = str(Path(sys.executable).with_name("catchment"))
    nothing = WORK / "no-rows"
    nothing.mkdir(exist_ok=True)
    (nothing / "empty.csv").write_text(next(iter(sorted(data.glob("*.csv")))).read_text().partition("\n")[0] + "\n")
    seconds: dict[str, list[float]] = {"ours": [], "by_hand": [], "dbt_start": []}
    cpu: dict[str, list[float]] = {"ours": [], "by_hand": []}
    peaks: dict[str, list[int]] = {"ours": [], "by_hand": []}

    def measure(name: str, command: list[str]) -> None:
        took, used, peak = timed(command)
        seconds[name].append(took)
        cpu[name].append(used)
        peaks[name].append(peak)

    for _ in range(options.rounds):
        make_project(empty, nothing, options.memory)
        timed([catchment, "--project", str(empty), "run"])
        seconds["dbt_start"].append(steps(empty)["model"])
        make_project(ours, data, options.memory)
        measure("ours", [catchment, "--project", str(ours), "run"])
        shutil.rmtree(hand, ignore_errors=True)
        measure("by_hand", [sys.executable, str(HERE / "by_hand.py"), str(data / "*.csv"), str(hand), options.memory])
    dbt = statistics.median(seconds["dbt_start"])
    took = {name: statistics.median(found) for name, found in seconds.items()}
    print(
        json.dumps(
            {
                "rows": same_rows(ours, hand),
                "csv_mb": round(sum(file.stat().st_size for file in data.glob("*.csv")) / 1e6),
                "seconds": {name: [round(one, 2) for one in found] for name, found in seconds.items()},
                "cpu_seconds": {name: [round(one, 2) for one in found] for name, found in cpu.items()},
                "steps_s": steps(ours),
                "ratio": round((took["ours"] - dbt) / took["by_hand"], 2),
                "ratio_with_dbt_start": round(took["ours"] / took["by_hand"], 2),
                "peak_mb": {name: round(max(found) / 1e6) for name, found in peaks.items()},
                "memory_limit": options.memory,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
