"""Numbers of a group's commits, by which it is known when a coordinator has lost some.

A transaction holds results and progress, so a result that readers of committed events see proves that the progress
beside it was committed, whatever the coordinator says later. (Kafka 4.3.1, killed with SIGKILL, has told offsets
thousands of events before those of transactions that it had ended itself.) Each commit of a partition has a number,
which the group's offset carries as its metadata, and the last result and the last dead letter of the partition as a
header. Where the offset's number is less than the result's, commits are lost, and the result says how far it was.

An offset that somebody has set (`kafka-consumer-groups --reset-offsets`) has no number, and is believed. Numbers are
those of one cluster: what is copied to another has other offsets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from fivefold.stream.dead_letters import DEAD
from fivefold.stream.events import Outgoing
from fivefold.stream.identity import PREFIX

_WORD: Final = "fivefold"


class CommitNumbers:
    """How one group's numbers are written and read in one cluster."""

    def __init__(self, group: str, cluster: str) -> None:
        self._whose = f"{cluster} {group}".encode()
        self._cluster = cluster

    @staticmethod
    def after(last: int) -> int:
        """A number above `last`, and above those of before it wherever they are not known: milliseconds since 1970."""
        return max(last + 1, int(time.time() * 1000))

    def metadata(self, number: int) -> str:
        """What an offset carries."""
        return f"{_WORD} {number} {self._cluster}"

    def of_metadata(self, text: str | None) -> int:
        """The number that an offset carries; 0 where it is none of ours."""
        word, _, rest = (text or "").partition(" ")
        number, _, cluster = rest.partition(" ")
        return int(number) if word == _WORD and cluster == self._cluster and number.isdecimal() else 0

    def of_headers(self, headers: Mapping[str, bytes]) -> int:
        """The number that a result or a dead letter carries; 0 where it is none of ours."""
        number, _, whose = headers.get(f"{DEAD}commit", headers.get(f"{PREFIX}commit", b"")).partition(b" ")
        return int(number) if whose == self._whose and number.isdigit() else 0

    def marked(self, outgoing: Sequence[Outgoing], numbers: Mapping[int, int]) -> list[Outgoing]:
        """The same, the last result and the last dead letter of each partition with its partition's number."""
        out = list(outgoing)
        last = {(each.topic, each.partition): at for at, each in enumerate(out) if each.partition in numbers}
        for (_, partition), at in last.items():
            assert partition is not None
            names = {name for name, _ in out[at].headers}
            kind = next((kind for kind in (DEAD, PREFIX) if f"{kind}source" in names), None)
            if kind is not None:
                header = f"{kind}commit", b"%d %b" % (numbers[partition], self._whose)
                out[at] = replace(out[at], headers=(*out[at].headers, header))
        return out
