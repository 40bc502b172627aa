"""The cases of adapters, asked of bundles over REST, gRPC and files: a caller of another contract version is answered
the same everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid
from fivefold.core.fields.field import Field
from fivefold.core.runtime.scorer import Scorer
from fivefold.serving.grpc.proto import inference_pb2 as wire
from tests.conformance import adapted
from tests.conformance.adapted import CALLER, Adapted
from tests.conformance.cases import Limits, canonical
from tests.conformance.drivers import Outcome
from tests.conformance.files import header, scored, write_text
from tests.conformance.serving import InProcess
from tests.conformance.transports import DATATYPES, SERVICE, _answer, _records, _tensors, typed_contents

ALL = adapted.load()
ANSWERED = [case for case in ALL.values() if not case.refused]
REFUSED = [case for case in ALL.values() if case.refused]
VERSION = {"x-contract-version": CALLER}
ROWS = 2

Opened = Callable[[str], Scorer]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """A bundle for each case."""
    directory = tmp_path_factory.mktemp("adapted")
    return {case.id: adapted.bundle(case, directory) for case in ANSWERED}


@pytest.fixture(scope="module")
def servers(bundles: dict[str, Bundle]) -> Iterator[InProcess]:
    """All of them behind HTTP and gRPC in this process."""
    out = InProcess(bundles)
    yield out
    out.close()


@pytest.fixture(scope="module")
def opened(servers: InProcess) -> Opened:
    """The models that the servers have opened, by case."""
    models = servers.serving(Limits()).models

    return lambda name: models.find(name).scorer


def expected(case: Adapted) -> dict[str, list[Any]]:
    """What the caller gets, row for row."""
    return {f.name: [canonical(f, case.back[f.name])] * ROWS for f in case.caller.outputs}


def tensors(case: Adapted) -> bytes:
    """The caller's rows as a V2 body: a tensor for each field that is given."""
    fields = {name: f for f in case.caller.inputs for name in (f.name, *f.aliases)}
    inputs = [
        {
            "name": name,
            "shape": [ROWS, *fields[name].shape],
            "datatype": DATATYPES[fields[name].dtype],
            "data": [value] * ROWS,
        }
        for name, value in case.given.items()
    ]
    return json.dumps({"inputs": inputs}).encode()


def half(fields: tuple[Field, ...]) -> bool:
    """Whether a field has no JSON tensor: float16 is binary alone."""
    return any(f.dtype == "float16" for f in fields)


def post(servers: InProcess, path: str, body: bytes) -> Any:
    """The answer to a caller of the other version."""
    client = servers.client(Limits())
    response = servers.run(client.post(path, content=body, headers={**VERSION, "content-type": "application/json"}))
    assert response.status_code == 200, response.text
    return response


def check_marks(case: Adapted, marks: Mapping[str, Any]) -> None:
    """An answer says which version it is of, and what of the request the model does not take."""
    assert marks["x-contract-version"] == CALLER
    assert marks.get("x-contract-ignored") == (",".join(case.ignored) or None)


@pytest.mark.parametrize("case", ANSWERED, ids=lambda case: case.id)
def test_records_over_rest(case: Adapted, servers: InProcess) -> None:
    """V1."""
    body = json.dumps({"instances": [case.given] * ROWS}).encode()
    response = post(servers, f"/v1/models/{case.id}:predict", body)

    assert _records(case.caller, response).outputs == expected(case)
    assert response.json()["metadata"]["contract"] == f"demo@{CALLER}"
    check_marks(case, response.headers)


@pytest.mark.parametrize("case", [case for case in ANSWERED if case.given], ids=lambda case: case.id)
def test_tensors_over_rest(case: Adapted, servers: InProcess) -> None:
    """V2."""
    assert not half(case.caller.inputs)
    response = post(servers, f"/v2/models/{case.id}/infer", tensors(case))

    assert _tensors(case.caller, response).outputs == expected(case)
    check_marks(case, response.headers)


def messages(case: Adapted) -> list[wire.ModelInferRequest.InferInputTensor]:
    """The caller's rows as messages; none where they hold what only JSON can say, such as null."""
    return typed_contents(case.caller, tensors(case)) or []


@pytest.mark.parametrize("case", [case for case in ANSWERED if messages(case)], ids=lambda case: case.id)
def test_messages_over_grpc(case: Adapted, servers: InProcess) -> None:
    """And the trailers say what headers do."""
    request = wire.ModelInferRequest(model_name=case.id, inputs=messages(case))
    channel = servers.channel(Limits())

    async def infer() -> tuple[wire.ModelInferResponse, dict[str, Any]]:
        call = channel.unary_unary(
            f"{SERVICE}/ModelInfer", wire.ModelInferRequest.SerializeToString, wire.ModelInferResponse.FromString
        )(request, metadata=grpc.aio.Metadata(*VERSION.items()), timeout=60)
        return await call, dict(await call.trailing_metadata())

    response, trailers = servers.run(infer())

    outcome = _answer(case.caller, response, raw=False)
    assert outcome.outputs == expected(case)
    assert outcome.metadata["contract"] == f"demo@{CALLER}"
    check_marks(case, trailers)


def lines(case: Adapted) -> list[bytes]:
    """The caller's rows as JSON lines."""
    return [json.dumps(case.given, ensure_ascii=False).encode()] * ROWS


FILES = [
    (case, kind)
    for case in ANSWERED
    for kind in ("jsonl", "csv")
    if kind == "jsonl" or header(case.caller, lines(case)) is not None
]


@pytest.mark.parametrize(("case", "kind"), FILES, ids=[f"{case.id}-{kind}" for case, kind in FILES])
def test_files(case: Adapted, kind: str, bundles: dict[str, Bundle], opened: Opened, tmp_path: Path) -> None:
    """As `fivefold score --contract` reads and writes them."""
    write_text(case.caller, lines(case), tmp_path / f"a.{kind}")
    outcome = scored(bundles[case.id].views.find(CALLER), opened(case.id), tmp_path / f"a.{kind}")

    assert isinstance(outcome, Outcome), outcome
    assert outcome.outputs == expected(case)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.id)
def test_what_cannot_be_answered_is_never_a_bundle(case: Adapted, tmp_path: Path) -> None:
    """Each field at fault is named when it is written."""
    with pytest.raises(BundleInvalid) as caught:
        adapted.bundle(case, tmp_path)

    assert str(caught.value).startswith(f"contracts/{CALLER}.json: callers of {CALLER} cannot be answered by")
    assert all(f"{path}: " in str(caught.value) for path in case.refused)
    assert list(tmp_path.iterdir()) == []


def test_most_cases_can_be_asked() -> None:
    """So that a mistake in what is left out cannot leave out everything."""
    assert len(ANSWERED) > 30
    assert len(REFUSED) > 20
    assert sum(bool(messages(case)) for case in ANSWERED) > 30
    assert sum(kind == "csv" for _, kind in FILES) > 20
