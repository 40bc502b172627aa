"""Kafka's own tools read, describe and reset what a worker does: to them it is a group like any other."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loadtest.stream.kafka_broker import KafkaBroker, make_topics
from tests.support.score_commands import environment
from tests.support.stream_processes import line

from fivefold.core.bundle.bundle import Bundle

CONSUMER = "org.apache.kafka.tools.consumer.ConsoleConsumer"
PRODUCER = "org.apache.kafka.tools.ConsoleProducer"
CONFIGS = "kafka.admin.ConfigCommand"
GROUPS = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
VERIFIABLE = "org.apache.kafka.tools.VerifiableConsumer"

EVENTS = 30
BAD = 3
NOTHING = "nothing"
INACTIVE_SECONDS = 60.0

pytestmark = pytest.mark.full


class Topics:
    """Three topics of one test, the worker between them, and the tools."""

    def __init__(self, broker: KafkaBroker, model: Path, name: str) -> None:
        self.broker, self.model = broker, model
        self.source, self.to, self.dead = (f"{name}.{each}" for each in ("in", "out", "dead"))
        self.group = f"{name}-group"
        make_topics(broker.address, 2, self.source, self.to, self.dead)

    def tool(self, name: str, *words: str) -> str:
        return self.broker.tool(name, "--bootstrap-server", self.broker.address, *words)

    def produce(self) -> None:
        """`EVENTS` events, some of them bad, by the console producer."""
        command = self.broker.tool_command(
            PRODUCER, "--bootstrap-server", self.broker.address, "--topic", self.source,
            "--reader-property", "parse.key=true", "--reader-property", "key.separator=|",
        )  # fmt: skip
        lines = [f'k{at % 5}|{{"a": {at}, "b": 1}}' if at >= BAD else f"k{at % 5}|{NOTHING}" for at in range(EVENTS)]
        subprocess.run(command, input="\n".join(lines) + "\n", text=True, check=True, capture_output=True, timeout=120)

    def work(self, *more: str) -> subprocess.CompletedProcess[str]:
        """One worker, until everything is done."""
        done = self.tried(*more)
        assert done.returncode == 0, done.stderr
        return done

    def tried(self, *more: str) -> subprocess.CompletedProcess[str]:
        """One worker, until it ends."""
        at = f"kafka://{self.broker.address}"
        more = ("--dead-letter", f"{at}/{self.dead}", "--group", self.group, "--once", *more)
        words = line(self.model, f"{at}/{self.source}", f"{at}/{self.to}", *more)
        return subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=120)

    def consume(self, topic: str, count: int, isolation: str = "read_committed") -> list[str]:
        """The records that the console consumer prints; it ends after so many, or when none comes."""
        said = self.tool(
            CONSUMER, "--topic", topic, "--from-beginning", "--isolation-level", isolation,
            "--timeout-ms", "15000", "--max-messages", str(count),
        )  # fmt: skip
        # It also prints what its logging says, and that no more came.
        return [each for each in said.splitlines() if each.startswith("{") or each == NOTHING]

    def described(self) -> dict[str, list[str]]:
        """The rows of the group's description by their partition."""
        rows = [each.split() for each in self.tool(GROUPS, "--describe", "--group", self.group).splitlines()]
        return {row[2]: row for row in rows if len(row) > 5 and row[0] == self.group}

    def reset(self) -> str:
        """Let the group begin again; Kafka allows that once its last member is gone, which its session decides."""
        deadline = time.monotonic() + INACTIVE_SECONDS
        while True:
            said = self.tool(
                GROUPS, "--group", self.group, "--topic", self.source, "--reset-offsets", "--to-earliest", "--execute"
            )
            if "inactive" not in said or time.monotonic() > deadline:
                return said


@pytest.fixture(scope="module")
def topics(real_kafka: KafkaBroker, bundle: Bundle) -> Topics:
    """Topics whose events a worker has done."""
    made = Topics(real_kafka, bundle.path, "tools")
    made.produce()
    made.work()
    return made


def test_the_tools_read_describe_and_reset(topics: Topics) -> None:
    """One after the other, as an administrator would: what is read, how far it is, once more from the beginning."""
    results = topics.consume(topics.to, EVENTS - BAD)
    dead = topics.consume(topics.dead, BAD)

    assert sorted(json.loads(each)["total"] for each in results) == [float(at + 1) for at in range(BAD, EVENTS)]
    assert dead == [NOTHING] * BAD

    rows = topics.described()
    # Partition, offset, end, lag: all is done.
    assert sum(int(row[4]) for row in rows.values()) == EVENTS
    assert {row[5] for row in rows.values()} == {"0"}

    assert topics.source in topics.reset()
    assert {row[3] for row in topics.described().values()} == {"0"}
    topics.work()
    again = topics.consume(topics.to, 2 * (EVENTS - BAD))
    assert len(again) == 2 * (EVENTS - BAD)
    assert sorted(again) == sorted(results * 2)


def test_the_verifiable_consumer_counts_what_is_committed(topics: Topics) -> None:
    """It reports every record that it was given, as a machine reads it."""
    before = len(topics.consume(topics.to, 10 * EVENTS))
    command = topics.broker.tool_command(
        VERIFIABLE, "--bootstrap-server", topics.broker.address, "--topic", topics.to, "--group-id", "verify",
        "--reset-policy", "earliest", "--max-messages", str(before),
    )  # fmt: skip

    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    said = [json.loads(each) for each in done.stdout.splitlines() if each.startswith("{")]
    assert sum(each["count"] for each in said if each["name"] == "records_consumed") == before


LOST = b'{"total": -1, "label": 0}'


def test_what_a_dead_worker_has_begun_is_not_read(real_kafka: KafkaBroker, bundle: Bundle, tmp_path: Path) -> None:
    """Results that a worker had sent when it was killed: its slot's next one has them taken back, and neither of
    Kafka's consumers in Java is given one."""
    topics = Topics(real_kafka, bundle.path, "aborted")
    topics.produce()
    killed = subprocess.run(
        [sys.executable, "-c", BEGUN, real_kafka.address, f"{topics.group}.0", topics.to, LOST], timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert [each.encode() for each in topics.consume(topics.to, 3, "read_uncommitted")] == [LOST] * 3

    topics.work("--slot", "0")

    results = topics.consume(topics.to, 10 * EVENTS)
    assert sorted(json.loads(each)["total"] for each in results) == [float(at + 1) for at in range(BAD, EVENTS)]
    assert len(topics.consume(topics.to, 10 * EVENTS, "read_uncommitted")) == len(results) + 3
    settings = tmp_path / "consumer.properties"
    settings.write_text("isolation.level=read_committed\n")
    command = real_kafka.tool_command(
        VERIFIABLE, "--bootstrap-server", real_kafka.address, "--topic", topics.to, "--group-id", "verify-aborted",
        "--reset-policy", "earliest", "--max-messages", str(len(results)), "--command-config", str(settings),
        "--verbose",
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = [json.loads(each) for each in done.stdout.splitlines() if each.startswith("{")]
    assert sorted(each["value"] for each in said if each["name"] == "record_data") == sorted(results)


BEGUN = """
import os, signal, sys
from confluent_kafka import Producer

server, identity, topic, value = sys.argv[1:]
producer = Producer({"bootstrap.servers": server, "transactional.id": identity, "transaction.timeout.ms": 900_000})
producer.init_transactions(30)
producer.begin_transaction()
for _ in range(3):
    producer.produce(topic, value, partition=0)
assert producer.flush(30) == 0
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("topic", ["to", "dead"])
def test_what_the_broker_never_takes_ends_a_worker(real_kafka: KafkaBroker, bundle: Bundle, topic: str) -> None:
    """It does not try for ever; nothing is lost, and where longer ones are allowed it goes on."""
    topics = Topics(real_kafka, bundle.path, f"long-{topic}")
    topics.produce()
    name = topics.to if topic == "to" else topics.dead
    limit = ["--alter", "--entity-type", "topics", "--entity-name", name, "--add-config"]
    topics.tool(CONFIGS, *limit, "max.message.bytes=100")

    refused = topics.tried()

    assert refused.returncode == 1, refused.stderr
    assert "error: " in refused.stderr
    assert "max.message.bytes" in refused.stderr
    topics.tool(CONFIGS, *limit, "max.message.bytes=1000000")
    topics.work()
    assert len(topics.consume(topics.to, EVENTS - BAD)) == EVENTS - BAD
    assert topics.consume(topics.dead, BAD) == [NOTHING] * BAD
