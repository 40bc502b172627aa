"""Ray Data: `map_batches` over Parquet, with a pool of actors that hold the model, as its documentation has it.

With `--tasks` the model is called in stateless tasks instead and kept by each worker process, so that reading, scoring
and writing become one task: the form in which no block crosses the object store.
"""

import sys

import ray
from ray.data import ActorPoolStrategy, DataContext
from tables import CHUNK, COLUMNS, answer, given, scorer


class Model:
    """An actor that has opened the model."""

    def __init__(self) -> None:
        self.score = scorer()

    def __call__(self, batch):
        """Score one batch, a table."""
        return _answer(self.score, batch)


def stateless(batch):
    """Score one batch, a table, with this process's model."""
    return _answer(scorer(), batch)


def _answer(score, batch):
    import pyarrow as pa

    return pa.Table.from_batches([answer(score, part) for part in batch.combine_chunks().to_batches()])


if __name__ == "__main__":
    data, folder, workers = given()
    ray.init(address="local", num_cpus=workers, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
    DataContext.get_current().enable_progress_bars = False
    rows = ray.data.read_parquet(str(data)).select_columns(COLUMNS)
    if "--tasks" in sys.argv:
        scored = rows.map_batches(stateless, batch_size=None, batch_format="pyarrow")
    else:
        # Actors that take whole cores would leave none to the tasks that read and write.
        pool = ActorPoolStrategy(size=workers)
        scored = rows.map_batches(Model, batch_size=CHUNK * 8, batch_format="pyarrow", compute=pool, num_cpus=0.5)
    scored.write_parquet(str(folder))
