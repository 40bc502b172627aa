"""Release what this tree holds, or check what a registry has.

    make release REGISTRY=localhost:5000/fivefold SIGNING_KEY=release.pem
    make release-check REGISTRY=localhost:5000/fivefold PUBLIC_KEY=release.pub.pem

Exit status: 0 released, or released already with the same content, or what is there is what was released; 1 refused;
2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from releasing import building
from releasing.publishing import RELEASE, ReleasePlan, check, publish
from releasing.refusal import ReleaseRefused
from releasing.registry import Registry
from releasing.release_record import RECORD

ROOT = Path(__file__).resolve().parents[2]


def main(argv: list[str] | None = None) -> int:
    """Run one of the two commands."""
    arguments = _arguments().parse_args(argv)
    try:
        if not arguments.registry:
            raise ReleaseRefused(
                "REGISTRY: expected where the release goes, HOST[:PORT][/PATH], got none",
                "make release REGISTRY=registry.example/fivefold; .cache/bin/registry serves one on this machine",
            )
        _RUN[arguments.command](arguments)
    except ReleaseRefused as refusal:
        print(f"error: {refusal}\nhelp: {refusal.help}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m releasing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    out = commands.add_parser("publish", help="build and push wheel, images, chart, lists, and sign them")
    out.add_argument(
        "--images", default=" ".join(building.IMAGES), metavar="'NAME …'", help="empty: none (%(default)s)"
    )
    out.add_argument("--skip-build", action="store_true", help="take the images that make images built last")
    out.add_argument("--signing-key", type=Path, metavar="PEM", help="a private Ed25519 key; without one: not signed")
    out.add_argument("--output", type=Path, default=ROOT / "dist", metavar="DIRECTORY", help="default: dist")
    seen = commands.add_parser("check", help="pull a release and hold everything against its digest")
    seen.add_argument(
        "--public-key", type=Path, metavar="PEM", help="whose signature it has to have; without one: nobody's"
    )
    seen.add_argument("--output", type=Path, metavar="DIRECTORY", help="default: dist/release-VERSION")
    for each in (out, seen):
        each.add_argument("--registry", required=True, metavar="HOST[:PORT][/PATH]")
        each.add_argument("--version", default="", help="the tree's own, and no other")
    return parser


def _publish(arguments: argparse.Namespace) -> None:
    started = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - started:5.0f}s  {line}", flush=True)

    images = arguments.images.split()
    if strange := sorted(set(images) - set(building.IMAGES)):
        raise ReleaseRefused(
            f"IMAGES: expected some of {', '.join(building.IMAGES)}, got {strange[0]}",
            "make release IMAGES='ray stream'",
        )
    version = building.version_of(ROOT, arguments.version)
    plan = ReleasePlan(
        ROOT,
        arguments.output,
        Registry(arguments.registry),
        version,
        images,
        arguments.signing_key,
        build=not arguments.skip_build,
    )
    record = publish(plan, say)
    for each in record.artefacts:
        where = plan.registry.reference(each.reference) if each.reference else each.name
        print(f"       {each.digest}  {each.size:>11,} bytes  {where}")
    say(f"{version} is in {plan.registry.prefix}; {plan.output / RECORD} says what belongs to it")


def _check(arguments: argparse.Namespace) -> None:
    registry = Registry(arguments.registry)
    version = arguments.version.removeprefix("v") or building.version_of(ROOT, "")
    output = arguments.output or ROOT / "dist" / f"{RELEASE}-{version}"
    record, signer = check(registry, version, output, arguments.public_key)
    print(f"{registry.prefix} has {version} as it was released: {len(record.artefacts)} artefacts, in {output}")
    print(f"signed by {signer}" if signer else "whoever signed it was not asked for: PUBLIC_KEY names a key")


_RUN = {"publish": _publish, "check": _check}

if __name__ == "__main__":
    sys.exit(main())
