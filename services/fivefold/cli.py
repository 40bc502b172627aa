"""The command `fivefold`: parse, call, print.

Every command is one call into the package; nothing is decided here but words and exit codes. Errors are an `error:`
line and, where there is one, a `help:` line on stderr; `EXIT` gives each code its exit status. A defect of ours keeps
its traceback. Libraries are imported by the command that needs them, so that `fivefold --help` is immediate.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Sequence

from fivefold.commands import json_logs
from fivefold.commands.batch import add_batch
from fivefold.commands.bundle import add_bundle
from fivefold.commands.check import add_check
from fivefold.commands.cluster import add_cluster
from fivefold.commands.contract import add_contract
from fivefold.commands.difference import add_difference
from fivefold.commands.doctor import add_doctor
from fivefold.commands.export import add_export
from fivefold.commands.gateway import add_gateway
from fivefold.commands.hub import add_hub
from fivefold.commands.keys import add_keys
from fivefold.commands.pack import add_demo, add_pack
from fivefold.commands.parity import add_parity
from fivefold.commands.predict import add_predict
from fivefold.commands.quantize import add_quantize
from fivefold.commands.release import add_release
from fivefold.commands.score import add_score
from fivefold.commands.serve import add_replace, add_serve
from fivefold.commands.stream import add_dead_letters, add_log, add_stream
from fivefold.commands.words import USAGE, Parser, Told, add, add_json, complain, print_json
from fivefold.core.errors import VIOLATION_CODES, FivefoldError
from fivefold.core.settings import SettingsError

EXIT: dict[str, int] = {
    **dict.fromkeys(("malformed", *VIOLATION_CODES, "too_large"), 3),
    **dict.fromkeys(("contract_invalid", "bundle_invalid", "contract_unsupported"), 3),
    **dict.fromkeys(("not_found", "model_not_found", "version_not_found"), 3),
    **dict.fromkeys(("unauthenticated", "forbidden"), 4),
    **dict.fromkeys(("method_not_allowed", "not_acceptable", "unsupported_media_type", "not_implemented"), 2),
    **dict.fromkeys(("request_timeout", "headers_too_large", "rate_limited", "not_ready", "overloaded"), 5),
    "deadline_exceeded": 5,
    "cancelled": 130,
    **dict.fromkeys(("run_conflict", "too_many_bad_rows", "input_broken"), 3),
    **dict.fromkeys(("model_failed", "storage_failed", "worker_lost"), 1),
    "internal": 1,
}
"""Exit status of each error code. 0 is success, 2 also a command line that cannot be parsed, 130 also Ctrl-C."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    if argv is None:
        try:
            if json_logs.asked(sys.argv[1:]):
                return json_logs.run([sys.executable, "-m", "fivefold", *sys.argv[1:]], "fivefold")
        except SettingsError as err:
            complain(str(err), "text or json; docs/settings.md")
            return USAGE
    arguments = _parser().parse_args(argv)
    if getattr(arguments, "providers", None):
        # A variable, because replicas, workers and the processes that look at a bundle first run on them as well.
        os.environ["FIVEFOLD_PROVIDERS"] = arguments.providers
    try:
        run: Callable[[argparse.Namespace], int | None] = arguments.run
        status = run(arguments)
        sys.stdout.flush()
        return status or 0
    except Told as told:
        return EXIT[told.error.code]
    except FivefoldError as err:
        complain(str(err), err.help)
        for violation in err.details[1:]:
            print(f"       {violation.path}: {violation.message}", file=sys.stderr)
        return EXIT[err.code]
    except SettingsError as err:
        complain(str(err), f"fivefold {' '.join(_words(argv))} --help")
        return USAGE
    except BrokenPipeError:
        # The reader (`| head`) has gone; what Python would still flush at exit goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return EXIT["cancelled"]
    except ModuleNotFoundError as err:
        if (err.name or "fivefold").startswith("fivefold"):
            raise
        complain(f"this needs {err.name}, which is not installed", "pip install 'fivefold[all]'")
        return 1
    except OSError as err:
        complain(f"{err.strerror or err}{f': {err.filename}' if err.filename else ''}", None)
        return 1


def _words(argv: Sequence[str] | None) -> list[str]:
    """The words of the command in a command line."""
    words = list(sys.argv[1:] if argv is None else argv)
    return list(itertools.takewhile(lambda word: not word.startswith("-"), words))[:1]


class _Version(argparse.Action):
    """`--version`: the command `version`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        _version(argparse.Namespace(json=False))
        parser.exit()


def _version(arguments: argparse.Namespace) -> None:
    versions = {"fivefold": _installed("fivefold"), "python": ".".join(map(str, sys.version_info[:3]))}
    versions.update({name: _installed(name) for name in ("onnxruntime", "numpy", "ray")})
    if arguments.json:
        print_json(versions)
    else:
        print("\n".join(f"{name} {version or 'not installed'}" for name, version in versions.items()))


def _installed(name: str) -> str | None:
    # A quarter of what this module takes to import, and a worker that comes back has no time for it.
    from importlib import metadata

    try:
        version: str = metadata.version(name)
        return version
    except metadata.PackageNotFoundError:
        return None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="fivefold",
        description="One model bundle and one typed contract, served five ways with the same answers and errors.",
        epilog="""\
examples:
  fivefold demo bundles/demo                        train and pack a model on real data
  fivefold predict bundles/demo row.json            an answer at once, without a server
  fivefold serve bundles/demo                       REST on :8000, gRPC on :9000, a page at /
  fivefold pack model.joblib --contract contract.json --output bundles/mine
  fivefold score --model bundles/demo --input 'data/*.parquet' --output scores

exit codes: 0 done, 1 the model or fivefold failed, 2 the command line, 3 the data, contract or bundle, 4 not allowed,
5 try again later, 130 interrupted""",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="what is installed; the same as fivefold version")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    add_pack(commands)
    add_demo(commands)
    add_quantize(commands)
    add_predict(commands)
    add_serve(commands)
    add_replace(commands)
    add_score(commands)
    add_batch(commands)
    add_stream(commands)
    add_gateway(commands)
    add_log(commands)
    add_dead_letters(commands)
    add_export(commands)
    add_contract(commands)
    add_check(commands)
    add_bundle(commands)
    add_difference(commands)
    add_parity(commands)
    add_cluster(commands)
    add_keys(commands)
    add_hub(commands)
    add_release(commands)
    add_doctor(commands)
    version = add(commands, "version", _version, "what is installed", "fivefold version --json")
    add_json(version)
    return parser


if __name__ == "__main__":
    sys.exit(main())
