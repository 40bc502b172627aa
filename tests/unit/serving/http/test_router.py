"""`fivefold.router` in an application of the reader's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, HTTPException, Request
from jsonschema import Draft202012Validator
from tests.conformance import models
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import client

import fivefold
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid
from fivefold.serving.limits import ServingLimits

BODY = {"instances": [{"x": 2}]}


def test_a_bundle_in_the_readers_application(tmp_path: Path) -> None:
    """By path, below a prefix, beside the reader's own routes; closed with the application."""
    gate_bundle(tmp_path / "gate")
    app = FastAPI()
    app.include_router(fivefold.router(tmp_path / "gate", models.bundle("linear", tmp_path)), prefix="/ml")

    @app.get("/mine")
    def mine() -> str:
        return "mine"

    with client(app) as asking:
        assert asking.get("/mine").json() == "mine"
        assert asking.get("/ml/v2/models").json() == {"models": ["gate", "linear"]}
        assert asking.get("/ml/v2/health/ready").json() == {"ready": True}
        assert asking.get("/ml/readyz").status_code == 404
        for path in ("gate", "gate/versions/1"):
            assert asking.post(f"/ml/v1/models/{path}:predict", json=BODY).json()["predictions"] == [{"y": 4.0}]
            assert asking.get(f"/ml/v2/models/{path}").json()["name"] == "gate"
        tensors = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1]}]}
        assert asking.post("/ml/v2/models/gate/infer", json=tensors).json()["outputs"][0]["data"] == [2.0]
        assert asking.post("/ml/v1/models/linear:predict", json={"instances": [[1, 1, 1]]}).status_code == 200
        assert asking.get("/ml/v1/models/gate/bundle/contract.json").json()["name"] == "gate"


def test_errors_of_ours_keep_our_body_and_the_others_stay_the_readers(tmp_path: Path) -> None:
    """Two vocabularies, each in its own place."""
    app = FastAPI()
    app.include_router(
        fivefold.router(gate_bundle(tmp_path / "gate"), settings=ServingLimits(max_rows=1, serve_bundles=True))
    )

    with client(app) as asking:
        refused = asking.post(
            "/v1/models/gate:predict", json={"instances": [{"x": 1001}]}, headers={"x-request-id": "a"}
        )
        assert refused.status_code == 422
        assert (refused.json()["code"], refused.json()["request_id"]) == ("out_of_range", "a")
        assert asking.post("/v1/models/gate:predict", json={"instances": [{"x": 1}] * 2}).json()["code"] == "too_large"
        assert asking.get("/v1/models/gate/bundle/none").json()["code"] == "not_found"
        assert asking.get("/nothing").json() == {"detail": "Not Found"}


def test_the_readers_dependencies_apply(tmp_path: Path) -> None:
    """Also one that reads the body before we do."""

    def known(key: Annotated[str, Header(alias="x-key")] = "") -> None:
        if key != "right":
            raise HTTPException(401, "who are you?")

    async def signed(request: Request) -> None:
        assert await request.body()

    app = FastAPI()
    app.include_router(fivefold.router(gate_bundle(tmp_path / "gate")), dependencies=[Depends(known), Depends(signed)])

    with client(app) as asking:
        assert asking.post("/v1/models/gate:predict", json=BODY).json() == {"detail": "who are you?"}
        answer = asking.post("/v1/models/gate:predict", json=BODY, headers={"x-key": "right"})
        assert answer.json()["predictions"] == [{"y": 4.0}]


def resolved(document: dict[str, Any]) -> set[str]:
    """Every reference of the document, all of which lead somewhere."""
    found = set(re.findall(r'"#/([^"]+)"', json.dumps(document)))
    for reference in found:
        at: Any = document
        for part in reference.split("/"):
            at = at[part]
    return found


def _record(document: dict[str, Any], request: str) -> Any:
    """The schema of the rows of a request."""
    items = document["components"]["schemas"][request]["properties"]["instances"]["items"]
    return document["components"]["schemas"][items["anyOf"][0]["$ref"].rpartition("/")[2]]


def narrower(directory: Path) -> Bundle:
    """Another model of the gate's name and version, under another contract."""
    about = {"format": 1, "name": "gate", "version": "1.0.0", "outputs": [{"name": "y", "dtype": "float64"}]}
    return Bundle.write(
        directory,
        contract=Contract.from_json(about | {"inputs": [{"name": "x", "dtype": "float64", "maximum": 7}]}),
        model={"model/same.py": b'class Same:\n    def predict(self, columns):\n        return {"y": columns["x"]}\n'},
        runtime="python",
        entry="same:Same",
        golden=([{"x": 1.5}], [{"y": 1.5}]),
        tolerance=0.0,
    )


def test_the_readers_openapi_is_typed(tmp_path: Path) -> None:
    """Requests, rows and answers of each contract are models of the reader's document, in both protocols."""
    app = FastAPI()
    app.include_router(fivefold.router(gate_bundle(tmp_path / "gate")), prefix="/ml")

    document: dict[str, Any] = app.openapi()

    assert "components/schemas/Gate_1Record" in resolved(document)
    schemas = document["components"]["schemas"]
    assert {"Gate_1Request", "Gate_1Record", "Gate_1Response", "Gate_1Prediction", "FivefoldError"} <= set(schemas)
    assert schemas["Gate_1Record"]["properties"]["x"]["maximum"] == 1000
    for path, kind in (("/ml/v1/models/gate:predict", ""), ("/ml/v2/models/gate/versions/1/infer", "Infer")):
        operation = document["paths"][path]["post"]
        body = operation["requestBody"]["content"]["application/json"]
        good = operation["responses"]["200"]["content"]["application/json"]
        assert body["schema"] == {"$ref": f"#/components/schemas/Gate_1{kind}Request"}
        assert good["schema"] == {"$ref": f"#/components/schemas/Gate_1{kind}Response"}
        resolving = {**schemas[f"Gate_1{kind}Request"], "components": document["components"]}
        Draft202012Validator(resolving).validate(body["example"])
        resolving = {**schemas[f"Gate_1{kind}Response"], "components": document["components"]}
        Draft202012Validator(resolving).validate(good["example"])
        failed = operation["responses"]["default"]["content"]["application/json"]["schema"]
        assert failed == {"$ref": "#/components/schemas/FivefoldError"}
    names = [method["operationId"] for path in document["paths"].values() for method in path.values()]
    assert len(names) == len(set(names))


def test_two_contracts_of_one_name_stay_apart(tmp_path: Path) -> None:
    """In one document: each operation refers to its own, and a model that is mounted twice is one."""
    other = narrower(tmp_path / "other")
    same = gate_bundle(tmp_path / "gate")
    app = FastAPI()
    app.include_router(fivefold.router(same), prefix="/a")
    app.include_router(fivefold.router(same), prefix="/b")
    app.include_router(fivefold.router(other), prefix="/c")

    document: dict[str, Any] = app.openapi()

    assert resolved(document)
    found = {
        path: operation["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        for path, operation in document["paths"].items()
        if path.endswith(":predict") and "versions" not in path
    }
    assert found["/a/v1/models/gate:predict"] == found["/b/v1/models/gate:predict"]
    ranges = {path[1]: _record(document, name)["properties"]["x"]["maximum"] for path, name in found.items()}
    assert ranges == {"a": 1000, "b": 1000, "c": 7}


def test_versions_and_a_chosen_default(tmp_path: Path) -> None:
    """The default need not be the highest."""
    bundles = [gate_bundle(tmp_path / version, version) for version in ("1", "2")]
    app = FastAPI()
    app.include_router(fivefold.router(*bundles, defaults={"gate": "1"}))

    with client(app) as asking:
        assert asking.post("/v1/models/gate:predict", json=BODY).json()["metadata"]["version"] == "1"


def test_what_cannot_be_served_is_refused_at_once(tmp_path: Path) -> None:
    """No bundle, no such bundle, the same one twice."""
    bundle = gate_bundle(tmp_path / "gate")

    with pytest.raises(ValueError, match="at least one bundle"):
        fivefold.router()
    with pytest.raises(BundleInvalid):
        fivefold.router(tmp_path / "none")
    with pytest.raises(ValueError, match="given twice"):
        fivefold.router(bundle, bundle)


def test_keys_are_not_passed_over_in_silence(tmp_path: Path) -> None:
    """A router guards nothing by itself, so settings that say otherwise are refused."""
    with pytest.raises(ValueError, match="your dependencies"):
        fivefold.router(gate_bundle(tmp_path / "gate"), settings=ServingLimits(keys="keys.json"))
