#!/bin/sh
# Plug-ins of Kafka Connect, by Maven into the user's cache; quick when they are there: debezium, iceberg, s3 (a small
# S3 sink of ours, built here). Prints the folders of those that are named, as `plugin.path` takes them.
# Needs Java 17 and Maven: tests/services/kafka/install.sh installs them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache="${XDG_CACHE_HOME:-$HOME/.cache}/catchment-services/connect"
plugin=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
debezium=3.7.0.Final

ready() {  # a draft becomes the plug-in, unless somebody else was faster
    mv "$1" "$2" 2>/dev/null || rm -rf "$1"
}

install_debezium() {
    folder="$cache/debezium-$debezium"
    [ -d "$folder" ] && return
    mkdir -p "$draft/plugin"
    artifact="io.debezium:debezium-connector-postgres:$debezium:tar.gz:plugin"
    (cd "$draft" && mvn -q -B "$plugin:copy" "-Dartifact=$artifact" -DoutputDirectory=. >&2)
    tar -xzf "$draft"/*.tar.gz -C "$draft/plugin"
    ready "$draft/plugin" "$folder"
}

install_iceberg() {
    folder="$cache/iceberg-$(cksum < "$here/iceberg/pom.xml" | tr -d ' ')"
    [ -d "$folder" ] && return
    mkdir -p "$draft/plugin"
    cp "$here/iceberg/pom.xml" "$draft"
    (cd "$draft" && mvn -q -B "$plugin:copy-dependencies" -DoutputDirectory=plugin/iceberg -DincludeScope=runtime >&2)
    rm -f "$draft"/plugin/iceberg/slf4j-api-*.jar  # Connect's own is an older one, and both together do not load
    ready "$draft/plugin" "$folder"
}

install_s3() {
    folder="$cache/s3-$(find "$here/sink" -type f | sort | xargs cat | cksum | tr -d ' ')"
    [ -d "$folder" ] && return
    mkdir -p "$draft/plugin"
    cp -R "$here/sink/." "$draft"
    (cd "$draft" && mvn -q -B package "$plugin:copy-dependencies" -DoutputDirectory=plugin/s3 -DincludeScope=runtime >&2)
    cp "$draft"/target/*.jar "$draft/plugin/s3"
    ready "$draft/plugin" "$folder"
}

paths=""
for name in "$@"; do
    draft="$cache/draft-$name-$$"
    "install_$name"
    rm -rf "$draft"
    paths="$paths${paths:+,}$folder"
done
echo "$paths"
