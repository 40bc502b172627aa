"""`fivefold pack` and `fivefold demo`: the work is `fivefold.packing`'s."""

from __future__ import annotations

import argparse
import math
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from fivefold.commands.selection import add_selection, selected
from fivefold.commands.versions import add_replacement, add_versions, carried_versions, replacement
from fivefold.commands.words import USAGE, add, add_force, add_json, complain, print_json

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\Z", re.IGNORECASE)
_NO_DRAFT = "give them with --draft-from DATA and without --contract"
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
_LIMITS = ("time_limit", "memory_limit")
TICK = 0.2
"""Seconds between two looks of a person."""


def _pack(arguments: argparse.Namespace) -> int | None:
    if arguments.contract is not None and any(selected(arguments).values()):
        complain("--target, --drop, --features and --margin are a draft's, and there is a contract", _NO_DRAFT)
        return USAGE
    problem = _contradiction(arguments)
    if problem is not None:
        complain(*problem)
        return USAGE
    stages = Stages(sys.stderr)
    try:
        report = _packed(arguments, None if arguments.quiet else stages.say)
    finally:
        stages.close()
    if arguments.json:
        print_json(report.to_json())
    else:
        print("\n".join(report.lines()))
    return None


def _contradiction(arguments: argparse.Namespace) -> tuple[str, str] | None:
    """What is asked for and cannot be meant together, and a help line."""
    is_class = bool(_CLASS.fullmatch(arguments.source))
    if arguments.as_ == "python" and is_class:
        return (
            "--as python keeps a model's file as it is, and SOURCE is a class, which is kept anyway",
            "leave --as out",
        )
    if is_class and arguments.draft_from is not None:
        help = "fivefold contract draft writes one of the inputs; add the outputs by hand and give it with --contract"
        return "--draft-from: a class does not say what it answers, so no contract can be drafted", help
    return None


def _packed(arguments: argparse.Namespace, say: Callable[[str], None] | None) -> Any:
    from fivefold.core.contract.contract import Contract
    from fivefold.packing.assembly import pack

    own = None if arguments.contract is None else Contract.load(arguments.contract)
    return pack(
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
        as_=arguments.as_,
        key=arguments.key,
        trust=arguments.trust,
        say=say,
        carried=carried_versions(arguments, own),
        accept=replacement(arguments),
        default_contract=arguments.default_contract,
        force=arguments.force,
        **selected(arguments),
        **{name: getattr(arguments, name) for name in _LIMITS if getattr(arguments, name) is not None},
    )


class Stages:
    """What packing is at, and since when: one live line on a terminal, a line for each stage elsewhere.

    A sentence that begins with blanks is what came of a stage: it stays.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live = stream, stream.isatty()
        self._begun = self._since = time.monotonic()
        self._stage = ""
        self._lock = threading.Lock()
        self._closed = threading.Event()
        if self._live:
            threading.Thread(target=self._tick, name="fivefold-stages", daemon=True).start()

    def say(self, text: str) -> None:
        """One sentence on a stage."""
        with self._lock:
            if not self._live:
                self._stream.write(f"{time.monotonic() - self._begun:5.1f} s  {text}\n")
            elif text.startswith(" "):
                self._stream.write(f"\r\x1b[K{text}\n")
                self._draw()
            else:
                self._stage, self._since = text, time.monotonic()
                self._draw()
            self._stream.flush()

    def close(self) -> None:
        """The packing is over: the live line goes."""
        self._closed.set()
        with self._lock:
            if self._live and self._stage:
                self._stage = ""
                self._stream.write("\r\x1b[K")
                self._stream.flush()

    def _tick(self) -> None:
        while not self._closed.wait(TICK):
            with self._lock:
                self._draw()
                self._stream.flush()

    def _draw(self) -> None:
        if self._stage:
            now = time.monotonic()
            line = f"{now - self._begun:5.1f} s  {self._stage} ({now - self._since:.1f} s)"
            # A line that wraps could not be taken back.
            self._stream.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return seconds


def _bytes(text: str) -> int:
    match = _SIZE.match(text.strip())
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if not size:
        raise argparse.ArgumentTypeError(f"expected a size such as 4G or 512M, got {text!r}")
    return size


def _demo(arguments: argparse.Namespace) -> None:
    from fivefold.packing.demo import demo, events

    demo(arguments.directory, force=arguments.force, say=print)
    if arguments.events:
        print(f"{events(arguments.events)} patients as events in {arguments.events}")


def add_pack(commands: Any) -> None:
    pack = add(
        commands,
        "pack",
        _pack,
        "make a bundle from a trained model and a contract",
        "fivefold pack model.onnx --contract contract.json --output bundles/fraud",
        "fivefold pack pipeline.joblib --draft-from train.parquet --output bundles/fraud",
        "fivefold pack model.joblib --as python --draft-from train.parquet --output bundles/fraud",
        "fivefold pack mypackage.model:Fraud --contract contract.json --output bundles/fraud",
        "fivefold pack model.onnx --contract c.json --bind 'score=probabilities[1]' --output bundles/fraud",
        "fivefold pack model.onnx --contract c2.json --replaces bundles/fraud-1 --output bundles/fraud-2",
    )
    pack.description = (
        "Make a bundle from a trained model and a contract: convert it to ONNX, bind it, measure it against\n"
        "the original, write it with golden rows. With --as python the model stays as it is: its very file,\n"
        "wrapped in a few lines of Python, for what no converter knows (docs/packing.md).\n\n"
        "Loading a pickle, a joblib file, a torch module or a Python class EXECUTES THE CODE IN IT: pack only\n"
        "what you trust."
    )
    pack.add_argument(
        "source",
        metavar="SOURCE",
        help="an .onnx file; a pickle, joblib (also compressed) or skops file of a fitted scikit-learn, XGBoost or "
        "LightGBM model; XGBoost's .json or .ubj; LightGBM's .txt; an MLflow model's folder; a torch module (.pt) or "
        "program (.pt2); with --as python also CatBoost's .cbm and any object with predict or transform; module:Class "
        "with predict(columns) -> columns, whose module file (or whole package) is copied",
    )
    pack.add_argument(
        "--as",
        dest="as_",
        choices=("python",),
        help="keep the model's file as it is, wrapped in Python, and convert nothing: no browser, but every model",
    )
    rules = pack.add_mutually_exclusive_group()
    rules.add_argument("--contract", metavar="FILE", help="contract.json")
    rules.add_argument(
        "--draft-from", metavar="DATA", help="without a contract: draft one from this .parquet, .csv or .jsonl"
    )
    add_selection(pack)
    pack.add_argument("--output", metavar="DIR", required=True, help="where the bundle is written")
    pack.add_argument(
        "--key", metavar="NAME", help="the model in a file that holds several: a dict's key, outer.inner inside others"
    )
    pack.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="TYPE",
        help="a type that a skops file may make beyond those that skops knows; repeatable",
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
    add_replacement(pack)
    add_versions(pack)
    pack.add_argument("--sign", metavar="KEY", help="sign with this Ed25519 private key (PEM)")
    pack.add_argument(
        "--time-limit", type=_seconds, metavar="SECONDS", help="how long one step may take (default: 300)"
    )
    pack.add_argument(
        "--memory-limit",
        type=_bytes,
        metavar="SIZE",
        help="how much memory packing may take, such as 4G (default: most of what is free)",
    )
    add_force(pack, "replace a bundle that stands there, and an edited draft of its contract")
    pack.add_argument("--quiet", action="store_true", help="say nothing of the stages on the standard error")
    add_json(pack)


def add_demo(commands: Any) -> None:
    demo = add(
        commands,
        "demo",
        _demo,
        "train and pack the demo model on scikit-learn's breast cancer set",
        "fivefold demo bundles/demo",
        "fivefold demo bundles/demo --force",
        "fivefold demo bundles/demo --events patients.jsonl      for fivefold log append",
    )
    demo.add_argument("directory", metavar="DIR")
    demo.add_argument("--force", action="store_true", help="train anew although the bundle is there")
    demo.add_argument("--events", metavar="FILE", help="write the data set as events, too")
