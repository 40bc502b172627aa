"""`fivefold export`: a bundle as what another place runs, one entry in `TARGETS` a place.

Each target's files are written by a package of its own, which is imported when it is asked for.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fivefold.commands.words import USAGE, add, complain


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A place that a bundle is written for."""

    write: Callable[[argparse.Namespace, Path], Sequence[str]]
    """Writes the directory; gives the lines to print."""

    options: tuple[str, ...] = ()
    """The options, by their names in the namespace, that mean something to this target and are refused elsewhere."""

    several: bool = False
    """Whether `--model` may be given more than once."""


def _bentoml(arguments: argparse.Namespace, directory: Path) -> Sequence[str]:
    from fivefold.exports import bentoml

    return [str(path) for path in bentoml.write([Path(model) for model in arguments.model], directory)]


def _gateway(arguments: argparse.Namespace, directory: Path) -> Sequence[str]:
    from fivefold.edge.export import gateway_files

    return [str(path) for path in gateway_files.write([Path(model) for model in arguments.model], directory)]


def _browser(arguments: argparse.Namespace, directory: Path) -> Sequence[str]:
    from fivefold.commands.places import bundle_of
    from fivefold.edge.export.browser import BrowserOptions, write
    from fivefold.exports.web_runtime import web_runtime

    key = arguments.public_key
    bundle = bundle_of(arguments.model[0], [] if key is None else [key])
    options = BrowserOptions(
        hub=arguments.hub,
        key=None if key is None else Path(key),
        outbox_bytes=(arguments.outbox_mb or _OUTBOX_MB) * 1_000_000,
        drop_oldest=arguments.drop_oldest,
    )
    return write(bundle, directory, web_runtime(arguments.runtime and Path(arguments.runtime)), options)


def _mobile(arguments: argparse.Namespace, directory: Path) -> Sequence[str]:
    from fivefold.commands.places import bundle_of
    from fivefold.edge.export import mobile

    return mobile.write(bundle_of(arguments.model[0]), directory, ort=arguments.ort)


_OUTBOX_MB = 50

TARGETS: dict[str, Target] = {
    "bentoml": Target(write=_bentoml, several=True),
    "browser": Target(write=_browser, options=("runtime", "hub", "public_key", "outbox_mb", "drop_oldest")),
    "gateway": Target(write=_gateway, several=True),
    "mobile": Target(write=_mobile, options=("ort",)),
}
"""What `--to` takes."""


def _export(arguments: argparse.Namespace) -> int | None:
    from fivefold.core.bundle.bundle import refuse_within

    target = TARGETS[arguments.to]
    problem = _misused(arguments, target)
    if problem:
        complain(problem, "fivefold export --help")
        return USAGE
    directory = Path(arguments.directory or arguments.output)
    refuse_within(directory)
    for line in target.write(arguments, directory):
        print(line)
    files = [path for path in directory.rglob("*") if path.is_file()]
    print(f"wrote {directory}: {len(files):,} files, {sum(path.stat().st_size for path in files):,} bytes")
    if directory / "README.md" in files:
        print(f"next: {directory / 'README.md'} says how to use them")
    elif arguments.to == "browser":
        print(f"next: python -m http.server -d {directory} shows it at http://localhost:8000/")
    return None


def _misused(arguments: argparse.Namespace, target: Target) -> str | None:
    """What is wrong with the command line beyond what argparse sees, or None."""
    if (arguments.directory is None) == (arguments.output is None):
        return "expected one directory to write to"
    if len(arguments.model) > 1 and not target.several:
        return f"--to {arguments.to} takes one --model, got {len(arguments.model)}"
    known = {name for each in TARGETS.values() for name in each.options}
    for name in sorted(known - set(target.options)):
        if getattr(arguments, name) not in (None, False, []):
            return f"--{name.replace('_', '-')} means nothing to --to {arguments.to}"
    return None


def add_export(commands: Any) -> None:
    export = add(
        commands,
        "export",
        _export,
        "write a bundle as what another place runs: a service of another framework, a device",
        "fivefold export --model bundles/demo --to browser site",
        "fivefold export --model bundles/demo --to browser site --hub https://hub.example --public-key release.pub.pem",
        "fivefold export --model bundles/demo --to mobile app/src/main/assets/demo",
        "fivefold export --model bundles/demo --to bentoml service",
        "fivefold export --model bundles/demo --to gateway pump",
    )
    export.add_argument("--to", choices=tuple(TARGETS), required=True)
    export.add_argument("--model", metavar="BUNDLE", action="append", required=True, help="a directory or a .tar")
    export.add_argument("directory", metavar="DIR", nargs="?", help="where it is written")
    export.add_argument("--output", metavar="DIR", help="the same")
    browser = export.add_argument_group("for the browser")
    browser.add_argument(
        "--runtime", metavar="DIR", help="an unpacked onnxruntime-web; default: this user's cache, else npm fetches it"
    )
    browser.add_argument("--hub", metavar="URL", type=_web_address, help="keep the answers, and send them to this hub")
    browser.add_argument("--public-key", metavar="PEM", help="take only models that this key has signed")
    browser.add_argument(
        "--outbox-mb", metavar="N", type=_megabytes, help=f"room for answers that wait; default {_OUTBOX_MB}"
    )
    browser.add_argument(
        "--drop-oldest", action="store_true", help="when that is full, give up the oldest rather than refuse the newest"
    )

    mobile = export.add_argument_group("for phones")
    mobile.add_argument(
        "--ort", action="store_true", help="write model.ort beside model.onnx, for reduced builds of ONNX Runtime"
    )


def _web_address(text: str) -> str:
    parts = urlsplit(text)
    if (
        parts.scheme not in ("http", "https")
        or not parts.netloc
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise argparse.ArgumentTypeError(f"expected an address such as https://hub.example, got {text!r}")
    return text


def _megabytes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"expected a number of megabytes from 1 to 100000, got {text!r}")
    return int(text)
