"""The comparison by rows: small requests, and 64 rows at once, of a model of trees; who is compared, and the goals."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from loadtest.bench import questions
from loadtest.bench.comparison import FIVEFOLD, BenchComparison, Contender, Form, Goals, Workload, at_least, goals
from loadtest.bench.questions import ROWS, Question

WORKLOADS: Final = (
    Workload("one", "One row a request, JSON", 1, connections=(1, 8, 32)),
    Workload("many", f"{ROWS} rows a request, JSON", ROWS),
    Workload("binary", f"{ROWS} rows a request, binary", ROWS),
    Workload("grpc", "One row a request, gRPC", 1, grpc=True, connections=(1, 32)),
    Workload("grpc-many", f"{ROWS} rows a request, gRPC", ROWS, grpc=True, connections=(32,)),
)


def _same(least: float) -> Goals:
    """One goal for a row in JSON at every number of connections."""
    return at_least(least, ["one"], (1, 8, 32))


def _many(least: float, *workloads: str) -> Goals:
    """One goal for many rows a request."""
    return at_least(least, workloads, (8, 32))


def _json(form: Form) -> Mapping[str, Form]:
    return {"one": form, "many": form}


def _plain(path: str) -> Mapping[str, Form]:
    return _json(partial(questions.plain, path))


_V2: Final = _json(questions.v2)
_V2_ALL: Final = {**_V2, "binary": questions.v2_binary}


def _prepare(directory: Path) -> Question:
    questions.make_bundles(directory)
    return questions.question(directory)


ROWS_BESIDE_OTHERS: Final = BenchComparison(
    "rows",
    "bench",
    WORKLOADS,
    (
        Contender(FIVEFOLD, "Fivefold", "", _V2_ALL, grpc=True, arguments=(questions.ONE_FIELD,), ray=True),
        Contender(
            "fivefold-named",
            "Fivefold, thirty named fields (V1)",
            "",
            {"one": questions.v1_named},
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
            goals=goals({("one", 32): 25, ("grpc", 32): 5, ("grpc-many", 32): 1}, _many(1, "many")),
        ),
        Contender(
            "mlserver",
            "MLServer",
            "mlserver_.py",
            _V2,
            grpc=True,
            environment="mlserver",
            goals=goals(_same(4), {("one", 1): 3.5, ("grpc", 32): 3, ("grpc-many", 32): 2}, _many(2, "many")),
        ),
        Contender(
            "kserve",
            "KServe SDK",
            "kserve_.py",
            _V2_ALL,
            grpc=True,
            environment="kserve",
            goals=goals(
                _same(3.5),
                _many(2, "many", "binary"),
                {("grpc", 1): 1.0, ("grpc", 32): 3, ("grpc-many", 32): 1.5},
            ),
        ),
        Contender(
            "litserve",
            "LitServe",
            "litserve_.py",
            _plain("/predict"),
            environment="litserve",
            goals=goals(_same(4), _many(1, "many")),
        ),
        Contender(
            "bentoml",
            "BentoML",
            "bentoml_.py",
            _plain("/predict"),
            environment="bentoml",
            goals=goals(_same(15), _many(1, "many")),
        ),
        Contender(
            "fastapi",
            "FastAPI, uvicorn, pydantic",
            "fastapi_.py",
            _plain("/predict"),
            goals=goals(_same(1.0), _many(1, "many")),
        ),
        Contender(
            "mosec",
            "Mosec",
            "mosec_.py",
            {**_plain("/inference"), "binary": partial(questions.raw, "/inference")},
            environment="mosec",
            goals=goals({("one", 1): 10, ("one", 8): 3, ("one", 32): 1.0}, _many(1, "many", "binary")),
        ),
        Contender("asgi", "The limit: bare ASGI, msgspec", "asgi_.py", _V2_ALL, goals=_same(0.9)),
        Contender("constant", "The floor: answers it has given before", "constant_.py", _V2_ALL),
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
    ),
    _prepare,
    weighed=Contender(
        "ray-bare",
        "Ray Serve, a bare replica",
        "ray_.py",
        _plain("/predict"),
        arguments=("--bare",),
        ray=True,
        measured=False,
    ),
)
