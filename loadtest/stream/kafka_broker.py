"""A Kafka of this machine: the real one from its jars, which can be killed and comes back with its data, or kfake.

The real one is one broker that is its own controller, on loopback, on free ports that stay its own, with its data below
a directory. `make .cache/kafka-4.3.1` copies the jars, `make .cache/bin/kfake` builds the other.
https://kafka.apache.org/documentation/#brokerconfigs names the settings.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from loadtest.machine.measurement import Failed
from loadtest.machine.programs import ROOT, ToolMissing, demand_java, direct, find

VERSION: Final = "4.3.1"
START_SECONDS: Final = 120.0
QUICK_JAVA: Final = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
"""Options of a Java that is there soon, rather than fast in the end."""

_PROPERTIES: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "false",
    # Whoever dies is missed after as long as with the classic protocol, not after 45 s.
    "group.consumer.min.session.timeout.ms": "6000",
    "group.consumer.session.timeout.ms": "10000",
    "group.consumer.min.heartbeat.interval.ms": "1000",
    "group.consumer.heartbeat.interval.ms": "1000",
}

_LOGGING: Final = """
status = error
appender.file.type = File
appender.file.name = FILE
appender.file.fileName = ${sys:kafka.log}
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %c{1} %m%n
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = FILE
"""


def jars(version: str = VERSION) -> Path:
    """The directory of a version's jars; raises `ToolMissing`."""
    found = ROOT / ".cache" / f"kafka-{version}"
    if not found.is_dir():
        raise ToolMissing(f"the jars of Kafka {version} are not there", f"make .cache/kafka-{version}")
    demand_java("Kafka")
    return found


class KafkaBroker:
    """One broker; `address` is where it answers once it is started."""

    def __init__(
        self,
        directory: Path,
        version: str = VERSION,
        *,
        options: Mapping[str, str] | None = None,
        listeners: Mapping[str, str] | None = None,
        java: Sequence[str] = QUICK_JAVA,
    ) -> None:
        """Its data, settings and log lie below `directory`; `options` are settings of the broker, `java` of its Java.
        `listeners` are further ones with their protocols, whose addresses `addresses` names.

        Raises `ToolMissing`.
        """
        self._options = ("-Xmx512m", *java)
        self._jars, self._directory = jars(version), directory
        directory.mkdir(parents=True, exist_ok=True)
        client, controller, *others = free_ports(2 + len(listeners or {}))
        self.address = f"127.0.0.1:{client}"
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in zip(listeners or {}, others, strict=True)}
        self.log = directory / "broker.log"
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        places = {"PLAINTEXT": self.address, "CONTROLLER": f"127.0.0.1:{controller}"} | self.addresses
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | dict(listeners or {})
        settings = _PROPERTIES | {
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": ",".join(f"{name}://{place}" for name, place in places.items()),
            "listener.security.protocol.map": ",".join(f"{name}:{each}" for name, each in protocols.items()),
            "log.dirs": str(directory / "data"),
            **(options or {}),
        }
        self._settings = directory / "server.properties"
        self._settings.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
        (directory / "log4j2.properties").write_text(_LOGGING)
        self.tool("kafka.tools.StorageTool", "format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c", str(self._settings))

    @property
    def runs(self) -> bool:
        """Whether its process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self, *, wait: bool = True) -> None:
        """Start it, with the data that it has; waits until it answers unless told not to."""
        options = [f"-Dlog4j2.configurationFile={self._directory / 'log4j2.properties'}", f"-Dkafka.log={self.log}"]
        with (self._directory / "broker.out").open("ab") as output:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._settings), options=[*self._options, *options]),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=direct(),
                start_new_session=True,
            )
        self.starts += 1
        if wait:
            answers(self.address)

    def spread(self) -> None:
        """Let it run on every core from now on, wherever it was started."""
        for thread in Path(f"/proc/{self.pid}/task").iterdir():
            # One that has just ended needs no core.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), range(os.cpu_count() or 1))

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def ask_to_end(self) -> None:
        """SIGTERM, as an administrator does; does not wait until it has ended."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """End it as an administrator does; by force where that takes too long."""
        self.ask_to_end()
        if self._process is not None:
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()

    def tool_command(self, name: str, *arguments: str) -> list[str]:
        """The command line of one of Kafka's own tools."""
        return self._java(name, *arguments)

    def tool(self, name: str, *arguments: str, seconds: float = 120.0) -> str:
        """What one of Kafka's own tools prints; `name` is its class. Raises `CalledProcessError`."""
        done = subprocess.run(
            self._java(name, *arguments), capture_output=True, text=True, timeout=seconds, env=direct(), check=True
        )
        return done.stdout

    def _java(self, name: str, *arguments: str, options: Sequence[str] = ("-Xmx256m", *QUICK_JAVA)) -> list[str]:
        return ["java", *options, "-cp", f"{self._jars}/*", name, *arguments]


class KfakeBroker:
    """kfake: it keeps its data in memory, so it cannot come back."""

    def __init__(self) -> None:
        """Raises `ToolMissing`."""
        try:
            program = find("kfake")
        except KeyError:
            raise ToolMissing("kfake is not built", "make .cache/bin/kfake builds it with Go") from None
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()

    def stop(self) -> None:
        """End it; its data are gone."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait(10)


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has now."""
    held = []
    for _ in range(count):
        held.append(socket.socket())
        held[-1].bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


def answers(address: str, seconds: float = START_SECONDS) -> None:
    """Wait until a broker answers; raises `Failed`."""
    deadline = time.monotonic() + seconds
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0, "reconnect.backoff.max.ms": 200})
    while True:
        try:
            if admin.list_topics(timeout=1).brokers:
                return
        except KafkaException:
            pass
        if time.monotonic() > deadline:
            raise Failed(f"no broker answers at {address}")


def make_topics(address: str, partitions: int, *names: str, options: Mapping[str, str] | None = None) -> None:
    """Make topics; `options` are settings of theirs. Raises `KafkaException` for one that is there."""
    admin = AdminClient({"bootstrap.servers": address, "log_level": 0})
    wanted = [NewTopic(name, num_partitions=partitions, config=dict(options or {})) for name in names]
    for made in admin.create_topics(wanted).values():
        made.result(30)
