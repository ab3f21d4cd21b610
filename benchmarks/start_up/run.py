"""What every call pays: `catchment --help`, and a run of the shop that finds nothing new.

    python benchmarks/start_up/run.py [--rounds 9]

Prints JSON: milliseconds of whole processes (median, lowest, highest), beside a Python that does nothing.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def milliseconds(command: list[str], rounds: int) -> dict[str, float]:
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(1000 * (time.perf_counter() - began))
    return {"median": round(statistics.median(found)), "lowest": round(min(found)), "highest": round(max(found))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    catchment = str(Path(sys.executable).with_name("catchment"))
    with tempfile.TemporaryDirectory() as folder:
        shop = str(Path(folder) / "shop")
        subprocess.run([catchment, "init", shop], check=True, capture_output=True)
        run = [catchment, "--project", shop, "run"]
        subprocess.run(run, check=True, capture_output=True)
        figures = {
            "python -c pass": milliseconds([sys.executable, "-c", "pass"], rounds),
            "catchment --help": milliseconds([catchment, "--help"], rounds),
            "catchment run (nothing new, 10 steps)": milliseconds(run, rounds),
        }
    print(json.dumps({"milliseconds": figures}, indent=2))


if __name__ == "__main__":
    main()
