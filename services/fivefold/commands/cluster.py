"""`fivefold cluster`: what the chart's own jobs run inside of a cluster."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from fivefold.commands.words import USAGE, add, add_group, complain

FAILED = 1
UNREACHABLE = 5
"""Another try may succeed."""


def _secrets(arguments: argparse.Namespace) -> int:
    from fivefold.cluster.kubernetes_api import Api, ApiError
    from fivefold.cluster.secrets import Wanted, ensure

    wanted = Wanted(
        arguments.name,
        keys=not arguments.no_keys,
        token=not arguments.no_token,
        caller=arguments.caller_key,
        hosts=tuple(arguments.host),
    )
    try:
        for sentence in ensure(Api.of_pod(), wanted):
            print(sentence)
    except ApiError as error:
        complain(str(error), "the pod's account has to read and make these Secrets; the chart's Role says which")
        return FAILED
    return 0


def _call(arguments: argparse.Namespace) -> int:
    from fivefold.cluster.smoke_call import Differs, call

    key = os.environ.get("FIVEFOLD_KEY")
    try:
        for sentence in call(arguments.http, arguments.grpc, {"authorization": f"Bearer {key}"} if key else {}):
            print(sentence, flush=True)
    except Differs as error:
        complain(str(error), "the pods' log lines have the request ids")
        return FAILED
    return 0


def _rayjob(arguments: argparse.Namespace) -> int:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    from fivefold.cluster import rayjob
    from fivefold.cluster.command_log import CommandLog
    from fivefold.cluster.kubernetes_api import Api, ApiError

    try:
        zone = ZoneInfo(arguments.time_zone)
    except (ZoneInfoNotFoundError, OSError, ValueError):
        complain(f"expected a time zone's name, got {arguments.time_zone!r}", "a name such as Etc/UTC or Europe/Berlin")
        return USAGE
    try:
        manifest = json.loads(arguments.manifest.read_bytes())
    except (OSError, ValueError) as error:
        complain(f"{arguments.manifest} is no manifest: {error}", "the chart keeps it in a ConfigMap, as JSON")
        return USAGE
    log = CommandLog(os.environ.get("RAY_AUTH_TOKEN", ""))
    try:
        for sentence in rayjob.run(Api.of_pod(), manifest, arguments.job, zone, said=log.news):
            print(sentence, flush=True)
    except rayjob.NotDone as error:
        complain(str(error), "what was finished is kept: a new Job of the same CronJob goes on from there")
        return FAILED
    except ApiError as error:
        complain(str(error), "the pod's account has to make and read RayJobs and to read Jobs; is KubeRay installed?")
        return UNREACHABLE
    return 0


def add_cluster(commands: Any) -> None:
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
    secrets.add_argument("--caller-key", action="store_true", help="make a key for the installation's own jobs alone")
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
    rayjob = add(
        group,
        "rayjob",
        _rayjob,
        "make the RayJob that a Job's time has come for, wait until it has ended, and say what its command says",
        "fivefold cluster rayjob --manifest rayjob.json --job fivefold-batch-29430120 --time-zone Europe/Berlin",
    )
    rayjob.add_argument(
        "--manifest",
        required=True,
        type=Path,
        metavar="FILE",
        help="a RayJob as JSON; {date}, {year}, {month} and {day} in its command become those of the day before, with "
        "{hour} too those of the hour before",
    )
    rayjob.add_argument("--job", required=True, metavar="NAME", help="the Job that asks for it, and will own it")
    rayjob.add_argument(
        "--time-zone", default="Etc/UTC", metavar="ZONE", help="where that day is over; default: %(default)s"
    )
