"""The hub and a Kafka: each event is in the topic once, in its device's order, whoever was restarted in between."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from loadtest.stream.kafka_broker import KafkaBroker
from tests.support.event_logs import KafkaLogs, kfake
from tests.support.hubs import event, running_hub
from tests.unit.edge.hub.conftest import KAFKA, KFAKE

from fivefold.commands.hub import forwarder_of
from fivefold.edge.hub.database import HubDatabase
from fivefold.edge.hub.event_ledger import head_position
from fivefold.edge.hub.pruning import forwarded_position, prune


@pytest.fixture(
    params=[*(["kfake"] if KFAKE else []), *([pytest.param("kafka", marks=pytest.mark.full)] if KAFKA else [])]
)
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KafkaLogs]:
    """Each Kafka in turn."""
    if request.param == "kfake":
        assert KFAKE is not None
        with kfake(KFAKE) as address:
            yield KafkaLogs(address)
        return
    broker = KafkaBroker(tmp_path / "kafka")
    broker.start()
    try:
        yield KafkaLogs(broker.address)
    finally:
        broker.stop()


@pytest.mark.timeout(180)
def test_every_event_is_in_the_topic_once(local: HubDatabase, logs: KafkaLogs) -> None:
    """Two devices, batches that come twice, and a hub that is stopped and started between them."""
    logs.make("edge")
    target, forwarder = forwarder_of(f"kafka://{logs.server}/{logs.prefix}edge")
    pause = threading.Event()

    for first in (1, 101):
        with running_hub(local, forwarder, target) as hub:
            for id in ("a", "b"):
                device = hub.device(f"{id}{first}")
                for lane in ("alerts", "bulk"):
                    lines = [event(seq, f"{id}{lane}{seq}") for seq in range(1, 101)]
                    for batch in (lines[:60], lines[:60], lines[40:]):
                        assert device.send(batch, lane).status_code == 200
            for _ in range(600):
                if len(logs.read("edge")) >= 4 * (first + 99) or pause.wait(0.1):
                    break
    found = logs.read("edge")
    with local.reading() as connection:
        assert forwarded_position(connection) == head_position(connection) == 800

    assert sorted(int(dict(each.headers)["fivefold-position"]) for each in found) == list(range(1, 801))
    for id in ("a1", "b1", "a101", "b101"):
        for lane in (b"alerts", b"bulk"):
            mine = [
                json.loads(each.value or b"")["seq"]
                for each in found
                if each.key == id.encode() and dict(each.headers)["fivefold-lane"] == lane
            ]
            assert mine == list(range(1, 101))
    assert prune(local, before=2**60) == 800
