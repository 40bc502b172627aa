"""Workers on Kafka that are killed at any moment; `FIVEFOLD_TEST_KAFKA=HOST:PORT` takes a real one."""

from __future__ import annotations

import os
import time

import pytest
from tests.support.event_logs import KafkaLogs
from tests.support.stream_processes import check, line, numbered, with_kills

from fivefold.core.bundle.bundle import Bundle

EVENTS = 3000


@pytest.mark.full
def test_exactly_one_result_each_on_kafka(bundle: Bundle, kafka: str) -> None:
    """Three workers share a topic, and one after the other is killed."""
    logs = KafkaLogs(os.environ.get("FIVEFOLD_TEST_KAFKA", kafka))
    logs.append("in", numbered(EVENTS))
    source, to, dead = (str(logs.address(topic)) for topic in ("in", "out", "dead"))
    more = ["--dead-letter", dead, "--max-batch", "100", "--group", f"{logs.prefix}g"]
    looked, found = 0.0, 0

    def done() -> int:
        nonlocal looked, found
        if time.monotonic() - looked > 1:
            found = len(logs.read("out")) + len(logs.read("dead"))
            looked = time.monotonic()
        return found

    with_kills([line(bundle.path, source, to, *more)] * 3, done, EVENTS, 5, seed=3)

    check(EVENTS, logs.read("out"), logs.read("dead"))
