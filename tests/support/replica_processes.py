"""The replica processes of a running host, as the system and as their own answers know them."""

from __future__ import annotations

import os
from pathlib import Path

from fivefold.local import processes
from tests.support.serve_process import Host


def replicas(host: Host) -> list[int]:
    """The process ids of the replicas that live, sorted."""
    return sorted(
        pid for pid in processes.descendants(host.process.pid) if _command(pid).startswith("ray::ServeReplica")
    )


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
