"""Programs and environments of this machine that measurements need: where they are, and how to get what is missing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from loadtest.machine.measurement import Differs, NotMeasured

ROOT: Final = Path(__file__).resolve().parents[2]
PEERS: Final = ROOT / "loadtest" / "peers"
ENVIRONMENTS: Final = ROOT / ".cache" / "envs"


class ToolMissing(NotMeasured):
    """A load tool is not installed: the sentence says which, `help` how to get it."""


def find(name: str) -> str:
    """The program's path; raises `ToolMissing`."""
    built = ROOT / ".cache" / "bin" / name
    path = str(built) if built.is_file() else shutil.which(name)
    if path is None:
        ways = {"wrk": "apt-get install wrk, or brew install wrk", "ghz": "make .cache/bin/ghz builds it with Go"}
        raise ToolMissing(f"{name} is not installed", ways[name])
    return path


def demand_environment(title: str, python: Path, environment: str) -> None:
    """Raises `ToolMissing` where the environment that `title` runs in has no interpreter."""
    if not python.is_file():
        raise ToolMissing(f"the environment of {title} is missing", f"make .cache/envs/{environment}/.done")


def demand_java(title: str) -> None:
    """Raises `ToolMissing` where there is no Java."""
    if shutil.which("java") is None:
        raise ToolMissing(f"{title} needs Java, and there is none on PATH", "install a Java of 17 or newer")


def library_version(title: str, python: Path, library: str, runtime: str) -> str:
    """The version of a library in an environment; raises `Differs` where its ONNX Runtime is not the `runtime`."""
    line = f"from importlib.metadata import version; print(version({library!r}), version('onnxruntime'))"
    done = subprocess.run([python, "-c", line], capture_output=True, text=True, check=True)
    found, theirs = done.stdout.split()
    if theirs != runtime:
        raise Differs(f"{title} has ONNX Runtime {theirs}, Fivefold {runtime}: lock them alike")
    return found


def direct() -> dict[str, str]:
    """The environment without anybody's proxies, and without settings of the servers that are compared."""
    settings = ("RAY_", "FIVEFOLD_", "MLSERVER_", "BENTOML_", "MOSEC_", "LITSERVE_")
    return {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy") and not name.startswith(settings)
    }


def version(name: str) -> str:
    """What the tool says of itself."""
    done = subprocess.run([find(name), "--version"], capture_output=True, text=True, check=False)
    first = (done.stdout + done.stderr).strip().partition("\n")[0]
    return re.sub(r"\s*(Copyright|\[).*", "", first)
