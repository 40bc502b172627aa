"""MLServer: V2 over REST and gRPC, a custom runtime in the server's process (`parallel_workers` 0), no access log."""

import json
import os
import sys
import tempfile
from pathlib import Path

import scoring
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from scoring import Scorer, ports


class Rows(MLModel):
    """One model."""

    async def load(self) -> bool:
        """Once, at the start."""
        self.score = Scorer()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Score the rows."""
        out = self.score(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(
            id=payload.id, model_name=self.name, outputs=[NumpyCodec.encode_output(self.score.output, out)]
        )


def main() -> None:
    """Write the two settings files that `mlserver start` reads, and become it."""
    http, grpc = ports()
    folder = Path(tempfile.mkdtemp(prefix="mlserver-", dir=os.environ.get("TMPDIR")))
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "grpc_max_message_length": 64 << 20,
        "metrics_endpoint": None,
        "parallel_workers": 0,
        "debug": False,
        "gzip_enabled": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {"name": os.environ[scoring.NAME], "implementation": "mlserver_.Rows"}
    (folder / "model-settings.json").write_text(json.dumps(model))
    program = str(Path(sys.executable).with_name("mlserver"))
    os.execv(program, [program, "start", str(folder)])


if __name__ == "__main__":
    main()
