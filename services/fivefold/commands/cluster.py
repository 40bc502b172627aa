"""`fivefold cluster`: what the chart's own jobs run inside of a cluster."""

from __future__ import annotations

import argparse
from typing import Any

from fivefold.commands.words import add, add_group, complain

FAILED = 1


def _secrets(arguments: argparse.Namespace) -> int:
    from fivefold.cluster.api import Api, ApiError
    from fivefold.cluster.secrets import Wanted, ensure

    wanted = Wanted(
        arguments.name, keys=not arguments.no_keys, token=not arguments.no_token, hosts=tuple(arguments.host)
    )
    try:
        for sentence in ensure(Api.of_pod(), wanted):
            print(sentence)
    except ApiError as error:
        complain(str(error), "the pod's account has to read and make these Secrets; the chart's Role says which")
        return FAILED
    return 0


def add_cluster(commands: Any) -> None:
    """Add `cluster`."""
    group = add_group(
        commands, "cluster", "what an installation does from inside of Kubernetes", "fivefold cluster secrets --help"
    )
    secrets = add(
        group,
        "secrets",
        _secrets,
        "make the Secrets that an installation lacks, and keep those it has",
        "fivefold cluster secrets --name fivefold --host localhost --host 127.0.0.1",
    )
    secrets.add_argument("--name", required=True, help="what the names of the Secrets begin with")
    secrets.add_argument("--no-keys", action="store_true", help="the API keys are somebody else's")
    secrets.add_argument("--no-token", action="store_true", help="Ray's token is somebody else's")
    secrets.add_argument(
        "--host", action="append", default=[], metavar="NAME", help="make a certificate for it; repeatable"
    )
