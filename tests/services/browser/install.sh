#!/bin/sh
# What the browser tests need: Debian's Chromium, and Playwright in an environment of its own. Twice does no harm.
set -eu
root=$(cd "$(dirname "$0")/../../.." && pwd)
venv="$root/.venvs/browser"
lock="$root/tests/services/browser/requirements.lock"

if ! command -v chromium > /dev/null; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "chromium is not installed: apt-get install chromium" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core > /dev/null
fi

if ! cmp -s "$lock" "$venv/installed.lock"; then
    "${PYTHON:-python3}" -m venv --clear "$venv"
    # The browser is Debian's: Playwright downloads none by itself.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r "$lock"
    cp "$lock" "$venv/installed.lock"
fi
