"""Reading a topic of the local log as it grows, without being anybody's member: for looking, never for working."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fivefold.stream.events import Event
from fivefold.stream.sqlite_store import SqliteStore

LOOK_SECONDS = 0.1
"""How long nothing new is looked for once there was none."""


def follow(
    store: SqliteStore, topic: str, *, start: int = 0, stopped: Callable[[float], bool] = lambda _: False
) -> Iterator[Event]:
    """Every event of a topic, from an offset of each partition on, and then those that come, until `stopped`.

    Partitions keep their order, and between them there is none. A topic that is not there yet is waited for;
    `stopped(seconds)` waits at most so long and says whether to end. Raises what the store raises.
    """
    seen: list[int] = []
    while True:
        some = False
        found = store.find(topic)
        if found is not None:
            ends = store.ends(found)
            seen = seen or [start] * len(ends)
            for event in store.read(topic, start=seen, ends=ends):
                seen[event.partition] = event.offset + 1
                some = True
                yield event
        if stopped(0 if some else LOOK_SECONDS):
            return
