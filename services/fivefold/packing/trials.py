"""What runs in the sandbox: a source model is loaded, described, converted, and each conversion held against it.

`Trials` lives in a child process (`fivefold.packing.sandbox`), because a model's own code, a converter or the runtime
may hang or take the process with it. Choosing among conversions and writing the bundle is left to
`fivefold.packing.assembly`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as attribute
from pathlib import Path
from typing import Any

import numpy as np

from fivefold.core.bundle.binding import Binding
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MODEL
from fivefold.core.check.outputs import check_outputs
from fivefold.core.columns import Array, Columns
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractError, FivefoldError, ModelFailed, first_line
from fivefold.core.fields.field import Field
from fivefold.core.readers.records import Records
from fivefold.core.runtime.runner import fold
from fivefold.core.runtime.scorer import Scorer
from fivefold.packing import golden, graph, measure
from fivefold.packing.bind import Bind, infer
from fivefold.packing.decisions import near_decisions
from fivefold.packing.distributions import apart
from fivefold.packing.frames import Seen
from fivefold.packing.measure import Difference
from fivefold.packing.probe import Probe
from fivefold.packing.python_source import PythonSource
from fivefold.packing.recognise import SourceOptions, recognise
from fivefold.packing.source_model import Conversion, ConversionPlan, SourceModel, Unconverted, Unrunnable
from fivefold.packing.training import Layout, of_seen
from fivefold.packing.wrapping import WrappedSource

_WRAP = "pack it with --as python"

ALONE = 8
"""Rows that are asked alone as well as among the others."""
INFLUENCE = 1e-3
"""Differences from which on they are no longer taken for rounding in another order."""

Ask = Callable[[Columns], Columns]


@dataclass(frozen=True)
class Description:
    """A source model in facts: kind and libraries, the loader's warnings, the columns that it was fitted on."""

    kind: str
    facts: Mapping[str, str]
    warnings: tuple[str, ...]
    features: tuple[str, ...] | None
    entry: str | None
    wrapped: bool = False


@dataclass(frozen=True)
class TrialTask:
    """What a conversion has to fit: the contract, what the user bound, the rows to measure with, a scratch folder, and
    the columns of the user's data as pandas holds them (`fivefold.packing.frames.seen`)."""

    contract: Contract
    bound: Bind
    asked: Probe
    tolerance: float
    scratch: Path
    seen: Mapping[str, Seen] = attribute(default_factory=dict)

    @property
    def probe(self) -> Columns:
        """The rows to measure with."""
        return self.asked.columns


@dataclass(frozen=True)
class Trial:
    """One conversion as it would be packed, and how far its answers are from the original's."""

    plan: ConversionPlan
    floats: str
    notes: tuple[str, ...]
    model: Mapping[str, bytes]
    binding: Binding | None
    difference: Difference
    frame: Layout | None = None
    packages: Mapping[str, str] = attribute(default_factory=dict)


class Trials:
    """One source model. `prepare` comes before `plans`, `plans` before `run`."""

    def __init__(self, source: Any, reading: SourceOptions | None = None) -> None:
        warned = recognise(source, reading)
        self._source: SourceModel | PythonSource | WrappedSource = warned.source
        self._warnings = warned.warnings
        self._task: TrialTask | None = None

    def describe(self) -> Description:
        """What the source is."""
        source = self._source
        entry = source.entry if isinstance(source, PythonSource | WrappedSource) else None
        wrapped = isinstance(source, WrappedSource)
        return Description(source.kind, dict(source.facts), self._warnings, source.features(), entry, wrapped)

    def outputs(self, inputs: Sequence[Field], sample: Columns, seen: Mapping[str, Seen]) -> tuple[Field, ...]:
        """The output fields that a drafted contract starts with, asked of the model with rows of its inputs."""
        if isinstance(self._source, WrappedSource):
            return self._source.outputs(sample, of_seen(seen, inputs))
        return self._source.outputs(inputs, sample, seen)

    def prepare(self, task: TrialTask) -> tuple[ConversionPlan, ...]:
        """Take the task; the conversions to try, the preferred one first."""
        self._task = task
        if isinstance(self._source, WrappedSource):
            self._source.prepare(task.contract, task.bound, task.probe, of_seen(task.seen, task.contract.inputs))
        if isinstance(self._source, PythonSource | WrappedSource):
            return (ConversionPlan("as it is"),)
        return tuple(self._source.plans(task.contract, task.bound.inputs, task.seen, task.probe))

    def decisions(self) -> Columns | None:
        """Rows beside the jumps of the original's answers, which a conversion has to get right as well."""
        source, task = self._source, self._given()
        if isinstance(source, PythonSource | WrappedSource) or source.felt(task.probe.slice(0, 1)) is None:
            return None

        def felt(columns: Columns) -> Array:
            answer = source.felt(columns)
            assert answer is not None  # it was there for the first row
            return answer

        with contextlib.suppress(BundleInvalid):  # a row that the original cannot answer is said where all are asked
            return near_decisions(task.probe, felt, task.tolerance)
        return None

    def run(self, plan: ConversionPlan) -> Trial:
        """Convert, bind, open and measure; raises `BundleInvalid` with the reason where one of these fails."""
        source = self._source
        if isinstance(source, PythonSource):
            return self._python(source, plan)
        if isinstance(source, WrappedSource):
            return self._wrapped(source, plan)
        try:
            conversion = source.convert(plan)
        except FivefoldError:
            raise
        except Exception as err:  # converters raise whatever their authors met
            raise Unconverted(
                f"the {source.kind} model cannot be converted to ONNX: {first_line(err)}",
                help=_WRAP,
            ) from err
        return self._measured(source, plan, conversion)

    def _measured(self, source: SourceModel, plan: ConversionPlan, conversion: Conversion) -> Trial:
        task = self._given()
        contract, rows = task.contract, task.probe.rows
        raw = conversion.model if isinstance(conversion.model, bytes) else graph.encoded(conversion.model)
        ports = graph.ports(graph.load(raw, "the converted model"))
        binding = infer(
            contract, *ports, Bind({**conversion.feeds, **task.bound.inputs}, task.bound.outputs, conversion.nulls)
        )
        bound = {item.model_output for item in binding.outputs}
        asked = [port for port in ports[1] if port.name in bound]

        def source_answers(columns: Columns) -> Columns:
            named = source.answers(columns, binding, asked)
            return _picked(contract, binding, named, columns.rows)

        # The original first: a row that it cannot answer is no fault of the conversion.
        want = source_answers(task.probe)
        tied = source.undecided(task.probe, task.tolerance)
        _independent("the original model", task, want, source_answers, tied)
        try:
            with self._scorer({MODEL: raw}, "onnx", binding, None) as scorer:
                got = answers(scorer, task.probe)
                alone = [(row, answers(scorer, task.probe.slice(row, row + 1))) for row in _lonely(task.probe)]
        except BundleInvalid as err:
            if err.path == MODEL and source.kind != "onnx":
                raise Unrunnable(f"the converter wrote what cannot be run: {err.message}", help=_WRAP) from err
            if isinstance(err.__cause__, ModelFailed) and source.kind != "onnx":
                raise Unconverted(
                    f"the converted model fails on rows that the original answers: {err.__cause__}", help=_WRAP
                ) from err
            raise
        difference = measure.compare(contract.outputs, want, got, tied)
        for row, answer in alone:
            here = None if tied is None else tied[row : row + 1]
            single = measure.compare(contract.outputs, want.slice(row, row + 1), answer, here)
            # What is wrong among the others is said with its count: one row asked alone has none to tell.
            if not difference.wrong and not single.within(max(difference.largest, task.tolerance)):
                difference = replace(single, where=f"{single.where}, asked alone", row=row)
        assert want.rows == got.rows == rows  # check_outputs has compared the shapes
        return Trial(plan, conversion.floats, conversion.notes, {MODEL: raw}, binding, difference)

    def _python(self, source: PythonSource, plan: ConversionPlan) -> Trial:
        task = self._given()
        seen = []
        for _ in range(2):
            with self._scorer(source.files, "python", None, source.entry) as scorer:
                seen.append(answers(scorer, task.probe))
                if len(seen) == 2:
                    difference = measure.compare(task.contract.outputs, seen[0], seen[1])
                    if difference.within(task.tolerance):
                        _independent("the class", task, seen[1], lambda rows: answers(scorer, rows))
        return Trial(plan, "", (), source.files, None, difference)

    def _wrapped(self, source: WrappedSource, plan: ConversionPlan) -> Trial:
        """The bundle, asked through the readers and the encoders, against the model itself."""
        task = self._given()
        contract, model = task.contract, source.files

        def source_answers(columns: Columns) -> Columns:
            try:
                return check_outputs(contract.outputs, source.answers(columns), columns.rows)
            except ModelFailed as err:
                raise leaves(err, "the original model") from err

        want = source_answers(task.probe)
        trial = Trial(plan, "", source.describe(), model, None, measure.compare(contract.outputs, want, want))
        trial = replace(trial, frame=source.frame, packages=source.packages)
        with self._apart(), self._scorer(model, "python", None, source.entry, trial) as scorer:
            given = Records(contract.inputs).read(task.probe.to_records()).accept()
            got = answers(scorer, given)
            got = Records(contract.outputs).read(got.to_records()).accept()
            tied = source.undecided(task.probe, task.tolerance)
            _independent("the packed model", task, got, lambda columns: answers(scorer, columns), tied)
        _independent("the original model", task, want, source_answers, tied)
        return replace(trial, difference=measure.compare(contract.outputs, want, got))

    def _apart(self) -> contextlib.AbstractContextManager[None]:
        """Modules of the author's own are out of reach, as on a server, while a bundle is asked."""
        source = self._source
        return apart(source.own if isinstance(source, WrappedSource) else {})

    def golden_answers(self, trial: Trial, kept: Columns) -> Columns:
        """What the chosen conversion answers to the golden rows, scored as the golden rows will be."""
        runtime = "python" if trial.binding is None else "onnx"
        entry = self._source.entry if isinstance(self._source, PythonSource | WrappedSource) else None
        with self._apart(), self._scorer(trial.model, runtime, trial.binding, entry, trial) as scorer:
            return answers(scorer, kept)

    def prove(self, target: Path) -> None:
        """Open a written bundle as a server will: from the bytes on disk, with the golden rows as the judge."""
        with self._apart():
            Scorer.open(Bundle.open(target)).close()

    def _given(self) -> TrialTask:
        assert self._task is not None  # prepare comes first
        return self._task

    def _scorer(
        self,
        model: Mapping[str, bytes],
        runtime: str,
        binding: Binding | None,
        entry: str | None,
        trial: Trial | None = None,
    ) -> Scorer:
        """A scorer over a bundle whose golden answers nobody has given yet."""
        task = self._given()
        # Golden rows have to be legal before there is anybody to answer them.
        blank = golden.made(task.contract.outputs, 1)
        bundle = Bundle.write(
            task.scratch / "trial",
            contract=task.contract,
            model=model,
            runtime=runtime,
            golden=(task.probe.slice(0, 1).to_records(), blank.columns.to_records()),
            tolerance=task.tolerance,
            binding=binding,
            entry=entry,
            frame=None if trial is None else trial.frame,
            packages=None if trial is None else trial.packages,
        )
        try:
            return Scorer.open(bundle, self_test=False)
        except BundleInvalid as err:
            # Opening warms the model up on the first row: what that row broke says more than that it broke.
            if isinstance(err.__cause__, FivefoldError):
                raise leaves(err.__cause__, "the packed model") from err
            raise


def answers(scorer: Scorer, columns: Columns) -> Columns:
    """The scorer's answers; `BundleInvalid` where it has none for rows that the contract allows."""
    try:
        return scorer.score(columns)
    except ModelFailed as err:
        raise leaves(err, "the packed model") from err
    except ContractError as err:
        raise BundleInvalid(
            str(err), help="set minimum and maximum so that the model's own type holds the value"
        ) from err


def leaves(err: FivefoldError, who: str) -> BundleInvalid:
    """The refusal of a model that fails on, or leaves the contract for, rows that the contract allows."""
    cause = ""
    if err.__cause__ is not None:
        # `sys.exit()` and a bare `raise ValueError` have a class and no words.
        words = str(err.__cause__).strip().splitlines()
        cause = f": {type(err.__cause__).__name__}" + (f": {words[0][:300]}" if words else "")
    return BundleInvalid(
        f"{who} cannot answer rows that the contract allows: {err}{cause}",
        help="correct the contract's outputs, tighten its inputs, or give typical rows with --golden DATA",
    )


def _picked(contract: Contract, binding: Binding, named: Mapping[str, Array], rows: int) -> Columns:
    """The original's answers under the contract's outputs, bound as the packed model's are."""
    shapes = {field.name: field.shape for field in contract.outputs}
    picked: dict[str, Array] = {}
    for item in binding.outputs:
        array = named[item.model_output]
        if item.column is not None:
            array = array.reshape(rows, -1)[:, item.column]
        picked[item.field] = fold(array, rows, shapes[item.field])
    try:
        return check_outputs(contract.outputs, picked, rows)
    except ModelFailed as err:
        raise leaves(err, "the original model") from err


def _lonely(probe: Columns) -> list[int]:
    """Rows, evenly spread, that are asked alone as well as among the others; none where there is one row only."""
    if probe.rows < 2:
        return []
    rows: list[int] = np.unique(np.linspace(0, probe.rows - 1, ALONE).round().astype(np.int64)).tolist()
    return rows


def _independent(who: str, task: TrialTask, among: Columns, ask: Ask, tied: measure.Mask | None = None) -> None:
    """Refuse a model whose answer to a row depends on the rows beside it: a server puts together whom it likes.

    Rounding differs with the number of rows, too; that is far smaller than `INFLUENCE` and a matter of `compare`.
    """
    fields = task.contract.outputs
    allowed = max(task.tolerance, INFLUENCE)
    for row in _lonely(task.probe):
        try:
            alone = ask(task.probe.slice(row, row + 1))
        except BundleInvalid as err:
            raise BundleInvalid(
                f"{who} answers row {row} among others and fails on it alone: {err}",
                help="a model answers each row by itself: take what looks at all rows at once out of it",
            ) from err
        here = None if tied is None else tied[row : row + 1]
        difference = measure.compare(fields, among.slice(row, row + 1), alone, here)
        if difference.within(allowed):
            continue
        again = measure.compare(fields, among, ask(task.probe), tied)
        if not again.within(allowed):
            raise BundleInvalid(
                f"{who} answers the same rows differently from call to call ({again.where})",
                help="fix every seed and keep no state: the same row has one answer",
            )
        raise BundleInvalid(
            f"rows influence each other: {who} answers row {row} differently alone and among {task.probe.rows} rows "
            f"({difference.where})",
            help="a model answers each row by itself: what it takes from all rows at once (a mean, a rank, a softmax "
            "over the first axis) belongs into fit",
        )
