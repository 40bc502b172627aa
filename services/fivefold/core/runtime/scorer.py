"""The scorer: the only place where a model is called.

`Scorer.open` proves that the model still gives its golden answers, warms it up and measures what it costs; `score` is
then safe from any number of threads and waits for nothing but the model. Where a call belongs (inline, in a thread, on
another machine) is left to the pattern, which `seconds` helps to decide; so is logging: the exception behind a
`ModelFailed` is its cause, never its text.
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from functools import cached_property, partial
from types import TracebackType
from typing import Any

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import GOLDEN, MODEL_DIRECTORY
from fivefold.core.check.findings import describe
from fivefold.core.check.outputs import check_outputs
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractError, FivefoldError, ModelFailed
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.core.runtime.devices import CPU, OWN_CODE, DeviceSettings
from fivefold.core.runtime.model_code import from_outside
from fivefold.core.runtime.onnx_runner import OnnxRunner
from fivefold.core.runtime.python_runner import PythonRunner
from fivefold.core.runtime.runner import Runner
from fivefold.core.settings import read

COST_ROWS = (1, 16, 128, 1024)
"""Batch sizes that are timed at load, as long as a call stays below `COST_SECONDS` and its rows below `COST_BYTES`."""
COST_SECONDS = 0.05
COST_BYTES = 64 << 20
"""A thousand rows of images would be more memory than serving them takes."""
_REPEATS = 3

_log = logging.getLogger(__name__)


class Scorer:
    """One opened model. `score` is thread-safe and synchronous."""

    def __init__(self, bundle: Bundle, runner: Runner, device_tolerance: float = 0.0) -> None:
        self.bundle = bundle
        self.device = runner.device
        """Where it runs: `cpu`, `cuda`, `cuda+cpu` where operators are on both, `code` where a Python model decides."""
        self._device_tolerance = device_tolerance
        self.contract: Contract = bundle.contract
        self.foreseeable = runner.foreseeable
        """Whether `seconds` can be relied on."""
        self.serial = runner.serial
        """Whether calls run one at a time: what comes meanwhile waits inside `score`."""
        self._runner = runner
        self._fields = bundle.contract.outputs
        self._nothing = {field.name: np.empty((0, *field.shape), field.numpy_dtype) for field in self._fields}
        self._cost: list[tuple[int, float]] = [(1, 0.0)]

    @classmethod
    def open(
        cls, bundle: Bundle, *, threads: int = 1, self_test: bool = True, within_seconds: float | None = None
    ) -> Scorer:
        """Open the bundle's model, prove it on the golden rows and measure its cost.

        Where it runs is what `DeviceSettings` of this process's environment say. `threads` is how many threads one call
        may use inside the model. Raises `SettingsError` for those settings, `BundleInvalid` where the model does not
        fit the binding or leaves its golden answers by more than the bundle's tolerance, and, with `within_seconds`,
        where all of this takes longer: it then goes on in a thread of its own, which nothing can end but the process.
        Without `self_test` the model is only warmed up and measured: for packing, which makes those answers.
        """
        if within_seconds is None:
            return cls._open(bundle, threads, self_test)
        return _within(within_seconds, bundle.name, partial(cls._open, bundle, threads, self_test))

    @classmethod
    def _open(cls, bundle: Bundle, threads: int, self_test: bool) -> Scorer:
        settings = read(DeviceSettings)
        if bundle.manifest.runtime == "onnx":
            wanted = settings.of(bundle.name)
            scorer = cls(bundle, OnnxRunner(bundle, threads=threads, providers=wanted), settings.device_tolerance)
            if scorer.device != wanted[0]:
                _log.warning("the model %s runs on %s; asked for was %s", bundle.name, scorer.device, ",".join(wanted))
        else:
            scorer = cls(bundle, PythonRunner(bundle))
        try:
            if self_test:
                scorer.self_test()
            scorer._measure()
        except BaseException:
            scorer.close()
            raise
        return scorer

    def score(self, columns: Columns) -> Columns:
        """Score rows: columns of the contract's inputs to columns of its outputs, row for row.

        No rows give no rows, and the model is not called. Raises `ModelFailed` where the model raised or its answer
        leaves the contract, and `ContractError` `out_of_range` for a number that the model's own float type cannot
        hold.
        """
        rows = columns.rows
        if not rows:
            return Columns(self._fields, self._nothing, 0)
        try:
            return check_outputs(self._fields, self._runner.run(columns), rows)
        except FivefoldError:
            raise
        except BaseException as err:
            # Only what a signal handler of this process raised is not the model's own: SystemExit, KeyboardInterrupt
            # and CancelledError would otherwise stop whatever runs the model, and every other model with it.
            if from_outside(err):
                raise
            raise ModelFailed("model_failed", f"the model {self.bundle.name!r} failed on this input") from err

    def predict(self, records: Sequence[Any]) -> list[dict[str, Any]]:
        """Score records (JSON objects or positional arrays, one a row) to one object of the outputs a row, in order.

        Nulls are None on both sides, bytes are base64. Raises `ContractError` with the code and path of each value that
        breaks the contract (one bad row refuses them all), and what `score` raises.
        """
        if not isinstance(records, list | tuple):
            raise ContractError("malformed", f"expected a list of records, got {describe(records)}", path="inputs")
        return self.score(self._records.read(records).accept()).to_records()

    @cached_property
    def _records(self) -> Records:
        return Records(self.contract.inputs)

    def seconds(self, rows: int) -> float:
        """About how long `score` takes for so many rows, as measured at load: between the sizes linearly, beyond them
        at the last slope."""
        cost = self._cost
        if rows <= 0:
            return 0.0
        if rows == 1:
            # Always measured, and the usual request.
            return cost[0][1]
        for (low, fast), (high, slow) in itertools.pairwise(cost):
            if rows <= high:
                return fast + (slow - fast) * (rows - low) / (high - low)
        most, longest = cost[-1]
        if len(cost) == 1:
            return longest * rows
        before, faster = cost[-2]
        return longest + (longest - faster) * (rows - most) / (most - before)

    def self_test(self) -> None:
        """Score the golden rows together and the first one alone; `BundleInvalid` at golden.jsonl where they differ."""
        given, answers = self.bundle.golden()
        for rows in dict.fromkeys((given.rows, 1)):
            try:
                got = self.score(given.slice(0, rows))
            except FivefoldError as err:
                raise BundleInvalid(f"the golden rows cannot be scored: {err}", path=GOLDEN) from err
            difference = self.difference(got, answers.slice(0, rows))
            if difference:
                help = "pack the model again with the installed versions"
                if self.device not in (CPU, OWN_CODE):
                    difference += f" on {self.device}"
                    help = "allow this device more, where that is right: FIVEFOLD_DEVICE_TOLERANCE"
                raise BundleInvalid(difference, path=GOLDEN, help=help)

    def difference(self, got: Columns, expected: Columns) -> str | None:
        """A sentence on the first value that leaves the bundle's tolerance (row, field, expected, got), or None."""
        tolerance = self.bundle.manifest.tolerance
        if self.device not in (CPU, OWN_CODE):
            tolerance = max(tolerance, self._device_tolerance)
        for field in self._fields:
            ours, theirs = got[field.name], expected[field.name]
            outside = np.argwhere(~within(field, ours, theirs, tolerance))
            if len(outside):
                at = tuple(int(index) for index in outside[0])
                where = "".join(f"[{index}]" for index in at[1:])
                limit = f" within {tolerance:g}" if field.kind == "float" else ""
                value, wanted = describe(ours[at]), describe(theirs[at])
                return f"row {at[0]}, outputs.{field.name}{where}: expected {wanted}{limit}, got {value}"
        return None

    def close(self) -> None:
        """Let go of the model and of what it put on disk; later calls of `score` raise `ModelFailed`."""
        self._runner.close()

    def __enter__(self) -> Scorer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _measure(self) -> None:
        """Time a few sizes, the best of three each. The first calls, which allocate, are the warm-up."""
        given, _ = self.bundle.golden()
        row_bytes = sum(field.size * np.dtype(field.numpy_dtype).itemsize for field in given.fields)
        cost: list[tuple[int, float]] = []
        for rows in COST_ROWS:
            if cost and rows * row_bytes > COST_BYTES:
                break
            batch = given.take(np.arange(rows) % given.rows)
            seconds = []
            try:
                self.score(batch)
                for _ in range(_REPEATS):
                    started = time.perf_counter()
                    self.score(batch)
                    seconds.append(time.perf_counter() - started)
                    if seconds[-1] > COST_SECONDS:
                        break
            except FivefoldError as err:
                raise BundleInvalid(f"the golden rows cannot be scored: {err}", path=GOLDEN) from err
            # A larger batch that timed faster is noise, and a falling cost would predict negative seconds.
            cost.append((rows, max(min(seconds), cost[-1][1] if cost else 0.0)))
            if seconds[-1] > COST_SECONDS:
                break
        self._cost = cost


def _within(seconds: float, name: str, opening: Callable[[], Scorer]) -> Scorer:
    opened: Future[Scorer] = Future()

    def run() -> None:
        try:
            scorer = opening()
        except BaseException as err:
            opened.set_exception(err)
        else:
            try:
                opened.set_result(scorer)
            except InvalidStateError:
                scorer.close()  # too late: nobody waits any more

    # A daemon: one that hangs must not keep the process from ending.
    threading.Thread(target=run, name="fivefold-open", daemon=True).start()
    try:
        return opened.result(seconds)
    except TimeoutError:
        if opened.cancel():
            raise took_too_long(name, seconds) from None
        return opened.result()


def took_too_long(name: str, seconds: float) -> BundleInvalid:
    """The error of a model that was not open in time."""
    return BundleInvalid(
        f"the model {name!r} was not loaded and tested within {seconds:g} s",
        path=MODEL_DIRECTORY,
        help="it may wait for something that this machine lacks; a slow one gets more by FIVEFOLD_SELF_TEST_SECONDS",
    )


def within(field: Field, got: Array, expected: Array, tolerance: float) -> Array:
    """Where two columns agree: floats to `tolerance * max(1, |expected|)`, NaN with NaN; all else exactly."""
    if field.kind != "float":
        return np.asarray(got == expected, np.bool_)
    ours, theirs = got.astype(np.float64, copy=False), expected.astype(np.float64, copy=False)
    with np.errstate(invalid="ignore"):
        close = np.abs(ours - theirs) <= tolerance * np.maximum(1.0, np.abs(theirs))
    return np.asarray(close | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)), np.bool_)
