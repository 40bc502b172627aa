"""Packing a model: describe, draft, convert in a sandbox, choose by measurement, write, prove.

What is written has been opened as a server opens it and has given the answers that stand in it. Loading, converting and
measuring the model is left to `fivefold.packing.trials`, which runs in a process of its own; drafting a contract to
`fivefold.exports.draft`, the bundle's form to core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fivefold.core.bundle.binding import Binding
from fivefold.core.bundle.bundle import Bundle, sign
from fivefold.core.bundle.carried import CarriedVersion, answered
from fivefold.core.bundle.manifest import MODEL
from fivefold.core.bundle.overwriting import FORCE, refuse_overwriting
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import BundleInvalid, ContractInvalid, first_line
from fivefold.core.fields.field import Field
from fivefold.exports import draft, sample_tables
from fivefold.packing import frames, golden, graph
from fivefold.packing.bind import Bind
from fivefold.packing.choice import Choice
from fivefold.packing.kept import keep
from fivefold.packing.measure import TOLERANCE
from fivefold.packing.offer import offering
from fivefold.packing.pack_report import PackReport
from fivefold.packing.probe import probe
from fivefold.packing.recognise import SourceOptions, portable
from fivefold.packing.sandbox import SECONDS, Sandbox, SandboxEnded
from fivefold.packing.source_model import Unconverted
from fivefold.packing.trials import Description, TrialTask

Say = Callable[[str], None]

SAMPLE = 32
"""Rows that a model is asked with while its outputs are drafted."""


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
    as_: str | None = None,
    key: str | None = None,
    trust: Sequence[str] = (),
    time_limit: float = SECONDS,
    memory_limit: int | None = None,
    say: Say | None = None,
    target: Sequence[str] = (),
    drop: Sequence[str] = (),
    features: Sequence[str] | None = None,
    margin: float = 0.0,
    carried: Sequence[CarriedVersion] = (),
    default_contract: str | None = None,
    accept: Callable[[Contract], None] | None = None,
    force: bool = False,
) -> PackReport:
    """Pack a model under a contract into the directory `output`.

    `source` is a fitted scikit-learn, XGBoost, LightGBM or torch model, a model of `onnx`, the path of an .onnx file,
    of a pickle or joblib file, of XGBoost's, LightGBM's or torch's own files, of an MLflow model's folder, a class with
    predict(columns) -> columns, or its `module:Class`. **Loading pickles, torch modules and classes executes the code
    in them: pack only what you trust.** `as_="python"` keeps the model as it is: its file, or the object pickled,
    becomes a Python bundle with a class that asks it as its training data was; any object with predict or transform
    will do then. `key` names the model in a file that holds several, `trust` the types that a skops file may make.
    `contract` is a `Contract`, its JSON values or its file; without one, `draft_from` (a data frame or a file) gives a
    draft, which is written beside `output` for a person to edit. Golden rows come from `golden_from`, else from
    `draft_from`, else they are made from the contract. `tolerance` bounds |converted - original| / max(1, |original|)
    and defaults to 1e-5. `bind` holds texts such as `X=age,height` and `score=probabilities[1]`. `sign_key` is an
    Ed25519 private key in PEM or its path; `facts` are further JSON values for the bundle's `created_from`. The model
    is loaded, converted and measured in a process of its own, where one step may take `time_limit` seconds and the
    whole `memory_limit` bytes (default: most of what the system has to spare). `say` gets a sentence about each stage.
    `target`, `drop`, `features` and `margin` choose the columns of a draft and widen its ranges, as in
    `fivefold.exports.draft.drafted`. `carried` are further versions of the contract that the bundle answers,
    `default_contract` the one for callers that name none. `accept` is asked about the contract before the model is
    converted; what it raises is raised. A bundle that stands in `output`, and a draft that may have been edited, are
    replaced with `force` alone.

    Raises `ContractInvalid` and `BundleInvalid`; nothing is written then, except the draft.
    """
    if output is None:
        raise BundleInvalid("packing needs a directory to write to", help="give output")
    place = Path(output)
    selection = {"target": target, "drop": drop, "features": features, "margin": margin}
    if contract is not None and any(selection.values()):
        raise ContractInvalid("target, drop, features and margin are for drafts, and a contract was given")
    allowed = TOLERANCE if tolerance is None else tolerance
    if not 0 <= allowed <= 1:
        raise BundleInvalid(f"expected a tolerance of 0 to 1, got {allowed}")
    tell = say or _silent
    if as_ not in (None, "python"):
        raise BundleInvalid(f"expected as_='python' or nothing, got {as_!r}")
    refuse_overwriting(place, force=force)
    reading = SourceOptions(as_ == "python", key, tuple(trust))
    with (
        offering(None if reading.wrap else source, contract, draft_from, Path(output)),
        Sandbox(
            "fivefold.packing.trials:Trials", portable(source), reading, seconds=time_limit, memory=memory_limit
        ) as sandbox,
    ):
        tell("loading the model")
        described: Description = _guarded(sandbox, "loading the model", "describe")
        for warning in described.warnings:
            tell(f"  {warning}")
        drafted, found = None, None
        if contract is None:
            if draft_from is None:
                raise ContractInvalid(
                    "packing needs a contract", help="give one, or data to draft one from: --draft-from DATA"
                )
            tell("drafting a contract from the data")
            found = _draft(sandbox, described, draft_from, name or _stem(place), selection)
            packed_contract = found.contract
            drafted = place.parent / f"{place.name}.contract.json"
            _keep_draft(drafted, packed_contract, force)
            tell(f"  drafted {drafted}: ranges and values are those of {found.rows:,} rows")
        elif isinstance(contract, Contract):
            packed_contract = contract
        else:
            packed_contract = Contract.from_json(contract) if isinstance(contract, Mapping) else Contract.load(contract)
        if accept is not None:
            accept(packed_contract)
        for each in carried:
            answered(each, packed_contract)
        data = draft_from if golden_from is None else golden_from
        given = None if data is None else golden.from_data(data, packed_contract)
        asked = probe(packed_contract, given, f"{packed_contract.name}@{packed_contract.version}")
        kept = keep(asked, packed_contract)
        with tempfile.TemporaryDirectory(prefix="fivefold-pack-") as scratch:
            seen = frames.seen(draft_from, golden_from)
            task = TrialTask(packed_contract, Bind.parse(bind, packed_contract), asked, allowed, Path(scratch), seen)
            choice = Choice.of(sandbox, task, described, tell)
            trial, asked = choice.best, choice.asked
            answers = _guarded(sandbox, "answering the golden rows", "golden_answers", trial, kept.columns)
        created_from = {
            **(facts or {}),
            "source": described.kind,
            "libraries": dict(described.facts),
            "difference": trial.difference.largest,
            "measured_rows": asked.rows,
            "measured": dict(asked.sorts),
            "golden": kept.source,
        }
        tell(f"writing {place}")
        bundle = Bundle.write(
            place,
            contract=packed_contract,
            model=trial.model,
            runtime="python" if trial.binding is None else "onnx",
            golden=(kept.columns.to_records(), answers.to_records()),
            tolerance=allowed,
            binding=trial.binding,
            entry=described.entry,
            frame=trial.frame,
            packages=trial.packages,
            name=name,
            version=version,
            facts=created_from,
            carried=carried,
            default_contract=default_contract,
        )
        _guarded(sandbox, "opening the bundle", "prove", place.resolve())
    if sign_key is not None:
        bundle = sign(place, sign_key)
    inputs, outputs = _described(trial.binding, packed_contract)
    lints = graph.lints(graph.load(trial.model[MODEL], MODEL)) if MODEL in trial.model else []
    return PackReport(
        path=place,
        name=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        kind=described.kind,
        runtime=bundle.manifest.runtime,
        contract=f"{packed_contract.name}@{packed_contract.version}",
        tolerance=allowed,
        difference=trial.difference.largest,
        where=trial.difference.where,
        measured_rows=asked.rows,
        measured=asked.described(),
        unreached=asked.unreached,
        ties=trial.difference.ties,
        golden_rows=kept.columns.rows,
        golden_source=kept.source,
        floats=trial.floats,
        signed=bundle.signed,
        inputs=inputs,
        outputs=outputs,
        warnings=(*described.warnings, *packed_contract.warnings(), *lints),
        notes=(*(found.notes if found else ()), *_about(given), *kept.notes, *trial.notes),
        tried=choice.describe(),
        drafted=drafted,
        draft="" if found is None else found.ranges(),
        files={entry.path: entry.bytes for entry in bundle.manifest.files},
        libraries=dict(described.facts),
    )


def _keep_draft(place: Path, contract: Contract, force: bool) -> None:
    """Write a draft beside the bundle; one that stands there and is another may have been edited."""
    drafted = contract.to_bytes()
    if not force and place.exists() and place.read_bytes() != drafted:
        raise ContractInvalid(
            f"{place} stands there already, and the draft would be another one",
            help=f"pack with it: --contract {place} instead of --draft-from; {FORCE}",
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(drafted)


def _silent(_text: str) -> None:
    """Nobody listens."""


def _guarded(sandbox: Sandbox, stage: str, method: str, *arguments: Any) -> Any:
    """A call into the sandbox whose end is a refusal with the stage that it happened in."""
    try:
        return sandbox.call(method, *arguments)
    except SandboxEnded as err:
        raise BundleInvalid(
            f"{stage} did not end well: {err}",
            help="the model's own code or a library of it is at fault: try the same call in a Python of its own",
        ) from err
    except RuntimeError as err:  # how the sandbox carries an exception that is not the product's
        raise Unconverted(
            f"{stage} failed: {first_line(err)}", help="the model's own code or a library of it raised this"
        ) from err


def _draft(
    sandbox: Sandbox, described: Description, data: Any, name: str, selection: Mapping[str, Any]
) -> draft.Drafted:
    """A contract drafted from the data: the columns that the model was fitted on, and what it says that it answers."""
    source = sample_tables.load(data)
    chosen = dict(selection)
    names = described.features
    if chosen["features"] is None and names is not None and set(names) <= set(source.arrow.column_names):
        left_out = {*chosen["drop"], *chosen["target"]}
        chosen["features"] = [column for column in names if column not in left_out]
    inputs = draft.drafted(source, name, outputs=[Field("asked", "float64")], **chosen).contract
    legal = golden.from_data(data, inputs)
    # A model that stays as it is has no graph that says what else it may answer.
    rows = probe(inputs, legal, name).columns if described.wrapped else legal.pick(SAMPLE)
    outputs = _guarded(sandbox, "asking the model for its outputs", "outputs", inputs.inputs, rows, frames.seen(data))
    return draft.drafted(source, name, outputs=outputs, **chosen)


def _stem(target: Path) -> str:
    """The output directory's name as a contract's name."""
    text = "".join(
        letter if letter.isascii() and (letter.isalnum() or letter in "_-.") else "_" for letter in target.name
    )
    return text if text[:1].isalpha() or text[:1] == "_" else f"model_{text}"


def _about(given: golden.LegalRows | None) -> list[str]:
    """A sentence about the rows of the data that were left out."""
    if given is None or not given.refused or given.first is None:
        return []
    total = given.refused + given.columns.rows
    return [
        f"{given.refused} of {total} rows of {given.source} break the contract and were left out: "
        f"{given.first.path}: {given.first.message}"
    ]


def _described(binding: Binding | None, contract: Contract) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if binding is None:
        return tuple(f.name for f in contract.inputs), tuple(f.name for f in contract.outputs)
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
