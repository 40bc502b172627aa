"""Who is compared: each server's program, its environment, its forms of the requests, and Fivefold's goals.

Starting them is left to `running`, asking to `asking` and `tools`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from loadtest.bench import questions
from loadtest.bench.questions import HttpRequest, Question
from loadtest.machine.programs import ENVIRONMENTS


@dataclass(frozen=True)
class Workload:
    """One kind of request."""

    name: str
    title: str
    rows: int
    grpc: bool = False
    connections: tuple[int, ...] = (8, 32)


WORKLOADS: Final = (
    Workload("one", "One row a request, JSON", 1, connections=(1, 8, 32)),
    Workload("many", f"{questions.ROWS} rows a request, JSON", questions.ROWS),
    Workload("binary", f"{questions.ROWS} rows a request, binary", questions.ROWS),
    Workload("grpc", "One row a request, gRPC", 1, grpc=True, connections=(1, 32)),
    Workload("grpc-many", f"{questions.ROWS} rows a request, gRPC", questions.ROWS, grpc=True, connections=(32,)),
)

Make = Callable[[Question], Mapping[str, HttpRequest]]
Goals = Mapping[tuple[str, int], float]


@dataclass(frozen=True)
class Contender:
    """One server. `http` makes its requests of each workload; `goals` are the least ratios Fivefold wants over it."""

    name: str
    title: str
    program: str
    http: Make = lambda _: {}
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
        if not self.measured:
            return False
        return self.grpc if workload.grpc else workload.name in self.http(_EMPTY)


def _same(least: float, *others: Goals) -> Goals:
    """One goal for a row in JSON at every number of connections, and others."""
    return _goals({("one", connections): least for connections in (1, 8, 32)}, *others)


def _goals(*parts: Goals) -> Goals:
    return {key: goal for part in parts for key, goal in part.items()}


def _many(least: float, *workloads: str) -> Goals:
    """One goal for many rows a request."""
    return {(workload, connections): least for workload in workloads for connections in (8, 32)}


_EMPTY: Final = Question([[0.0] * 30] * questions.ROWS, np.zeros((questions.ROWS, 2)), ())


def _v2(asked: Question) -> dict[str, HttpRequest]:
    return {"one": questions.v2(asked, 1), "many": questions.v2(asked, questions.ROWS)}


def _v2_all(asked: Question) -> dict[str, HttpRequest]:
    return _v2(asked) | {"binary": questions.v2_binary(asked, questions.ROWS)}


def _plain(path: str) -> Make:
    return lambda asked: {"one": questions.plain(path, asked, 1), "many": questions.plain(path, asked, questions.ROWS)}


def _mosec(asked: Question) -> dict[str, HttpRequest]:
    path = "/inference"
    return {**_plain(path)(asked), "binary": questions.raw(path, asked, questions.ROWS)}


FIVEFOLD: Final = Contender("fivefold", "Fivefold", "", _v2_all, grpc=True, arguments=(questions.ONE_FIELD,), ray=True)
BARE_RAY: Final = Contender(
    "ray-bare",
    "Ray Serve, a bare replica",
    "ray_.py",
    _plain("/predict"),
    arguments=("--bare",),
    ray=True,
    measured=False,
)
CONTENDERS: Final = (
    FIVEFOLD,
    Contender(
        "fivefold-named",
        "Fivefold, thirty named fields (V1)",
        "",
        lambda asked: {"one": questions.v1_named(asked)},
        arguments=(questions.NAMED,),
        ray=True,
    ),
    Contender(
        "ray",
        "Ray Serve as it comes (FastAPI ingress)",
        "ray_.py",
        _plain("/predict"),
        grpc=True,
        ray=True,
        goals=_goals({("one", 32): 25, ("grpc", 32): 5, ("grpc-many", 32): 1}, _many(1, "many")),
    ),
    Contender(
        "mlserver",
        "MLServer",
        "mlserver_.py",
        _v2,
        grpc=True,
        environment="mlserver",
        goals=_same(4, _many(2, "many"), {("grpc", 32): 1.1, ("grpc-many", 32): 2}),
    ),
    Contender(
        "kserve",
        "KServe SDK",
        "kserve_.py",
        _v2_all,
        grpc=True,
        environment="kserve",
        goals=_same(3.5, _many(2, "many", "binary"), {("grpc", 32): 1.0, ("grpc-many", 32): 2}),
    ),
    Contender(
        "litserve",
        "LitServe",
        "litserve_.py",
        _plain("/predict"),
        environment="litserve",
        goals=_same(4, _many(1, "many")),
    ),
    Contender(
        "bentoml",
        "BentoML",
        "bentoml_.py",
        _plain("/predict"),
        environment="bentoml",
        goals=_same(15, _many(1, "many")),
    ),
    Contender(
        "fastapi", "FastAPI, uvicorn, pydantic", "fastapi_.py", _plain("/predict"), goals=_same(1.0, _many(1, "many"))
    ),
    Contender(
        "mosec",
        "Mosec",
        "mosec_.py",
        _mosec,
        environment="mosec",
        goals=_goals({("one", 1): 10, ("one", 8): 3, ("one", 32): 1.2}, _many(1, "many", "binary")),
    ),
    Contender("asgi", "The limit: bare ASGI, msgspec", "asgi_.py", _v2_all, goals=_same(0.4)),
    Contender(
        "grpc",
        "The limit: a bare grpc.aio servicer",
        "grpc_.py",
        grpc=True,
        goals={("grpc", 1): 1.0, ("grpc", 32): 2.0},
    ),
    Contender(
        "grpc-http1",
        "The limit: the same by HAProxy and HTTP/1.1",
        "grpc_http1_.py",
        grpc=True,
        goals={("grpc", 32): 0.5},
    ),
)
