"""`fivefold check`: whether a new contract may replace an old one."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from fivefold.commands.words import add
from fivefold.core.errors import ProtocolError

KEY = "FIVEFOLD_KEY"
"""The variable with the caller's API key, which the client reads: an argument would stand in the list of processes."""

FORMATS = ("text", "json", "markdown", "sarif", "github")


def _check(arguments: argparse.Namespace) -> None:
    from datetime import UTC, datetime

    from fivefold.core.settings import read
    from fivefold.delivery.settings import DeliverySettings
    from fivefold.evolution import allowances, traffic, transitive
    from fivefold.evolution.changes import finding
    from fivefold.evolution.contract_places import contract_at, contracts_in
    from fivefold.evolution.presentation import present
    from fivefold.evolution.verdict import directions, judge

    delivery = read(DeliverySettings)
    _refuse_one_key_for_two(arguments.old, arguments.new)
    try:
        old, new = (
            contract_at(text, delivery=delivery, timeout=arguments.timeout) for text in (arguments.old, arguments.new)
        )
    except ValueError as err:
        raise ProtocolError("not_acceptable", str(err), help="fivefold check --help") from err
    exemptions = allowances.load(arguments.allow) if arguments.allow else []
    judgement = judge(
        old.contract, new.contract, strict=arguments.strict, carried=new.carried, carried_before=old.carried
    )
    if old.digest and new.digest and old.digest != new.digest and old.contract == new.contract:
        says = "the same contract, another bundle"
        models = (finding("model-changed", "model", direction, says) for direction in directions("full"))
        judgement = judgement.adding(one for one in models if one is not None)
    if arguments.transitive:
        judgement = transitive.against_all(
            judgement,
            old.contract,
            new.contract,
            contracts_in(arguments.transitive, delivery),
            strict=arguments.strict,
            carried=new.carried,
        )
    if arguments.traffic:
        judgement = traffic.replay(judgement, old.contract, new.contract, arguments.traffic)
    if exemptions:
        today = datetime.now(UTC).date()
        judgement = judgement.replaced(allowances.apply(judgement.findings, exemptions, today, arguments.mode))
    sys.stdout.write(present(judgement, arguments.format, arguments.mode, new.file))
    if judgement.failed(arguments.mode, arguments.fail_on):
        sys.stdout.flush()
        verdict = f"{judgement.new} against {judgement.old}: {judgement.compatibility}"
        help = "mend what is said above, or accept it until a day: --allow FILE"
        raise ProtocolError("contract_unsupported", verdict, help=help)


def _refuse_one_key_for_two(*places: str) -> None:
    """Raise `ProtocolError` where two servers would be shown the key that is one's."""
    from fivefold.core import redact
    from fivefold.evolution.contract_places import is_server

    servers = {redact.address(place.partition("#")[0]) for place in places if is_server(place)}
    if len(servers) > 1 and os.environ.get(KEY):
        raise ProtocolError(
            "not_acceptable",
            f"{KEY} would be shown to two servers, {' and '.join(sorted(servers))}",
            help="keep one contract as a file first (…/v1/models/NAME/contract), and check it against the other server",
        )


def add_check(commands: Any) -> None:
    """Add `check`."""
    check = add(
        commands,
        "check",
        _check,
        "say what a new contract breaks, for whom, with an example",
        "fivefold check old/contract.json contract.json",
        "fivefold check http://models.example bundles/new --mode full",
        "fivefold check grpc://models.example:9000#churn bundles/churn --fail-on warning",
        "fivefold check bundles/old bundles/new --transitive served --traffic requests.jsonl",
        "fivefold check main.json contract.json --format sarif --allow allowed.toml",
    )
    place = "a contract.json, a bundle, or a server's URL, with #MODEL where it serves several"
    check.add_argument("old", metavar="OLD", help=place)
    check.add_argument("new", metavar="NEW", help="the same")
    check.add_argument(
        "--mode",
        choices=("backward", "forward", "full"),
        default="backward",
        help="backward: old callers on the new model (the default); forward: new callers on the old model; full: both",
    )
    check.add_argument(
        "--transitive", metavar="DIR", help="hold NEW against every contract and bundle of this directory too"
    )
    check.add_argument("--traffic", metavar="FILE", help="replay recorded requests, JSON lines, and count who is hit")
    check.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    check.add_argument(
        "--fail-on", choices=("error", "warning", "never"), default="error", help="what ends with status 3 (error)"
    )
    check.add_argument("--allow", metavar="FILE", help="JSON or TOML: findings that are accepted, each until a day")
    check.add_argument("--strict", action="store_true", help="inputs that would be ignored are errors")
    check.add_argument("--timeout", metavar="SECONDS", type=float, default=30.0, help="for each question (default 30)")
