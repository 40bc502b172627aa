"""From addresses to a log: the local one in a directory, or a Kafka cluster's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fivefold.core.settings import SettingsError, read
from fivefold.stream.addresses import TopicAddress
from fivefold.stream.log import EventLog
from fivefold.stream.log_waiting import BRIEFLY, LogWait


@contextmanager
def open_log(
    source: TopicAddress,
    targets: Sequence[TopicAddress],
    group: str,
    *,
    directory: str | Path,
    slot: str = "",
    start: str = "earliest",
    same_partition: bool = True,
    waiting: LogWait = BRIEFLY,
) -> Iterator[EventLog]:
    """Join a group on `source`, for the length of a `with`; `targets` are written in the same transactions.

    Raises `SettingsError` for targets that no transaction can hold together with the source, and what the log raises.
    """
    for each in targets:
        if each.servers != source.servers:
            raise SettingsError(f"expected {each} beside {source}: one transaction holds one log only")
        if each.topic == source.topic:
            raise SettingsError(f"expected another topic than the one that is read, got {each}")
    if source.is_local:
        from fivefold.stream.sqlite_log import SqliteLog

        log: EventLog = SqliteLog(
            directory,
            source.topic,
            group,
            to=[each.topic for each in targets],
            start=start,
            same_partition=same_partition,
        )
        try:
            yield log
        finally:
            log.close()
        return
    from fivefold.stream.kafka_log import KafkaLog
    from fivefold.stream.kafka_settings import KafkaSettings
    from fivefold.stream.slots import Slot

    settings = read(KafkaSettings)
    held = Slot(group, slot)
    try:
        log = KafkaLog(
            source,
            group,
            held.name,
            settings,
            to=[each.topic for each in targets],
            start=start,
            same_partition=same_partition,
            waiting=waiting,
        )
        try:
            yield log
        finally:
            log.close()
    finally:
        held.close()
