"""Plain FastAPI under uvicorn: a pydantic body, an async handler that answers with plain values, no access log."""

import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from scoring import Scorer, ports

app = FastAPI()
score = Scorer()


class Rows(BaseModel):
    """The body: one list of thirty numbers for each row."""

    X: list[list[float]]


class Answer(BaseModel):
    """The answer: two probabilities for each row."""

    probability: list[list[float]]


@app.post("/predict")
async def predict(body: Rows) -> Answer:
    """Score the rows."""
    return Answer(probability=score(np.array(body.X, np.float32)).tolist())


if __name__ == "__main__":
    http, _ = ports()
    uvicorn.run(app, port=http, access_log=False, log_level="warning")
