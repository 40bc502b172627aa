"""The second engine: Ray Data reads, checks and scores, for who builds pipelines of it; the result is the same.

    fragments ─> read (tasks) ─> score (actors) ─> this process writes, in the fragments' order

Rows travel as Arrow blocks through the object store, under their fragment and row. Chunks keep their bounds, so models
get the same batches as from the other engine and the files have the same bytes. The ledger, the breaker and publishing
are the run's own; a fragment that is finished is not read again.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from fivefold.batch import formats
from fivefold.batch.engine.actors import Actors
from fivefold.batch.engine.ray_cluster import RayCluster
from fivefold.batch.formats.carried_schema import conformed
from fivefold.batch.formats.chunk import BrokenUnit, Chunk, ReadRequest, RefusedRows
from fivefold.batch.output.ledger import Ledger, Record
from fivefold.batch.output.sinks import Layout, to_arrow
from fivefold.batch.plan import planning
from fivefold.batch.plan.contract_choice import view_of
from fivefold.batch.plan.planning import Fragment
from fivefold.batch.storage.output_storage import open_storage, storing
from fivefold.batch.work.fragment_files import FragmentFiles
from fivefold.batch.work.fragment_scorer import answered, chunks_of
from fivefold.batch.work.task import RunTask
from fivefold.core.columns import Columns
from fivefold.core.errors import FivefoldError, InternalError, RunFailed
from fivefold.core.fields.field import Field
from fivefold.core.readers.arrow import Arrow
from fivefold.core.runtime.devices import DeviceSettings
from fivefold.core.settings import read

FRAGMENT, ROW, HEAD = "_fragment", "_row", "_head"
"""A chunk is its rows behind one that has only a head, which holds what has no column."""

GIVEN, ANSWER = "in.", "out."


@dataclass(frozen=True, slots=True)
class _ChunkHead:
    """A chunk's refusals, and the carried values of its rows, whose types differ from file to file. `broken` where the
    fragment begins anew instead."""

    fragment: str
    refusals: list[RefusedRows]
    carried: dict[str, Any]
    broken: bool = False
    at: int = 0
    """Which of the fragment's files it is of."""


class RayData:
    """Scores fragments by Ray Data, for the length of a `with`."""

    def __init__(self, task: RunTask, workers: int, fragments: int) -> None:
        self._task = task
        self._cluster = RayCluster(workers, max(fragments, 2))

    def __enter__(self) -> RayData:
        self._cluster.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing of it works any more when this returns."""
        self._cluster.__exit__()

    def work(self, fragments: Sequence[Fragment]) -> Iterator[Record | None]:
        """The records of fragments as they are finished; None whenever something else has happened."""
        from fivefold.delivery.fetch import fetch

        task = self._task
        bundle = fetch(task.model, task.delivery)
        view = view_of(bundle, task.settings)
        layout = Layout.of(view, f"{bundle.name}@{bundle.version}", task.settings.columns)
        output = open_storage(task.output, allow_http=task.settings.store_http)
        writer = _Writer(fragments, Ledger(output), output.scratch(), layout, task.settings.format)
        try:
            for table in self._answered(fragments, planning.read_request(view, task.settings)):
                with storing(task.output):
                    yield from writer.take(table)
                yield None
            with storing(task.output):
                yield from writer.end()
        finally:
            writer.close()

    def actors(self, fragments: int) -> Actors:
        """Workers of the other engine on the same Ray."""
        return Actors(self._task, 0, fragments, self._cluster)

    def _answered(self, fragments: Sequence[Fragment], request: ReadRequest) -> Iterator[pa.Table]:
        """The tables, and what ends them as an error of ours."""
        tables = self._tables(fragments, request)
        while True:
            try:
                table = next(tables, None)
            except FivefoldError:
                raise
            except Exception as err:  # Ray Data wraps what happens in a stage in its own classes
                raise _meaning(err) from err
            if table is None:
                return
            yield table

    def _tables(self, fragments: Sequence[Fragment], request: ReadRequest) -> Iterator[pa.Table]:
        from ray import data

        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        # What ends the stages is reported once, as an error of ours.
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        context.execution_options.preserve_order = True
        # What is divided by size would divide chunks too.
        context.target_max_block_size = None
        items = [{FRAGMENT: index, "pickled": pickle.dumps(fragment)} for index, fragment in enumerate(fragments)]
        rows = data.from_items(items, override_num_blocks=len(items))
        # Half a CPU each: readers and scorers take turns, and neither waits for what the other one holds.
        pool: dict[str, Any] = {"num_cpus": 0.5, "compute": data.ActorPoolStrategy(size=self._cluster.size)}
        # Left to itself it replaces workers without end, also for a row that kills every one of them.
        pool["ray_remote_args_fn"] = _mortal
        blocks = rows.map_batches(
            ReadStage, fn_constructor_args=(request,), batch_size=1, batch_format="pyarrow", **pool
        )
        scored = blocks.map_batches(
            ScoreStage,
            fn_constructor_args=(self._task,),
            batch_size=None,
            batch_format="pyarrow",
            num_gpus=read(DeviceSettings).gpus,
            **pool,
        )
        yield from scored.iter_batches(batch_size=None, batch_format="pyarrow")


def _mortal() -> dict[str, Any]:
    return {"max_restarts": 0, "max_task_retries": 0}


def _meaning(err: BaseException) -> FivefoldError:
    """What has happened in a stage: an error of ours, or the death of its workers."""
    from ray import exceptions

    gone = (exceptions.ActorDiedError, exceptions.ActorUnavailableError, exceptions.WorkerCrashedError)
    lost = False
    found: BaseException | None = err
    while found is not None:
        cause = getattr(found, "cause", None)
        inner = cause if isinstance(cause, BaseException) else found.__cause__
        for each in (found, inner):
            if isinstance(each, FivefoldError) and not isinstance(each, exceptions.RayError):
                return each
        lost = lost or isinstance(found, gone)
        found = inner
    if lost:
        return RunFailed("worker_lost", "workers of Ray Data died")
    return InternalError("internal", "a defect of fivefold stopped the run")


class ReadStage:
    """Fragments to checked rows: the first stage."""

    def __init__(self, request: ReadRequest) -> None:
        self._request = request

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """The chunks of fragments."""
        for row in batch.to_pylist():
            fragment: Fragment = pickle.loads(row["pickled"])  # noqa: S301  # this run has pickled it
            broken: dict[int, dict[int, str]] = {}
            while True:
                at = 0
                try:
                    for at, (source, part) in enumerate(fragment.ranges):
                        reader = formats.of(source.format, self._request)
                        for found in chunks_of(fragment, source.url, reader.read(source, part, broken.get(at, {}))):
                            chunk = conformed(found, fragment.carried, source.url)
                            head = _ChunkHead(fragment.id, chunk.refusals, chunk.carried, at=at)
                            yield self._table(row[FRAGMENT], chunk, head)
                    break
                except BrokenUnit as err:
                    broken.setdefault(at, {})[err.unit] = err.reason
                    yield self._table(
                        row[FRAGMENT], _nothing(self._request.fields), _ChunkHead(fragment.id, [], {}, True)
                    )

    def _table(self, index: int, chunk: Chunk, head: _ChunkHead) -> pa.Table:
        return _chunk_table(index, chunk.numbers, head, _arrays(self._request.fields, GIVEN, chunk.columns))


class ScoreStage:
    """Checked rows to answers: the second stage."""

    def __init__(self, task: RunTask) -> None:
        from fivefold.core.runtime.scorer import Scorer
        from fivefold.delivery.fetch import fetch

        bundle = fetch(task.model, task.delivery)
        self._scorer = Scorer.open(bundle)
        self._view = view = view_of(bundle, task.settings)
        self._fields, self._outputs = view.inputs, view.outputs

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The chunks of a block, answered."""
        out = []
        for index, head, rows in _chunks(batch):
            given = _columns(self._fields, GIVEN, rows)
            chunk = Chunk(given, rows.column(ROW).to_numpy(), head.carried, head.refusals)
            kept, answers = answered(self._scorer, self._view, chunk)
            columns = _arrays(self._fields, GIVEN, kept.columns) | _arrays(self._outputs, ANSWER, answers)
            head = replace(head, refusals=kept.refusals, carried=kept.carried)
            out.append(_chunk_table(index, kept.numbers, head, columns))
        return pa.concat_tables(out)


class _Writer:
    """Writes what comes, fragment after fragment."""

    def __init__(
        self, fragments: Sequence[Fragment], ledger: Ledger, scratch: Any, layout: Layout, format: str
    ) -> None:
        self._fragments, self._ledger, self._scratch = fragments, ledger, scratch
        self._layout, self._format = layout, format
        self._at = -1
        self._files: FragmentFiles | None = None

    def take(self, table: pa.Table) -> Iterator[Record]:
        for index, head, rows in _chunks(table):
            if index != self._at:
                yield from self.end()
                self._at = index
                fragment = self._fragments[index]
                self._files = FragmentFiles(fragment, self._ledger, self._scratch, self._layout, self._format)
            assert self._files is not None
            if head.broken:
                self._files.restart()
            else:
                self._files.turn_to(head.at)
                kept = _columns(self._layout.kept, GIVEN, rows)
                chunk = Chunk(kept, rows.column(ROW).to_numpy(), head.carried, head.refusals)
                self._files.write(chunk, _columns(self._layout.outputs, ANSWER, rows))

    def end(self) -> Iterator[Record]:
        if self._files is not None:
            record = self._files.finish(1)
            self._files.abandon()
            self._files = None
            yield record

    def close(self) -> None:
        if self._files is not None:
            self._files.abandon()
        self._scratch.close()


def _chunk_table(index: int, numbers: Any, head: _ChunkHead, columns: dict[str, Any]) -> pa.Table:
    """A chunk as rows behind its head's."""
    count = len(numbers)
    table = {
        FRAGMENT: pa.array(np.full(count + 1, index), pa.int64()),
        ROW: pa.array(np.concatenate([[-1], numbers]), pa.int64()),
        HEAD: pa.array([pickle.dumps(head), *[None] * count], pa.binary()),
    }
    table |= {name: pa.concat_arrays([pa.nulls(1, values.type), values]) for name, values in columns.items()}
    return pa.table(table)


def _chunks(table: pa.Table) -> Iterator[tuple[int, _ChunkHead, pa.Table]]:
    """The chunks of a table: the fragment they belong to, their head, their rows."""
    starts = np.flatnonzero(table.column(ROW).to_numpy() == -1).tolist()
    for start, end in zip(starts, [*starts[1:], len(table)], strict=True):
        head: _ChunkHead = pickle.loads(table.column(HEAD)[start].as_py())  # noqa: S301  # this run has pickled it
        yield table.column(FRAGMENT)[start].as_py(), head, table.slice(start + 1, end - start - 1)


def _arrays(fields: Sequence[Field], prefix: str, columns: Columns) -> dict[str, Any]:
    return {f"{prefix}{field.name}": to_arrow(field, columns) for field in fields}


def _columns(fields: Sequence[Field], prefix: str, rows: pa.Table) -> Columns:
    """Some columns of a chunk's rows as they were before they travelled."""
    if not fields:
        return Columns((), {}, len(rows))
    arrays = [rows.column(f"{prefix}{field.name}").combine_chunks() for field in fields]
    return Arrow(fields).read(pa.RecordBatch.from_arrays(arrays, [field.name for field in fields])).accept()


def _nothing(fields: Sequence[Field]) -> Chunk:
    arrays = {field.name: np.empty((0, *field.shape), field.numpy_dtype) for field in fields}
    return Chunk(Columns(fields, arrays, 0), np.zeros(0, np.int64), {})
