"""LitServe: one worker, ZeroMQ between the front and the worker (`fast_queue`), no batching, no access log."""

import litserve
import numpy as np
from scoring import Scorer, ports


class Api(litserve.LitAPI):
    """The four steps of a LitServe API."""

    def setup(self, device: str) -> None:  # noqa: ARG002
        """In the worker."""
        self.score = Scorer()

    def decode_request(self, request: dict[str, list[list[float]]]) -> np.ndarray:
        """JSON's lists to one block."""
        return np.array(request["X"], np.float32)

    def predict(self, block: np.ndarray) -> np.ndarray:
        """Score the rows."""
        return self.score(block)

    def encode_response(self, out: np.ndarray) -> dict[str, list[list[float]]]:
        """Two probabilities for each row."""
        return {"probability": out.tolist()}


if __name__ == "__main__":
    http, _ = ports()
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=http,
        num_api_servers=1,
        generate_client_file=False,
        access_log=False,
        log_level="warning",
    )
