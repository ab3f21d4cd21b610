#!/bin/sh
# ClickHouse's engine as chDB, in an environment of its own (0.9 GB), behind the HTTP front of front.py. Quick when it
# is there.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
venv="$root/.venvs/clickhouse"
lock="$root/tests/services/clickhouse/requirements.lock"

if ! cmp -s "$lock" "$venv/installed.lock"; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
    cp "$lock" "$venv/installed.lock"
fi
