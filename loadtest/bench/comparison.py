"""What a comparison is: kinds of requests, the servers that take them, and the model that they are asked for.

Two are made: by rows in `contenders`, by large tensors in `tensors`. Starting servers is left to `running`, asking to
`questions` and `tools`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest.bench.questions import HttpRequest, Question
from loadtest.machine.programs import ENVIRONMENTS

FIVEFOLD: Final = "fivefold"
"""Whose rates are put over the others'."""

Form = Callable[[Question, int], HttpRequest]
"""Makes a server's request of the first so many rows."""

Goals = Mapping[tuple[str, int], float]
"""The least ratios wanted, by workload and number of connections."""


@dataclass(frozen=True)
class Workload:
    """One kind of request."""

    name: str
    title: str
    rows: int
    grpc: bool = False
    connections: tuple[int, ...] = (8, 32)


@dataclass(frozen=True)
class Contender:
    """One server. `http` has its form of each workload; `goals` are the least ratios Fivefold wants over it.

    One without a `program` is `fivefold serve` of the bundles that its `arguments` name.
    """

    name: str
    title: str
    program: str
    http: Mapping[str, Form] = field(default_factory=dict)
    grpc: bool = False
    environment: str = ""
    arguments: tuple[str, ...] = ()
    ray: bool = False
    measured: bool = True
    goals: Goals = field(default_factory=dict)

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return ENVIRONMENTS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    def takes(self, workload: Workload) -> bool:
        """Whether it is measured under this workload."""
        return self.measured and (self.grpc if workload.grpc else workload.name in self.http)


@dataclass(frozen=True)
class BenchComparison:
    """Servers beside each other.

    `prepare` makes the bundles in a directory and gives what is asked of them. `marker` is where the tables go in the
    document. `weighed` is started at the end for its memory alone, beside which Fivefold's is put; None: nobody is
    weighed. With `cpu`, the CPU that the servers took is told beside their rates.
    """

    name: str
    marker: str
    workloads: tuple[Workload, ...]
    contenders: tuple[Contender, ...]
    prepare: Callable[[Path], Question]
    weighed: Contender | None = None
    cpu: bool = False

    def chosen(self, only: Sequence[str]) -> list[Contender]:
        """Those of these names, all where there are none, and Fivefold; nobody where that would be alone."""
        found = [each for each in self.contenders if not only or each.name == FIVEFOLD or each.name in only]
        return found if len(found) > 1 else []


def goals(*parts: Goals) -> Goals:
    """All of these; a later one goes before an earlier one."""
    return {key: goal for part in parts for key, goal in part.items()}


def at_least(least: float, workloads: Sequence[str], connections: Sequence[int]) -> Goals:
    """One goal for all of these."""
    return {(workload, count): least for workload in workloads for count in connections}
