"""The cluster as its operator has it (make, kubectl, helm), and its gateway as a caller outside sees it.

Commands run as a person would type them, and fail with all that they printed. What is asked of the service is left to
`load` and to the tests.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import httpx

ROOT = Path(__file__).resolve().parents[2]
NAME = "fivefold"
"""Of the kind cluster, of the namespace and of the release."""

CONTEXT = f"kind-{NAME}"
ADDRESS = "localhost:8443"
"""By name: a client that is given a number names no host when it greets, and Traefik then shows another certificate."""
AUTHORITY = ROOT / ".cache" / "kind" / "ca.crt"
SLOW = 900.0
"""Seconds that a command or a wait may take: machines that run clusters for tests are small and busy."""

_OURS = (
    "MAKEFLAGS",
    "MAKEOVERRIDES",
    "MFLAGS",
    "MAKELEVEL",
    "ARGS",
    "BUNDLE",
    "VERSION",
    "DELIVERY",
    "SITE",
    "VALUES",
    "GATEWAY",
)
"""What `make e2e` itself was told, and would hand down to every target that a test types."""

T = TypeVar("T")


def command(
    *words: str | Path, given: str | None = None, check: bool = True, errors: bool = False, **environment: str
) -> str:
    """Run a program from the repository's root; what it printed, on its error stream too where `errors` asks for that.

    Fails with everything that was printed where the program fails, unless `check` is false.
    """
    outer = {name: value for name, value in os.environ.items() if name not in _OURS}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env=outer | environment,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if errors else subprocess.PIPE,
        text=True,
        timeout=SLOW,
    )
    if check and done.returncode != 0:
        raise AssertionError(
            f"exit {done.returncode} of {' '.join(map(str, words))}\n{done.stdout}\n{done.stderr or ''}"
        )
    return done.stdout


def make(target: str, *, check: bool = True, **variables: str) -> str:
    """Run a target of the Makefile with its variables."""
    given = (f"{name}={value}" for name, value in variables.items())
    return command("make", "--no-print-directory", target, *given, check=check, errors=True)


def kubectl(*words: str | Path, given: str | None = None, check: bool = True) -> str:
    """Run kubectl in the release's namespace."""
    return command("kubectl", "--context", CONTEXT, "--namespace", NAME, *words, given=given, check=check)


def helm(*words: str, check: bool = True) -> str:
    """Run helm on the release's cluster and namespace."""
    return command("helm", "--kube-context", CONTEXT, "--namespace", NAME, *words, check=check)


def until(what: str, condition: Callable[[], T], seconds: float = SLOW) -> T:
    """Ask once a second until the condition holds, and give back what it gave.

    A command that fails meanwhile, or finds one thing too few or too many, is asked again.
    """
    deadline = time.monotonic() + seconds
    why: object = None
    while True:
        try:
            found = condition()
        except (AssertionError, ValueError, LookupError) as error:
            found, why = None, error  # type: ignore[assignment]  # nothing found
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}; {why or found!r}"
        time.sleep(1)


@dataclass(frozen=True)
class Pod:
    """A pod of the service: where it runs, and since when, so that another one of its name is told from it."""

    name: str
    uid: str
    node: str
    address: str
    ready: bool
    going: bool


def pods(kind: str) -> list[Pod]:
    """Ray's pods of a kind, `head` or `worker`, those that are going away included."""
    said = json.loads(kubectl("get", "pods", "-l", f"ray.io/node-type={kind}", "-o", "json"))
    return [_pod(item) for item in said["items"]]


def _pod(item: dict[str, Any]) -> Pod:
    conditions = {each["type"]: each["status"] for each in item["status"].get("conditions", [])}
    return Pod(
        item["metadata"]["name"],
        item["metadata"]["uid"],
        item["spec"].get("nodeName", ""),
        item["status"].get("podIP", ""),
        conditions.get("Ready") == "True",
        "deletionTimestamp" in item["metadata"],
    )


def nodes() -> list[str]:
    """The cluster's nodes that pods may run on."""
    return kubectl("get", "nodes", "-l", "!node-role.kubernetes.io/control-plane", "-o", "name").split()


def head() -> Pod:
    """The head of the cluster that answers."""
    (found,) = [pod for pod in pods("head") if not pod.going and pod.name.startswith(ray_cluster())]
    return found


def ray_cluster() -> str:
    """The Ray cluster that the service runs on."""
    return kubectl("get", "rayservice", NAME, "-o", "jsonpath={.status.activeServiceStatus.rayClusterName}").strip()


@dataclass(frozen=True)
class Replica:
    """A replica that runs: its name, its process in its pod, and the pod's address."""

    name: str
    pid: int
    address: str


_DASHBOARD = """wget -q -T 20 -t 1 -O - --header "Authorization: Bearer $RAY_AUTH_TOKEN" \
http://localhost:8265/api/serve/applications/"""


def replicas() -> list[Replica]:
    """The replicas that Ray Serve's controller says are running."""
    said = json.loads(kubectl("exec", head().name, "-c", "ray-head", "--", "bash", "-c", _DASHBOARD))
    (application,) = said["applications"].values()
    (deployment,) = application["deployments"].values()
    return [
        Replica(each["replica_id"], each["pid"], each["node_ip"])
        for each in deployment["replicas"]
        if each["state"] == "RUNNING"
    ]


def pod_of(replica: Replica) -> Pod:
    """The worker pod that a replica runs in."""
    (found,) = [pod for pod in pods("worker") if pod.address == replica.address and not pod.going]
    return found


def settled(count: int) -> bool:
    """Whether so many replicas run, each in a pod that is ready, and nothing is on its way or going."""
    workers = pods("worker")
    running = replicas()
    ready = {pod.address for pod in workers if pod.ready}
    return len(running) == count and {each.address for each in running} == ready and not any(p.going for p in workers)


def until_settled(count: int = 2) -> None:
    """Wait until the service stands as its values say."""
    until(f"{count} replicas in ready pods", lambda: settled(count))


def key() -> str:
    """The API key that was made at install time."""
    return command(
        "bash",
        "-c",
        f"kubectl --context {CONTEXT} -n {NAME} get secret {NAME}-api-key -o jsonpath='{{.data.key}}' | base64 -d",
    ).strip()


def trust() -> ssl.SSLContext:
    """TLS as a client has it that trusts the release's authority and no other."""
    return ssl.create_default_context(cafile=os.fspath(AUTHORITY))


def channel(authority: bytes | None = None, host: str = "") -> grpc.Channel:
    """A gRPC channel to the gateway with its own connection, which never asks twice; `host` is for whom it asks."""
    options: list[tuple[str, int | str]] = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    if host:
        options += [("grpc.ssl_target_name_override", host), ("grpc.default_authority", host)]
    credentials = grpc.ssl_channel_credentials(AUTHORITY.read_bytes() if authority is None else authority)
    return grpc.secure_channel(ADDRESS, credentials, options)


def upgrade(bundles: Sequence[Path], **variables: str) -> str:
    """`make upgrade` to bundles; what it said."""
    return make("upgrade", BUNDLE=" ".join(map(str, bundles)), **variables)


def served() -> dict[str, str]:
    """Model to the digest of the version that answers by default, asked through the gateway."""
    with httpx.Client(
        base_url=f"https://{ADDRESS}", verify=trust(), headers={"authorization": f"Bearer {key()}"}, timeout=60
    ) as client:
        names = client.get("/v1/models").raise_for_status().json()["models"]
        return {name: client.get(f"/v1/models/{name}").raise_for_status().json()["bundle"] for name in names}
