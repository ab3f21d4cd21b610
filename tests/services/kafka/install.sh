#!/bin/sh
# Apache Kafka from its jars, by Maven into the user's cache; quick when it is there. Prints the folder of jars.
# Needs Java 17 and Maven.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/catchment-services/kafka"
folder="$cache/$(cksum < "$here/pom.xml" | tr -d ' ')"

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
    cp "$here/pom.xml" "$draft"
    copy=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies
    (cd "$draft" && mvn -q -B "$copy" -DoutputDirectory=lib -DincludeScope=runtime >&2)
    mv "$draft/lib" "$folder" || true  # somebody else was faster
    rm -rf "$draft"
fi
echo "$folder"
