"""Whether a quantised model may stand in for its original: by its answers, in every runtime that is here.

    fp32      the original, native
    int8      the quantised model, native
    exact     the same, node by node, with sums that do not saturate (`session.x64quantprecision`)
    wasm      the same in WebAssembly, where Node is
    alone     the same, native, each of the first rows asked by itself

Bounds (`GateBounds`): the metric on a labelled holdout, how often the class stays the same, and how far one quantised
model may differ from itself between runtimes, which is a fault of a kernel and never accepted. Making models is
`quantisation`'s, running them `quantised_runs`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.manifest import MODEL
from fivefold.core.columns import Columns
from fivefold.core.fields.field import Field
from fivefold.core.runtime.onnx_runner import OnnxRunner
from fivefold.packing import quantised_runs
from fivefold.packing.libraries import require
from fivefold.packing.quantisation import kernels

Answers = Mapping[str, np.ndarray[Any, Any]]

SEED: Final = 1979
RESAMPLES: Final = 2000
ALONE: Final = 512
"""Rows that are asked one by one too."""


@dataclass(frozen=True, slots=True)
class GateBounds:
    """What is accepted; rates and drops as fractions."""

    drop: float = 0.005
    """Of the metric, absolute; or `relative` of it. Both hold for the upper end of a one-sided 95 % interval."""
    relative: float = 0.01
    agreement: float = 0.995
    runtimes: float = 1e-4
    """Between runtimes, absolute."""


@dataclass(frozen=True, slots=True)
class GateFinding:
    """One thing that was measured, and whether it is within its bound; `ok` None where there is none."""

    what: str
    value: float | None
    bound: str
    ok: bool | None
    says: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"what": self.what, "value": self.value, "bound": self.bound, "ok": self.ok, "says": self.says}


@dataclass(slots=True)
class GateReport:
    """All of it; `answers` are the quantised model's, native, of the golden rows."""

    rows: int
    labelled: int
    findings: list[GateFinding] = field(default_factory=list)
    answers: Answers = field(default_factory=dict)

    @property
    def refused(self) -> list[GateFinding]:
        return [each for each in self.findings if each.ok is False]

    def to_json(self) -> dict[str, Any]:
        return {
            "accepted": not self.refused,
            "rows": self.rows,
            "labelled": self.labelled,
            "findings": [each.to_json() for each in self.findings],
        }


def judge_quantised(
    bundle: Bundle, model: bytes, holdout: tuple[Columns, Columns] | None, bounds: GateBounds | None = None
) -> GateReport:
    """Ask original and quantised model the golden rows and the holdout's (inputs, true outputs), and compare."""
    bounds = bounds or GateBounds()
    runner = OnnxRunner(bundle, threads=1)
    given, _ = bundle.golden()
    rows = given if holdout is None else Columns.concat([given, holdout[0]])
    feeds, names = runner.tensors(rows), runner.outputs
    original = bundle.read(MODEL)

    def read(tensors: Sequence[Any]) -> Answers:
        return runner.fields(tensors, rows.rows)

    before = read(quantised_runs.native(original, feeds, names))
    after = read(quantised_runs.native(model, feeds, names))
    report = GateReport(rows.rows, 0 if holdout is None else holdout[0].rows)
    report.answers = {name: array[: given.rows] for name, array in after.items()}
    found = report.findings
    fields = bundle.contract.outputs
    if holdout is not None:
        found += _metrics(fields, before, after, holdout[1], given.rows, bounds)
    found += [_agreement(each, before, after, bounds) for each in fields if _classes(each)]
    found += [finding for each in fields if each.kind == "float" for finding in _moved(each, before, after)]
    exact = read(quantised_runs.native(model, feeds, names, exact=True))
    found.append(_alike("int8 native and exact", fields, after, exact, bounds, lambda: _saturating(model, feeds)))
    few = rows.slice(0, min(rows.rows, ALONE))
    singly = [{name: tensor[at : at + 1] for name, tensor in feeds.items()} for at in range(few.rows)]
    alone = quantised_runs.native_each(model, singly, names)
    joined = runner.fields([np.concatenate(parts) for parts in zip(*alone, strict=True)], few.rows)
    together = {name: array[: few.rows] for name, array in after.items()}
    found.append(
        _alike("int8 alone and together", fields, together, joined, bounds, lambda: "a row's answer depends on others")
    )
    reason = quantised_runs.no_wasm()
    if reason is None:
        web = read(quantised_runs.wasm(model, feeds, names))
        found.append(
            _alike("int8 native and WASM", fields, after, web, bounds, lambda: _saturating(model, feeds, web=True))
        )
    else:
        found.append(GateFinding("int8 native and WASM", None, "", None, f"not run: {reason}"))
    one = {name: tensor[:1] for name, tensor in feeds.items()}
    for name, each in (("fp32", original), ("int8", model)):
        more = "more than the original: nothing is won" if len(each) > len(original) else ""
        found.append(GateFinding(f"bytes, {name}", float(len(each)), "", None, more))
        p50, p99 = quantised_runs.milliseconds(each, one)
        found.append(GateFinding(f"milliseconds a row, {name}", p50, "", None, f"p99 {p99:.3g}"))
    return report


def _classes(output: Field) -> bool:
    """Whether the output chooses: a category, or the largest of several numbers."""
    return output.kind != "float" or (bool(output.shape) and output.shape[-1] > 1)


def judgeable(bundle: Bundle) -> bool:
    """Whether answers can be judged without labels: some output chooses. How far a number may move nobody can say."""
    return any(_classes(each) for each in bundle.contract.outputs)


def _chosen(output: Field, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.argmax(array, axis=-1) if output.kind == "float" else array


def _agreement(output: Field, before: Answers, after: Answers, bounds: GateBounds) -> GateFinding:
    same = _chosen(output, before[output.name]) == _chosen(output, after[output.name])
    rows = same.reshape(len(same), -1).all(axis=1)
    rate = float(rows.mean())
    says = f"{int((~rows).sum())} of {len(rows)} rows choose another"
    return GateFinding(
        f"agreement, {output.name}", rate, f"at least {bounds.agreement:g}", rate >= bounds.agreement, says
    )


def _moved(output: Field, before: Answers, after: Answers) -> list[GateFinding]:
    apart = np.abs(before[output.name].astype(np.float64) - after[output.name].astype(np.float64))
    if np.isnan(apart).any() and not (np.isnan(before[output.name]) == np.isnan(after[output.name])).all():
        return [GateFinding(f"difference, {output.name}", None, "NaN where it was", False, "NaN where a number was")]
    worst, p99 = float(np.nanmax(apart)), float(np.nanpercentile(apart, 99))
    return [GateFinding(f"difference, {output.name}", worst, "", None, f"the largest; p99 {p99:.3g}")]


def _metrics(
    fields: Sequence[Field], before: Answers, after: Answers, truth: Columns, golden: int, bounds: GateBounds
) -> list[GateFinding]:
    """The drop of accuracy where an output is a category, the growth of the absolute error where it is a number."""
    out = []
    for each in fields:
        if each.name not in truth:
            continue
        ours = [answers[each.name][golden:] for answers in (before, after)]
        wanted = truth[each.name]
        if each.kind == "float":
            scores = [np.abs(one.astype(np.float64) - wanted).reshape(len(wanted), -1).mean(axis=1) for one in ours]
            drops, level, name = scores[1] - scores[0], float(scores[0].mean()), "absolute error"
        else:
            scores = [(one == wanted).reshape(len(wanted), -1).all(axis=1).astype(np.float64) for one in ours]
            drops, level, name = scores[0] - scores[1], float(scores[0].mean()), "accuracy"
        drop, upper = float(drops.mean()), _upper(drops)
        bound = bounds.relative * level if each.kind == "float" else max(bounds.drop, bounds.relative * level)
        ok = upper <= bound
        says = f"of {level:.4g} in {len(drops)} rows; at most {upper:.3g} (one-sided 95 %, bootstrap)"
        out.append(GateFinding(f"loss of {name}, {each.name}", drop, f"at most {bound:.3g}", ok, says))
    return out


def _upper(values: np.ndarray[Any, Any]) -> float:
    """The upper end of a one-sided 95 % interval of the mean: the bootstrap (Efron, 1979), from one seed."""
    random = np.random.default_rng(SEED)
    rows = len(values)
    means = [float(values[random.integers(0, rows, rows)].mean()) for _ in range(RESAMPLES)]
    return float(np.percentile(means, 95))


def _alike(
    what: str, fields: Sequence[Field], ours: Answers, theirs: Answers, bounds: GateBounds, name: Any
) -> GateFinding:
    """One model in two runtimes; `name` finds the kernel where they differ."""
    worst, other = 0.0, 0
    for each in fields:
        a, b = ours[each.name], theirs[each.name]
        if each.kind == "float":
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
            apart[np.isnan(a) & np.isnan(b)] = 0
            worst = max(worst, float(np.nan_to_num(apart, nan=np.inf).max(initial=0)))
        else:
            other += int((a != b).sum())
    ok = worst <= bounds.runtimes and not other
    says = "" if ok else f"{f'{other} categories differ; ' if other else ''}{name()}"
    return GateFinding(what, worst, f"at most {bounds.runtimes:g}", ok, says)


def _saturating(model: bytes, feeds: Mapping[str, Any], *, web: bool = False) -> str:
    """The first kernel whose sums are not the same, in the order of the model."""
    onnx = require("onnx")
    found = kernels(model)
    opened = onnx.load_from_string(model)
    names = [output for _, _, output in found]
    known = {each.name for each in opened.graph.output}
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
    inside = opened.SerializeToString()
    ours = quantised_runs.native(inside, feeds, names)
    theirs = (
        quantised_runs.wasm(inside, feeds, names) if web else quantised_runs.native(inside, feeds, names, exact=True)
    )
    for (kind, name, _), one, two in zip(found, ours, theirs, strict=True):
        if not np.array_equal(one, two):
            return f"the kernel {kind} {name!r} saturates: {int((one != two).sum())} of {one.size} sums differ"
    return "no kernel of eight bits differs by itself: the difference arises elsewhere in the model"
