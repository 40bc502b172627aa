"""Records over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conformance import models
from tests.support.grpc_calls import echo_bundle, gate_bundle
from tests.support.http_calls import World, world

from fivefold.core.bundle.bundle import Bundle


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("v1")
    bundles: list[Bundle] = [
        models.bundle("linear", place),
        models.bundle("classifier", place),
        echo_bundle(place / "echo"),
        *(gate_bundle(place / f"gate-{version}", version) for version in ("9", "10")),
    ]
    with world(bundles) as out:
        yield out


def test_records_in_and_predictions_with_metadata_out(served: World) -> None:
    """The whole answer, on the lean path."""
    model = served.serving.models.find("linear")
    names = [field.name for field in model.contract.inputs]

    reply = served.post(
        "/v1/models/linear:predict", {"instances": [dict.fromkeys(names, 1), [0, 0, 0]]}, x_request_id="1"
    )

    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.json == {
        "predictions": [{"y": 3.5}, {"y": 1.0}],
        "metadata": {
            "model": "linear",
            "version": "1",
            "bundle": model.bundle.digest,
            "contract": f"linear@{model.contract.version}",
            "transport": "http",
            "request_id": "1",
        },
    }


def test_no_rows_give_no_predictions(served: World) -> None:
    """An empty list is a valid request."""
    assert served.post("/v1/models/linear:predict", {"instances": []}).json["predictions"] == []


def test_labels_and_arrays_are_plain_json(served: World) -> None:
    """Strings, integers and arrays in one prediction."""
    [prediction] = served.post("/v1/models/classifier:predict", {"instances": [[1, 2, 1]]}).json["predictions"]

    assert prediction == {"label": "middle", "index": 1, "share": [0.25, 0.5, 0.25]}


def test_every_dtype_comes_back_as_it_went_in(served: World) -> None:
    """The golden row of a model that echoes every dtype."""
    given, _ = served.serving.models.find("echo").bundle.golden()

    reply = served.post("/v1/models/echo:predict", {"instances": given.to_records()})

    assert reply.json["predictions"] == given.to_records()


def test_versions_have_paths_and_the_highest_is_the_default(served: World) -> None:
    """10 is higher than 9, whatever the alphabet says."""
    body = {"instances": [{"x": 1}]}
    answers = {
        path: served.post(f"/v1/models/{path}:predict", body).json
        for path in ("gate", "gate/versions/9", "gate/versions/10")
    }

    assert {path: answer["metadata"]["version"] for path, answer in answers.items()} == {
        "gate": "10",
        "gate/versions/9": "9",
        "gate/versions/10": "10",
    }


def test_violations_come_in_the_contracts_order(served: World) -> None:
    """The first one speaks, all of them are in the details."""
    reply = served.post("/v1/models/gate:predict", {"instances": [{"x": 1001}, {"x": "1"}, {"ex": 1, "why": 2}]})

    assert reply.status == 422
    assert [(item["code"], item["path"]) for item in reply.json["details"]] == [
        ("unknown_field", "inputs.why[2]"),
        ("wrong_type", "inputs.x[1]"),
        ("out_of_range", "inputs.x[0]"),
    ]
    assert reply.code == "unknown_field"


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v1/models/gat:predict", "model_not_found"),
        ("/v1/models/gate/versions/11:predict", "version_not_found"),
        ("/v2/models/gat/infer", "model_not_found"),
        ("/v2/models/gate/versions/11/infer", "version_not_found"),
    ],
)
def test_a_model_that_is_not_there_is_not_found(served: World, path: str, code: str) -> None:
    """404 with the nearest name or the versions as help, counted without the name that came."""
    before = served.count(code)

    reply = served.post(path, {"instances": []})

    assert (reply.status, reply.code) == (404, code)
    assert reply.json["help"] in ("did you mean 'gate'?", "versions: 9, 10")
    assert served.count(code) == before + 1


def test_a_record_that_is_the_whole_body_is_shown_wrapped(served: World) -> None:
    """With the caller's own fields; what is no record of the model's is not."""
    path = "/v1/models/linear:predict"
    names = [field.name for field in served.serving.models.find("linear").contract.inputs]

    flat = served.post(path, {name: at + 1 for at, name in enumerate(names)}).json
    row = ", ".join(f'"{name}": {at + 1}' for at, name in enumerate(names))
    assert (flat["code"], flat["help"]) == ("malformed", f'wrap it in instances: {{"instances": [{{{row}}}]}}')
    assert served.post(path, {"instance": []}).json["help"] == "did you mean 'instances'?"
    assert served.post(path, [[1, 2, 3]]).json["help"] == 'wrap it in instances: {"instances": […]}'
    many = {name: [1] for name in names} | {"x": 1, "y": 2}
    assert served.post(path, many).json["help"].endswith(", …}]}")
