#!/bin/sh
# moto's server, in an environment of its own: AWS Secrets Manager, and S3 as it answers on AWS. Quick when it is there.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
venv="$root/.venvs/moto"
lock="$root/tests/services/moto/requirements.lock"

if ! cmp -s "$lock" "$venv/installed.lock"; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
    cp "$lock" "$venv/installed.lock"
fi
