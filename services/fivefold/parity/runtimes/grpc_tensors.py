"""gRPC: typed tensors in raw form, over a real channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

from fivefold.client.array_codec import from_tensor
from fivefold.client.retry import CONTRACT_VERSION
from fivefold.core import oip_tensors
from fivefold.parity.question_rows import Question
from fivefold.parity.row_answers import RowAnswer, RowRefused, of_arrays
from fivefold.parity.runtimes import served_bundle
from fivefold.parity.runtimes.asked_runtime import AskedBundle, Runtime, in_groups
from fivefold.parity.runtimes.tensor_rows import TensorRows
from fivefold.serving.grpc.proto import inference_pb2 as wire

SECONDS = 60.0


class GrpcTensors(Runtime):
    """`ModelInfer` of the Open Inference Protocol."""

    def __init__(self, asked: AskedBundle) -> None:
        super().__init__(asked)
        self._tensors = TensorRows(self.view.inputs)
        self._server: served_bundle.ServedBundle | None = None

    def can_say(self, question: Question) -> bool:
        return bool(question.record) and self._tensors.typed(question)

    def ask(self, asked: Sequence[Question]) -> list[RowAnswer]:
        self._server = served_bundle.ServedBundle(self.bundle, served_bundle.grpc)
        with grpc.insecure_channel(self._server.address, [("grpc.max_receive_message_length", -1)]) as channel:
            infer = channel.unary_unary(
                "/inference.GRPCInferenceService/ModelInfer",
                wire.ModelInferRequest.SerializeToString,
                wire.ModelInferResponse.FromString,
            )
            return in_groups(asked, lambda group: self._infer(infer, group), self._tensors.kind)

    def _infer(self, infer: Any, group: Sequence[Question]) -> list[RowAnswer] | RowRefused:
        request = wire.ModelInferRequest(model_name=self.bundle.name)
        for name, datatype, array in self._tensors.arrays(group):
            request.inputs.add(name=name, datatype=datatype, shape=array.shape)
            request.raw_input_contents.append(oip_tensors.pack(array))
        try:
            reply = infer(request, timeout=SECONDS, metadata=((CONTRACT_VERSION, self.view.version),))
        except grpc.RpcError as error:
            return _refusal(error)
        arrays = {
            output.name: from_tensor(output.datatype, output.shape, raw)
            for output, raw in zip(reply.outputs, reply.raw_output_contents, strict=True)
        }
        return of_arrays(self.view.outputs, arrays, len(group))

    def close(self) -> None:
        if self._server is not None:
            self._server.close()


def _refusal(error: Any) -> RowRefused:
    """What a failed call says in its trailers; one without any of ours is no refusal, and raised."""
    trailers = dict(error.trailing_metadata() or ())
    if "fivefold-code" not in trailers or "grpc-status-details-bin" not in trailers:
        raise error
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details:
        detail.Unpack(info)
        detail.Unpack(bad)
    found = tuple((each.reason.lower(), each.field) for each in bad.field_violations)
    return RowRefused(found or ((trailers["fivefold-code"], info.metadata.get("path", "")),))
