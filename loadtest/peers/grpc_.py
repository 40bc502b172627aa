"""A bare grpc.aio servicer of the Open Inference Protocol: no proxy, no contract, no metrics, raw tensors alone."""

import asyncio

import grpc
import numpy as np
from oip import inference_pb2, inference_pb2_grpc
from scoring import COLUMNS, Scorer, ports


class Servicer(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """One method."""

    def __init__(self) -> None:
        self.score = Scorer()

    async def ModelInfer(self, request, context):  # noqa: ARG002, N802
        """Score the rows."""
        out = self.score(np.frombuffer(request.raw_input_contents[0], "<f4").reshape(-1, COLUMNS))
        answer = inference_pb2.ModelInferResponse(model_name=request.model_name, raw_output_contents=[out.tobytes()])
        answer.outputs.add(name="probability", datatype="FP32", shape=out.shape)
        return answer


async def serve(port: int) -> None:
    """Until the process is ended."""
    server = grpc.aio.server()
    inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(ports()[1]))
