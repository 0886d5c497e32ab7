"""A real Apache Kafka with one node, broker and controller, on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from penstock_tools.servers.child import Child
from penstock_tools.servers.java import program_of
from penstock_tools.servers.ports import free_ports, require_free
from penstock_tools.servers.progress import Steps
from penstock_tools.servers.rehearsal import learned_options

_SOURCES = Path(__file__).parent / "java" / "kafka"
_MAIN = "penstock.kafka.KafkaServer"
_START_SECONDS = 120
_JVM = (
    "-Xlog:all=error",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "--enable-native-access=ALL-UNNAMED",
    "-Djava.awt.headless=true",
    f"-Dlog4j2.configurationFile={_SOURCES / 'log4j2.properties'}",
    "-Dlog4j2.disable.jmx=true",
)
_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,BESIDE:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "6000",
    "group.consumer.min.heartbeat.interval.ms": "400",
    "group.consumer.heartbeat.interval.ms": "400",
    "num.partitions": "4",
    "auto.create.topics.enable": "false",
}


@contextmanager
def local_kafka(folder: Path, *, port: int = 0, progress: Steps | None = None) -> Iterator["Kafka"]:
    """Run Kafka, with its log in the folder, until the block ends. Port 0 means any free port."""
    server = Kafka(folder, port=port, progress=progress or Steps())
    try:
        server.wait_ready()
        yield server
    finally:
        server.child.stop()


class Beside(NamedTuple):
    """Another port to listen on, and the one that the broker advertises in its place: that of a proxy."""

    port: int
    advertised: int


class Kafka:
    """A server that is starting or has started; clients may connect after `wait_ready`."""

    def __init__(self, folder: Path, *, port: int, progress: Steps, beside: Beside | None = None) -> None:
        """Start it. Clients that come by the port `beside` are led to the one that this names, again and again."""
        require_free(port, "Kafka")
        program = program_of("kafka", _MAIN, _JVM, _SOURCES, progress)
        learned = learned_options(program, lambda home: _arguments(home, 0), lambda _port: None, progress)
        arguments = _arguments(folder / "kafka", port, beside)
        self.bootstrap_servers = f"127.0.0.1:{arguments[1]}"
        self._progress = progress
        progress.step("Starting Kafka")
        command = program.command(*arguments, options=learned)
        self.child = Child("Kafka", command, log=folder / "logs" / "kafka.log")

    def wait_ready(self) -> None:
        """Wait until it takes connections. Raises LocalServerError with the server's last log lines."""
        self.child.wait_ready(_START_SECONDS)
        self._progress.step(f"Kafka is ready after {self.child.seconds_to_ready:.1f} s: {self.bootstrap_servers}")


def _arguments(home: Path, port: int, beside: Beside | None = None) -> list[str | Path]:
    """Write the server's properties and return its command line.

    A broker tells its clients the port, so it is chosen here.
    """
    ports = free_ports(2)
    listener, controller = port or ports[0], ports[1]
    home.mkdir(parents=True, exist_ok=True)
    its = f"PLAINTEXT://127.0.0.1:{listener},CONTROLLER://127.0.0.1:{controller}"
    settings = {
        **_SETTINGS,
        "listeners": its + (f",BESIDE://127.0.0.1:{beside.port}" if beside else ""),
        "advertised.listeners": its + (f",BESIDE://127.0.0.1:{beside.advertised}" if beside else ""),
        "controller.quorum.bootstrap.servers": f"127.0.0.1:{controller}",
        "log.dirs": str(home / "log"),
    }
    file = home / "server.properties"
    file.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return [file, str(listener)]
