"""An Apache Kafka of one node, or of three, in a folder of its own, for tests and benchmarks."""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.services.kafka import tls
from tests.services.servers import Server, listens, running

HERE = Path(__file__).parent

# A small heap and the quick compiler: up in two seconds.
QUICK = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
FAST = ("-Xms1g", "-Xmx1g", "-XX:+UseG1GC")

_QUIET = f"-Dlog4j2.configurationFile={HERE}/log4j2.properties"

_SETTINGS = """\
process.roles=broker,controller
node.id={node}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
controller.listener.names=CONTROLLER
{quorum}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
default.replication.factor={replicas}
min.insync.replicas={insync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=8
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={insync}
transaction.state.log.num.partitions=8
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=2
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.segment.bytes=134217728
# Kafka keeps messages by the time that they tell: some of the tests' are of 1971, and of 2199.
log.retention.hours=-1
log.message.timestamp.after.max.ms=9223372036854775807
log.retention.check.interval.ms=500
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
# After `kill -9` a broker is refused until its old session has ended.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""


@dataclass
class Kafka:
    """A broker that runs; `jars` is the folder of its jars."""

    port: int
    server: Server
    jars: Path
    guarded: int | None = None  # the port that wants a name and a password
    secured: int | None = None  # the port that wants TLS, and a name and a password or a token
    encrypted: int | None = None  # the port that wants TLS and nobody's name
    authority: Path | None = None  # the certificate of who vouches for those two

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def jars() -> Path:
    """Raises AssertionError where they cannot be installed."""
    installed = subprocess.run([HERE / "install.sh"], capture_output=True, text=True, check=False)
    assert installed.returncode == 0, installed.stderr
    return Path(installed.stdout.strip())


@contextlib.contextmanager
def started(
    java: Sequence[str] = QUICK,
    *,
    settings: Sequence[str] = (),
    advertised: int | None = None,
    users: Mapping[str, str] | None = None,
) -> Iterator[Kafka]:
    """`advertised` is the port that it tells its clients, where that is not its own. Where there are `users`, by name
    and password, it has further ports: one that lets nobody else in (PLAIN), one that does so over TLS
    (SCRAM-SHA-512, or a token that is not signed), and one with TLS alone."""
    found = jars()
    port, controller, *others = _free_ports(5)
    guarded, secured, encrypted = (None, None, None) if users is None else others
    authority = None
    folder = Path(tempfile.mkdtemp(prefix="catchment-kafka-"))
    try:
        properties = folder / "server.properties"
        said = _SETTINGS.format(
            node=1,
            quorum=f"controller.quorum.bootstrap.servers=127.0.0.1:{controller}",
            port=port,
            controller=controller,
            data=folder / "data",
            advertised=advertised or port,
            replicas=1,
            insync=1,
        )
        if users is not None and guarded and secured and encrypted:
            certificates = tls.made(folder / "tls")
            authority = certificates.authority
            said = _secured(_guarded(said, guarded, users), secured, encrypted, certificates)
        properties.write_text("\n".join([said, *settings]))
        formats = ["--standalone", "-t", _cluster()]
        for name, password in (users or {}).items():
            formats += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        _format(found, properties, *formats)
        with running(_server("kafka", found, java, properties, port)) as server:
            yield Kafka(port, server, found, guarded, secured, encrypted, authority)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def cluster() -> Iterator[Sequence[Kafka]]:
    """Three nodes, each a broker and a controller. What is written is acknowledged once two have it: one may go."""
    found, ports = jars(), _free_ports(6)
    places = dict(enumerate(zip(ports[::2], ports[1::2], strict=True), start=1))
    voters = ",".join(f"{node}@127.0.0.1:{controller}" for node, (_, controller) in places.items())
    folder, name = Path(tempfile.mkdtemp(prefix="catchment-kafka-")), _cluster()
    try:
        with contextlib.ExitStack() as stack:
            nodes = []
            for node, (port, controller) in places.items():
                properties = folder / f"{node}.properties"
                said = _SETTINGS.format(
                    node=node,
                    quorum=f"controller.quorum.voters={voters}",
                    port=port,
                    controller=controller,
                    data=folder / str(node),
                    advertised=port,
                    replicas=3,
                    insync=2,
                )
                properties.write_text(said)
                _format(found, properties, "-t", name)
                nodes.append(Kafka(port, _server(f"kafka-{node}", found, QUICK, properties, port), found))
            # None listens before it has met another.
            with ThreadPoolExecutor() as together:
                list(together.map(lambda one: one.server.start(), nodes))
            for one in nodes:
                stack.callback(one.server.kill)
            yield nodes
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _format(jars: Path, properties: Path, *words: str) -> None:
    """Make the folder in which a node keeps its messages."""
    made = ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", _QUIET, "-cp", f"{jars}/*", "kafka.tools.StorageTool"]
    command = [*made, "format", "-c", str(properties), *words]
    formatted = subprocess.run(command, check=False, capture_output=True, text=True, cwd=properties.parent)
    assert formatted.returncode == 0, f"{formatted.stdout}{formatted.stderr}\n{properties.read_text()}"


def _server(name: str, jars: Path, java: Sequence[str], properties: Path, port: int) -> Server:
    words = ["java", *java, _QUIET, "-cp", f"{jars}/*", "kafka.Kafka", str(properties)]
    return Server(name, words, lambda: listens(port), folder=properties.parent)


def _free_ports(count: int) -> list[int]:
    """Held all at once, so that none comes twice."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def _guarded(said: str, port: int, users: Mapping[str, str]) -> str:
    """The settings with another listener."""
    known = " ".join(f'user_{name}="{password}"' for name, password in users.items())
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    for key in ("listeners=", "advertised.listeners="):
        said = said.replace(f"\n{key}", f"\n{key}SASL_PLAINTEXT://127.0.0.1:{port},")
    said = said.replace("protocol.map=", "protocol.map=SASL_PLAINTEXT:SASL_PLAINTEXT,")
    jaas = f"listener.name.sasl_plaintext.plain.sasl.jaas.config={plain} required {known};"
    return f"{said}\nsasl.enabled.mechanisms=PLAIN\n{jaas}\n"


def _secured(said: str, port: int, encrypted: int, certificates: tls.Certificates) -> str:
    """The settings with two more listeners."""
    for key in ("listeners=", "advertised.listeners="):
        said = said.replace(f"\n{key}", f"\n{key}SASL_SSL://127.0.0.1:{port},SSL://127.0.0.1:{encrypted},")
    said = said.replace("protocol.map=", "protocol.map=SASL_SSL:SASL_SSL,SSL:SSL,")
    security = "org.apache.kafka.common.security"
    token = f'{security}.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="kafka";'
    of = "listener.name.sasl_ssl"
    return f"""{said}
ssl.keystore.type=PEM
ssl.keystore.location={certificates.server}
{of}.sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER
{of}.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
{of}.oauthbearer.sasl.jaas.config={token}
"""


def _cluster() -> str:
    """22 characters, the first of which may be no `-`."""
    while True:
        made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not made.startswith("-"):
            return made
