"""Server reflection, version 1 beside v1alpha: newer clients ask for the former first, and some for nothing else.

The library has v1alpha's messages alone. The two versions' messages are the same but for the name of their package, so
one servicer answers both; the descriptors of version 1, which reflection itself may be asked for, are made of
v1alpha's. A Ray process has a v1alpha of its own, which is registered later and so never asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import cache
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

SERVICE: Final = "grpc.reflection.v1.ServerReflection"
ALPHA: Final[str] = reflection.SERVICE_NAME


def handlers(services: Sequence[str]) -> dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]]:
    """Service name -> method name -> handler, for both; `services` are those that they list beside themselves."""
    servicer = reflection.aio.ReflectionServicer((*services, SERVICE, ALPHA), pool=_Pool())

    async def answer(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for reply in servicer.ServerReflectionInfo(requests, context):
            yield reply

    method = grpc.stream_stream_rpc_method_handler(
        answer,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return {name: {"ServerReflectionInfo": method} for name in (SERVICE, ALPHA)}


class _Pool:
    """The default descriptor pool, and version 1 of reflection where that lacks it: another library may bring it."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        first, second = getattr(descriptor_pool.Default(), name), getattr(_version_1(), name)

        def find(*arguments: Any) -> Any:
            try:
                return first(*arguments)
            except KeyError:
                return second(*arguments)

        return find


@cache
def _version_1() -> Any:
    """A pool with version 1's file alone."""
    alpha = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(alpha)
    text = text_format.MessageToString(alpha).replace("v1alpha", "v1")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
    return pool
