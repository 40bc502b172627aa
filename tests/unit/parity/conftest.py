"""The browser's runtime for the tests that ask it, and what they need of the machine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support import programs

from fivefold.exports.web_runtime import DIGESTS, cache_directory
from fivefold.parity.runtimes import jvm_rows

RUNTIME = programs.web_runtime("parity on WebAssembly")

JAVA = programs.jar(jvm_rows.jar(), "parity on a JVM")

collect_ignore = [
    *([] if RUNTIME else ["test_web_rows.py"]),
    *([] if JAVA else ["test_jvm_rows.py"]),
]


@pytest.fixture
def web_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of the test's own that holds the runtime, where this machine has it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if RUNTIME is not None:
        place = RUNTIME / "dist" if (RUNTIME / "dist").is_dir() else RUNTIME
        cache_directory().mkdir(parents=True)
        for name in DIGESTS:
            shutil.copyfile(place / name, cache_directory() / name)
