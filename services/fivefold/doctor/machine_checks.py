"""What `make kind-up && make deploy` needs of this machine: programs, room, a port.

The cluster itself is `fivefold.doctor.cluster_checks`'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fivefold.doctor.finding import Finding, dotted, version_of

SECONDS = 10
"""A program that has not answered by then does not."""

PORT = 8443
"""Where the gateway of a cluster on this machine listens."""

CLUSTER = "fivefold"
"""The name of that cluster."""

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Program:
    """A program, how it says its version, and the oldest that will do."""

    name: str
    arguments: tuple[str, ...]
    least: tuple[int, int]
    need: str
    help: str


PROGRAMS = (
    # Older ones cannot load images into nodes with containerd 2.
    Program(
        "kind", ("version",), (0, 27), "a cluster on this machine", "https://kind.sigs.k8s.io/docs/user/quick-start"
    ),
    Program(
        "kubectl", ("version", "--client"), (1, 30), "talking to a cluster", "https://kubernetes.io/docs/tasks/tools"
    ),
    Program("helm", ("version", "--short"), (3, 14), "installing the chart", "https://helm.sh/docs/intro/install"),
)

DOCKER = (20, 10)
"""The first Docker whose builder is BuildKit with cache mounts as the Dockerfile uses them."""


def examine() -> list[Finding]:
    """All findings about this machine."""
    engine = _docker_info()
    return [
        _docker(engine),
        *(_program(program) for program in PROGRAMS),
        _cores(engine),
        _memory(engine),
        _disk(engine),
        _port(),
        *_inotify(),
    ]


def ask(*command: str, seconds: float = SECONDS) -> tuple[int, str] | None:
    """Exit status and output of a program; None where it is not on PATH."""
    program = shutil.which(command[0])
    if program is None:
        return None
    try:
        done = subprocess.run(  # noqa: S603  # a program of the user's own PATH, with our arguments
            [program, *command[1:]], capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {seconds:g} s"
    except OSError as err:
        return 1, err.strerror or str(err)
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr or done.stdout


def _docker_info() -> dict[str, Any] | str | None:
    """What the engine says of itself; why it says nothing; None where there is no client."""
    asked = ask("docker", "info", "--format", "{{json .}}")
    if asked is None:
        return None
    status, output = asked
    with contextlib.suppress(ValueError):
        info = json.loads(output)
        # The client answers with exit status 0 and a list of errors where it finds no engine.
        if status == 0 and isinstance(info, dict) and info.get("ServerVersion"):
            return info
        output = "; ".join(info.get("ServerErrors") or ()) or output
    return (output.strip().splitlines() or ["no answer"])[-1]


def _docker(engine: dict[str, Any] | str | None) -> Finding:
    need = "images, and the nodes of a cluster on this machine"
    if engine is None:
        return Finding("docker", "missing", "not on PATH", need, "https://docs.docker.com/engine/install")
    if isinstance(engine, str):
        help = "start it, or add yourself to its group; docker info says why it does not answer"
        return Finding("docker", "missing", f"the engine does not answer: {engine}", need, help)
    version = version_of(str(engine["ServerVersion"])) or (0, 0, 0)
    if version < DOCKER:
        says = f"engine {engine['ServerVersion']}, older than {dotted(DOCKER)}"
        return Finding("docker", "missing", says, need, "https://docs.docker.com/engine/install")
    return Finding("docker", "ok", f"engine {engine['ServerVersion']}", need)


def _program(program: Program) -> Finding:
    asked = ask(program.name, *program.arguments)
    if asked is None:
        return Finding(program.name, "missing", "not on PATH", program.need, program.help)
    status, output = asked
    version = version_of(output)
    if status != 0 or version is None:
        line = (output.strip().splitlines() or ["no output"])[-1][:200]
        return Finding(program.name, "missing", f"does not tell its version: {line}", program.need, program.help)
    if version < program.least:
        says = f"{dotted(version)}, older than {dotted(program.least)}"
        return Finding(program.name, "missing", says, program.need, program.help)
    return Finding(program.name, "ok", dotted(version), program.need)


def room(name: str, value: float, least: float, wanted: float, says: str, need: str, help: str) -> Finding:
    verdict: Any = "missing" if value < least else "warn" if value < wanted else "ok"
    return Finding(name, verdict, says, need, "" if verdict == "ok" else help)


def _cores(engine: Any) -> Finding:
    cores = int(engine["NCPU"]) if isinstance(engine, dict) and engine.get("NCPU") else os.cpu_count() or 1
    need = "Kubernetes, the operator, the gateway and Ray on one machine: 2, better 4"
    return room("cores", cores, 2, 4, str(cores), need, "give the engine more, or use a cluster elsewhere")


def _memory(engine: Any) -> Finding:
    if isinstance(engine, dict) and engine.get("MemTotal"):
        memory = int(engine["MemTotal"])
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    # An idle cluster of one node with gateway, operator and a service of two pods takes 2.6 GiB; an upgrade that makes
    # a second cluster, and building images, come on top.
    need = "a cluster with a service of two pods takes 2.6 GiB idle, an upgrade a second one: 4 GiB, better 8"
    help = "give the engine more, or use a cluster elsewhere"
    return room("memory", memory, 3.8 * GIB, 7.6 * GIB, f"{memory / GIB:.1f} GiB", need, help)


def _disk(engine: Any) -> Finding:
    root = Path(str(engine.get("DockerRootDir", ""))) if isinstance(engine, dict) else Path()
    place = root if root.is_absolute() and root.is_dir() else Path.cwd()
    free = shutil.disk_usage(place).free
    need = "images, once in Docker and once in each node: 10 GiB, better 20"
    return room("disk", free, 10 * GIB, 20 * GIB, f"{free / GIB:.0f} GiB free at {place}", need, "docker system prune")


def is_free(port: int) -> bool:
    """Whether a port of this machine's own address can be listened at."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _port() -> Finding:
    need = "the gateway of a cluster on this machine"
    if is_free(PORT):
        return Finding(f"port {PORT}", "ok", "free", need)
    clusters = ask("kind", "get", "clusters")
    if clusters is not None and CLUSTER in clusters[1].split():
        return Finding(f"port {PORT}", "ok", f"held by the kind cluster {CLUSTER}", need)
    return Finding(f"port {PORT}", "missing", "is taken", need, f"end what listens on 127.0.0.1:{PORT}")


def _inotify(limits: Path = Path("/proc/sys/fs/inotify")) -> Sequence[Finding]:
    try:
        instances = int((limits / "max_user_instances").read_text())
    except (OSError, ValueError):
        return ()
    need = "the nodes' processes watch files: 512 at least, or pods fail with too many open files"
    help = "sysctl fs.inotify.max_user_instances=512"
    says = f"max_user_instances {instances}"
    return (Finding("inotify", "warn" if instances < 512 else "ok", says, need, help if instances < 512 else ""),)
