"""PySpark on this machine: `mapInArrow` over Parquet, each Python worker with a model that it keeps."""

from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession
from tables import ANSWER, COLUMNS, KEY, answer, given, scorer


def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Score a partition's batches."""
    for batch in batches:
        yield answer(scorer(), batch)


if __name__ == "__main__":
    data, folder, workers = given()
    spark = (
        SparkSession.builder.master(f"local[{workers}]")
        .config("spark.driver.memory", "4g")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    rows = spark.read.parquet(str(data)).select(*COLUMNS)
    rows.mapInArrow(score, f"{KEY} bigint, {ANSWER} float").write.parquet(str(folder))
    spark.stop()
