"""The generated Python client is typed code that works against a server."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from tests.support.contract_values import case_contracts, every_rule, good_record

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractError
from fivefold.core.readers.records import Records
from fivefold.exports import export

ROOT = Path(__file__).parents[3]

USES = """
from every_rule_v2_client import AsyncEveryRuleV2Client, EveryRuleV2Client, EveryRuleV2Record

good: EveryRuleV2Record = {
    "mean-radius": 1, "mean_radius": None, "meanRadius": 2, "grade": "1", "code": "AB-123", "id": 5, "wide": [1, 2],
    "class": [[1, 2, 3], [4, None, 6]], "image": [[1, 2, 3, 4]] * 3,
}
missing: EveryRuleV2Record = {"mean-radius": 1}  # type: ignore[typeddict-item]
unknown: EveryRuleV2Record = {**good, "unheard": 1}  # type: ignore[typeddict-unknown-key]
good["site"] = "middle"  # type: ignore[typeddict-item]
good["code"] = None  # type: ignore[typeddict-item]
good["id"] = "5"  # type: ignore[typeddict-item]


def blocking() -> str | None:
    with EveryRuleV2Client("http://127.0.0.1:8000", version="1") as client:
        answer = client.predict([good], timeout=1.0)
    score: float | None = answer.predictions[0]["score"]
    nothing: str = answer.predictions[0]["nothing"]  # type: ignore[typeddict-item]
    return None if score is None else answer.predictions[0]["label"] + answer.metadata["request_id"] + nothing


async def awaiting() -> float:
    async with AsyncEveryRuleV2Client("http://127.0.0.1:8000") as client:
        return (await client.predict([good])).predictions[0]["probability"][0]
"""


def load(contract: Contract, directory: Path) -> ModuleType:
    [(name, content)] = export(contract, "python-client").items()
    path = directory / name
    path.write_bytes(content)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[path.stem]
    return module


@pytest.mark.parametrize("contract", [every_rule(), *case_contracts()], ids=lambda contract: contract.name)
def test_the_types_hold_the_contract(contract: Contract, tmp_path: Path) -> None:
    """Python imports the module; its rows have the contract's names, required as the contract says."""
    module = load(contract, tmp_path)
    [record] = [kind for name, kind in vars(module).items() if name.endswith("Record")]
    [prediction] = [kind for name, kind in vars(module).items() if name.endswith("Prediction")]

    assert record.__required_keys__ == {field.name for field in contract.inputs if field.required}
    assert record.__optional_keys__ == {field.name for field in contract.inputs if not field.required}
    assert list(prediction.__annotations__) == [field.name for field in contract.outputs]


@pytest.mark.full
def test_mypy_agrees(tmp_path: Path) -> None:
    """The module passes `mypy --strict`, and so do its uses, apart from those that the contract would refuse."""
    [(name, content)] = export(every_rule(), "python-client").items()
    (tmp_path / name).write_bytes(content)
    (tmp_path / "uses.py").write_text(USES)
    environment = {**os.environ, "MYPYPATH": f"{ROOT / 'services'}{os.pathsep}{tmp_path}"}
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml")]
    # Only this module is on trial here; the package is checked by `make check`.
    command.append("--follow-imports=silent")

    out = subprocess.run(
        [*command, str(tmp_path / name), str(tmp_path / "uses.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert out.returncode == 0, out.stdout + out.stderr


ANSWER = {"label": "benign", "probability": [0.75, 0.25], "score": None, "raw": "QQ==", "rank": 1}


class _Server(ThreadingHTTPServer):
    """A server of the V1 route alone: the contract's own reader, and one answer for every row."""

    asked: list[str]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, _Server)
        self.server.asked.append(self.path)
        status, answer = 200, b""
        try:
            rows = Records(every_rule().inputs).read_json(body).accept().rows
            metadata = dict.fromkeys(("model", "version", "bundle", "contract", "transport"), "x")
            metadata["request_id"] = self.headers["x-request-id"]
            answer = msgspec.json.encode({"predictions": [ANSWER] * rows, "metadata": metadata})
        except ContractError as err:
            status, answer = 422, msgspec.json.encode(err.to_json())
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@pytest.fixture
def server() -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def test_it_asks_and_answers(server: _Server, tmp_path: Path) -> None:
    """Both clients send typed rows to the model's own route and hand back typed answers."""
    module = load(every_rule(), tmp_path)
    record = {("meanRadius" if name == "mr" else name): value for name, value in good_record().items()}
    url = f"http://127.0.0.1:{server.server_port}"

    async def awaited() -> Any:
        async with module.AsyncEveryRuleV2Client(url) as client:
            return await client.predict([record])

    with module.EveryRuleV2Client(url, version="3") as client:
        answer = client.predict([record, record], request_id="mine")

    assert answer.predictions == [ANSWER, ANSWER]
    assert answer.metadata["request_id"] == "mine"
    assert base64.b64decode(answer.predictions[0]["raw"]) == b"A"
    assert asyncio.run(awaited()).predictions == [ANSWER]
    assert server.asked == [
        "/v1/models/every-rule.v2/versions/3:predict",
        "/v1/models/every-rule.v2:predict",
    ]


def test_it_raises_what_the_server_raised(server: _Server, tmp_path: Path) -> None:
    """A refused row is the contract's own error, with code and path."""
    module = load(every_rule(), tmp_path)

    with (
        module.EveryRuleV2Client(f"http://127.0.0.1:{server.server_port}") as client,
        pytest.raises(ContractError) as caught,
    ):
        client.predict([{**good_record(), "id": "five"}])

    assert (caught.value.code, caught.value.path) == ("wrong_type", "inputs.id[0]")
