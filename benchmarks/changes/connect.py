"""A worker of Kafka Connect with Debezium, beside a Kafka."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.services.kafka.server import HERE as KAFKA
from tests.services.kafka.server import QUICK, Kafka
from tests.services.servers import Server, free_port, running

HERE = Path(__file__).parent

_PATIENCE_S = 60.0

_SETTINGS = """\
bootstrap.servers={kafka}
group.id=connect-bench
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
rest.advertised.port={port}
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
config.storage.topic=_connect_configs
config.storage.replication.factor=1
offset.storage.topic=_connect_offsets
offset.storage.replication.factor=1
offset.storage.partitions=5
status.storage.topic=_connect_status
status.storage.replication.factor=1
status.storage.partitions=2
offset.flush.interval.ms=5000
exactly.once.source.support=enabled
scheduled.rebalance.max.delay.ms=0
plugin.path={plugins}
# Looking through all jars takes four times the memory.
plugin.discovery=service_load
connector.client.config.override.policy=All
"""


@dataclass
class Connect:
    """A worker that runs."""

    port: int
    server: Server

    def ask(self, path: str, body: Mapping[str, Any] | None = None, method: str = "GET") -> Any:
        """What its REST API answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            told = answer.read()
        return json.loads(told) if told else None

    def run(self, name: str, config: Mapping[str, str]) -> None:
        """Returns once the connector and its tasks run; raises AssertionError with what they say where they fail."""
        self.ask(f"/connectors/{name}/config", config, "PUT")
        until = time.monotonic() + _PATIENCE_S
        while True:
            states = self._states(name)
            if len(states) > 1 and set(states) == {"RUNNING"}:
                return
            if "FAILED" in states or time.monotonic() > until:
                raise AssertionError(f"{name} does not run: {states}; {self.server.log} ends:\n{self.server.tail()}")
            time.sleep(0.1)

    def _states(self, name: str) -> list[str]:
        try:
            told = self.ask(f"/connectors/{name}/status")
        except urllib.error.HTTPError:
            return []
        return [told["connector"]["state"], *(task["state"] for task in told["tasks"])]


@contextlib.contextmanager
def started(kafka: Kafka, java: Sequence[str] = QUICK) -> Iterator[Connect]:
    """Raises AssertionError where it cannot be installed or does not start."""
    installed = subprocess.run([HERE / "debezium.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    folder, port = Path(tempfile.mkdtemp(prefix="catchment-connect-")), free_port()
    try:
        properties = folder / "connect.properties"
        said = _SETTINGS.format(kafka=kafka.address, port=port, plugins=installed.stdout.strip())
        properties.write_text(said)
        quiet = f"-Dlog4j2.configurationFile={KAFKA}/log4j2.properties"
        words = ["java", *java, quiet, "-cp", f"{kafka.jars}/*", "org.apache.kafka.connect.cli.ConnectDistributed"]
        connect = Connect(port, Server("connect", [*words, str(properties)], lambda: _answers(port), folder=folder))
        with running(connect.server):
            yield connect
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/connectors", timeout=2):
            return True
    except OSError:
        return False
