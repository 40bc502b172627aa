"""The contract as other languages read it: one process a language, and the driver that asks it.

`browser` is node with the very file that browsers load (`browser_reader.mjs`), `jvm` the jar of `services/jvm`. A
process reads a question a line and answers a line. A model is not run there: the driver gives what was read to the
runner of the case's bundle, and the raw answer back to the reader's check.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.fields.field import Field
from fivefold.core.runtime.scorer import Scorer
from tests.conformance.cases import ROOT, Case, load_contract
from tests.conformance.drivers import Outcome, Refusal, lists, refusal_of_body

READER = Path(__file__).with_name("browser_reader.mjs")
SITE = Path(__file__).parents[2] / "services" / "fivefold" / "edge" / "export" / "site"
JAR = Path(__file__).parents[2] / ".cache" / "jvm" / "fivefold.jar"

SPELLINGS = {"browser": ("records", "tensors"), "jvm": ("records",)}
"""Reader -> the spellings of a case that it reads."""


class ContractReader:
    """The process; asked from one thread. It ends with `close`."""

    def __init__(self, name: str, command: Sequence[str], spellings: Sequence[str]) -> None:
        self.name, self.spellings = name, spellings
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, question: str, **parts: Any) -> dict[str, Any]:
        """What the process answers: `answer`, or `error` with the body of its error."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"ask": question, **parts}).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the process has ended: {self._process.wait(10)}"
        out: dict[str, Any] = json.loads(line)
        return out

    def close(self) -> None:
        """Let it finish, and make sure that it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> ContractReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def browser_reader(node: str) -> ContractReader:
    """The contract as browsers read it, by this node."""
    return ContractReader("browser", [node, str(READER), str(SITE / "contract.js")], SPELLINGS["browser"])


def jvm_reader(java: str) -> ContractReader:
    """The contract as apps on a JVM read it, by this java; a heap that a small machine has."""
    command = [java, "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", str(JAR), "questions"]
    return ContractReader("jvm", command, SPELLINGS["jvm"])


def packed(data: bytes) -> str:
    """Bytes as a question holds them."""
    return base64.b64encode(data).decode()


class ContractReaderDriver:
    """Asks a reader, and its check of what the bundle's own model answers."""

    def __init__(self, reader: ContractReader, scorers: Callable[[str], Scorer]) -> None:
        self.transport = reader.name
        self.reader = reader
        self.scorers = scorers

    def asks(self, case: Case) -> Iterator[str]:
        return (spelling for spelling in case.spellings() if spelling in self.reader.spellings)

    def ask(self, case: Case, spelling: str) -> Outcome | Refusal:
        body = case.records if spelling == "records" else case.tensors
        assert body is not None
        limits = {"maxRows": case.limits.max_rows, "maxDepth": case.limits.max_depth}
        contract = packed((ROOT / "contracts" / f"{case.contract}.json").read_bytes())
        reply = self.reader.ask(
            spelling,
            contract=contract,
            body=packed(body),
            limits={name: value for name, value in limits.items() if value is not None},
        )
        if "error" in reply:
            return refusal_of_body(reply["error"])
        own = load_contract(case.contract)
        columns = columns_of(own.inputs, reply["answer"])
        raw = raw_answer(self.scorers(case.contract), columns)
        checked = self.reader.ask("outputs", contract=contract, answer=tensors_of(raw), rows=columns.rows)
        if "error" in checked:
            return refusal_of_body(checked["error"])
        return Outcome(canonical(own.outputs, checked["answer"]), lists(own.inputs, columns))


def raw_answer(scorer: Scorer, columns: Columns) -> Mapping[str, Array]:
    """What the model gives before anything is checked."""
    if not columns.rows:
        return dict(scorer.score(columns).items())
    return scorer._runner.run(columns)


def tensors_of(arrays: Mapping[str, Array]) -> dict[str, Any]:
    """A model's arrays as a question holds them."""
    out = {}
    for name, array in arrays.items():
        flat, dtype = array.reshape(-1), array.dtype.name
        if array.dtype.kind == "f":
            data: list[Any] = [hexadecimal(value) for value in flat.astype(np.float64).tolist()]
        elif array.dtype.kind in "iu":
            data = [str(value) for value in flat.tolist()]
        elif array.dtype.kind == "b":
            data = [int(value) for value in flat.tolist()]
        elif any(isinstance(value, bytes) for value in flat.tolist()):
            dtype = "bytes"
            data = [packed(value if isinstance(value, bytes) else value.encode()) for value in flat.tolist()]
        else:
            dtype, data = "string", [str(value) for value in flat.tolist()]
        out[name] = {"dtype": dtype, "shape": list(array.shape), "data": data}
    return out


def hexadecimal(value: float) -> str:
    """The binary64 of a number, its most significant digit first."""
    return f"{int(np.float64(value).view(np.uint64)):016x}"


def number(text: str) -> float:
    """The number of those digits."""
    return float(np.uint64(int(text, 16)).view(np.float64))


def canonical(fields: Sequence[Field], answer: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The process' columns as the cases compare them."""
    return {
        field.name: _nested(
            [_one(field, value) for value in answer["columns"][field.name]], (answer["rows"], *field.shape)
        )
        for field in fields
    }


def _one(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.kind == "float":
        return number(value).hex()
    return int(value) if field.kind == "int" else value


def _nested(flat: list[Any], shape: Sequence[int]) -> list[Any]:
    if len(shape) == 1:
        return flat
    step = len(flat) // shape[0] if shape[0] else 0
    return [_nested(flat[at * step : (at + 1) * step], shape[1:]) for at in range(shape[0])]


def columns_of(fields: Sequence[Field], answer: Mapping[str, Any]) -> Columns:
    """The process' columns as ours."""
    arrays: dict[str, Array] = {}
    nulls = {}
    for field in fields:
        given = answer["columns"][field.name]
        shape = (answer["rows"], *field.shape)
        flat = np.empty(len(given), field.numpy_dtype)
        flat[:] = [_value(field, value) for value in given]
        arrays[field.name] = flat.reshape(shape)
        if field.null_is_value:
            nulls[field.name] = np.array([value is None for value in given], np.bool_).reshape(shape)
    return Columns(fields, arrays, answer["rows"], nulls=nulls)


def _value(field: Field, value: Any) -> Any:
    if value is None:
        return field.null
    if field.kind == "float":
        return number(value)
    if field.kind == "int":
        return int(value)
    return base64.b64decode(value) if field.kind == "bytes" else value


def contract_bytes(contract: Contract) -> str:
    """A contract as a question holds it."""
    return packed(contract.to_bytes())
