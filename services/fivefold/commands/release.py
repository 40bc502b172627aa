"""`fivefold release`: the gate that a release passes before anything is changed."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fivefold.commands.words import USAGE, Told, add, add_default_versions, add_group, add_json, complain, print_json

if TYPE_CHECKING:
    from fivefold.release.gate import Report
    from fivefold.release.succession_gate import ReleaseFinding

KEY = "FIVEFOLD_KEY"
"""The variable with the caller's API key: an argument would stand in the list of processes."""


def _release_check(arguments: argparse.Namespace) -> int | None:
    from fivefold.behaviour.thresholds import BehaviourBounds
    from fivefold.client.transports import is_grpc
    from fivefold.core.settings import SettingsError, read
    from fivefold.delivery.settings import DeliverySettings
    from fivefold.release.behaviour_gate import BehaviourCheck
    from fivefold.release.gate import check
    from fivefold.release.succession_gate import Accepted

    rows = tuple(path for paths in arguments.rows for path in paths)
    try:
        bounds = BehaviourBounds(arguments.max_disagreement, arguments.max_change)
        if not arguments.old and (rows or arguments.old_is_served or bounds != BehaviourBounds()):
            raise ValueError("answers are compared with those of another bundle: --old REFERENCE")
        is_grpc(arguments.against)
        delivery = read(DeliverySettings, trusted_keys=tuple(arguments.public_key) or None)
    except (SettingsError, ValueError) as err:
        complain(str(err), "fivefold release check --help")
        return USAGE
    key = arguments.key or os.environ.get(KEY)
    report = check(
        arguments.model,
        arguments.against,
        defaults=dict(text.split("=", 1) for text in arguments.default),
        accepted=Accepted(
            contract_changes=arguments.accept_contract_change,
            removals=arguments.accept_removal,
            unreachable=arguments.allow_unreachable,
        ),
        delivery=delivery,
        headers={"authorization": f"Bearer {key}"} if key else {},
        timeout=arguments.timeout,
        behaviour=BehaviourCheck(old=tuple(arguments.old), served=arguments.old_is_served, rows=rows, bounds=bounds)
        if arguments.old
        else None,
        ever_served=_asks_cluster(arguments.rayservice) if arguments.rayservice else None,
    )
    if arguments.json:
        print_json(report.to_json())
    else:
        _print(report)
    if report.error is not None:
        raise report.error if arguments.json else Told(report.error)
    return None


def _asks_cluster(name: str) -> Callable[[], bool]:
    """A question to the cluster that this pod runs in, whose failures are those of the product."""
    from fivefold.cluster.kubernetes_api import Api, ApiError
    from fivefold.cluster.rayservice import has_served
    from fivefold.core.errors import Unavailable

    def ever_served() -> bool:
        try:
            return has_served(Api.of_pod(), name)
        except ApiError as error:
            raise Unavailable("not_ready", str(error)) from None

    return ever_served


def _print(report: Report) -> None:
    """Each thing once: what holds for a model and for its version alike is one line with both."""
    alike: dict[tuple[str, str], list[ReleaseFinding]] = {}
    for finding in report.findings:
        alike.setdefault((finding.verdict, finding.says), []).append(finding)
    subjects = {key: "; ".join(dict.fromkeys(each.subject for each in found)) for key, found in alike.items()}
    width = max(map(len, subjects.values()), default=0)
    for (verdict, says), found in alike.items():
        print(f"{verdict:<8}  {subjects[verdict, says]:<{min(width, 60)}}  {says}")
        for help in dict.fromkeys(each.error.help for each in found if each.error is not None and each.error.help):
            print(f"{'':8}  help: {help}")
    refused = sum(finding.error is not None for finding in report.findings)
    print(f"the release is refused, {refused} of {len(report.findings)}" if refused else "the release may go ahead")


def add_release(commands: Any) -> None:
    """Add `release` and its command."""
    group = add_group(
        commands,
        "release",
        "check a release before it replaces what is served",
        "fivefold release check --model bundles/new --against http://127.0.0.1:8000",
    )
    check = add(
        group,
        "check",
        _release_check,
        "open the new bundles, and refuse what the live service's callers would not survive",
        "fivefold release check --model s3://models/new.tar#sha256=DIGEST --against https://models.example",
        "fivefold release check --model bundles/a --model bundles/b --against http://fivefold:8000 --json",
        "fivefold release check --model bundles/a --against http://fivefold:8000 --accept-contract-change churn",
        "fivefold release check --model bundles/b --against http://host:8000 --old bundles/a --max-disagreement 0.1",
    )
    check.add_argument(
        "--model", metavar="REFERENCE", action="append", required=True, help="as of fivefold serve; repeatable"
    )
    check.add_argument("--against", metavar="URL", required=True, help="the live service: http, https, grpc or grpcs")
    check.add_argument("--key", metavar="KEY", help=f"an API key of the live service; better: {KEY}")
    add_default_versions(check, "the version that will answer without one, as of fivefold serve; repeatable")
    check.add_argument(
        "--public-key", metavar="PEM", action="append", default=[], help="require a signature by this key; repeatable"
    )
    check.add_argument(
        "--accept-contract-change",
        metavar="NAME",
        action="append",
        default=[],
        help="this model's contract may differ from the one served; repeatable",
    )
    check.add_argument(
        "--accept-removal", metavar="NAME", action="append", default=[], help="this model may go; repeatable"
    )
    check.add_argument(
        "--allow-unreachable", action="store_true", help="go ahead where the live service does not answer"
    )
    check.add_argument(
        "--rayservice",
        metavar="NAME",
        help="in a pod: a live service that does not answer is a first release where this RayService has never served",
    )
    check.add_argument(
        "--old",
        metavar="REFERENCE",
        action="append",
        default=[],
        help="compare the answers with this bundle's, as fivefold difference does; repeatable, one a model",
    )
    check.add_argument(
        "--old-is-served", action="store_true", help="refuse where another bundle than OLD answers there by default now"
    )
    check.add_argument(
        "--rows", metavar="FILE", action="append", nargs="+", default=[], help="recorded rows to compare on; repeatable"
    )
    check.add_argument(
        "--max-disagreement", metavar="SHARE", type=float, help="refuse a release that differs in more of the rows"
    )
    check.add_argument(
        "--max-change", metavar="NUMBER", type=float, help="refuse a release whose numbers move farther in any row"
    )
    check.add_argument("--timeout", metavar="SECONDS", type=float, default=30.0, help="for each question (default 30)")
    add_json(check)
