"""`fivefold quantize`: a bundle with weights of eight bits, where its answers stay good enough."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from fivefold.commands.words import add, add_force, add_json, print_json

if TYPE_CHECKING:
    from fivefold.packing.quantisation_gate import GateReport


def _quantize(arguments: argparse.Namespace) -> None:
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.bundle.manifest import MODEL
    from fivefold.core.bundle.overwriting import refuse_overwriting
    from fivefold.core.errors import BundleInvalid
    from fivefold.packing.holdout import read_holdout
    from fivefold.packing.quantisation import (
        QuantisationRecipe,
        nothing_to_quantise,
        quantised_model,
        write_quantised,
    )
    from fivefold.packing.quantisation_gate import judge_quantised, judgeable

    refuse_overwriting(arguments.output, force=arguments.force)
    recipe = QuantisationRecipe(arguments.weight_type, arguments.reduce_range, arguments.per_channel)
    bundle = Bundle.open(arguments.model)
    reason = nothing_to_quantise(bundle)
    if reason is not None:
        if arguments.json:
            print_json({"bundle": bundle.digest, "skipped": reason})
        else:
            print(f"{bundle.name} {bundle.version}: {reason}; nothing is written")
        return
    holdout = None if arguments.holdout is None else read_holdout(arguments.holdout, bundle.contract)
    if holdout is None and not judgeable(bundle):
        raise BundleInvalid(
            "the model answers numbers alone, and how far they may move only labelled rows can say",
            help='give some: --holdout FILE, lines of {"in": record, "out": {OUTPUT: true value}}',
        )
    model = quantised_model(bundle.read(MODEL), recipe)
    report = judge_quantised(bundle, model, holdout)
    told: dict[str, Any] = {"bundle": bundle.digest, "recipe": recipe.to_json(), **report.to_json()}
    if report.refused:
        _show(arguments.json, told, report, None)
        first = report.refused[0]
        raise BundleInvalid(f"the quantised model is refused: {first.what}: {first.says or first.value}", path=MODEL)
    written = write_quantised(
        bundle,
        model,
        report.answers,
        arguments.output,
        version=arguments.version or f"{bundle.version}+int8",
        facts=recipe.to_json() | {"of": bundle.digest},
    )
    _show(arguments.json, told | {"written": written.digest}, report, f"{written.path}: {written!r}")


def _show(as_json: bool, told: dict[str, Any], report: GateReport, written: str | None) -> None:
    if as_json:
        print_json(told)
    else:
        width = max(len(each.what) for each in report.findings)
        for each in report.findings:
            mark = {True: "ok", False: "REFUSED", None: ""}[each.ok]
            value = "" if each.value is None else f"{each.value:.6g}"
            print(f"{mark:<8}{each.what:<{width}}  {value:<12} {each.bound:<18} {each.says}".rstrip())
        print(
            f"{report.rows} rows, {report.labelled} of them labelled" + (f"; written to {written}" if written else "")
        )
    sys.stdout.flush()


def add_quantize(commands: Any) -> None:
    """Add `quantize`."""
    parser = add(
        commands,
        "quantize",
        _quantize,
        "make a bundle whose weights have eight bits, and refuse it where its answers suffer",
        "fivefold quantize --model bundles/net --output bundles/net-int8 --holdout labelled.jsonl",
        "fivefold quantize --model bundles/net --output bundles/net-int8 --json",
        "fivefold quantize --model bundles/net --output bundles/net-int8 --weight-type QInt8 --reduce-range",
    )
    parser.add_argument("--model", metavar="BUNDLE", required=True, help="a directory or a .tar")
    parser.add_argument("--output", metavar="DIR", required=True, help="where the new bundle goes")
    parser.add_argument(
        "--holdout", metavar="FILE", help='labelled rows, JSON lines of {"in": record, "out": {OUTPUT: true value}}'
    )
    parser.add_argument(
        "--weight-type", choices=("QUInt8", "QInt8"), default="QUInt8", help="default QUInt8; QInt8 with --reduce-range"
    )
    parser.add_argument("--reduce-range", action="store_true", help="weights of seven bits")
    parser.add_argument("--per-channel", action="store_true", help="a scale for each column of weights")
    parser.add_argument("--version", metavar="VERSION", help="the new bundle's; default VERSION+int8")
    add_force(parser)
    add_json(parser)
