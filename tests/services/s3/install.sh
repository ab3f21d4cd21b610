#!/bin/sh
# versitygw, an S3 server over a folder, built with Go into the user's cache; quick when it is there. Prints its path.
set -eu
version=v1.8.0  # with 1.7.0 two conditional writes at once both win
cache="${XDG_CACHE_HOME:-$HOME/.cache}/catchment-services"
folder="$cache/versitygw-$version"

if [ ! -x "$folder/versitygw" ]; then
    if ! command -v go >/dev/null; then
        echo "go is not installed: it builds the S3 server of the tests; get Go 1.24 or newer" >&2
        exit 1
    fi
    draft="$cache/draft-versitygw-$$"
    mkdir -p "$draft"
    GOBIN="$draft" go install "github.com/versity/versitygw/cmd/versitygw@$version" >&2
    mv "$draft" "$folder" || rm -rf "$draft"  # somebody else was faster
fi
echo "$folder/versitygw"
