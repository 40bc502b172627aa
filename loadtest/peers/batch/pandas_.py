"""The loop that a notebook has: a file as a data frame, one call of the model with all the cores it takes, a file."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
from scoring import INPUT, MODEL, OUTPUT
from tables import ANSWER, COLUMNS, FEATURES, KEY, given

if __name__ == "__main__":
    data, folder, _ = given()
    folder.mkdir()
    session = onnxruntime.InferenceSession(Path(os.environ[MODEL]).read_bytes(), providers=["CPUExecutionProvider"])
    for path in sorted(data.glob("*.parquet")):
        frame = pd.read_parquet(path, columns=COLUMNS)
        block = frame[list(FEATURES)].to_numpy(np.float32)
        frame[ANSWER] = session.run([os.environ[OUTPUT]], {os.environ[INPUT]: block})[0].reshape(-1)
        frame[[KEY, ANSWER]].to_parquet(folder / path.name, index=False)
