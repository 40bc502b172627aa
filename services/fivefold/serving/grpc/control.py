"""What the protocol says of servers and models beside inference: metadata, configuration, statistics, the repository.

Everything is read from the models and their statistics; scoring and streams are left to `servicer`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format

from fivefold.core.errors import NotFound, ProtocolError
from fivefold.serving.grpc.call import Unary, asking
from fivefold.serving.grpc.proto import inference_pb2 as wire
from fivefold.serving.oip import metadata

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from fivefold.guard.keys import Scope
    from fivefold.serving.dataplane import Dataplane
    from fivefold.serving.messages import Call

    Said = Callable[[Any, Call], Message]
    """What a method answers to a request and its call."""

ELSEWHERE: Final = (
    "SystemSharedMemoryStatus",
    "SystemSharedMemoryRegister",
    "SystemSharedMemoryUnregister",
    "CudaSharedMemoryStatus",
    "CudaSharedMemoryRegister",
    "CudaSharedMemoryUnregister",
    "TraceSetting",
    "LogSettings",
)
"""Methods that Triton's clients know and this server has not: they end with our error instead of gRPC's bare one."""

_SCOPES: Final[dict[str, Scope | None]] = {
    # What a probe asks, which has no key.
    "ServerLive": None,
    "ServerReady": None,
    "RepositoryModelLoad": "admin",
    "RepositoryModelUnload": "admin",
    "TraceSetting": "admin",
    "LogSettings": "admin",
}
"""What a guard asks for where it is not `infer`; None: open to everybody."""


class Control:
    """The answers that need no scoring."""

    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    def methods(self) -> dict[str, Unary]:
        """The handlers by method name, those that only say `not_implemented` among them."""
        answers: dict[str, tuple[type[Message], Said]] = {
            "ServerLive": (wire.ServerLiveRequest, lambda *_: wire.ServerLiveResponse(live=True)),
            "ServerReady": (
                wire.ServerReadyRequest,
                lambda *_: wire.ServerReadyResponse(ready=self._dataplane.ready),
            ),
            "ModelReady": (wire.ModelReadyRequest, self._model_ready),
            "ServerMetadata": (wire.ServerMetadataRequest, self._server_metadata),
            "ModelMetadata": (wire.ModelMetadataRequest, self._model_metadata),
            "ModelConfig": (wire.ModelConfigRequest, self._model_config),
            "ModelStatistics": (wire.ModelStatisticsRequest, self._statistics),
            "RepositoryIndex": (wire.RepositoryIndexRequest, self._index),
            "RepositoryModelLoad": (wire.RepositoryModelLoadRequest, _fixed),
            "RepositoryModelUnload": (wire.RepositoryModelUnloadRequest, _fixed),
        }
        # The requests of these have no message here; an empty one reads any of them as unknown fields.
        answers |= {name: (wire.ServerLiveRequest, _absent(name)) for name in ELSEWHERE}
        return {
            name: asking(self._dataplane, kind, answer, _SCOPES.get(name, "infer"))
            for name, (kind, answer) in answers.items()
        }

    def _model_ready(self, request: wire.ModelReadyRequest, _call: Call) -> Message:
        try:
            self._dataplane.models.find(request.name, request.version or None)
        except NotFound:
            # As Triton answers: clients ask this in a loop until it is true.
            return wire.ModelReadyResponse(ready=False)
        return wire.ModelReadyResponse(ready=self._dataplane.ready)

    def _server_metadata(self, _: wire.ServerMetadataRequest, _call: Call) -> Message:
        return wire.ServerMetadataResponse(**metadata.server_metadata())

    def _model_metadata(self, request: wire.ModelMetadataRequest, call: Call) -> Message:
        model = self._dataplane.models.find(request.name, request.version or None)
        versions = self._dataplane.models.versions(model.name)
        about = metadata.model_metadata(model, model.view_of(call.contract), versions)
        return wire.ModelMetadataResponse(**about)

    def _model_config(self, request: wire.ModelConfigRequest, call: Call) -> Message:
        model = self._dataplane.models.find(request.name, request.version or None)
        about = wire.ModelConfigResponse()
        # The JSON form has members that the wire's part of the configuration leaves out.
        view = model.view_of(call.contract)
        answer = metadata.model_config(model, view, self._dataplane.settings.max_rows)
        json_format.ParseDict(answer, about.config, ignore_unknown_fields=True)
        return about

    def _statistics(self, request: wire.ModelStatisticsRequest, _call: Call) -> Message:
        models = self._dataplane.models
        if request.name:
            chosen = [models.find(request.name, request.version or None)]
            if not request.version:
                chosen = [models.find(request.name, version) for version in models.versions(request.name)]
        else:
            chosen = list(models)
        answer = {"model_stats": [metadata.model_statistics(model) for model in chosen]}
        return json_format.ParseDict(answer, wire.ModelStatisticsResponse())

    def _index(self, request: wire.RepositoryIndexRequest, _call: Call) -> Message:
        if request.ready and not self._dataplane.ready:
            return wire.RepositoryIndexResponse()
        answer = {"models": metadata.repository_index(self._dataplane)}
        return json_format.ParseDict(answer, wire.RepositoryIndexResponse())


def _fixed(_request: Any, _call: Call) -> Message:
    raise ProtocolError(
        "not_implemented", "what is served changes with the deployment", help="deploy again with other models"
    )


def _absent(name: str) -> Said:
    def answer(_request: Any, _call: Call) -> Message:
        raise ProtocolError("not_implemented", f"{name} is not served here")

    return answer
