"""What packing, asking and serving need of this machine: Python and its packages, ports, room, programs for devices.

Kubernetes' needs are `fivefold.doctor.machine_checks`'s.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path

from fivefold.doctor.finding import Finding, Verdict, dotted, version_of
from fivefold.doctor.machine_checks import GIB, ask, is_free, room

PYTHON = (3, 11)

PORTS = {8000: ("REST", "--http"), 9000: ("gRPC", "--grpc")}
"""Where `fivefold serve` listens when nothing else is said."""

IMPORT_SECONDS = 60.0
"""A package that has not been imported by then cannot be."""

NODE = (18, 0)

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names of the browser, as parity looks for it."""

_EXTRAS = {
    "packing": ("pack", "converting models: scikit-learn, ONNX"),
    "serving": ("online", "fivefold serve"),
    "scoring": ("batch", "fivefold score"),
}
_NEEDS = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?([^;]*)(?:;.*extra == ['\"]([a-z]+)['\"].*)?")
_LEAST = re.compile(r"[>=]=([0-9.]+)")
_MORE = ("lightgbm", "xgboost", "xgboost-cpu", "torch", "catboost", "skops", "mlflow")
"""Whose models are packed where they are installed."""


def examine() -> list[Finding]:
    """All findings about this machine."""
    return [_python(), *_packages(), _more(), _ray(), *map(_port, PORTS), _memory(), _disk(), _node(), _browser()]


def _python() -> Finding:
    says, need = dotted(sys.version_info[:3]), f"Python {dotted(PYTHON)} or newer"
    if sys.version_info[:2] < PYTHON:
        return Finding("python", "missing", says, need, f"install Python {dotted(PYTHON)} or newer")
    return Finding("python", "ok", f"{says} at {sys.executable}", need)


def _packages() -> Iterator[Finding]:
    """One finding for what is always needed, and one for each extra."""
    try:
        lines = metadata.requires("fivefold") or []
    except metadata.PackageNotFoundError:
        yield Finding("packages", "warn", "fivefold runs without being installed", "its versions", "pip install .")
        return
    needs = [match.groups() for line in lines if (match := _NEEDS.match(line))]
    for name, extra, need in [("packages", None, "checking and answering"), *((n, *e) for n, e in _EXTRAS.items())]:
        wanted = [(package, spec) for package, spec, of in needs if of == extra and package != "fivefold"]
        yield _of_packages(name, extra, need, wanted)


def _of_packages(name: str, extra: str | None, need: str, wanted: Iterable[tuple[str, str]]) -> Finding:
    here: list[str] = []
    lacking: list[str] = []
    for package, spec in wanted:
        version = _version(package)
        least = _LEAST.search(spec)
        found, low = version_of(_padded(version or "")), version_of(_padded(least[1])) if least else None
        if version is None:
            lacking.append(f"{package} is not installed")
        elif found is not None and low is not None and found < low:
            lacking.append(f"{package} {version} is older than {least[1] if least else ''}")
        else:
            here.append(f"{package} {version}")
    help = f"pip install 'fivefold[{extra}]'" if extra else "pip install fivefold"
    if lacking:
        return Finding(name, "missing", "; ".join(lacking), need, help)
    return Finding(name, "ok", ", ".join(here), need)


def _padded(version: str) -> str:
    """A version of one number as `version_of` reads it."""
    return f"{version}.0" if version.isdigit() else version


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _more() -> Finding:
    here = [f"{name} {version}" for name in _MORE if (version := _version(name))]
    absent = [name for name in _MORE if not _version(name) and name != "xgboost-cpu"]
    if _version("xgboost-cpu"):
        absent = [name for name in absent if name != "xgboost"]
    says = f"{', '.join(here) or 'none'}; not installed: {', '.join(absent) or 'none'}"
    return Finding("more models", "ok", says, "packing models of these; install what your models are of")


def _ray() -> Finding:
    """Whether Ray can be imported, which its being installed does not say."""
    need, help = "fivefold serve, fivefold score", "pip install 'fivefold[online]'"
    done = ask(sys.executable, "-c", "import ray; print(ray.__version__)", seconds=IMPORT_SECONDS)
    if done is None or done[0] != 0:
        said = (done[1].strip().splitlines() if done is not None else []) or ["no output"]
        return Finding("ray", "missing", f"cannot be imported: {said[-1][:200]}", need, help)
    return Finding("ray", "ok", f"{done[1].strip()} can be imported", need)


def _port(port: int) -> Finding:
    what, option = PORTS[port]
    need = f"{what} of fivefold serve, where nothing else is said"
    if is_free(port):
        return Finding(f"port {port}", "ok", "free", need)
    return Finding(f"port {port}", "warn", "is taken", need, f"fivefold serve {option} 127.0.0.1:0 takes a free one")


def _memory(path: Path = Path("/proc/meminfo")) -> Finding:
    need = "Ray and a process for each replica: 1 GiB free, better 2"
    try:
        match = re.search(r"^MemAvailable:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    except OSError:
        match = None
    if match is None:
        return Finding("memory", "ok", "this system does not say what is free", need)
    free = int(match[1]) * 1024
    return room("memory", free, GIB, 2 * GIB, f"{free / GIB:.1f} GiB free", need, "end what you do not need")


def _disk() -> Finding:
    place = Path(tempfile.gettempdir())
    free = shutil.disk_usage(place).free
    need = "Ray's sessions and packing's scratch files: 1 GiB, better 5"
    help = "make room there, or name another place in TMPDIR"
    return room("disk", free, GIB, 5 * GIB, f"{free / GIB:.0f} GiB free at {place}", need, help)


def _node() -> Finding:
    need, help = "proving an export for browsers before it is opened", f"install Node.js {NODE[0]} or newer"
    asked = ask("node", "--version")
    version = version_of(asked[1]) if asked is not None and asked[0] == 0 else None
    if version is None:
        return Finding("node", "warn", "not on PATH" if asked is None else "does not tell its version", need, help)
    verdict: Verdict = "ok" if version >= NODE else "warn"
    return Finding("node", verdict, dotted(version), need, "" if verdict == "ok" else help)


def _browser() -> Finding:
    need = "fivefold parity in a browser; a page that is exported is opened by any browser"
    found = next((place for name in CHROMIUM if (place := shutil.which(name))), os.environ.get("CHROMIUM"))
    if found is None:
        return Finding("chromium", "warn", "not on PATH", need, "install chromium, or name it by CHROMIUM")
    return Finding("chromium", "ok", found, need)
