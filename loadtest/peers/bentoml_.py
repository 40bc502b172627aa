"""BentoML: a plain service with one worker and an async method; metrics and the access log are off."""

import os
import sys
from pathlib import Path

import bentoml
import numpy as np
from scoring import Scorer, ports


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Rows:
    """One model."""

    def __init__(self) -> None:
        self.score = Scorer()

    @bentoml.api
    async def predict(self, X: list[list[float]]) -> dict[str, list[list[float]]]:  # noqa: N803
        """Score the rows."""
        return {"probability": self.score(np.array(X, np.float32)).tolist()}


if __name__ == "__main__":
    http, _ = ports()
    this = Path(__file__).resolve()
    serve = ["serve", f"{this.stem}:Rows", "--working-dir", str(this.parent), "--host", "127.0.0.1"]
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", *serve, "--port", str(http)])
