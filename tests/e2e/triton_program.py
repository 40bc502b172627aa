"""NVIDIA's client asks the demo through the gateway, over HTTP and gRPC, both with TLS. Run in its own environment.

It reads `{address, authority, key, model, inputs: {name: values}}` from standard input and prints, for each transport,
the outputs and what a wrong key is told. Judging that is left to `test_clients`.
"""

from __future__ import annotations

import json
import ssl
import sys
from typing import Any

import gevent.ssl
import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException


def ask(module: Any, client: Any, given: dict[str, Any]) -> dict[str, Any]:
    inputs = []
    for name, values in given["inputs"].items():
        item = module.InferInput(name, [len(values)], "FP64")
        item.set_data_from_numpy(np.array(values, np.float64))
        inputs.append(item)
    headers = {"authorization": f"Bearer {given['key']}"}
    result = client.infer(given["model"], inputs, headers=headers)
    out = {
        "ready": client.is_model_ready(given["model"], headers=headers),
        "label": [item.decode() for item in result.as_numpy("label").tolist()],
        "probability": result.as_numpy("probability").tolist(),
    }
    try:
        client.infer(given["model"], inputs, headers={"authorization": "Bearer wrong"})
    except InferenceServerException as error:
        out["wrong key"] = error.status()
    return out


def main() -> None:
    given = json.load(sys.stdin)
    # A context of gevent's own: its client would block all others in the standard library's.
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(given["authority"])
    report = {}
    with over_http.InferenceServerClient(
        given["address"], ssl=True, ssl_context_factory=lambda: context, network_timeout=60, connection_timeout=60
    ) as client:
        report["http"] = ask(over_http, client, given)
    with over_grpc.InferenceServerClient(given["address"], ssl=True, root_certificates=given["authority"]) as client:
        report["grpc"] = ask(over_grpc, client, given)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
