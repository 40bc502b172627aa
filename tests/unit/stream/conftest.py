"""The logs that this machine has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from loadtest.stream import kafka_broker
from loadtest.stream.kafka_broker import KafkaBroker
from tests.support import programs
from tests.support.bundles import write_sum
from tests.support.event_logs import KafkaLogs, LocalLogs, Logs, kfake

from fivefold.core.bundle.bundle import Bundle

KFAKE = programs.needed("kfake", "the log of Kafka")
APICURIO = None if programs.QUICK else programs.needed("apicurio", "a schema registry of others")
KAFKA = programs.jars(f"kafka-{kafka_broker.VERSION}", "the real Kafka")
collect_ignore = [
    *([] if KFAKE else ["test_kafka_log.py", "test_kafka_positions.py", "test_killed_on_kafka.py"]),
    *([] if APICURIO else ["test_real_registry.py"]),
    *([] if KFAKE or KAFKA else ["test_hostile_on_kafka.py"]),
    *([] if KAFKA else ["test_chaos_on_kafka.py", "test_kafka_security.py", "test_kafka_tools.py"]),
]


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a Kafka."""
    assert KFAKE is not None
    with kfake(KFAKE) as address:
        yield address


@pytest.fixture(scope="session")
def real_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real Kafka, which tests leave running."""
    broker = KafkaBroker(tmp_path_factory.mktemp("kafka"))
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture(
    params=[*(["kfake"] if KFAKE else []), *([pytest.param("kafka", marks=pytest.mark.full)] if KAFKA else [])]
)
def server(request: pytest.FixtureRequest) -> str:
    """The address of each Kafka in turn."""
    if request.param == "kfake":
        return str(request.getfixturevalue("kafka"))
    broker: KafkaBroker = request.getfixturevalue("real_kafka")
    return broker.address


@pytest.fixture(params=["local", *(["kafka"] if KFAKE else [])])
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Logs:
    """Each log in turn."""
    return LocalLogs(tmp_path) if request.param == "local" else KafkaLogs(request.getfixturevalue("kafka"))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """total = a + b."""
    return write_sum(tmp_path_factory.mktemp("stream") / "sum")
