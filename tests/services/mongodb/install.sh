#!/bin/sh
# A server that speaks MongoDB's wire protocol, built with Maven into the user's cache; quick when it is there.
# Prints the folder. Needs Java 17 and Maven.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/catchment-services/mongodb"
made=$(cat "$here/pom.xml" "$here"/src/main/java/*.java | cksum | tr -d ' ')
folder="$cache/$made"

if [ ! -d "$folder" ]; then
    for tool in java mvn; do
        if ! command -v "$tool" >/dev/null; then
            if [ "$(id -u)" != 0 ]; then
                echo "$tool is not installed: as root, apt-get install openjdk-17-jdk-headless maven" >&2
                exit 1
            fi
            apt-get update -qq >&2
            apt-get install -y -q --no-install-recommends openjdk-17-jdk-headless maven >&2
        fi
    done
    draft="$cache/draft-$$"
    mkdir -p "$draft"
    cp -r "$here/pom.xml" "$here/src" "$draft"
    (cd "$draft" && mvn -q -B compile dependency:copy-dependencies -DoutputDirectory=lib >&2)
    mv "$draft" "$folder" || rm -rf "$draft"  # somebody else was faster
fi
echo "$folder"
