"""Stands in for the `haproxy` binary that Ray Serve starts: edits the configuration, then becomes the real one.

    python -I -S launch.py REAL_HAPROXY [haproxy's own arguments]

Ray writes the configuration anew before every start and reload; what it cannot be told by a setting is corrected here:
- HAProxy dies with the process that started it.
- Where HAProxy answers itself, the client gets an error of the product's own table, not a page or a plain-text 500.
- A REST request, or a unary gRPC call, is read (up to a buffer of it) before it is passed on, for at most
  `FIVEFOLD_BODY_SECONDS`. Only then can it be asked again of another replica when the first one dies; otherwise HAProxy
  resets the call, which a gateway makes an HTTP 500 of, and a client `UNKNOWN`.
- A connection to a replica stands within a quarter of a second or not at all. HAProxy waits as long, at most a second,
  before it asks another replica for what a dead one did not answer.
- A unary gRPC call goes on as HTTP/1.1, to the port that REST goes to: replicas answer it several times faster there.
  Streams, and all of gRPC while no replica is up, go by HTTP/2 as Ray has it. REST's endpoint has no such paths.
- Replicas stay known while Ray Serve builds a changed application: meanwhile it names none, although all of them
  answer, and everything would go by the fallback proxy for seconds. One that has gone in truth fails its checks.
- Nothing is logged per request.
- Each endpoint has connections of its own, so that whoever fills one leaves the other open, and a connection on which
  nothing is asked, or half of something, ends after a time.
- An offer to upgrade goes no further, CONNECT is refused, and what claims another HTTP than it speaks.
- No answer names the program that gave it.
- With `FIVEFOLD_TLS_CERT` (a file in PEM) both endpoints speak TLS.
- With `FIVEFOLD_LOOPBACK=1` the statistics and metrics ports listen on loopback only.
- With `FIVEFOLD_GRPC_PROXY=1` gRPC comes by a HAProxy before this one (`grpc_proxy`), which no reload touches.
- `FIVEFOLD_BIND_HTTP` and `FIVEFOLD_BIND_GRPC` (HOST:PORT) say where the two endpoints are; Ray would put both on one
  host, together with the replicas' own ports.

Everything else in the file is Ray's. This runs before each reload and therefore imports nothing of the package.
"""

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path


def _error(status: str, code: str, sentence: str, help: str = "", header: str = "") -> tuple[str, str, str]:
    hint = f', "help": "{help}"' if help else ""
    return status, header, f'{{"error": "{sentence}", "code": "{code}", "path": ""{hint}}}'


MALFORMED = _error(
    "400 Bad Request",
    "malformed",
    "this is not an HTTP request, or its headers are too large",
    "send one Host header and one Content-Length, lines that end in CRLF, and fewer headers",
)
CODING = _error(
    "400 Bad Request",
    "malformed",
    "transfer-encoding: expected chunked, got another coding",
    "compress by content-encoding: gzip",
)
FORBIDDEN = _error("403 Forbidden", "forbidden", "this is not for you")
NO_ROUTE = _error("404 Not Found", "not_found", "no such route", "the routes are at /docs")
NO_METHOD = _error(
    "405 Method Not Allowed",
    "method_not_allowed",
    "this server is no proxy and makes no tunnels",
    "send GET or POST",
    "Allow: GET, HEAD, OPTIONS, POST\r\n",
)
SLOW = _error("408 Request Timeout", "request_timeout", "the request did not arrive in time")
LARGE = _error("413 Content Too Large", "too_large", "the request is too large")
OFTEN = _error("429 Too Many Requests", "rate_limited", "too many requests", header="Retry-After: 1\r\n")
DEFECT = _error("500 Internal Server Error", "internal", "the proxy failed")
NOT_MADE = _error("501 Not Implemented", "not_implemented", "this is not implemented")
NOT_READY = _error(
    "503 Service Unavailable", "not_ready", "no replica can answer right now", header="Retry-After: 1\r\n"
)
EXPIRED = _error("504 Gateway Timeout", "deadline_exceeded", "the time for this request is up")
SERVICE = "/inference.GRPCInferenceService/"
STREAM = f"{SERVICE}ModelStreamInfer"
HEALTH_CHECK = "/grpc.health.v1.Health/Check"

UNARY = (f"{{ path_beg {SERVICE} }} !{{ path {STREAM} }}", f"{{ path {HEALTH_CHECK} }}")
"""Conditions of HAProxy, one of which holds for a unary call."""

ANSWERS = {
    "400": MALFORMED,
    "403": FORBIDDEN,
    "404": NO_ROUTE,
    "405": NO_METHOD,
    "408": SLOW,
    "413": LARGE,
    "422": CODING,
    "429": OFTEN,
    "500": DEFECT,
    "501": NOT_MADE,
    "502": NOT_READY,
    "503": NOT_READY,
    "504": EXPIRED,
}
"""What HAProxy may say by itself, for each of its statuses."""

SPARE = 256
"""Connections that are neither endpoint's: statistics, metrics, health checks, the process of before a reload."""

FEW = 64
"""Connections to the statistics and to the metrics, each."""


def edit(
    config: str,
    directory: str,
    *,
    body_seconds: int = 30,
    loopback: bool = False,
    http: str = "",
    grpc: str = "",
    descriptors: int = 0,
    tls: str = "",
) -> str:
    """The configuration as we want it; `directory` is where the error answers lie, `http` and `grpc` are HOST:PORT.

    `tls` is a file in PEM with the certificate that both endpoints show, its key in it or beside it as `.key`.
    `descriptors` is how many files the process may have open; where there is no such limit, or none is given (0), the
    number of connections is the configuration's.
    """
    limit = connections(config, descriptors)
    both = [
        f"timeout http-request {body_seconds}s",
        f"maxconn {limit}",
        # Nobody upgrades here, and what is no HTTP/1 is not passed on as if it were.
        "http-request del-header upgrade",
        "http-response del-header upgrade",
        "http-response del-header server",
        # Attempts with a wrong key are counted by the client's address.
        "option forwardfor",
        "http-request deny deny_status 405 if METH_CONNECT",
        "http-request deny deny_status 400 if { fc_http_major 1 } !{ req.ver 1.0 1.1 }",
        # HAProxy itself counts from zero again beyond 64 bits.
        "http-request deny deny_status 400 if { req.hdr(content-length) -m len gt 15 }",
    ]
    # A stream's first message must not wait for its last, so the option is not for all of gRPC.
    whole = [f"http-request wait-for-body time {body_seconds}s if {condition}" for condition in UNARY]
    closed = [f"http-request deny deny_status 404 if {{ path_beg {service} }}" for service in (SERVICE, HEALTH_CHECK)]
    rest = [f"timeout client {max(60, body_seconds)}s", "option http-buffer-request"]
    config = _into(config, "frontend http_frontend", [*rest, *both, *closed])
    # A bind that insists on HTTP/2 waits for its first word as long as for any of a client's; one that does not, only
    # as long as for a request.
    config = re.sub(_bind("grpc_frontend") + r" proto h2$", r"\1\2", config)
    only = "http-request deny deny_status 400 if { fc_http_major 1 }"
    config = _into(config, "frontend grpc_frontend", [*both, only, *whole])
    config = _unary_by_http1(config, limit)
    for quiet in ("frontend prometheus", "listen stats"):
        config = _into(config, quiet, [f"maxconn {FEW}", f"timeout http-request {body_seconds}s", "timeout client 60s"])
    config = re.sub(r"(?m)^\s*errorfile .*\n", "", config)
    config = _into(config, "defaults", [f"errorfile {status} {directory}/{status}.http" for status in ANSWERS])
    config = _into(config, "global", [f"maxconn {2 * limit + SPARE}"])
    # Ray says in plain text that there is no such path. Our application has all of them: what comes here has come
    # before the application, as after HAProxy was started again, or names no path.
    config = re.sub(
        r"(?m)^(backend default_backend\n(\s*))http-request return status 404 .*$",
        r"\1http-request deny deny_status 404 unless { path_beg / }\n\2http-request deny deny_status 503",
        config,
    )
    config = re.sub(r"(?m)^\s*(log \S+ local0 info|option httplog|option log-health-checks)\s*$", "", config)
    config = re.sub(r"(?m)^(\s*timeout connect) \S+$", r"\1 250ms", config)
    if loopback:
        config = re.sub(r"(?m)^(\s*bind) \*?:(\d+)\s*$", r"\1 127.0.0.1:\2", config)
    for frontend, bind in (("http_frontend", http), ("grpc_frontend", grpc)):
        if bind:
            config = re.sub(_bind(frontend), rf"\g<1>{bind}", config)
        found = re.search(_bind(frontend), config)
        if tls and found and not found[2].startswith("unix@"):
            # REST stays HTTP/1.1: a reload says GOAWAY on HTTP/2, which breaks calls of gateways in Go.
            offered = {"http_frontend": "http/1.1", "grpc_frontend": "h2"}[frontend]
            config = f"{config[: found.end()]} {tls_words(tls, offered)}{config[found.end() :]}"
    return config


def tls_words(path: str, protocol: str) -> str:
    """What a bind of HAProxy says to speak TLS with the certificate of that file, and `protocol` inside."""
    return f"ssl crt {path} alpn {protocol} ssl-min-ver TLSv1.2"


def connections(config: str, descriptors: int = 0) -> int:
    """How many connections each endpoint may hold: what Ray would give both together, where descriptors allow it.

    HAProxy takes five for two connections (each one's own, its replica's, and pipes), beside some of its own, and does
    not start with fewer.
    """
    found = re.search(r"(?m)^global\n(?:[ \t].*\n|\n)*?[ \t]+maxconn (\d+)$", config)
    wanted = int(found[1]) if found else 4096
    if descriptors <= 0:
        return wanted
    return min(wanted, max(16, ((descriptors - SPARE) * 2 // 5 - SPARE) // 2))


def _into(config: str, section: str, lines: list[str]) -> str:
    """The configuration with lines at the head of a section, in place of lines of the section that say the same."""
    found = re.search(rf"(?m)^{section}\n((?:[ \t].*\n|\n)*)", config)
    if found is None:
        return config
    words = [re.escape(" ".join(line.split()[: 2 if line.startswith("timeout") else 1])) for line in lines]
    alone = [word for word in words if word.startswith(("maxconn", "timeout"))]
    body = re.sub(rf"(?m)^\s*(?:{'|'.join(alone)}) .*\n", "", found[1]) if alone else found[1]
    new = "".join(f"    {line}\n" for line in lines)
    return f"{config[: found.start()]}{section}\n{new}{body}{config[found.end() :]}"


_SECTION = re.compile(r"(?m)^(frontend|backend) (\S+)\n((?:[ \t].*\n|\n)*)")
_SERVER = re.compile(r"(?m)^[ \t]+server (SERVE_REPLICA_\S+) (\S+) check\b")


def _unary_by_http1(config: str, limit: int) -> str:
    """The configuration with a backend for unary gRPC: the replicas' HTTP ports, in HTTP/1.1.

    `limit` is how many connections the replicas have together; where that many calls are in work, more wait. It stays
    as it is where there is not one application, whose replicas have both.
    """
    found = {name: body for kind, name, body in _SECTION.findall(config) if kind == "backend"}
    rests, grpcs = ([name for name in found if name.startswith(f"{kind}-")] for kind in ("http", "grpc"))
    replicas = _SERVER.findall(found[rests[0]]) if len(rests) == 1 else []
    if len(grpcs) != 1 or not replicas:
        return config
    name = f"{grpcs[0]}-unary"
    timeouts = re.findall(r"(?m)^[ \t]+(timeout \S+ \S+)$", found[grpcs[0]])
    most = max(16, limit // len(replicas))
    lines = [
        *timeouts,
        "http-reuse always",
        # It would be metadata of an error, which is all head.
        "http-response del-header content-length",
        # Whether a replica is there, its HTTP says.
        *(f"server {server} {address} track {rests[0]}/{server} maxconn {most}" for server, address in replicas),
    ]
    backend = f"backend {name}\n" + "".join(f"    {line}\n" for line in lines)
    rules = "".join(f"    use_backend {name} if {condition} {{ nbsrv({name}) ge 1 }}\n" for condition in UNARY)
    # Behind all that Ray has to say of a request, and before it goes anywhere.
    frontend = next(match for match in _SECTION.finditer(config) if match[2] == "grpc_frontend")
    at = re.search(r"(?m)^[ \t]+(?:default_backend |acl \S+ req\.hdr\(application\))", frontend[3])
    if at is None:
        return config
    place = frontend.start(3) + at.start()
    return f"{config[:place]}{rules}{config[place : frontend.end()]}{backend}{config[frontend.end() :]}"


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


def reworded(program: bytes) -> bytes:
    """HAProxy's program with our own answer in place of each page that it has for what it cannot read.

    What fails before there is a request to speak of is answered with those, whatever `errorfile` says: they are
    constants, and ours are made as long. A program that has them otherwise comes back as it was.
    """
    for status in ANSWERS:
        page = re.search(rb"HTTP/1\.[01] %b [^\0]*?\r\n\r\n[^\0]*" % status.encode(), program)
        if page is None:
            continue
        line, _, body = ANSWERS[status]
        body = re.sub(r', "help": .*(?=\}$)', "", body)
        head = f"HTTP/1.1 {line}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %03d\r\n\r\n"
        room = len(page[0]) - len(head % 0)
        if len(body) <= room <= 999:
            program = program.replace(page[0], (head % room + body.ljust(room)).encode())
    return program


def _in_our_words(binary: str, directory: Path) -> str:
    """The program with its pages reworded, written into our own directory once; `binary` where that cannot be run."""
    found = Path(binary).stat()
    program = directory / f"haproxy-{found.st_size}-{found.st_mtime_ns}"
    # It looks for its libraries beside itself.
    libraries = [str(Path(binary).with_name("lib")), os.environ.get("LD_LIBRARY_PATH", "")]
    os.environ["LD_LIBRARY_PATH"] = ":".join(filter(None, libraries))
    if program.exists():
        return str(program)
    trial = program.with_name(f"{program.name}.{os.getpid()}")
    try:
        trial.write_bytes(reworded(Path(binary).read_bytes()))
        trial.chmod(0o700)
        if subprocess.run([str(trial), "-v"], capture_output=True).returncode == 0:  # noqa: S603  # HAProxy
            trial.replace(program)
            return str(program)
    except OSError:
        # A directory that is full, or from which nothing may be run.
        pass
    trial.unlink(missing_ok=True)
    return binary


def main(argv: list[str]) -> None:
    """Edit the file named by `-f`, tie HAProxy's life to its parent's, and become HAProxy.

    Without a file (`-v`) only the latter two.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
    program = argv[0]
    if "-f" in argv[:-1]:
        path = Path(argv[argv.index("-f") + 1])
        program = _in_our_words(program, path.parent)
        _prepare(path, program, runs="-c" not in argv)
    os.execv(program, argv)  # noqa: S606  # no shell is wanted


def _certificate() -> str:
    """The file that `FIVEFOLD_TLS_CERT` names; ends the program where it cannot be read."""
    path = os.environ.get("FIVEFOLD_TLS_CERT", "")
    if path:
        try:
            Path(path).read_bytes()
        except OSError as err:
            sys.exit(f"FIVEFOLD_TLS_CERT={path}: the certificate cannot be read: {err.strerror}")
    return path


def _prepare(path: Path, binary: str, runs: bool) -> None:
    """Edit the file, and start the gRPC proxy before this HAProxy where that is wanted and this one `runs`."""
    for status in ANSWERS:
        (path.parent / f"{status}.http").write_bytes(answer(status).encode())
    config = path.read_text()
    grpc = os.environ.get("FIVEFOLD_BIND_GRPC", "")
    proxied = grpc_address(config) if runs and os.environ.get("FIVEFOLD_GRPC_PROXY") == "1" else ""
    behind = path.with_name("grpc.sock")
    last = path.with_name(path.name + ".last")
    edited = edit(
        keep(config, last.read_text() if last.exists() else ""),
        str(path.parent),
        body_seconds=int(os.environ.get("FIVEFOLD_BODY_SECONDS", "30")),
        loopback=os.environ.get("FIVEFOLD_LOOPBACK") == "1",
        http=os.environ.get("FIVEFOLD_BIND_HTTP", ""),
        grpc=f"unix@{behind}" if proxied else grpc,
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        tls=_certificate(),
    )
    if edited != config:
        path.write_text(edited)
    last.write_text(edited)
    if proxied:
        script = Path(__file__).with_name("grpc_proxy.py")
        words = [
            sys.executable,
            "-I",
            "-S",
            str(script),
            binary,
            str(path.parent),
            proxied,
            str(behind),
            str(os.getppid()),
        ]
        subprocess.run(words, input=edited, text=True, check=True)  # noqa: S603  # our own script


if __name__ == "__main__":
    main(sys.argv[1:])
