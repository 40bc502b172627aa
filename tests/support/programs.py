"""Programs that some tests drive and that not every machine has."""

import os
import shutil
import subprocess
from pathlib import Path

LEFT_OUT: list[str] = []
QUICK = False
"""Whether this run leaves out the tests marked `full`: then an environment that only they need is nobody's loss."""


def needed(program: str, what: str, *others: str) -> str | None:
    """The path of a program, or None after noting that `what` is left out of this run.

    `FIVEFOLD_<PROGRAM>` names another path. Conftests call this while tests are collected, so a test that cannot run
    is not collected rather than skipped.
    """
    found = os.environ.get(f"FIVEFOLD_{program.upper()}") or next(
        filter(None, map(shutil.which, (program, *others))), None
    )
    if found is None:
        LEFT_OUT.append(f"{what}: no {program} on this machine")
    return found


def node(what: str) -> str | None:
    """The path of a Node.js of 18 or newer, or None after noting that `what` is left out of this run."""
    found = needed("node", what, "nodejs")
    if found is None:
        return None
    version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if int(version.removeprefix("v").partition(".")[0] or 0) >= 18:
        return found
    LEFT_OUT.append(f"{what}: the node on this machine is {version or 'none'}, older than 18")
    return None


def environment(name: str, what: str) -> Path | None:
    """The `bin` of an environment of its own, or None after noting that `what` is left out of this run.

    `make .cache/envs/NAME/.done` makes one from `requirements/NAME.txt`; a half-made one has no marker and counts as
    absent.
    """
    home = Path(__file__).resolve().parents[2] / ".cache" / "envs" / name
    if not (home / ".done").exists():
        if not QUICK:
            LEFT_OUT.append(f"{what}: `make .cache/envs/{name}/.done` has not been run")
        return None
    return home / "bin"


def jars(name: str, what: str) -> Path | None:
    """The directory of jars `.cache/NAME`, or None after noting that `what` is left out of this run.

    `make .cache/NAME` copies them; only tests that are marked `full` run Java.
    """
    home = Path(__file__).resolve().parents[2] / ".cache" / name
    missing = "no java on this machine" if shutil.which("java") is None else f"`make .cache/{name}` has not been run"
    if home.is_dir() and shutil.which("java"):
        return home
    if not QUICK:
        LEFT_OUT.append(f"{what}: {missing}")
    return None


def jar(path: Path, what: str) -> str | None:
    """The path of a java that runs the jar of `services/jvm`, or None after noting that `what` is left out of this run.

    `make .cache/jvm/fivefold.jar` builds the jar; one that is older than its source would prove nothing about it.
    """
    java = shutil.which("java")
    source = Path(__file__).resolve().parents[2] / "services" / "jvm" / "src"
    if java is None:
        missing = "no java on this machine"
    elif not path.is_file():
        missing = "`make .cache/jvm/fivefold.jar` has not been run"
    elif max(each.stat().st_mtime for each in source.rglob("*.java")) > path.stat().st_mtime:
        missing = "the jar is older than its source: `make .cache/jvm/fivefold.jar`"
    else:
        return java
    LEFT_OUT.append(f"{what}: {missing}")
    return None


def web_runtime(what: str) -> Path | None:
    """The directory of ONNX Runtime for browsers, or None after noting that `what` is left out of this run.

    It is in `services/browser/node_modules` after `npm ci` there, or in the user's cache after an export.
    """
    from fivefold.exports.web_runtime import SCRIPT, WASM, cache_directory

    built = Path(__file__).resolve().parents[2] / "services/browser/node_modules/onnxruntime-web/dist"
    for place in (built, cache_directory()):
        if (place / SCRIPT).is_file() and (place / WASM).is_file():
            return place
    LEFT_OUT.append(f"{what}: no onnxruntime-web on this machine; npm ci in services/browser brings it")
    return None
