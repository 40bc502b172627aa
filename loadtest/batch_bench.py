"""Rows a second of a run over files, beside other ways to the same answers: `python -m loadtest.batch_bench`.

    fivefold   `fivefold score`, the time that run.json says: checked, quarantined, accounted for, fsynced
    ray-data   `read_parquet().map_batches(actors).write_parquet()` on the same model, unchecked
    spark      `mapInArrow` on local[CORES], where `--spark` names a Python that has pyspark
    bare       the model runtime alone on arrays in memory, one thread, in chunks of the same size: a bound for one core

The two models are a linear one (what is measured is everything around it) and 50 trees. Rounds are interleaved, and the
medians are printed as JSON. Starting Ray or Spark is in no figure.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq

FEATURES, FILES, CHUNK = 20, 8, 8192
NAMES = [f"f{index}" for index in range(FEATURES)]


def make(home: Path, rows: int) -> None:
    """The input as Parquet, and the two bundles."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import LinearRegression

    from fivefold.packing import pack

    generator = np.random.default_rng(6)
    given = generator.uniform(-1, 1, (4000, FEATURES)).astype(np.float32)
    wanted = given @ generator.uniform(-1, 1, FEATURES).astype(np.float32)
    law = {
        "format": 1,
        "version": "1.0.0",
        "inputs": [{"name": name, "dtype": "float32", "minimum": -1, "maximum": 1} for name in NAMES],
        "outputs": [{"name": "y", "dtype": "float32"}],
    }
    golden = [dict(zip(NAMES, map(float, row))) for row in given[:64]]
    forest = RandomForestRegressor(n_estimators=50, max_depth=10, random_state=0, n_jobs=1)
    for name, model in (("linear", LinearRegression()), ("trees", forest)):
        pack(model.fit(given, wanted), law | {"name": name}, home / name, golden_from=golden)
    (home / "data").mkdir()
    for index in range(FILES):
        block = generator.uniform(-1, 1, (rows // FILES, FEATURES)).astype(np.float32)
        table = pa.table({name: block[:, at] for at, name in enumerate(NAMES)})
        pq.write_table(table, home / "data" / f"{index}.parquet", row_group_size=100_000)


def fivefold(home: Path, model: str, cores: int) -> tuple[float, float]:
    """Seconds without Ray's start, and the most megabytes a worker has had."""
    output = home / "out"
    shutil.rmtree(output, ignore_errors=True)
    words = ["score", "--model", str(home / model), "--input", str(home / "data"), "--output", str(output), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "fivefold.cli", *words, "--workers", str(cores)], capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    report = json.loads(done.stdout)
    return float(report["working_seconds"]), report["worker_peak_bytes"] / 1e6


RAY_DATA = """
import json, sys, time
import numpy as np, onnxruntime, pyarrow as pa, ray
model, data, output, cores, names = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5].split(",")
ray.init(num_cpus=cores, logging_level="ERROR", log_to_driver=False, include_dashboard=False)
ray.data.DataContext.get_current().enable_progress_bars = False
class Predict:
    def __init__(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.name = self.session.get_inputs()[0].name
    def __call__(self, batch):
        block = np.stack([batch[name] for name in names], axis=1)
        return {"y": self.session.run(None, {self.name: block})[0].reshape(-1)}
def work():
    # A CPU is left for reading and writing, or the pool and they would wait for each other.
    size = max(1, cores - 1)
    found = ray.data.read_parquet(data).map_batches(Predict, batch_size=8192, compute=ray.data.ActorPoolStrategy(size=size))
    found.write_parquet(output)
started = time.monotonic()
work()
print(json.dumps({"seconds": time.monotonic() - started}))
"""

SPARK = """
import json, sys, time
import numpy as np, onnxruntime, pyarrow as pa
from pyspark.sql import SparkSession
model, data, output, cores, names = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), sys.argv[5].split(",")
spark = SparkSession.builder.master(f"local[{cores}]").config("spark.ui.enabled", "false").config("spark.driver.memory", "4g").config("spark.sql.execution.arrow.maxRecordsPerBatch", "8192").getOrCreate()
spark.sparkContext.setLogLevel("ERROR")
spark.range(1).count()
def predict(batches):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    for batch in batches:
        block = np.stack([batch.column(each).to_numpy() for each in names], axis=1)
        yield pa.RecordBatch.from_arrays([pa.array(session.run(None, {name: block})[0].reshape(-1))], ["y"])
started = time.monotonic()
spark.read.parquet(data).mapInArrow(predict, "y float").write.mode("overwrite").parquet(output)
print(json.dumps({"seconds": time.monotonic() - started}))
"""


def script(python: str, text: str, home: Path, model: str, cores: int) -> float:
    """Seconds that another way takes."""
    output = home / "other"
    shutil.rmtree(output, ignore_errors=True)
    words = [str(home / model / "model.onnx"), str(home / "data"), str(output), str(cores), ",".join(NAMES)]
    done = subprocess.run(
        [python, "-c", text, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )
    if done.returncode:
        raise SystemExit(done.stderr[-4000:])
    return float(json.loads(done.stdout.strip().splitlines()[-1])["seconds"])


def bare(home: Path, model: str) -> float:
    """Rows a second of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(home / model / "model.onnx"), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    block = np.random.default_rng(1).uniform(-1, 1, (CHUNK, FEATURES)).astype(np.float32)
    started, rows = time.monotonic(), 0
    while time.monotonic() - started < 5:
        session.run(None, {name: block})
        rows += CHUNK
    return rows / (time.monotonic() - started)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--home", type=Path, default=Path("dist/batch-bench"))
    parser.add_argument("--spark", help="a Python with pyspark, pyarrow and onnxruntime")
    arguments = parser.parse_args()
    home: Path = arguments.home.absolute()
    if not (home / "data").exists():
        home.mkdir(parents=True, exist_ok=True)
        make(home, arguments.rows)
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in (home / "data").glob("*"))
    out: dict[str, Any] = {"rows": rows, "features": FEATURES, "cores": arguments.cores}
    for model in ("linear", "trees"):
        found: dict[str, list[float]] = {}
        peak = 0.0
        for _ in range(arguments.rounds):
            seconds, megabytes = fivefold(home, model, arguments.cores)
            peak = max(peak, megabytes)
            found.setdefault("fivefold", []).append(rows / seconds)
            found.setdefault("ray-data", []).append(rows / script(sys.executable, RAY_DATA, home, model, arguments.cores))
            if arguments.spark:
                found.setdefault("spark", []).append(rows / script(arguments.spark, SPARK, home, model, arguments.cores))
            found.setdefault("bare", []).append(bare(home, model))
        medians = {name: statistics.median(values) for name, values in found.items()}
        out[model] = {
            "rows_per_second": {name: round(value) for name, value in medians.items()},
            "spread": {name: [round(min(values)), round(max(values))] for name, values in found.items()},
            "over": {name: round(medians["fivefold"] / value, 2) for name, value in medians.items() if name != "bare"},
            "of_bare_by_core": round(medians["fivefold"] / arguments.cores / medians["bare"], 2),
            "worker_peak_mb": round(peak),
        }
    print(json.dumps(out, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
