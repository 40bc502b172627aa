"""`fivefold doctor`: what this machine and its cluster lack."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fivefold.commands.words import add, add_json, print_json

if TYPE_CHECKING:
    from fivefold.doctor.finding import Finding

MISSING = 1
"""Exit status where something is missing that is needed."""


def _doctor(arguments: argparse.Namespace) -> int:
    from fivefold.doctor import laptop_checks, machine_checks

    groups = {"laptop": laptop_checks.examine()}
    kubernetes = arguments.cluster or arguments.context is not None
    if kubernetes:
        groups |= {"machine": machine_checks.examine(), "cluster": _cluster(arguments)}
    missing = any(finding.verdict == "missing" for found in groups.values() for finding in found)
    if arguments.json:
        print_json({"ok": not missing, **{name: [one.to_json() for one in found] for name, found in groups.items()}})
    else:
        for name, found in groups.items():
            _print(name, found)
        if not kubernetes:
            print("what Kubernetes needs: fivefold doctor --cluster")
    return MISSING if missing else 0


def _cluster(arguments: argparse.Namespace) -> list[Finding]:
    """The cluster; one that cannot be looked at is missing."""
    from fivefold.doctor import cluster_checks
    from fivefold.doctor.finding import Finding

    need = "the chart"
    try:
        there = cluster_checks.ClusterReader(arguments.context)
        try:
            return cluster_checks.examine(there, arguments.namespace)
        finally:
            there.close()
    except ModuleNotFoundError as err:
        if err.name != "kubernetes":
            raise
        says, help = "looking at it needs the Python package kubernetes", "pip install 'fivefold[cluster]'"
    except cluster_checks.Unreachable as err:
        says, help = str(err), "make kind-up, or name another: --context NAME; kubectl config get-contexts lists them"
    return [Finding("cluster", "missing", says, need, help)]


def _print(group: str, findings: list[Finding]) -> None:
    print(group)
    width = max((len(finding.name) for finding in findings), default=0)
    for finding in findings:
        print(f"  {finding.verdict:<7}  {finding.name:<{width}}  {finding.says}")
        if finding.verdict != "ok":
            for word, text in (("for", finding.need), ("help", finding.help)):
                if text:
                    print(f"{'':{width + 13}}{word}: {text}")


def add_doctor(commands: Any) -> None:
    doctor = add(
        commands,
        "doctor",
        _doctor,
        "name what this machine lacks for packing and serving, and what a cluster does for the chart",
        "fivefold doctor",
        "fivefold doctor --cluster --context production --namespace models",
        "fivefold doctor --json",
    )
    doctor.add_argument(
        "--cluster", action="store_true", help="look at the cluster, and at what one on this machine needs, too"
    )
    doctor.add_argument("--context", metavar="NAME", help="of the kubeconfig; default: the current one")
    doctor.add_argument(
        "--namespace", metavar="NAME", default="fivefold", help="where the chart would be installed (default fivefold)"
    )
    add_json(doctor)
