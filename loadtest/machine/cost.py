"""What a process takes: seconds of its CPU, and memory. Wall time on a shared machine is mostly other people's."""

from __future__ import annotations

import os
import re
from pathlib import Path


def user_and_kernel(pid: int) -> tuple[float, float]:
    """Seconds of CPU of the process's own since it began: in its own code, and in the kernel."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tick = os.sysconf("SC_CLK_TCK")
    return int(words[11]) / tick, int(words[12]) / tick


def cpu_seconds(pid: int) -> float:
    """Both together."""
    return sum(user_and_kernel(pid))


def resident_bytes(pid: int) -> int:
    """Memory that it holds."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
