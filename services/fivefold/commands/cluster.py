"""`fivefold cluster`: what the chart's own jobs run inside of a cluster."""

from __future__ import annotations

import argparse
import os
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


def _call(arguments: argparse.Namespace) -> int:
    from fivefold.cluster.call import Differs, call

    key = os.environ.get("FIVEFOLD_KEY")
    try:
        for sentence in call(arguments.http, arguments.grpc, {"authorization": f"Bearer {key}"} if key else {}):
            print(sentence, flush=True)
    except Differs as error:
        complain(str(error), "the pods' log lines have the request ids")
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
    call = add(
        group,
        "call",
        _call,
        "ask a service for every model over REST and gRPC, and compare",
        "fivefold cluster call --http http://fivefold:8000 --grpc grpc://fivefold:9000",
        "FIVEFOLD_KEY=ff_… fivefold cluster call --http https://scores.example --grpc grpcs://scores.example",
    )
    call.add_argument("--http", required=True, metavar="URL")
    call.add_argument("--grpc", required=True, metavar="URL")
