"""The hardware profile: what a figure was measured on. Figures of different profiles are never compared."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any, Final

_FLAGS: Final = ("sse4_2", "avx", "avx2", "fma", "avx512f", "avx512_vnni", "amx_tile", "neon", "asimd", "hypervisor")
_PACKAGES: Final = ("fivefold", "ray", "onnxruntime", "numpy", "msgspec", "grpcio")


def profile(**more: Any) -> dict[str, Any]:
    """CPU, cores, memory, kernel and versions of this machine; `id` is the same where all of it is."""
    info = _read("/proc/cpuinfo").splitlines()
    model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    flags = next((line.partition(":")[2].split() for line in info if line.startswith(("flags", "Features"))), [])
    out: dict[str, Any] = {
        "cpu": model,
        "flags": [flag for flag in _FLAGS if flag in flags],
        "cores": sorted(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else list(range(os.cpu_count() or 1)),
        "cpu_quota": _quota(),
        "memory_bytes": _memory(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        **more,
    }
    out["id"] = hashlib.sha256(json.dumps(out, sort_keys=True).encode()).hexdigest()[:12]
    return out


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _quota() -> float | None:
    """CPUs that the control group allows, or None."""
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() else None


def _memory() -> int:
    """Bytes of memory, the control group's limit where it is the smaller."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
