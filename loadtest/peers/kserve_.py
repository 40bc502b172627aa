"""The KServe SDK's model server: V2 over REST (JSON and binary) and gRPC, one worker, warnings alone logged."""

import logging
import os

import kserve
import scoring
from kserve import InferOutput, InferRequest, InferResponse
from kserve.utils.utils import generate_uuid
from scoring import Scorer, ports


class Rows(kserve.Model):
    """One model."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.score = Scorer()
        self.ready = True

    async def predict(self, payload: InferRequest, *_headers: object) -> InferResponse:
        """Score the rows; the answer is binary where the request asks for that."""
        out = self.score(payload.inputs[0].as_numpy())
        tensor = InferOutput(name=self.score.output, shape=list(out.shape), datatype="FP32")
        tensor.set_data_from_numpy(out, binary_data=payload.use_binary_outputs)
        return InferResponse(
            payload.id or generate_uuid(),
            self.name,
            infer_outputs=[tensor],
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )


if __name__ == "__main__":
    http, grpc = ports()
    server = kserve.ModelServer(http_port=http, grpc_port=grpc, workers=1, enable_latency_logging=False)
    for name in ("kserve", "kserve.trace", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
    server.start([Rows(os.environ[scoring.NAME])])
