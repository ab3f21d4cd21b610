"""A worker of Kafka Connect beside a Kafka, for tests and benchmarks."""

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
group.id=connect-{port}
listeners=http://127.0.0.1:{port}
rest.advertised.host.name=127.0.0.1
rest.advertised.port={port}
key.converter=org.apache.kafka.connect.json.JsonConverter
key.converter.schemas.enable=false
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
config.storage.topic=_connect_configs_{port}
config.storage.replication.factor=1
offset.storage.topic=_connect_offsets_{port}
offset.storage.replication.factor=1
offset.storage.partitions=5
status.storage.topic=_connect_status_{port}
status.storage.replication.factor=1
status.storage.partitions=2
offset.flush.interval.ms={flush_ms}
exactly.once.source.support=enabled
scheduled.rebalance.max.delay.ms=0
plugin.path={plugins}
# Looking through all jars takes four times the memory.
plugin.discovery=service_load
connector.client.config.override.policy=All
config.providers=env
config.providers.env.class=org.apache.kafka.common.config.provider.EnvVarConfigProvider
"""


@dataclass
class Connect:
    """A worker that runs."""

    port: int
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, path: str, body: Mapping[str, Any] | None = None, method: str = "GET") -> Any:
        """What its REST API answers."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=120) as answer:  # a worker that was killed joins first
            told = answer.read()
        return json.loads(told) if told else None

    def run(self, name: str, config: Mapping[str, str]) -> None:
        """Returns once the connector and its tasks run; raises AssertionError with what they say where they fail."""
        self.ask(f"/connectors/{name}/config", config, "PUT")
        until = time.monotonic() + _PATIENCE_S
        while True:
            states = self.states(name)
            if len(states) > 1 and set(states) == {"RUNNING"}:
                return
            if "FAILED" in states or time.monotonic() > until:
                raise AssertionError(f"{name} does not run: {states}; {self.server.log} ends:\n{self.server.tail()}")
            time.sleep(0.1)

    def states(self, name: str) -> list[str]:
        """Of a connector and of its tasks; none where there is no such connector."""
        try:
            told = self.ask(f"/connectors/{name}/status")
        except urllib.error.HTTPError:
            return []
        return [told["connector"]["state"], *(task["state"] for task in told["tasks"])]


def plugins(names: Sequence[str]) -> str:
    """Where they are, as `plugin.path` takes it. Raises AssertionError where they cannot be installed."""
    installed = subprocess.run([HERE / "install.sh", *names], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return installed.stdout.strip()


@contextlib.contextmanager
def started(
    kafka: Kafka,
    java: Sequence[str] = QUICK,
    *,
    names: Sequence[str] = ("debezium",),
    flush_ms: int = 5000,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Connect]:
    """With the plug-ins of these names. Raises AssertionError where it cannot be installed or does not start."""
    folder, port = Path(tempfile.mkdtemp(prefix="catchment-connect-")), free_port()
    try:
        properties = folder / "connect.properties"
        said = _SETTINGS.format(kafka=kafka.address, port=port, plugins=plugins(names), flush_ms=flush_ms)
        properties.write_text(said)
        quiet = f"-Dlog4j2.configurationFile={KAFKA}/log4j2.properties"
        words = ["java", *java, quiet, "-cp", f"{kafka.jars}/*", "org.apache.kafka.connect.cli.ConnectDistributed"]
        server = Server(
            "connect", [*words, str(properties)], lambda: _answers(port), folder=folder, environment=environment
        )
        connect = Connect(port, server)
        with running(server):
            yield connect
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/connectors", timeout=2):
            return True
    except OSError:
        return False
