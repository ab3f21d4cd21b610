"""A tap for tests: gives the rows of pages beside it, as its config says. Started as a process, never imported."""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def say(message: object) -> None:
    sys.stdout.write((message if isinstance(message, str) else json.dumps(message)) + "\n")
    sys.stdout.flush()


def catalog() -> None:
    streams = []
    for name in ("users", "orders"):
        fields = [{"breadcrumb": ["properties", "id"], "metadata": {"inclusion": "available"}}]
        streams.append(
            {
                "tap_stream_id": f"shop-{name}",
                "stream": name,
                "key_properties": ["id"],
                "schema": {"type": "object", "properties": {"id": {"type": "integer"}}},
                "metadata": [{"breadcrumb": [], "metadata": {"forced-replication-method": "INCREMENTAL"}}, *fields],
            }
        )
    say({"streams": streams})


def misbehave(config: dict, row: dict) -> None:
    if row["id"] != config.get("at"):
        return
    how = config["how"]
    if how == "crash":
        sys.stderr.write("INFO getting along\nCRITICAL no luck with " + config.get("token", "nothing") + "\n")
        sys.exit(3)
    if how == "busy":
        sys.stderr.write("ERROR 503 Service Unavailable\n")
        sys.exit(1)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    if how == "rubbish":
        say("starting, please wait")
        say('{"type": "RECORD", "stream": "users"}')
        say('{"type": "NEWS"}')
        sys.stdout.buffer.write(b'{"type": "STATE", "value": {"at": "\xff"}}\n')
        say('{"type": "RECORD", "stream": "users", "record": {"id": NaN}}')
        say('{"type": "RECORD", "stream": "users", "record": {"id": 1')
    if how == "batch":
        say({"type": "BATCH", "stream": "users", "encoding": {}, "manifest": []})
    if how == "warn":
        sys.stderr.write("INFO not so important\nWARNING the api is old\n")
        sys.stderr.flush()
        time.sleep(0.3)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--config")
    arguments.add_argument("--catalog")
    arguments.add_argument("--state")
    arguments.add_argument("--discover", action="store_true")
    asked = arguments.parse_args()
    config = json.loads(Path(asked.config).read_text())
    if asked.discover:
        catalog()
        return
    (HERE / "called.json").write_text(
        json.dumps(
            {
                "pid": os.getpid(),
                "folder": str(Path(asked.config).parent),
                "modes": [oct(path.stat().st_mode & 0o777) for path in sorted(Path(asked.config).parent.iterdir())],
                "config": config,
                "catalog": json.loads(Path(asked.catalog).read_text()) if asked.catalog else None,
                "state": json.loads(Path(asked.state).read_text()) if asked.state else None,
            }
        )
    )
    state = json.loads(Path(asked.state).read_text()) if asked.state else {}
    after = state.get("bookmarks", {}).get("users", {}).get("id", -1)
    if config.get("activate"):
        say({"type": "ACTIVATE_VERSION", "stream": "users", "version": 1})
    say({"type": "SCHEMA", "stream": "users", "schema": {}, "key_properties": config.get("key", ["id"])})
    for page in sorted(HERE.glob("page-*.json")):
        rows = json.loads(page.read_text())
        for row in rows:
            if row["id"] < after:  # a bookmark is inclusive, as the protocol advises
                continue
            misbehave(config, row)
            text = row.pop("text", None)
            say(text if text is not None else {"type": "RECORD", "stream": "users", "record": row})
            say({"type": "RECORD", "stream": "others", "record": {"not": "asked for"}})
        if rows and config.get("states", True):
            after = max(after, rows[-1]["id"])
            say({"type": "STATE", "value": {"bookmarks": {"users": {"id": after}}}})


main()
