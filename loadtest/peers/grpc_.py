"""A bare grpc.aio servicer of the Open Inference Protocol: no proxy, no contract, no metrics, raw tensors alone."""

import asyncio

import grpc
from oip import inference_pb2, inference_pb2_grpc
from scoring import Scorer, ports


class Servicer(inference_pb2_grpc.GRPCInferenceServiceServicer):
    """One method."""

    def __init__(self) -> None:
        self.score = Scorer()

    async def ModelInfer(self, request, context):  # noqa: ARG002, N802
        """Score the rows."""
        out = self.score(self.score.rows(request.raw_input_contents[0]))
        answer = inference_pb2.ModelInferResponse(model_name=request.model_name, raw_output_contents=[out.tobytes()])
        answer.outputs.add(name=self.score.output, datatype="FP32", shape=out.shape)
        return answer


async def serve(port: int) -> None:
    """Until the process is ended."""
    # What is received may be a batch of images; by itself gRPC takes 4 MiB.
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", -1)])
    inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(ports()[1]))
