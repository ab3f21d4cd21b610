#!/bin/sh
# Debian's Redis, of which the tests start servers of their own; quick when it is there.
set -eu
if command -v redis-server >/dev/null; then
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "redis-server is not installed: as root, apt-get install redis-server" >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends redis-server > /dev/null
