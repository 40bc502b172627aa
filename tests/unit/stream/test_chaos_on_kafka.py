"""Workers on a real Kafka that are killed, stopped and doubled, and a broker that is killed: exactly one of each."""

from __future__ import annotations

from pathlib import Path

import pytest
from loadtest.stream.chaos import Chaos, ChaosSettings
from loadtest.stream.fault_plan import BROKER, JOIN, KILL, TWIN
from loadtest.stream.kafka_broker import KafkaBroker
from loadtest.stream.planned_events import bundle
from loadtest.stream.stream_logs import KafkaStreamLog


@pytest.mark.full
def test_exactly_one_result_each(tmp_path: Path) -> None:
    """The broker is this test's own: it dies too."""
    settings = ChaosSettings(
        events=4000,
        seconds=15,
        workers=2,
        between=(0.5, 2),
        seed=11,
        max_batch=50,
        kinds=(KILL, KILL, TWIN, JOIN, BROKER),
    )
    broker = KafkaBroker(tmp_path / "kafka")
    broker.start()
    log = KafkaStreamLog(broker, 4)
    try:
        result = Chaos(log, bundle(tmp_path), settings, tmp_path, {}).run()
    finally:
        log.close()

    assert result.faults[KILL]
    assert (result.verdict.words, result.wrong) == ([], [])
    assert result.verdict.records == {"input": 4000, "result": 3960, "dead letter": 40}
