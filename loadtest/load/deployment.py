"""The deployment under test: what it serves, its golden rows, and one answer of each transport.

Everything is asked over its public surface, as any client would; nothing here is measured.
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf import json_format

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import ContractInvalid
from fivefold.serving.grpc.proto import inference_pb2 as wire
from loadtest.load.payloads import Record, Requests, ValidRows, made_rows
from loadtest.load.scenario import GRPC
from loadtest.machine.measurement import NotMeasured

TOLERANCE = 1e-5
"""Where the bundle's own is not given out."""


class Unreachable(NotMeasured):
    """There is nothing to load: the sentence says why, `help` what to do."""


@dataclass
class Deployment:
    """A running server and one of its models."""

    url: str
    grpc: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    insecure: bool = False
    timeout: float = 10.0
    model: str = ""
    status: dict[str, Any] = field(default_factory=dict)

    @property
    def grpc_address(self) -> str:
        """HOST:PORT of gRPC."""
        assert self.grpc is not None
        return self.grpc.partition("://")[2] or self.grpc

    @property
    def grpc_plaintext(self) -> bool:
        """Whether gRPC goes without TLS: unless the address begins with grpcs:// or https://."""
        return not (self.grpc or "").startswith(("grpcs://", "https://"))

    def ask(self, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """One HTTP request; raises `Unreachable` where nobody answers."""
        request = urllib.request.Request(self.url + path, body, {**self.headers, **(headers or {})})
        context = None
        if self.insecure and self.url.startswith("https:"):
            import ssl

            context = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(request, timeout=self.timeout, context=context) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(
                f"no answer from {self.url}: {reason}",
                "start one with `make run`, or name yours: make load TARGET=http://host:8000",
            ) from error

    def json(self, path: str) -> Any:
        """A GET that must answer 200 with JSON."""
        status, body = self.ask(path)
        if status in (401, 403):
            raise Unreachable(f"{self.url} wants an API key (HTTP {status})", "KEY=… or --header 'name: value'")
        try:
            value = json.loads(body)
        except ValueError:
            raise Unreachable(f"{self.url}{path} answered HTTP {status} without JSON: not a Fivefold server?") from None
        if status != 200:
            raise Unreachable(f"{self.url}{path}: {value.get('error', f'HTTP {status}')}", str(value.get("help") or ""))
        return value

    def choose(self, model: str | None) -> None:
        """Take the named model, or the only one; raises `Unreachable` with the names there are."""
        known = self.json("/v1/models").get("models")
        names = [item if isinstance(item, str) else item.get("name") for item in known or []]
        if not names:
            raise Unreachable(f"{self.url} serves no model")
        if model is None and len(names) > 1:
            raise Unreachable(f"{self.url} serves {len(names)} models", f"MODEL=… one of {', '.join(names)}")
        if model is not None and model not in names:
            raise Unreachable(f"{self.url} has no model {model!r}", f"it serves {', '.join(names)}")
        self.model = model or names[0]
        self.status = self.json(f"/v1/models/{self.model}")

    def contract(self) -> Contract:
        """The model's contract."""
        try:
            return Contract.from_json(self.json(f"/v1/models/{self.model}/contract"))
        except ContractInvalid as error:
            raise Unreachable(f"the contract of {self.model!r} cannot be read: {error}") from error

    def rows(self, contract: Contract) -> ValidRows:
        """Golden rows and answers where the bundle is given out; else made rows and this deployment's own answers."""
        status, body = self.ask(f"/v1/models/{self.model}/bundle/golden.jsonl")
        if status == 200:
            pairs = [json.loads(line) for line in body.splitlines() if line.strip()]
            state, manifest = self.ask(f"/v1/models/{self.model}/bundle")
            tolerance = json.loads(manifest).get("tolerance", TOLERANCE) if state == 200 else TOLERANCE
            inputs, outputs = [pair["in"] for pair in pairs], [pair["out"] for pair in pairs]
            return ValidRows(inputs, outputs, f"{len(pairs)} golden rows of the bundle", float(tolerance))
        records = made_rows(contract)
        text = json.dumps({"instances": records}).encode()
        status, body = self.ask(f"/v1/models/{self.model}:predict", text, {"content-type": "application/json"})
        if status != 200:
            raise Unreachable(f"rows made from the contract were refused: {body[:300].decode(errors='replace')}")
        source = f"{len(records)} rows made from the contract, compared with the answers before the run"
        return ValidRows(records, json.loads(body)["predictions"], source, TOLERANCE)

    def answers(
        self, transports: Sequence[str], contract: Contract, rows: ValidRows, count: int
    ) -> dict[str, dict[str, str]]:
        """One recorded answer of each transport to the first rows: body as base64, and for REST what it answers to."""
        requests = Requests(contract, self.model)
        picked = [i % len(rows.inputs) for i in range(count)]
        out: dict[str, dict[str, str]] = {}
        for transport in transports:
            item = requests.of(transport, [rows.inputs[i] for i in picked], [rows.outputs[i] for i in picked])
            if transport in GRPC:
                out[transport] = {"body": base64.b64encode(self._ask_grpc(transport, item)).decode()}
                continue
            text = base64.b64decode(item["body"]) if transport == "binary" else item["body"].encode()
            status, body = self.ask(item["path"], text, item["headers"])
            if status != 200:
                raise Unreachable(
                    f"{self.url}{item['path']} answered HTTP {status}: {body[:300].decode(errors='replace')}"
                )
            length = ""
            if transport == "binary":
                # The binary form's JSON ends where its outermost object closes.
                length = str(_json_length(body))
            out[transport] = {"body": base64.b64encode(body).decode(), "path": item["path"], "length": length}
        return out

    def _ask_grpc(self, transport: str, item: Record) -> bytes:
        request = json_format.ParseDict(item["message"], wire.ModelInferRequest())
        metadata: Any = tuple((name.lower(), value) for name, value in self.headers.items())
        options = [("grpc.max_receive_message_length", -1)]
        if self.grpc_plaintext:
            channel = grpc.insecure_channel(self.grpc_address, options)
        else:
            channel = grpc.secure_channel(self.grpc_address, grpc.ssl_channel_credentials(), options)
        service = "/inference.GRPCInferenceService/"
        try:
            with channel:
                if transport == "grpc":
                    call: Any = channel.unary_unary(f"{service}ModelInfer")
                    return bytes(call(request.SerializeToString(), timeout=self.timeout, metadata=metadata))
                stream: Any = channel.stream_stream(f"{service}ModelStreamInfer")
                once = iter([request.SerializeToString()])
                answer = bytes(next(stream(once, timeout=self.timeout, metadata=metadata)))
                if said := wire.ModelStreamInferResponse.FromString(answer).error_message:
                    raise Unreachable(f"gRPC {self.grpc}: {said}")
                return answer
        except (grpc.RpcError, StopIteration) as error:
            detail = error.details() if isinstance(error, grpc.Call) else error
            raise Unreachable(
                f"no answer from gRPC {self.grpc}: {detail}", "GRPC=host:9000, or leave it out to load REST alone"
            ) from error


def _json_length(body: bytes) -> int:
    text = body.decode("latin-1")
    return int(json.JSONDecoder().raw_decode(text)[1])


def at(target: str, **rest: Any) -> Deployment:
    """A deployment by its address; a bare HOST:PORT is http. Raises `Unreachable` for what is no address."""
    url = target if "://" in target else f"http://{target}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Unreachable(f"{target!r} is no address", "such as http://127.0.0.1:8000")
    return Deployment(url.rstrip("/"), **rest)
