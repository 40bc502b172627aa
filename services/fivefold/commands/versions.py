"""The options that say which contract versions a bundle answers, for `fivefold pack` and `fivefold bundle answer`."""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fivefold.core.errors import BundleInvalid, ProtocolError

if TYPE_CHECKING:
    from fivefold.commands.words import Parser
    from fivefold.core.bundle.carried import CarriedVersion
    from fivefold.core.contract.contract import Contract


def add_replacement(parser: Parser) -> None:
    """`--replaces` and `--breaking`."""
    parser.add_argument(
        "--replaces",
        metavar="OLD",
        help="the bundle or contract whose place this one takes: refuse what breaks its callers, and answer them as "
        "--answers does",
    )
    parser.add_argument(
        "--breaking",
        action="store_true",
        help="with --replaces: let callers break, who are answered no more; needs another major version",
    )


def add_versions(parser: Parser) -> None:
    """`--answers`, `--answers-newer`, `--default-contract`, `--deprecated` and `--sunset`."""
    parser.add_argument(
        "--answers",
        metavar="OLD",
        action="append",
        default=[],
        help="answer callers of this older contract version too: a contract.json, or a bundle with all that it "
        "answers; repeatable",
    )
    parser.add_argument(
        "--answers-newer",
        metavar="NEW",
        action="append",
        default=[],
        help="the same for a version that came after this model's, as when a release is taken back; repeatable",
    )
    parser.add_argument(
        "--default-contract", metavar="VERSION", help="for callers that name no version (default: the oldest)"
    )
    for option, about in (("deprecated", "callers are asked to leave it since"), ("sunset", "it may be gone from")):
        parser.add_argument(
            f"--{option}",
            metavar="VERSION=DATE",
            action="append",
            default=[],
            type=_dated,
            help=f"{about} this day (YYYY-MM-DD), and answers say so; repeatable",
        )


def carried_versions(arguments: argparse.Namespace, own: Contract | None) -> tuple[CarriedVersion, ...]:
    """What the options ask for beside `own`, which is None where it is still to be drafted; raises `BundleInvalid` and
    `ContractInvalid`."""
    found: dict[str, CarriedVersion] = {}
    replaces, breaking = getattr(arguments, "replaces", None), getattr(arguments, "breaking", False)
    replaced = [replaces] if replaces and not breaking else []
    for newer, places in ((False, [*replaced, *arguments.answers]), (True, arguments.answers_newer)):
        for place in places:
            for each in _versions(place, newer, own):
                known = found.setdefault(each.contract.version, each)
                if known.contract.digest != each.contract.digest:
                    raise BundleInvalid(f"{place}: another contract has the version {each.contract.version!r}")
    for member in ("deprecated", "sunset"):
        for version, day in getattr(arguments, member):
            if version not in found:
                raise BundleInvalid(
                    f"--{member} {version}: the bundle is not to answer that version",
                    help=f"versions: {', '.join(found) or 'none beside its own'}",
                )
            dated = replace(found[version], deprecated=day) if member == "deprecated" else None
            found[version] = dated or replace(found[version], sunset=day)
    return tuple(found.values())


def replacement(arguments: argparse.Namespace) -> Callable[[Contract], None] | None:
    """What judges the contract of a bundle that takes another's place; None where it takes nobody's.

    The judge raises `ProtocolError` `contract_unsupported` for what breaks the other's callers.
    """
    if arguments.replaces is None:
        if arguments.breaking:
            raise BundleInvalid("--breaking says what --replaces may do, and that is not given")
        return None
    replaced = [each.contract for each in _versions(arguments.replaces, newer=False, own=None)]

    def judge_all(contract: Contract) -> None:
        from fivefold.evolution.verdict import judge

        if arguments.breaking:
            _check_major(replaced[-1].version, contract.version)
            return
        for old in replaced:
            carried = (old.version,) if old.version != contract.version else ()
            findings = judge(old, contract, carried=carried, examples=False).of("backward")
            worst = [each for each in findings if each.severity == "error"]
            if worst:
                more = f", and {len(worst) - 1} more" if len(worst) > 1 else ""
                raise ProtocolError(
                    "contract_unsupported",
                    f"callers of {old.name}@{old.version} break: {worst[0].says} ({worst[0].rule.id}){more}",
                    path=worst[0].path,
                    help=f"{worst[0].rule.fix} All of it: fivefold check OLD NEW. To go on all the same: --breaking",
                )

    return judge_all


def _check_major(old: str, new: str) -> None:
    if old.partition(".")[0] == new.partition(".")[0]:
        raise BundleInvalid(
            f"a contract that breaks callers of {old} needs another major version, got {new}",
            path="contract.json",
            help="so that who reads the version alone is warned",
        )


def _versions(place: str, newer: bool, own: Contract | None) -> list[CarriedVersion]:
    """All that a bundle answers, or the one contract of a file.

    Where a bundle answers `own` too, as one that is taken back is answered by what came after it, its order says which
    of the others are older than that one, and which newer.
    """
    from fivefold.commands.places import bundle_of
    from fivefold.core.bundle.carried import CarriedVersion
    from fivefold.core.contract.contract import Contract

    path = Path(place)
    if not path.is_dir() and path.suffix != ".tar":
        return [CarriedVersion(Contract.load(path), newer)]
    bundle = bundle_of(place)
    known = {each.contract.version: each for each in bundle.carried}
    ordered = [known.get(version) or CarriedVersion(bundle.contract) for version in bundle.views]
    at = next((at for at, each in enumerate(ordered) if own and each.contract.digest == own.digest), None)
    if at is None:
        return [replace(each, newer=newer) for each in ordered]
    return [replace(each, newer=index > at) for index, each in enumerate(ordered) if index != at]


def _dated(text: str) -> tuple[str, dt.date]:
    version, _, day = text.partition("=")
    try:
        return version, dt.date.fromisoformat(day)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected VERSION=YYYY-MM-DD, got {text!r}") from None
