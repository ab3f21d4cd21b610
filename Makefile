# The verbs of the bench, the same for people and CI. Needs Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Tests and checks leave no bytecode question open: sqlglot alone takes a second to compile at every start without it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup demo test check services bench soak docs lock clean

$(VENV)/.ready: requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'catchment needs Python 3.11 or newer')"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

setup: $(VENV)/.ready  ## make .venv from the lock

demo: setup  ## the shop, from files to tested gold, without a server
	$(BIN)/catchment demo

test: setup  ## everything that needs no server, but for the longest flows
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not long"

check: setup  ## format, lint, types, imports, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit/test_docs.py

services: setup  ## the longest flows, then the same promises against real servers: installs and runs what it needs
	for script in tests/services/*/install.sh; do bash $$script || exit 1; done
	$(BIN)/python -m pytest -n 2 --dist worksteal -m long
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/services

bench: setup  ## figures as ratios against peers in one run; by hand, on a quiet machine
	$(BIN)/python benchmarks/start_up/run.py
	$(BIN)/python benchmarks/csv_to_gold/run.py
	$(BIN)/python benchmarks/gold_build/run.py
	$(BIN)/python benchmarks/postgres_to_bronze/run.py
	$(BIN)/python benchmarks/changes/run.py
	$(BIN)/python benchmarks/changes/latency.py
	$(BIN)/python benchmarks/embedded_log/run.py
	$(BIN)/python benchmarks/webhooks/run.py
	$(BIN)/python benchmarks/topic_to_bronze/run.py
	$(BIN)/python benchmarks/stream_latency/run.py
	$(BIN)/python benchmarks/stream_latency/run.py --broker kafka
	$(BIN)/python benchmarks/many_tables/run.py
	$(BIN)/python benchmarks/growing/increments.py
	$(BIN)/python benchmarks/growing/fifty_million.py

soak: setup  ## the crash harness at random, for as long as SOAK_S says; hundreds of kills on Kafka, ClickHouse, Connect
	$(BIN)/python -m pytest -s tests/soak -p no:cacheprovider --timeout 0
	for system in kafka connect clickhouse s3; do bash tests/services/$$system/install.sh || exit 1; done
	RIVER_KILLS=$${RIVER_KILLS:-200} $(BIN)/python -m pytest -s tests/services/stream -p no:cacheprovider --timeout 0

docs: setup  ## generated reference pages, written anew
	$(BIN)/python docs/reference/generate.py

lock:  ## resolve pyproject.toml anew; the lock names no registry
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-emit-index-url --no-annotate --output-file requirements.lock

clean:  ## remove what the verbs made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build
