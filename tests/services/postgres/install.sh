#!/bin/sh
# PostgreSQL's server from Debian, and a second driver (for sources of type sql) in the user's cache.
# Prints the folder of the server's programs and that of the driver. Twice does no harm.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
driver="pg8000==1.31.6"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/catchment-services/$driver"

programs() {
    ls -d /usr/lib/postgresql/*/bin 2> /dev/null | sort -V | tail -n 1
}

if [ -z "$(programs)" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "PostgreSQL is not installed: as root, apt-get install postgresql" >&2
        exit 1
    fi
    # Without a cluster of its own: the tests make theirs.
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends postgresql > /dev/null
fi

if [ ! -d "$cache" ]; then
    python="$here/../../../.venv/bin/python"
    [ -x "$python" ] || python="${PYTHON:-python3}"
    rm -rf "$cache.draft"
    "$python" -m pip install --quiet --disable-pip-version-check --target "$cache.draft" "$driver" >&2
    mv "$cache.draft" "$cache"
fi
programs
echo "$cache"
