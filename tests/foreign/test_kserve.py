"""KServe's clients, unmodified, against a real host: what `kserve_program.py` reports of each of its calls."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.foreign.asking import ECHOED, Facts, check, example

pytestmark = [pytest.mark.full, pytest.mark.host]

DEMO = "breast-cancer"
TOO_LARGE = "inputs.i[0]: expected an int32, got 1099511627776"
NOBODY = "no model 'nobody' is served here"


@pytest.fixture
def facts(reports: Callable[[str], Facts]) -> Facts:
    """What the program reports."""
    return reports("kserve")


def readable(bundle: Bundle) -> list[str]:
    """The outputs that the REST client can read raw: it takes every BYTES tensor for text."""
    return [field.name for field in bundle.contract.outputs if field.dtype != "bytes"]


def test_v1_health(facts: Facts) -> None:
    """Liveness is asked at `/`, readiness of a model at its own path."""
    said = facts("v1")

    assert said["live"] is True
    assert said["ready"] is True
    assert said["absent"][0] == 404
    assert NOBODY in said["absent"][1]


def test_v1_predictions_are_the_models(facts: Facts, served: dict[str, Bundle]) -> None:
    """Records in and out: echoes exactly, golden rows closely."""
    answers = facts("v1")["answers"]

    assert set(answers) == set(served)
    for name, answer in answers.items():
        wanted = example(served[name])[1].to_records()
        assert answer["metadata"]["bundle"] == served[name].digest
        if name in ECHOED:
            assert answer["predictions"] == wanted
            continue
        for got, row in zip(answer["predictions"], wanted, strict=True):
            assert got["label"] == row["label"]
            tolerance = served[name].manifest.tolerance
            np.testing.assert_allclose(got["probability"], row["probability"], rtol=0, atol=tolerance)


def test_v1_refusals_reach_the_caller(facts: Facts) -> None:
    """The status, and our sentence in the exception's text; explanations are not implemented."""
    said = facts("v1")

    assert said["refused"][0] == 422
    assert said["refused"][1].startswith(TOO_LARGE)
    assert said["unknown"][0] == 404
    assert said["unknown"][1].startswith(NOBODY)
    assert said["explain"][0] == 501
    assert said["explain"][1].startswith("explanations are not implemented here")


def test_v1_headers_go_both_ways(facts: Facts) -> None:
    """The caller's request id comes back, in the header and in the metadata."""
    answer, header = facts("v1")["headers"]

    assert (header, answer["metadata"]["request_id"]) == ("mine", "mine")


@pytest.mark.parametrize("step", ["v2_health", "grpc_health"])
def test_v2_health(facts: Facts, step: str) -> None:
    """What is not there is not ready, and no error."""
    assert facts(step) == {"live": True, "ready": True, "model": True, "absent": False}


def test_v2_answers_are_the_models(facts: Facts, served: dict[str, Bundle]) -> None:
    """JSON and binary tensors in both directions, asked for as a whole and output by output."""
    said = facts("v2_infer")

    # FP16 has no spelling in JSON; one model has it.
    assert len(said) == 6 * len(served) - 3
    for asked, (request_id, answer) in said.items():
        name, sent, back = asked.split()
        assert request_id == f"{sent} {back}"
        names = None if back == "json" else readable(served[name])
        check(answer, served[name], in_json=back == "json", names=names)


def test_v2_details(facts: Facts, served: dict[str, Bundle]) -> None:
    """A plain dict, chosen outputs, the answer's parameters, refusals."""
    said = facts("v2_infer_details")

    check(said["plain"], served[DEMO], in_json=True)
    assert said["parameters"]["bundle"] == served[DEMO].digest
    assert said["headers"] == "application/json"
    assert said["some"] == ["probability"]
    for status, sentence in said["refused"]:
        assert (status, sentence.startswith(TOO_LARGE)) == (422, True)
    assert said["unknown"][0] == 404


def test_grpc_answers_are_the_models(facts: Facts, served: dict[str, Bundle]) -> None:
    """Typed and raw tensors; each is answered in its own form."""
    said = facts("grpc_infer")

    assert len(said) == 2 * len(served) - 1
    for asked, (request_id, answer) in said.items():
        assert request_id == "mine"
        check(answer, served[asked.split()[0]], in_json=False)


def test_grpc_details(facts: Facts) -> None:
    """Chosen outputs, a version, parameters, the request id, refusals and a deadline."""
    said = facts("grpc_infer_details")

    assert (said["some"], said["version"], said["request id"]) == (["probability"], "1", "a-header")
    assert said["refused"] == [["INVALID_ARGUMENT", TOO_LARGE]] * 2
    assert said["late"][0] == "DEADLINE_EXCEEDED"
