"""Forwarding into each log: events and position together or not at all, whoever comes back."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.event_logs import KafkaLogs, LocalLogs, Logs

from fivefold.core.errors import FivefoldError, Unavailable
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.events import Outgoing
from fivefold.stream.forwarding import Forwarding
from fivefold.stream.forwarding_opening import open_forwarding

Open = Callable[..., contextlib.AbstractContextManager[Forwarding]]


@pytest.fixture
def forwarding(logs: Logs, tmp_path: Path) -> Open:
    """Opens the topic `edge` for a source."""

    @contextlib.contextmanager
    def opened(source: str = "one") -> Iterator[Forwarding]:
        address = TopicAddress("edge")
        if isinstance(logs, KafkaLogs):
            address = TopicAddress(f"{logs.prefix}edge", (logs.server,))
        with contextlib.closing(open_forwarding(address, f"{id(logs)}-{source}", directory=tmp_path)) as made:
            yield made

    return opened


def events(logs: Logs, first: int, last: int) -> list[Outgoing]:
    topic = f"{logs.prefix}edge" if isinstance(logs, KafkaLogs) else "edge"
    return [
        Outgoing(topic, b"device-%d" % (each % 3), b"%d" % each, (("n", b"%d" % each),))
        for each in range(first, last + 1)
    ]


def there(logs: Logs) -> list[int]:
    """The numbers in the topic; those of one key in their order."""
    found = logs.read("edge")
    for key in {each.key for each in found}:
        mine = [int(each.value or b"0") for each in found if each.key == key]
        assert mine == sorted(mine)
    return sorted(int(each.value or b"0") for each in found)


def test_events_and_position(logs, forwarding) -> None:
    """A new source is at 0, and whoever opens the log again reads where it was left."""
    with forwarding() as log:
        assert log.position() == 0
        log.append(events(logs, 1, 5), 5)
        log.append(events(logs, 6, 7), 7)
        assert log.position() == 7
    with forwarding() as log:
        assert log.position() == 7
        log.append(events(logs, 8, 8), 8)

    assert there(logs) == list(range(1, 9))


def test_sources_count_alone(logs, forwarding) -> None:
    """Each has its own position in the same topic."""
    with forwarding("one") as one, forwarding("two") as two:
        assert one.position() == two.position() == 0
        one.append(events(logs, 1, 2), 20)
        two.append(events(logs, 3, 4), 40)
        assert (one.position(), two.position()) == (20, 40)


def test_whoever_comes_later_ends_the_one_before(logs, forwarding) -> None:
    """The older one cannot write any more what the newer one has written."""
    with forwarding() as older, forwarding() as newer:
        older.position()
        older.append(events(logs, 1, 1), 1)
        assert newer.position() == 1
        newer.append(events(logs, 2, 3), 3)
        with pytest.raises(FivefoldError):
            older.append(events(logs, 2, 5), 5)
        assert older.position() == 3

    assert there(logs) == [1, 2, 3]


def test_a_transaction_that_breaks_leaves_nothing(logs, forwarding) -> None:
    """Neither its events nor its position; it may be written again."""
    with forwarding() as log:
        log.position()
        log.append(events(logs, 1, 1), 1)
        broken = [*events(logs, 2, 3), "no event"]
        with pytest.raises(AttributeError):
            log.append(broken, 3)
        assert log.position() == 1
        log.append(events(logs, 2, 3), 3)

    assert there(logs) == [1, 2, 3]


def test_long_progress_is_read_from_behind(logs, forwarding, monkeypatch) -> None:
    """Also past what many others have written since."""
    monkeypatch.setattr("fivefold.stream.kafka_forwarding.WINDOW", 5)
    with forwarding("one") as one, forwarding("two") as two:
        one.position()
        one.append([], 77)
        two.position()
        for number in range(1, 41):
            two.append([], number)
    with forwarding("one") as one:
        assert one.position() == 77


def test_no_broker_answers(tmp_path) -> None:
    """That is told, and not waited for without end."""
    from fivefold.stream.kafka_forwarding import KafkaForwarding
    from fivefold.stream.kafka_settings import KafkaSettings

    log = KafkaForwarding(TopicAddress("edge", ("127.0.0.1:1",)), "one", KafkaSettings())
    with pytest.raises(Unavailable):
        log.append([], 1)


def test_a_local_log_that_is_somebody_elses_file(tmp_path) -> None:
    """Told as the log tells it."""
    LocalLogs(tmp_path).append("edge", [])
    (tmp_path / "log.sqlite").write_bytes(b"x" * 4096)
    opened = open_forwarding(TopicAddress("edge"), "one", directory=tmp_path)
    with contextlib.closing(opened) as log, pytest.raises(FivefoldError):
        log.position()
