#!/bin/sh
# Spark with Delta and Kafka, in an environment and a folder of its own; quick when both are there. Prints its Python and
# the folder of jars. Needs Java 17 and Maven: tests/services/kafka/install.sh installs them.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
environment="$root/.venvs/spark"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/catchment-services/spark"
jars="$cache/$(cksum < "$here/jars.xml" | tr -d ' ')"

if [ ! -x "$environment/bin/spark-submit" ]; then
    "${PYTHON:-python3}" -m venv "$environment"
    "$environment/bin/python" -m pip install -q --disable-pip-version-check pyspark==4.1.3 >&2
fi
if [ ! -d "$jars" ]; then
    draft="$cache/draft-$$"
    mkdir -p "$draft"
    cp "$here/jars.xml" "$draft/pom.xml"
    copy=org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies
    (cd "$draft" && mvn -q -B "$copy" -DoutputDirectory=lib -DincludeScope=runtime >&2)
    mv "$draft/lib" "$jars" || true  # somebody else was faster
    rm -rf "$draft"
fi
echo "$environment/bin/python"
echo "$jars"
