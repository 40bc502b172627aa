"""Packing a model: recognise, bind, convert, measure against the original, write, prove.

What is written has been opened as a server opens it and has given the answers that stand in it. Recognising a source is
left to `fivefold.packing.source`, drafting a contract to `fivefold.exports.draft`, the bundle's form to core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fivefold.core.binding import Binding
from fivefold.core.bundle import Bundle, sign
from fivefold.core.check import check_outputs
from fivefold.core.columns import Array, Columns
from fivefold.core.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractError, ContractInvalid, FivefoldError, ModelFailed
from fivefold.core.manifest import MODEL
from fivefold.core.runners import fold
from fivefold.core.scorer import Scorer
from fivefold.packing import golden, graph, measure
from fivefold.packing.bind import Bind, infer
from fivefold.packing.measure import TOLERANCE, Difference
from fivefold.packing.python_ import PythonOriginal
from fivefold.packing.report import PackReport
from fivefold.packing.source import Form, Original, recognise

GOOD_ENOUGH = 1e-6
"""A float32 form this close to the original is taken without trying float64, which is slower and twice as large."""
CLEARLY_BETTER = 10.0
"""How many times closer a later form must be to be preferred."""


@dataclass(frozen=True)
class _Trial:
    form: Form
    model: Mapping[str, bytes]
    binding: Binding | None
    answers: Columns
    difference: Difference


def pack(
    source: Any,
    contract: Contract | Mapping[str, Any] | str | Path | None = None,
    output: str | Path | None = None,
    *,
    draft_from: Any = None,
    name: str | None = None,
    version: str = "1",
    golden_from: Any = None,
    tolerance: float | None = None,
    bind: Sequence[str] = (),
    sign_key: Any = None,
    facts: Mapping[str, Any] | None = None,
) -> PackReport:
    """Pack a model under a contract into the directory `output`.

    `source` is a fitted scikit-learn, XGBoost, LightGBM or torch model, a model of `onnx`, the path of an .onnx file,
    of a pickle or joblib file, of XGBoost's, LightGBM's or torch's own files, a class with predict(columns) ->
    columns, or its `module:Class`. **Loading pickles, torch modules and classes executes the code in them: pack only
    what you trust.** `contract` is a `Contract`, its JSON values or its file; without one, `draft_from` (a data frame
    or a file) gives a draft, which is written beside `output` for a person to edit. Golden rows come from
    `golden_from`, else from `draft_from`, else they are made from the contract. `tolerance` bounds
    |converted - original| / max(1, |original|) and defaults to 1e-5. `bind` holds texts such as `X=age,height` and
    `score=probabilities[1]`. `sign_key` is an Ed25519 private key in PEM or its path; `facts` are further JSON values
    for the bundle's `created_from`.

    Raises `ContractInvalid` and `BundleInvalid`; nothing is written then, except the draft.
    """
    if output is None:
        raise BundleInvalid("packing needs a directory to write to", help="give output")
    target = Path(output)
    allowed = TOLERANCE if tolerance is None else tolerance
    if not 0 <= allowed <= 1:
        raise BundleInvalid(f"expected a tolerance of 0 to 1, got {allowed}")
    warned = recognise(source)
    original = warned.original
    drafted = None
    if contract is None:
        if draft_from is None:
            raise ContractInvalid(
                "packing needs a contract", help="give one, or data to draft one from: --draft-from DATA"
            )
        law = _draft(original, draft_from, name or _stem(target))
        drafted = target.parent / f"{target.name}.contract.json"
        drafted.parent.mkdir(parents=True, exist_ok=True)
        drafted.write_bytes(law.to_bytes())
    elif isinstance(contract, Contract):
        law = contract
    else:
        law = Contract.from_json(contract) if isinstance(contract, Mapping) else Contract.load(contract)
    data = draft_from if golden_from is None else golden_from
    if data is None:
        rows = golden.made(law.inputs, golden.PROBE_MADE, f"{law.name}@{law.version}")
        kept = rows.columns.slice(0, golden.GOLDEN_MADE)
    else:
        rows = golden.from_data(data, law)
        kept = rows.pick(golden.GOLDEN_MOST)
    notes = list(_about(rows, kept))
    if kept.rows < golden.GOLDEN_LEAST:
        more = golden.made(law.inputs, golden.GOLDEN_LEAST - kept.rows, f"{law.name}@{law.version}")
        kept = Columns.concat([_plain(kept), more.columns])
        rows = golden.Rows(
            Columns.concat([_plain(rows.columns), more.columns]), f"{rows.source} and made from the contract"
        )
    probe = rows.pick(golden.PROBE_MOST)
    said = Bind.parse(bind, law)
    with tempfile.TemporaryDirectory(prefix="fivefold-pack-") as scratch:
        workshop = _Workshop(original, law, said, probe, allowed, Path(scratch))
        trial = workshop.best()
        if not trial.difference.within(allowed):
            raise _too_far(trial.difference, allowed, probe.rows, original.kind)
        answers = workshop.golden_answers(trial, kept)
    created_from = {
        **(facts or {}),
        "source": original.kind,
        "libraries": dict(original.facts),
        "difference": trial.difference.largest,
        "measured_rows": probe.rows,
        "golden": rows.source,
    }
    bundle = Bundle.write(
        target,
        contract=law,
        model=trial.model,
        runtime="python" if trial.binding is None else "onnx",
        golden=(kept.to_records(), answers.to_records()),
        tolerance=allowed,
        binding=trial.binding,
        entry=original.entry if isinstance(original, PythonOriginal) else None,
        name=name,
        version=version,
        facts=created_from,
    )
    # As a server will: from the bytes on disk, with the golden rows as the judge.
    Scorer.open(Bundle.open(target)).close()
    if sign_key is not None:
        bundle = sign(target, sign_key)
    inputs, outputs = _described(trial.binding, law)
    lints = graph.lints(graph.load(trial.model[MODEL], MODEL)) if MODEL in trial.model else []
    return PackReport(
        path=target,
        name=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        kind=original.kind,
        runtime=bundle.manifest.runtime,
        contract=f"{law.name}@{law.version}",
        tolerance=allowed,
        difference=trial.difference.largest,
        where=trial.difference.where,
        measured_rows=probe.rows,
        ties=trial.difference.ties,
        golden_rows=kept.rows,
        golden_source=rows.source,
        floats=trial.form.floats,
        signed=bundle.signed,
        inputs=inputs,
        outputs=outputs,
        warnings=(*warned.warnings, *law.warnings(), *lints),
        notes=(*notes, *trial.form.notes),
        drafted=drafted,
        libraries=dict(original.facts),
    )


class _Workshop:
    """One source under one contract: every form is bound, opened as a bundle and measured on the probe rows."""

    def __init__(
        self,
        original: Original | PythonOriginal,
        law: Contract,
        said: Bind,
        probe: Columns,
        tolerance: float,
        scratch: Path,
    ) -> None:
        self._original = original
        self._law = law
        self._said = said
        self._probe = probe
        self._tolerance = tolerance
        self._scratch = scratch
        # Golden rows have to be legal before there is anybody to answer them.
        self._blank = golden.made(law.outputs, 1)

    def best(self) -> _Trial:
        """The form that agrees best with the original; `BundleInvalid` where none can be opened."""
        original = self._original
        if isinstance(original, PythonOriginal):
            return self._python(original)
        best: _Trial | None = None
        failed: BundleInvalid | None = None
        for form in original.forms(self._law, self._said.inputs):
            try:
                trial = self._try(original, form)
            except BundleInvalid as err:
                failed = failed or err
                continue
            if best is None or _better(trial.difference, best.difference):
                best = trial
            if best.difference.wrong == 0 and best.difference.largest <= GOOD_ENOUGH:
                break
        if best is None:
            assert failed is not None  # forms yields one, or raises
            raise failed
        return best

    def _try(self, original: Original, form: Form) -> _Trial:
        raw = form.model if isinstance(form.model, bytes) else graph.encoded(form.model)
        ports = graph.ports(graph.load(raw, "the converted model"))
        binding = infer(self._law, *ports, Bind({**form.feeds, **self._said.inputs}, self._said.outputs))
        with self._scorer({MODEL: raw}, "onnx", binding, None) as scorer:
            got = self._answers(scorer, self._probe)
        bound = {item.model_output for item in binding.outputs}
        named = original.answers(self._probe, binding, [port for port in ports[1] if port.name in bound])
        rows = self._probe.rows
        picked: dict[str, Array] = {}
        for item in binding.outputs:
            array = named[item.model_output]
            if item.column is not None:
                array = array.reshape(rows, -1)[:, item.column]
            picked[item.field] = fold(array, rows, next(f.shape for f in self._law.outputs if f.name == item.field))
        try:
            want = check_outputs(self._law.outputs, picked, rows)
        except ModelFailed as err:
            raise _leaves(err, "the original model") from err
        tied = original.undecided(self._probe, self._tolerance)
        return _Trial(form, {MODEL: raw}, binding, got, measure.compare(self._law.outputs, want, got, tied))

    def _python(self, original: PythonOriginal) -> _Trial:
        answers = []
        for _ in range(2):
            with self._scorer(original.files, "python", None, original.entry) as scorer:
                answers.append(self._answers(scorer, self._probe))
        difference = measure.compare(self._law.outputs, answers[0], answers[1])
        return _Trial(Form(b""), original.files, None, answers[1], difference)

    def golden_answers(self, trial: _Trial, kept: Columns) -> Columns:
        """What the form that was chosen answers to the golden rows, scored as the golden rows will be."""
        runtime = "python" if trial.binding is None else "onnx"
        entry = self._original.entry if isinstance(self._original, PythonOriginal) else None
        with self._scorer(trial.model, runtime, trial.binding, entry) as scorer:
            return self._answers(scorer, kept)

    def _scorer(self, model: Mapping[str, bytes], runtime: str, binding: Binding | None, entry: str | None) -> Scorer:
        """A scorer over a bundle whose golden answers nobody has given yet."""
        bundle = Bundle.write(
            self._scratch / "trial",
            contract=self._law,
            model=model,
            runtime=runtime,
            golden=(self._probe.slice(0, 1).to_records(), self._blank.columns.to_records()),
            tolerance=self._tolerance,
            binding=binding,
            entry=entry,
        )
        try:
            return Scorer.open(bundle, self_test=False)
        except BundleInvalid as err:
            # Opening warms the model up on the first row: what that row broke says more than that it broke.
            if isinstance(err.__cause__, FivefoldError):
                raise _leaves(err.__cause__, "the packed model") from err
            raise

    def _answers(self, scorer: Scorer, columns: Columns) -> Columns:
        try:
            return scorer.score(columns)
        except ModelFailed as err:
            raise _leaves(err, "the packed model") from err
        except ContractError as err:
            raise BundleInvalid(
                str(err), help="set minimum and maximum so that the model's own type holds the value"
            ) from err


def _better(one: Difference, other: Difference) -> bool:
    if one.wrong != other.wrong:
        return one.wrong < other.wrong
    return one.largest * CLEARLY_BETTER < other.largest


def _leaves(err: FivefoldError, who: str) -> BundleInvalid:
    cause = (
        f": {type(err.__cause__).__name__}: {str(err.__cause__).splitlines()[0][:300]}"
        if str(err.__cause__ or "")
        else ""
    )
    return BundleInvalid(
        f"{who} cannot answer rows that the contract allows: {err}{cause}",
        help="correct the contract's outputs, tighten its inputs, or give typical rows with --golden DATA",
    )


def _too_far(difference: Difference, allowed: float, rows: int, kind: str) -> BundleInvalid:
    parts = []
    if difference.wrong:
        parts.append(f"{difference.wrong} of {rows} rows get another label")
    if difference.largest > allowed:
        parts.append(f"the largest difference is {difference.largest:.3g}, the tolerance {allowed:g}")
    who = (
        "two instances of the class disagree" if kind == "python" else "the converted model disagrees with the original"
    )
    fix = (
        "make predict depend on its columns only (fix every seed, keep no state)"
        if kind == "python"
        else "the converter is wrong here: pack it as a Python class, or raise --tolerance where it is harmless"
    )
    return BundleInvalid(f"{who}: {'; '.join(parts)} ({difference.where})", help=fix)


def _draft(original: Original | PythonOriginal, data: Any, name: str) -> Contract:
    from fivefold.exports import draft

    outputs = original.outputs()
    table = draft.read(data)
    names = original.features()
    if names is not None and set(names) <= set(table.column_names):
        table = table.select(list(names))
    return draft.draft(table, name, outputs=outputs)


def _stem(target: Path) -> str:
    """The output directory's name as a contract's name."""
    text = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-.") else "_" for letter in target.name
    )
    return text if text[:1].isalpha() or text[:1] == "_" else f"model_{text}"


def _plain(columns: Columns) -> Columns:
    return Columns(columns.fields, {name: columns[name] for name in columns}, columns.rows)


def _about(rows: golden.Rows, kept: Columns) -> list[str]:
    out = []
    if rows.refused and rows.first is not None:
        total = rows.refused + rows.columns.rows
        out.append(
            f"{rows.refused} of {total} rows of {rows.source} break the contract and were left out: "
            f"{rows.first.path}: {rows.first.message}"
        )
    if kept.rows < golden.GOLDEN_LEAST:
        out.append(
            f"{rows.source} has {kept.rows} legal rows; the rest of {golden.GOLDEN_LEAST} are made from the contract"
        )
    return out


def _described(binding: Binding | None, law: Contract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if binding is None:
        return tuple(f.name for f in law.inputs), tuple(f.name for f in law.outputs)
    inputs = []
    for given in binding.inputs:
        shown = ", ".join(given.fields[:4]) + (
            f", … {given.fields[-1]} ({len(given.fields)} fields)"
            if len(given.fields) > 5
            else ", ".join(["", *given.fields[4:]])
        )
        inputs.append(f"{shown} -> {given.model_input} ({given.dtype})")
    outputs = [
        f"{answer.model_output}{'' if answer.column is None else f'[{answer.column}]'} -> {answer.field}"
        for answer in binding.outputs
    ]
    return tuple(inputs), tuple(outputs)
