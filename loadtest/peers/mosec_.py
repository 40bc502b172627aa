"""Mosec: its Rust front, one worker that batches up to 32 requests for at most 1 ms, msgspec for JSON.

A body that is not JSON is raw little-endian float32, and so is its answer: Mosec's workers read bytes themselves.
"""

import sys
from typing import Any

import msgspec
import numpy as np
from mosec import Server, Worker
from scoring import Scorer, ports


class Rows(msgspec.Struct):
    """The body: one list of thirty numbers for each row."""

    X: list[list[float]]


class Inference(Worker):
    """Scores a batch of requests at once."""

    def __init__(self) -> None:
        super().__init__()
        self.score = Scorer()
        self.decode = msgspec.json.Decoder(Rows).decode
        self.encode = msgspec.json.Encoder().encode

    def deserialize(self, data: bytes) -> tuple[bool, Any]:
        """Whether it came as JSON, and the rows."""
        if data.startswith(b'{"X"'):
            return True, np.array(self.decode(data).X, np.float32)
        return False, self.score.rows(data)

    def forward(self, data: list[tuple[bool, Any]]) -> list[tuple[bool, Any]]:
        """One call of the model for all requests of the batch."""
        blocks = [block for _, block in data]
        if len(blocks) == 1:
            return [(data[0][0], self.score(blocks[0]))]
        ends = np.cumsum([len(block) for block in blocks])[:-1]
        parts = np.split(self.score(np.concatenate(blocks)), ends)
        return [(as_json, part) for (as_json, _), part in zip(data, parts)]

    def serialize(self, data: tuple[bool, Any]) -> bytes:
        """As it came."""
        as_json, out = data
        return self.encode({"probability": out.tolist()}) if as_json else out.tobytes()


if __name__ == "__main__":
    http, _ = ports()
    sys.argv = [sys.argv[0], "--address", "127.0.0.1", "--port", str(http), "--log-level", "warning"]
    server = Server()
    server.append_worker(Inference, num=1, max_batch_size=32, max_wait_time=1)
    server.run()
