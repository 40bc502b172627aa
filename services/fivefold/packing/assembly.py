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

from fivefold.core.binding import Binding
from fivefold.core.bundle import Bundle, sign
from fivefold.core.columns import Columns
from fivefold.core.contract import Contract, Field
from fivefold.core.errors import BundleInvalid, ContractInvalid
from fivefold.core.manifest import MODEL
from fivefold.packing import frames, golden, graph
from fivefold.packing.bind import Bind
from fivefold.packing.choice import Choice
from fivefold.packing.measure import TOLERANCE
from fivefold.packing.report import PackReport
from fivefold.packing.sandbox import SECONDS, Sandbox, SandboxEnded
from fivefold.packing.source import portable
from fivefold.packing.trials import Description, Task

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
    time_limit: float = SECONDS,
    memory_limit: int | None = None,
    say: Say | None = None,
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
    for the bundle's `created_from`. The model is loaded, converted and measured in a process of its own, where one step
    may take `time_limit` seconds and the whole `memory_limit` bytes (default: most of what the system has to spare).
    `say` gets a sentence about each stage.

    Raises `ContractInvalid` and `BundleInvalid`; nothing is written then, except the draft.
    """
    if output is None:
        raise BundleInvalid("packing needs a directory to write to", help="give output")
    target = Path(output)
    allowed = TOLERANCE if tolerance is None else tolerance
    if not 0 <= allowed <= 1:
        raise BundleInvalid(f"expected a tolerance of 0 to 1, got {allowed}")
    tell = say or _silent
    with Sandbox(
        "fivefold.packing.trials:Trials", portable(source), seconds=time_limit, memory=memory_limit
    ) as sandbox:
        tell("loading the model")
        described: Description = _guarded(sandbox, "loading the model", "describe")
        drafted = None
        if contract is None:
            if draft_from is None:
                raise ContractInvalid(
                    "packing needs a contract", help="give one, or data to draft one from: --draft-from DATA"
                )
            tell("drafting a contract from the data")
            law = _draft(sandbox, described, draft_from, name or _stem(target))
            drafted = target.parent / f"{target.name}.contract.json"
            drafted.parent.mkdir(parents=True, exist_ok=True)
            drafted.write_bytes(law.to_bytes())
        elif isinstance(contract, Contract):
            law = contract
        else:
            law = Contract.from_json(contract) if isinstance(contract, Mapping) else Contract.load(contract)
        rows, kept, notes = _rows(law, draft_from if golden_from is None else golden_from)
        probe = rows.pick(golden.PROBE_MOST)
        with tempfile.TemporaryDirectory(prefix="fivefold-pack-") as scratch:
            task = Task(law, Bind.parse(bind, law), probe, allowed, Path(scratch), frames.seen(draft_from, golden_from))
            choice = Choice.of(sandbox, task, described, tell)
            trial = choice.best
            answers = _guarded(sandbox, "answering the golden rows", "golden_answers", trial, kept)
        created_from = {
            **(facts or {}),
            "source": described.kind,
            "libraries": dict(described.facts),
            "difference": trial.difference.largest,
            "measured_rows": probe.rows,
            "golden": rows.source,
        }
        tell(f"writing {target}")
        bundle = Bundle.write(
            target,
            contract=law,
            model=trial.model,
            runtime="python" if trial.binding is None else "onnx",
            golden=(kept.to_records(), answers.to_records()),
            tolerance=allowed,
            binding=trial.binding,
            entry=described.entry,
            name=name,
            version=version,
            facts=created_from,
        )
        _guarded(sandbox, "opening the bundle", "prove", target.resolve())
    if sign_key is not None:
        bundle = sign(target, sign_key)
    inputs, outputs = _described(trial.binding, law)
    lints = graph.lints(graph.load(trial.model[MODEL], MODEL)) if MODEL in trial.model else []
    return PackReport(
        path=target,
        name=bundle.name,
        version=bundle.version,
        digest=bundle.digest,
        kind=described.kind,
        runtime=bundle.manifest.runtime,
        contract=f"{law.name}@{law.version}",
        tolerance=allowed,
        difference=trial.difference.largest,
        where=trial.difference.where,
        measured_rows=probe.rows,
        ties=trial.difference.ties,
        golden_rows=kept.rows,
        golden_source=rows.source,
        floats=trial.floats,
        signed=bundle.signed,
        inputs=inputs,
        outputs=outputs,
        warnings=(*described.warnings, *law.warnings(), *lints),
        notes=(*notes, *trial.notes),
        tried=choice.told(),
        drafted=drafted,
        libraries=dict(described.facts),
    )


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


def _rows(law: Contract, data: Any) -> tuple[golden.Rows, Columns, list[str]]:
    """The rows to measure with, the golden ones among them, and sentences about them."""
    seed = f"{law.name}@{law.version}"
    if data is None:
        rows = golden.made(law.inputs, golden.PROBE_MADE, seed)
        kept = rows.columns.slice(0, golden.GOLDEN_MADE)
    else:
        rows = golden.from_data(data, law)
        kept = rows.pick(golden.GOLDEN_MOST)
    notes = _about(rows, kept)
    if kept.rows < golden.GOLDEN_LEAST:
        more = golden.made(law.inputs, golden.GOLDEN_LEAST - kept.rows, seed)
        kept = Columns.concat([_plain(kept), more.columns])
        rows = golden.Rows(
            Columns.concat([_plain(rows.columns), more.columns]), f"{rows.source} and made from the contract"
        )
    return rows, kept, notes


def _draft(sandbox: Sandbox, described: Description, data: Any, name: str) -> Contract:
    from fivefold.exports import draft

    table = draft.read(data)
    names = described.features
    if names is not None and set(names) <= set(table.column_names):
        table = table.select(list(names))
    inputs = draft.draft(table, name, outputs=[Field("asked", "float64")])
    sample = golden.from_data(data, inputs).pick(SAMPLE)
    outputs = _guarded(sandbox, "asking the model for its outputs", "outputs", inputs.inputs, sample, frames.seen(data))
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
