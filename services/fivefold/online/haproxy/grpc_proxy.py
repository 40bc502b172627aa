"""A HAProxy before Ray Serve's own, for gRPC behind a gateway: its connections outlive every reload.

    python -I -S grpc_proxy.py REAL_HAPROXY DIRECTORY BIND SOCKET PARENT < RAYS_CONFIGURATION

Ray replaces HAProxy whenever a replica comes or goes, and the process that goes says GOAWAY on its HTTP/2 connections.
Whoever sends a call in that moment has to ask again on another connection. gRPC's own clients and HAProxy do; a gateway
on Go's `net/http` cannot, because it has closed the call's body by then ("cannot rewind body after connection loss"),
and answers 500: seen once in some thousand calls of an upgrade on a busy cluster. So the gateway's connections end at a
HAProxy that is never reloaded, BIND, and Ray's own listens at SOCKET behind it. A call takes a hop more.

The command returns when this proxy listens, and leaves a supervisor behind, one for each PARENT, Ray's proxy actor: the
supervisor starts the proxy again should it die, and both end with the parent. Limits are those of Ray's configuration,
and DIRECTORY holds the error answers. Like `launch`, which starts this, it imports nothing of the package.
"""

import ctypes
import fcntl
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

LOCK = "grpc-proxy.lock"
"""Held by the supervisor, whose parent it names."""

CONFIGURATION = "grpc-proxy.cfg"

AGAIN_SECONDS = 0.25
"""Before a proxy that has died is started again, and between two looks whether one listens."""

START_SECONDS = 20.0

_LIMIT = re.compile(r"(?m)^[ \t]+((?:maxconn|nbthread|tune\.\S+) \d+)$")
_IDLE = re.compile(r"(?m)^[ \t]+(timeout http-keep-alive \S+)$")
_FRONTEND = re.compile(r"(?m)^frontend grpc_frontend\n(?:[ \t].*\n|\n)*")
_HOLDS = re.compile(r"(?m)^[ \t]+((?:maxconn|timeout http-request) \S+)$")
_WHOLE = re.compile(r"(?m)^[ \t]+(http-request wait-for-body .*)$")


def config(rays: str, directory: str, bind: str, server: str, tls: str = "") -> str:
    """This proxy's configuration; `rays` is that of Ray's HAProxy at the socket `server`, as `launch` has
    edited it. What is read whole there is read whole here, or it could not be asked again; a connection that asks
    nothing ends after the same times, and there are as many."""
    frontend = _FRONTEND.search(rays)
    holds = "".join(f"    {line}\n" for line in _HOLDS.findall(frontend[0] if frontend else ""))
    idle = "".join(f"    {line}\n" for line in _IDLE.findall(rays.partition("\nfrontend")[0]))
    limits = "".join(f"    {line}\n" for line in _LIMIT.findall(rays.partition("\ndefaults")[0]))
    whole = "".join(f"    {line}\n" for line in _WHOLE.findall(rays))
    answers = "".join(
        f"    errorfile {status} {directory}/{status}.http\n" for status in (400, 408, 422, 502, 503, 504)
    )
    return f"""global
{limits}defaults
    mode http
    timeout connect 250ms
    timeout client 3600s
    timeout server 3600s
    option abortonclose
    option http-no-delay
    option redispatch 1
    retry-on conn-failure empty-response
    retries 8
{idle}{answers}frontend grpc
    bind {bind}{tls and f" ssl crt {tls} alpn h2 ssl-min-ver TLSv1.2"}
{holds}    option forwardfor
    http-request deny deny_status 400 if {{ fc_http_major 1 }}
{whole}    default_backend rays
backend rays
    http-reuse always
    server rays unix@{server} proto h2
"""


def main(argv: list[str]) -> None:
    """See that the proxy is supervised, and return when it listens."""
    binary, directory, bind, server, parent = argv
    home = Path(directory)
    if _supervised(home, parent):
        return
    written = home / CONFIGURATION
    written.write_text(config(sys.stdin.read(), directory, bind, server, os.environ.get("FIVEFOLD_TLS_CERT", "")))
    if os.fork() == 0:
        os.setsid()
        _supervise([binary, "-db", "-f", str(written)], home, int(parent))
        os._exit(0)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _listens(bind):
            return
        time.sleep(0.01)
    sys.exit(f"no gRPC proxy at {bind} after {START_SECONDS:.0f} s")


def _listens(bind: str) -> bool:
    """Whether somebody answers where HAProxy is told to: `HOST:PORT`, in which an IPv6 host may be without brackets."""
    host, _, port = bind.rpartition(":")
    host = {"": "127.0.0.1", "*": "127.0.0.1", "::": "::1"}.get(host.strip("[]"), host.strip("[]"))
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def _supervised(home: Path, parent: str) -> bool:
    with (home / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            return lock.read() == parent
        return False


def _supervise(command: list[str], home: Path, parent: int) -> None:
    try:
        watched = os.pidfd_open(parent)
    except ProcessLookupError:
        return
    with (home / LOCK).open("a+") as lock:
        # The supervisor of a parent before this one ends as soon as it has seen that one end.
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(parent))
        lock.flush()
        while not _wait(watched, 0):
            proxy = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_me)  # noqa: S603  # HAProxy
            ended = os.pidfd_open(proxy.pid)
            if _wait(watched, None, ended) or _wait(watched, AGAIN_SECONDS):
                proxy.kill()
            proxy.wait()
            os.close(ended)


def _wait(watched: int, seconds: float | None, *others: int) -> bool:
    """Whether that process has ended, after waiting for it or one of the others for so long."""
    return watched in select.select([watched, *others], [], [], seconds)[0]


def _die_with_me() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
