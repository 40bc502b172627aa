"""Every hostile event through a worker, on Kafka: nothing is lost, and nothing ends a worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.event_logs import KafkaLogs
from tests.support.hostile_events import schemas
from tests.support.hostile_runs import check, fill_kafka, work
from tests.support.schema_registry import Registry, serving

from fivefold.core.bundle.bundle import Bundle


@pytest.fixture
def registry() -> Iterator[Registry]:
    """With the schemas that the events name."""
    with serving() as found:
        schemas(found)
        yield found


def test_on_kafka(bundle: Bundle, server: str, registry: Registry) -> None:
    """With each codec, and with headers that Python cannot send."""
    logs = KafkaLogs(server)
    events = fill_kafka(logs)

    counts = work(bundle, logs, registry)

    assert counts.events == 2 * len(events)
    check(logs, events)
    assert work(bundle, logs, registry).events == 0
