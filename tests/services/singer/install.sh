#!/bin/sh
# What the tests of taps need: the two libraries that taps are made with, and a published tap, each in an environment of
# its own. Twice does no harm, and is quick.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)

for name in sdk python postgres; do
    venv="$root/.venvs/singer-$name"
    lock="$root/tests/services/singer/$name.lock"
    if ! cmp -s "$lock" "$venv/installed.lock"; then
        "${PYTHON:-python3}" -m venv --clear "$venv"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
        cp "$lock" "$venv/installed.lock"
    fi
done
