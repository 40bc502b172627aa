"""Every hostile event through a worker, on each log: it ends as it has to, and the good one behind it is scored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.event_logs import LocalLogs
from tests.support.hostile_events import schemas
from tests.support.hostile_runs import check, fill_local, work
from tests.support.schema_registry import Registry, serving

from fivefold.core.bundle.bundle import Bundle


@pytest.fixture
def registry() -> Iterator[Registry]:
    """With the schemas that the events name."""
    with serving() as found:
        schemas(found)
        yield found


@pytest.mark.full
@pytest.mark.parametrize("most", [5000, 1])
def test_on_the_local_log(bundle: Bundle, tmp_path: Path, registry: Registry, most: int) -> None:
    """Together, and one by one."""
    logs = LocalLogs(tmp_path)
    events = fill_local(logs)

    counts = work(bundle, logs, registry, most)

    assert len(events) >= 120
    assert (counts.events, counts.rewinds) == (2 * len(events), 0)
    check(logs, events)
    assert work(bundle, logs, registry).events == 0
