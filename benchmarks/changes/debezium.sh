#!/bin/sh
# Debezium for Kafka Connect, by Maven into the user's cache; quick when it is there. Prints the folder of plug-ins.
# Needs Java 17 and Maven: tests/services/kafka/install.sh installs them.
set -eu
version=3.7.0.Final
cache="${XDG_CACHE_HOME:-$HOME/.cache}/catchment-services/connect"
folder="$cache/plugins-$version"

if [ ! -d "$folder" ]; then
    draft="$cache/draft-$$"
    mkdir -p "$draft/plugins"
    copy=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy
    debezium="io.debezium:debezium-connector-postgres:$version:tar.gz:plugin"
    (cd "$draft" && mvn -q -B "$copy" "-Dartifact=$debezium" -DoutputDirectory=. >&2)
    tar -xzf "$draft"/*.tar.gz -C "$draft/plugins"
    mv "$draft/plugins" "$folder" || true  # somebody else was faster
    rm -rf "$draft"
fi
echo "$folder"
