"""A caller's view of a model: what it sends is taken to the model's own columns, and the answer back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.support import grpc_calls
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import World, world

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.columns import Columns
from fivefold.core.errors import ProtocolError
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.core.readers.tensors import Tensors
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.view import View
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.repository import Model

BEFORE = (Field("tenths", "int64"),)
AFTER = (Field("double_tenths", "int64"),)


def tenths(model: Model) -> View:
    """The model's contract as it might have been before: tenths in place of `x`, and of `y` in the answer."""

    own = model.view.inputs

    def into(columns: Columns) -> Columns:
        return Columns(own, {"x": columns["tenths"] / 10}, columns.rows)

    def back(columns: Columns) -> Columns:
        return Columns(AFTER, {"double_tenths": np.round(columns["y"] * 10).astype(np.int64)}, columns.rows)

    return View("gate@0.9", None, BEFORE, AFTER, Records(BEFORE), Tensors(BEFORE), into, back)


@pytest.fixture
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return gate_bundle(tmp_path_factory.mktemp("gate") / "gate")


@pytest.fixture
def http(bundle: Bundle) -> Iterator[World]:
    with world([bundle]) as out:
        model = out.serving.models.find("gate")
        model.view = tenths(model)
        yield out


def test_records_are_read_and_written_under_the_view(http: World) -> None:
    """V1 names the view's fields on both sides; the model never sees them."""
    answer = http.post("/v1/models/gate:predict", {"instances": [{"tenths": 25}, {"tenths": 5}]})

    assert answer.json["predictions"] == [{"double_tenths": 50}, {"double_tenths": 10}]


def test_tensors_are_read_and_written_under_the_view(http: World) -> None:
    """V2 too, in what it describes as well."""
    tensor = {"name": "tenths", "datatype": "INT64", "shape": [1], "data": [25]}
    answer = http.post("/v2/models/gate/infer", {"inputs": [tensor], "outputs": [{"name": "double_tenths"}]}).json
    described = http.get("/v2/models/gate").json

    assert [(output["name"], output["data"]) for output in answer["outputs"]] == [("double_tenths", [50])]
    assert [each["name"] for each in (*described["inputs"], *described["outputs"])] == ["tenths", "double_tenths"]


def test_messages_are_read_and_written_under_the_view(bundle: Bundle) -> None:
    """And gRPC."""
    request = wire.ModelInferRequest(model_name="gate")
    tensor = request.inputs.add(name="tenths", datatype="INT64", shape=[1])
    tensor.contents.int64_contents.append(25)
    with grpc_calls.world([bundle]) as world:
        model = world.serving.models.find("gate")
        model.view = tenths(model)
        (output,) = world.infer(request).answer.outputs

    assert (output.name, list(output.contents.int64_contents)) == ("double_tenths", [50])


def test_a_contract_version_that_is_not_served_is_refused(bundle: Bundle) -> None:
    """A model's own version is; today there is no other."""
    model = Model(bundle, Scorer.open(bundle))

    assert model.view_for(bundle.contract.version) is model.view
    with pytest.raises(ProtocolError, match=r"not served under version '7\.0\.0'") as caught:
        model.view_for("7.0.0")
    assert caught.value.code == "contract_unsupported"
    model.scorer.close()
