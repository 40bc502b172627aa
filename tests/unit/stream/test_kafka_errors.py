"""What ends a worker: what mends itself is worth another start, and says so by its code."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from fivefold.core.errors import FivefoldError, Unavailable
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.kafka_errors import AWAY, LEADERLESS, KafkaErrors

ADDRESS = TopicAddress("events", servers=("127.0.0.1:9092",))


def refusal(code: int, heard: int | None = None) -> FivefoldError:
    """How an error ends a worker that has heard another before."""
    errors = KafkaErrors(ADDRESS, "scorers", "one")
    if heard is not None:
        errors.heard(KafkaError(heard, "Connect to ipv4#127.0.0.1:9092 failed: Connection refused"))
    return errors.refusal(KafkaError(code))


@pytest.mark.parametrize("code", sorted((AWAY | LEADERLESS) - {KafkaError._SSL}))
def test_who_is_away_may_come_back(code: int) -> None:
    """A broker, or a partition's leader: the start after this one may find it."""
    error = refusal(code)
    assert isinstance(error, Unavailable)
    assert error.code == "not_ready"
    assert "127.0.0.1:9092" in error.message


def test_it_says_why_nobody_leads() -> None:
    """The client knows no partition of a broker that has not answered yet."""
    assert "Connection refused" in refusal(KafkaError._UNKNOWN_PARTITION, KafkaError._TRANSPORT).message


def test_another_error_is_no_reason_to_start_again() -> None:
    """What the broker does not do for anybody."""
    assert refusal(KafkaError.INVALID_CONFIG).code == "storage_failed"
