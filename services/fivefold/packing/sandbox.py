"""A process of its own for code that may hang, exit or crash: a model, its converter, a measurement.

`Sandbox` makes one object in a child and calls its methods there, each call under limits of time and memory; when the
child ends before its answer, `SandboxEnded` says how. What runs inside is left to `fivefold.packing.trials`, the
child's own side to `fivefold.packing.sandbox_process`.

On Linux one process a program imports the converters once and forks a child for each sandbox: importing them takes
seconds, forking milliseconds, and it has run nothing yet, so no thread of an OpenMP library is lost in the fork.
Elsewhere every child is a new interpreter.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fivefold.core.errors import BundleInvalid, FivefoldError, first_line
from fivefold.packing.libraries import require

SECONDS = 300.0
"""How long one conversion with its measurement may take by default."""
MEMORY_SHARE = 0.8
"""How much of the memory that is free when packing starts one child may take by default."""

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_LOOK = 0.2
"""Seconds between two looks at a child's memory."""


class SandboxEnded(Exception):
    """The child ended, or was ended, before it answered; the text says how, and what it printed last."""


class Unportable(BundleInvalid):
    """The object cannot be carried into another process."""


class Sandbox:
    """One object, made by `factory` (`module:name`) from `arguments` in a child process.

    `seconds` limits each call and `memory` (bytes) the child as a whole. Exceptions of a called method arrive as they
    are where they are the product's own, else as `RuntimeError` with their text. Not for use from several threads.
    """

    def __init__(self, factory: str, *arguments: Any, seconds: float = SECONDS, memory: int | None = None) -> None:
        self.seconds = seconds
        self.memory = free_memory() if memory is None else memory
        self._factory = factory
        self._arguments = arguments
        self._child: _Child | None = None

    @property
    def running(self) -> bool:
        """Whether the object is there: not before the first call, nor after a child that ended."""
        return self._child is not None

    def call(self, method: str, *arguments: Any) -> Any:
        """The method's answer. Starts the child where there is none, also after one that ended."""
        child = self._child
        if child is None:
            child = self._child = _Child(self.memory)
            try:
                where = str(Path.cwd()), sys.path, dict(os.environ)
                child.ask((where, self._factory, pickled(self._arguments)), self.seconds)
            except BaseException:
                self.close()
                raise
        try:
            return child.ask((method, arguments), self.seconds)
        except (SandboxEnded, KeyboardInterrupt):
            self.close()
            raise

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def pickled(value: Any) -> bytes:
    """The value for another process, classes of a notebook or a script included. Raises `Unportable`."""
    try:
        return bytes(require("cloudpickle").dumps(value))
    except Exception as err:  # pickling runs the author's __reduce__
        raise Unportable(
            f"the model cannot be carried into a process of its own: {first_line(err)}",
            help="save it to a file (joblib.dump) and pack the file",
        ) from err


class _Child:
    """The parent's end of one child: a connection, a pipe that tells how it ended, and what it printed."""

    def __init__(self, memory: int) -> None:
        self._memory = memory
        ours, theirs = socket.socketpair()
        end_reader, end_writer = os.pipe()
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        self._end_reader = end_reader
        self._connection = Connection(ours.detach())
        try:
            self.pid, self._process = _start((theirs.fileno(), end_writer, self._output.fileno()))
        except BaseException:
            self._connection.close()
            os.close(end_reader)
            self._output.close()
            raise
        finally:
            theirs.close()
            os.close(end_writer)

    def ask(self, request: Any, seconds: float) -> Any:
        """Send a request and wait for its answer, within the limits."""
        raw = pickled(request)
        deadline = time.monotonic() + seconds
        try:
            self._connection.send_bytes(raw)
            while not self._connection.poll(_LOOK):
                self._within_limits(deadline, seconds)
            good, answer = require("cloudpickle").loads(self._connection.recv_bytes())
        except (EOFError, OSError) as err:
            raise SandboxEnded(self._how_it_ended()) from err
        if good:
            return answer
        raise answer if isinstance(answer, FivefoldError | KeyboardInterrupt) else RuntimeError(str(answer))

    def _within_limits(self, deadline: float, seconds: float) -> None:
        if time.monotonic() > deadline:
            raise SandboxEnded(f"it took more than {seconds:g} s (--time-limit)")
        taken = resident(self.pid)
        if taken > self._memory:
            raise SandboxEnded(f"it took more than {self._memory / 2**30:.2g} GiB of memory (--memory-limit)")

    def _how_it_ended(self) -> str:
        """The signal or the exit status, and the last line that it printed."""
        if self._process is not None:
            code: int | None = self._process.wait()
        else:
            status = os.read(self._end_reader, 16)
            code = int(status) if status else None
        self._output.seek(0)
        lines = [line.strip() for line in self._output.read()[-4096:].decode("utf-8", "replace").splitlines()]
        last = next((f": {line[:300]}" for line in reversed(lines) if line), "")
        if code is None:
            return f"its process ended{last}"
        if code < 0:
            return f"its process was ended by {_signal(-code)}{last}"
        return f"its process ended itself with exit status {code}{last}"

    def close(self) -> None:
        """End the child and everything that it started."""
        for end in (os.killpg, os.kill):
            try:
                end(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        if self._process is not None:
            self._process.wait()
        self._connection.close()
        os.close(self._end_reader)
        self._output.close()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def resident(pid: int) -> int:
    """Bytes of a process that lie in memory; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def free_memory() -> int:
    """The default limit in bytes: `MEMORY_SHARE` of what the system has to spare, or 8 GiB where it does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(int(line.split()[1]) * 1024 * MEMORY_SHARE)
    except (OSError, ValueError):
        pass
    return 8 << 30


_lock = threading.Lock()
_template: tuple[subprocess.Popen[bytes], socket.socket] | None = None


def _start(descriptors: tuple[int, int, int]) -> tuple[int, subprocess.Popen[bytes] | None]:
    """Start a child that serves the connection, status and output of these descriptors; its process id, and the process
    where it is a child of this one."""
    if sys.platform != "linux":
        process = _spawn(["--alone", *map(str, descriptors)], descriptors)
        return process.pid, process
    with _lock:
        for _ in range(2):
            control = _running()
            try:
                socket.send_fds(control, [b"f"], list(descriptors))
                raw = control.recv(32)
            except OSError:
                raw = b""
            if raw:
                return int(raw), None
            end_template()
    raise BundleInvalid(
        "the process that tries models does not start", help="its reason stands above, on the standard error"
    )


def _running() -> socket.socket:
    """The control socket of the process that forks, which is started where there is none."""
    global _template
    if _template is not None and _template[0].poll() is not None:
        end_template()
    if _template is None:
        ours, theirs = socket.socketpair()
        process = _spawn([str(theirs.fileno())], (theirs.fileno(),))
        theirs.close()
        _template = process, ours
        atexit.register(end_template)
    return _template[1]


def _spawn(arguments: list[str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    """An interpreter with this one's import path. Its own session: Ctrl-C reaches the parent, which ends it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    return subprocess.Popen(  # noqa: S603 - this very interpreter
        [sys.executable, "-m", "fivefold.packing.sandbox_process", *arguments],
        stdin=subprocess.DEVNULL,
        pass_fds=descriptors,
        env=environment,
        start_new_session=True,
    )


def end_template() -> None:
    """End the process that forks; its children live on until their own sandbox is closed."""
    global _template
    if _template is not None:
        process, control = _template
        _template = None
        control.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
