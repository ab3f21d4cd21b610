#!/bin/sh
# Confluent's serializers, in an environment of their own: the judge of what we read. Quick when it is there.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
venv="$root/.venvs/schemas"
lock="$root/tests/services/registry/requirements.lock"

if ! cmp -s "$lock" "$venv/installed.lock"; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
    cp "$lock" "$venv/installed.lock"
fi
