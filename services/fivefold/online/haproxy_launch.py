"""Stands in for the `haproxy` binary that Ray Serve starts: edits the configuration, then becomes the real one.

    python -I -S haproxy_launch.py REAL_HAPROXY [haproxy's own arguments]

Ray writes the configuration anew before every start and reload; what it cannot be told by a setting is corrected here:
- HAProxy dies with the process that started it.
- Where HAProxy answers itself, the client gets an error of the product's own table, not a page or a plain-text 500.
- A REST request, or a unary gRPC call, is read (up to a buffer of it) before it is passed on, for at most
  `FIVEFOLD_BODY_SECONDS`. Only then can it be asked again of another replica when the first one dies; otherwise HAProxy
  resets the call, which a gateway makes an HTTP 500 of, and a client `UNKNOWN`.
- A connection to a replica stands within a quarter of a second or not at all. HAProxy waits as long, at most a second,
  before it asks another replica for what a dead one did not answer.
- Replicas stay known while Ray Serve builds a changed application: meanwhile it names none, although all of them
  answer, and everything would go by the fallback proxy for seconds. One that has gone in truth fails its checks.
- Nothing is logged per request.
- With `FIVEFOLD_LOOPBACK=1` the statistics and metrics ports listen on loopback only.
- With `FIVEFOLD_GRPC_FRONT=1` gRPC comes by a HAProxy before this one (`haproxy_front`), which no reload touches.
- `FIVEFOLD_BIND_HTTP` and `FIVEFOLD_BIND_GRPC` (HOST:PORT) say where the two doors are; Ray would put both on one host,
  together with the replicas' own ports.

Everything else in the file is Ray's. This runs before each reload and therefore imports nothing of the package.
"""

import ctypes
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

MALFORMED = ("400 Bad Request", "", '{"error": "this is not an HTTP request", "code": "malformed", "path": ""}')
SLOW = (
    "408 Request Timeout",
    "",
    '{"error": "the request did not arrive in time", "code": "request_timeout", "path": ""}',
)
NOT_READY = (
    "503 Service Unavailable",
    "Retry-After: 1\r\n",
    '{"error": "no replica can answer right now", "code": "not_ready", "path": ""}',
)
EXPIRED = (
    "504 Gateway Timeout",
    "",
    '{"error": "the time for this request is up", "code": "deadline_exceeded", "path": ""}',
)
SERVICE = "/inference.GRPCInferenceService/"
STREAM = f"{SERVICE}ModelStreamInfer"

ANSWERS = {"400": MALFORMED, "408": SLOW, "502": NOT_READY, "503": NOT_READY, "504": EXPIRED}


def edit(
    config: str, directory: str, *, body_seconds: int = 30, loopback: bool = False, http: str = "", grpc: str = ""
) -> str:
    """The configuration as we want it; `directory` is where the error answers lie, `http` and `grpc` are HOST:PORT."""
    rest = "".join(
        f"    {line}\n"
        for line in (
            "option http-buffer-request",
            f"timeout http-request {body_seconds}s",
            f"errorfile 400 {directory}/400.http",
            f"errorfile 408 {directory}/408.http",
        )
    )
    config = re.sub(r"(?m)^frontend http_frontend\n", rf"\g<0>{rest}", config)
    # A stream's first message must not wait for its last, so the option is not for all of gRPC.
    whole = f"    http-request wait-for-body time {body_seconds}s if {{ path_beg {SERVICE} }} !{{ path {STREAM} }}\n"
    config = re.sub(r"(?m)^frontend grpc_frontend\n", rf"\g<0>{whole}", config)
    for status in ANSWERS:
        config = re.sub(rf"(?m)^(\s*errorfile {status}) .*$", rf"\1 {directory}/{status}.http", config)
    config = re.sub(r"(?m)^\s*(log \S+ local0 info|option httplog|option log-health-checks)\s*$", "", config)
    config = re.sub(r"(?m)^(\s*timeout connect) \S+$", r"\1 250ms", config)
    if loopback:
        config = re.sub(r"(?m)^(\s*bind) \*?:(\d+)\s*$", r"\1 127.0.0.1:\2", config)
    for frontend, bind in (("http_frontend", http), ("grpc_frontend", grpc)):
        if bind:
            config = re.sub(_bind(frontend), rf"\g<1>{bind}", config)
    return config


def grpc_address(config: str) -> str:
    """Where Ray wants gRPC; empty where it wants none."""
    found = re.search(_bind("grpc_frontend"), config)
    return found[2] if found else ""


def _bind(frontend: str) -> str:
    """A pattern for where a frontend listens: all before the address, and the address."""
    return rf"(?m)^(frontend {frontend}\n(?:(?!\s*bind ).*\n)*\s*bind )(\S+)"


_BACKEND = re.compile(r"(?m)^backend (\S+)\n((?:[ \t].*\n|\n)*)")
_REPLICA = re.compile(r"(?m)^[ \t]+server SERVE_REPLICA_\S+ .*\n")


def keep(config: str, before: str) -> str:
    """The configuration, and in each backend that has no replica the ones that it had `before`."""
    known = {name: "".join(_REPLICA.findall(body)) for name, body in _BACKEND.findall(before)}

    def filled(match: re.Match[str]) -> str:
        name, body = match.groups()
        if not known.get(name) or _REPLICA.search(body):
            return match[0]
        # Before the fallback, which is for when they are all down.
        at = re.search(r"(?m)^[ \t]+server ", body)
        place = at.start() if at else len(body)
        return f"backend {name}\n{body[:place]}{known[name]}{body[place:]}"

    return _BACKEND.sub(filled, config)


def answer(status: str) -> str:
    """HAProxy's raw answer for its own status code."""
    line, header, body = ANSWERS[status]
    return (
        f"HTTP/1.1 {line}\r\nContent-Type: application/json\r\n{header}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    )


def main(argv: list[str]) -> None:
    """Edit the file named by `-f`, tie HAProxy's life to its parent's, and become HAProxy.

    Without a file (`-v`) only the latter two.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    if "-f" in argv[:-1]:
        _prepare(Path(argv[argv.index("-f") + 1]), argv[0], front="-c" not in argv)
    os.execv(argv[0], argv)  # noqa: S606  # no shell is wanted


def _prepare(path: Path, binary: str, front: bool) -> None:
    """Edit the file, and start what stands before this HAProxy where that is wanted and `front` says that it runs."""
    for status in ANSWERS:
        (path.parent / f"{status}.http").write_bytes(answer(status).encode())
    config = path.read_text()
    grpc = os.environ.get("FIVEFOLD_BIND_GRPC", "")
    door = grpc_address(config) if front and os.environ.get("FIVEFOLD_GRPC_FRONT") == "1" else ""
    behind = path.with_name("grpc.sock")
    last = path.with_name(path.name + ".last")
    edited = edit(
        keep(config, last.read_text() if last.exists() else ""),
        str(path.parent),
        body_seconds=int(os.environ.get("FIVEFOLD_BODY_SECONDS", "30")),
        loopback=os.environ.get("FIVEFOLD_LOOPBACK") == "1",
        http=os.environ.get("FIVEFOLD_BIND_HTTP", ""),
        grpc=f"unix@{behind}" if door else grpc,
    )
    if edited != config:
        path.write_text(edited)
    last.write_text(edited)
    if door:
        script = Path(__file__).with_name("haproxy_front.py")
        words = [
            sys.executable,
            "-I",
            "-S",
            str(script),
            binary,
            str(path.parent),
            door,
            str(behind),
            str(os.getppid()),
        ]
        subprocess.run(words, input=edited, text=True, check=True)  # noqa: S603  # our own script


if __name__ == "__main__":
    main(sys.argv[1:])
