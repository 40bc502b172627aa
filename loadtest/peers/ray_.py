"""Ray Serve as its documentation shows it: a FastAPI ingress with a pydantic body, and a gRPC method.

Every option is as it comes. With `--bare` the deployment has no FastAPI and no gRPC: the smallest replica that holds
the model, beside which Fivefold's memory is put.
"""

import signal
import sys

import numpy as np
import ray
from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve
from ray.serve.config import gRPCOptions
from scoring import ports
from starlette.requests import Request

app = FastAPI()


class Rows(BaseModel):
    """The body: one list of thirty numbers for each row."""

    X: list[list[float]]


@serve.deployment
@serve.ingress(app)
class AsItComes:
    """FastAPI in a replica, and beside it a method that Serve's gRPC proxy calls."""

    def __init__(self) -> None:
        from oip import inference_pb2
        from scoring import Scorer

        self.score, self.wire = Scorer(), inference_pb2

    @app.post("/predict")
    async def predict(self, body: Rows) -> dict[str, list[list[float]]]:
        """Score the rows."""
        return {"probability": self.score(np.array(body.X, np.float32)).tolist()}

    async def ModelInfer(self, request):  # noqa: N802
        """Score the rows of raw tensors."""
        out = self.score(self.score.rows(request.raw_input_contents[0]))
        answer = self.wire.ModelInferResponse(model_name=request.model_name, raw_output_contents=[out.tobytes()])
        answer.outputs.add(name=self.score.output, datatype="FP32", shape=out.shape)
        return answer


@serve.deployment
class Bare:
    """No framework at all."""

    def __init__(self) -> None:
        from scoring import Scorer

        self.score = Scorer()

    async def __call__(self, request: Request) -> dict[str, list[list[float]]]:
        """Score the rows."""
        return {"probability": self.score(np.array((await request.json())["X"], np.float32)).tolist()}


if __name__ == "__main__":
    http, grpc = ports()
    ray.init(address="local", include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    methods = ["oip.inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"]
    serve.start(
        http_options={"host": "127.0.0.1", "port": http},
        grpc_options=gRPCOptions(port=grpc, grpc_servicer_functions=methods) if grpc else None,
    )
    if "--bare" in sys.argv:
        serve.run(Bare.bind(), route_prefix="/predict")
    else:
        serve.run(AsItComes.bind(), route_prefix="/")
    signal.pause()
