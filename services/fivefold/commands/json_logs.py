"""A command with everything that it and its children print as JSON records on standard output.

It runs below this process, whose standard output and error it would have had; whatever writes there, a library in C or
a process that Ray has started, is read. Signals are passed on once, processes that lose their parent are reaped (this
one is the first in its container), and the exit status is the command's. Memory is kept small: nothing of the rest of
fivefold is imported.

    python -m fivefold.commands.json_logs ray start --head --block
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

from fivefold.core.log_lines import LogRecords, LogSettings
from fivefold.core.settings import read

INSIDE = "FIVEFOLD_LOG_PIPE"
"""Set for what runs below: its lines are records already."""

SERVICES = (
    ("serve",),
    ("stream",),
    ("gateway",),
    ("score",),
    ("hub", "serve"),
    ("batch", "run"),
    ("batch", "job"),
    ("cluster",),
    ("release", "check"),
)
"""Commands whose output is a log. That of others is an answer, also to who asks in the container of one of these."""

ANSWERS = (("gateway", "status"), ("gateway", "update"), ("gateway", "outbox"))

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
QUIET_SECONDS = 0.5
"""A traceback without an end for so long has none."""

REST_SECONDS = 30.0
"""For what is still on its way when the command has ended and whoever reads this process's output does not."""

LINE = 1 << 20
"""Bytes of a line; a longer one becomes several."""

_PDEATHSIG = 1


def asked(words: Sequence[str], environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a command line is one of a service whose log is to be JSON. Raises `SettingsError`."""
    if INSIDE in environ or any(word in ("-h", "--help") for word in words):
        return False

    def begins(commands: Sequence[Sequence[str]]) -> bool:
        return any(tuple(words[: len(command)]) == tuple(command) for command in commands)

    return begins(SERVICES) and not begins(ANSWERS) and read(LogSettings, environ=environ).log_format == "json"


def run(command: Sequence[str], logger: str) -> int:
    """Run a command to its end; its exit status, 128 and the signal's number where one ended it."""
    reading, writing = os.pipe()
    environ = {**os.environ, INSIDE: "1", "PYTHONUNBUFFERED": "1"}
    to = _Signals()
    # A signal of the terminal comes to this process alone, and is passed on: never twice.
    child = subprocess.Popen(  # noqa: S603  # what the command line says
        command, stdout=writing, stderr=writing, env=environ, process_group=0, preexec_fn=_end_with(os.getpid())
    )
    os.close(writing)
    to.started(child.pid)
    ended = threading.Event()
    pump = threading.Thread(target=_pump, args=(reading, LogRecords(logger, _fields()), ended), daemon=True)
    pump.start()
    status = _wait(child.pid)
    child.returncode = status
    to.ended()
    ended.set()
    pump.join(REST_SECONDS)
    return status


def _end_with(parent: int) -> Callable[[], None]:
    """Let a child end with this process, also where this one is killed."""
    # Loaded before the fork: between it and exec nothing may be.
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if library is not None:
            library.prctl(_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)

    return prepare


class _Signals:
    """Passes signals on to a child, those too that come before it is there.

    The first process of a container has no other chance: a signal that it does not wait for is lost.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._early: list[int] = []
        for number in SIGNALS:
            signal.signal(number, lambda got, _: self._pass_on(got))

    def started(self, pid: int) -> None:
        self._pid = pid
        for number in self._early:
            self._pass_on(number)

    def ended(self) -> None:
        """The number may be another process's by now."""
        self._pid = 0

    def _pass_on(self, number: int) -> None:
        if not self._pid:
            self._early.append(number)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, number)


def _wait(pid: int) -> int:
    """The child's exit status, while orphans are reaped."""
    while True:
        ended, status = os.waitpid(-1, 0)
        if ended == pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


def _fields() -> dict[str, str]:
    """What every record has: in Kubernetes, the pod's name."""
    return {"pod": socket.gethostname()} if os.environ.get("KUBERNETES_SERVICE_HOST") else {}


def _pump(source: int, records: LogRecords, ended: threading.Event) -> None:
    """Read to the end; once the command has ended, as much as it can have left there.

    Children of its own may hold the pipe for ever.
    """
    rest, out = b"", _Out()
    left = fcntl.fcntl(source, fcntl.F_GETPIPE_SZ) if sys.platform == "linux" else LINE
    while left > 0:
        over = ended.is_set()
        if not select.select([source], [], [], QUIET_SECONDS)[0]:
            out.write(list(records.flush()))
            if over:
                break
            continue
        data = os.read(source, 1 << 16)
        left -= len(data) if over else 0
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > LINE:
            lines, rest = [*lines, rest], b""
        out.write([record for line in lines for record in _fed(records, line)])
    out.write([*_fed(records, rest), *records.flush()])


def _fed(records: LogRecords, line: bytes) -> Sequence[str]:
    """The records that a line completes. No line ends the reading: whoever writes would wait for ever."""
    text = line.decode(errors="backslashreplace")
    try:
        return list(records.feed(text))
    except Exception as error:  # whatever a line may do to its reader
        return [json.dumps({"level": "warning", "message": ascii(text[:LINE]), "unreadable": type(error).__name__})]


class _Out:
    """Standard output; once it has gone, nothing is written, and what runs below is still read."""

    def __init__(self) -> None:
        self._gone = False

    def write(self, records: Sequence[str]) -> None:
        data = "".join(f"{record}\n" for record in records).encode(errors="backslashreplace")
        while data and not self._gone:
            try:
                data = data[os.write(1, data) :]
            except OSError:
                self._gone = True


def main() -> int:
    """Run the command line behind this module's name."""
    words = sys.argv[1:]
    if not words:
        print("error: expected a command\nhelp: python -m fivefold.commands.json_logs COMMAND …", file=sys.stderr)
        return 2
    try:
        return run(words, PurePath(words[0]).name)
    except OSError as error:
        print(
            "".join(f"{each}\n" for each in LogRecords("fivefold").feed(f"error: {words[0]}: {error.strerror}")), end=""
        )
        return 127


if __name__ == "__main__":
    sys.exit(main())
