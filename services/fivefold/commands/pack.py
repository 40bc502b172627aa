"""`fivefold pack` and `fivefold demo`: the work is `fivefold.packing`'s."""

from __future__ import annotations

import argparse
from typing import Any

from fivefold.commands.words import add, add_json, print_json


def _pack(arguments: argparse.Namespace) -> None:
    from fivefold.packing.assembly import pack

    report = pack(
        arguments.source,
        arguments.contract,
        arguments.output,
        draft_from=arguments.draft_from,
        name=arguments.name,
        version=arguments.version,
        golden_from=arguments.golden,
        tolerance=arguments.tolerance,
        bind=arguments.bind,
        sign_key=arguments.sign,
    )
    if arguments.json:
        print_json(report.to_json())
    else:
        print("\n".join(report.lines()))


def _demo(arguments: argparse.Namespace) -> None:
    from fivefold.packing.demo import demo

    demo(arguments.directory, force=arguments.force, say=print)


def add_pack(commands: Any) -> None:
    """Add `pack`."""
    pack = add(
        commands,
        "pack",
        _pack,
        "make a bundle from a trained model and a contract",
        "fivefold pack model.onnx --contract contract.json --output bundles/fraud",
        "fivefold pack pipeline.joblib --draft-from train.parquet --output bundles/fraud",
        "fivefold pack mypackage.model:Fraud --contract contract.json --output bundles/fraud",
        "fivefold pack model.onnx --contract c.json --bind 'score=probabilities[1]' --output bundles/fraud",
    )
    pack.description = (
        "Make a bundle from a trained model and a contract: convert it to ONNX, bind it, measure it against\n"
        "the original, write it with golden rows.\n\n"
        "Loading a pickle, a joblib file, a torch module or a Python class EXECUTES THE CODE IN IT: pack only\n"
        "what you trust."
    )
    pack.add_argument(
        "source",
        metavar="SOURCE",
        help="an .onnx file; a pickle or joblib file of a fitted scikit-learn, XGBoost or LightGBM model; XGBoost's "
        ".json or .ubj; LightGBM's .txt; a torch module (.pt) or program (.pt2); module:Class with "
        "predict(columns) -> columns, whose module file (or whole package) is copied",
    )
    pack.add_argument("--contract", metavar="FILE", help="contract.json")
    pack.add_argument("--output", metavar="DIR", required=True, help="where the bundle is written")
    pack.add_argument(
        "--draft-from", metavar="DATA", help="without a contract: draft one from this .parquet, .csv or .jsonl"
    )
    pack.add_argument("--name", help="the model's name (default: the contract's)")
    pack.add_argument("--version", default="1", help="the model's version (default: 1)")
    pack.add_argument("--golden", metavar="DATA", help="rows to prove the model with (default: made from the contract)")
    pack.add_argument(
        "--tolerance",
        type=float,
        metavar="X",
        help="allowed |converted - original| / max(1, |original|) (default: 1e-5)",
    )
    pack.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="TARGET=SOURCE",
        help="MODEL_INPUT=FIELD,FIELD,… or FIELD=MODEL_OUTPUT[COLUMN], where it cannot be inferred; repeatable",
    )
    pack.add_argument("--sign", metavar="KEY", help="sign with this Ed25519 private key (PEM)")
    add_json(pack)


def add_demo(commands: Any) -> None:
    """Add `demo`."""
    demo = add(
        commands,
        "demo",
        _demo,
        "train and pack the demo model on scikit-learn's breast cancer set",
        "fivefold demo bundles/demo",
        "fivefold demo bundles/demo --force",
    )
    demo.add_argument("directory", metavar="DIR")
    demo.add_argument("--force", action="store_true", help="train anew although the bundle is there")
