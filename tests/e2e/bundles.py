"""The bundles that the cluster is given: the demo in several builds, one that the release gate must refuse, the cases'.

Written below `.cache/e2e`, the same bytes each time, so that a release that serves them already is left as it is.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from fivefold.core.bundle.answering import answering
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.carried import CarriedVersion
from fivefold.core.contract.contract import Contract
from fivefold.packing.demo import demo
from tests.conformance import cases, models
from tests.e2e.cluster import ROOT

DIRECTORY = ROOT / ".cache" / "e2e"
DEMO = "breast-cancer"
ALONE = f"--set gate.acceptRemoval={{{','.join(cases.contracts())}}}"
"""What to give helm when the models of the cases have been served and are to go."""


@cache
def build(number: int) -> Bundle:
    """The demo's model once more: the same contract and answers, another digest for each number."""
    original = Bundle.open(demo(DIRECTORY / "demo"))
    rows = 40 + number
    return _again(original, f"build-{number}", original.contract, rows)


@cache
def contradicting() -> Bundle:
    """The demo's model under a contract that takes less than the one that is being served."""
    original = Bundle.open(demo(DIRECTORY / "demo"))
    contract = json.loads(original.read("contract.json"))
    contract["inputs"][0]["maximum"] = 59
    return _again(original, "contradicting", Contract.from_json(contract), 40)


@cache
def renamed() -> Bundle:
    """The demo's model under version 2.0.0 of its contract, in which two fields have other names; it answers 1.0.0."""
    original = Bundle.open(demo(DIRECTORY / "demo"))
    contract = json.loads(original.read("contract.json"))
    contract["version"] = "2.0.0"
    names = {"mean_radius": "radius", "mean_texture": "texture"}
    for field in contract["inputs"]:
        if field["name"] in names:
            field |= {"name": names[field["name"]], "aliases": [field["name"]]}
    released = Contract.from_json(contract)
    given, answers = (columns.slice(0, 40).to_records() for columns in original.golden())
    (bound,) = original.manifest.binding.inputs
    return Bundle.write(
        DIRECTORY / "renamed",
        contract=released,
        model={"model.onnx": original.read("model.onnx")},
        runtime="onnx",
        binding=replace(
            original.manifest.binding,
            inputs=(replace(bound, fields=tuple(names.get(name, name) for name in bound.fields)),),
        ),
        golden=([{names.get(name, name): value for name, value in row.items()} for row in given], answers),
        tolerance=original.manifest.tolerance,
        version="2",
        carried=[CarriedVersion(original.contract)],
    )


@cache
def taken_back() -> Bundle:
    """The demo's model as it was, which answers callers of 2.0.0 too."""
    original = Bundle.open(demo(DIRECTORY / "demo"))
    return answering(original, DIRECTORY / "taken-back", [CarriedVersion(renamed().contract, newer=True)])


def _again(original: Bundle, name: str, contract: Contract, rows: int) -> Bundle:
    given, answers = (columns.slice(0, rows).to_records() for columns in original.golden())
    return Bundle.write(
        DIRECTORY / name,
        contract=contract,
        model={"model.onnx": original.read("model.onnx")},
        runtime="onnx",
        binding=original.manifest.binding,
        golden=(given, answers),
        tolerance=original.manifest.tolerance,
    )


@cache
def conformance() -> dict[str, Bundle]:
    """Contract name to bundle, for each contract of the conformance cases."""
    return {name: models.bundle(name, DIRECTORY / "conformance") for name in cases.contracts()}


def paths(*bundles: Bundle) -> list[Path]:
    """Where bundles stand."""
    return [Path(bundle.path) for bundle in bundles]
