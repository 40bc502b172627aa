"""The child's side of `fivefold.packing.sandbox`: a process a sandbox, which makes an object and calls its methods.

Run as `python -m fivefold.packing.sandbox_process CONTROL`, where CONTROL is a Unix socket's descriptor: each message
carries three descriptors (connection, status, output) and is answered with the process id of the child that serves
them. The end of CONTROL ends this process. `--alone CONNECTION STATUS OUTPUT` serves one sandbox without forking.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import selectors
import signal
import socket
import sys
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from fivefold.core.errors import BundleInvalid, FivefoldError

PRELOADED = (
    "fivefold.packing.trials",
    "onnxruntime",
    "onnx",
    "pandas",
    "pyarrow",
    "sklearn.pipeline",
    "sklearn.ensemble",
    "skl2onnx",
    "onnxmltools",
)
"""What nearly every model needs; an absent one is named when it is needed."""


def main(arguments: list[str]) -> int:
    """Serve until the parent is gone."""
    if arguments[0] == "--alone":
        connection, status, output = map(int, arguments[1:])
        os.close(status)
        _serve(connection, output)
        return 0
    for name in PRELOADED:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    _fork_on_demand(socket.socket(fileno=int(arguments[0])))
    return 0


def _fork_on_demand(control: socket.socket) -> None:
    """Answer each message with a new child; pass a child's end on to its sandbox."""
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    waiting: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj == woken:
                    os.read(woken, 4096)
                    _reap(waiting)
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, 1, 3)
                if not message:
                    return
                connection, status, output = descriptors
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for descriptor in (woken, wake, status, *waiting.values()):
                        os.close(descriptor)
                    control.close()
                    os.setsid()
                    _serve(connection, output)
                    os._exit(0)
                os.close(connection)
                os.close(output)
                waiting[pid] = status
                control.send(str(pid).encode())


def _reap(waiting: dict[int, int]) -> None:
    """Tell each sandbox whose child has ended how: its exit status, or minus the signal's number."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        pipe = waiting.pop(pid)
        with contextlib.suppress(OSError):
            os.write(pipe, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipe)


def _serve(connection: int, output: int) -> None:
    """Make the object that the first request names, then answer one request after another until the parent is gone."""
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    channel = Connection(connection)
    target: Any = None
    while True:
        try:
            raw = channel.recv_bytes()
        except (EOFError, OSError):
            return
        answer: tuple[bool, Any]
        try:
            if target is None:
                target = _made(raw)
                answer = True, None
            else:
                name, given = cloudpickle.loads(raw)
                answer = True, getattr(target, name)(*given)
        except SystemExit as err:
            answer = (
                False,
                BundleInvalid(
                    f"the model's code ended the program: sys.exit({err.code if err.code is not None else ''})",
                    help="keep calls of sys.exit() behind `if __name__ == '__main__':`",
                ),
            )
        except (FivefoldError, KeyboardInterrupt) as err:
            answer = False, err
        except BaseException as err:  # whatever the model's author raises ends this request, never the child
            answer = False, f"{type(err).__name__}: {err}"
        sys.stdout.flush()
        sys.stderr.flush()
        channel.send_bytes(_encoded(answer))


def _made(raw: bytes) -> Any:
    """The sandbox's object, made where the parent stands: its folder, import path and environment. They come first and
    apart, since the object's own classes may only be found with them."""
    where, factory, rest = cloudpickle.loads(raw)
    directory, path, environment = where
    os.chdir(directory)
    sys.path[:] = path
    os.environ.clear()
    os.environ.update(environment)
    module, _, name = factory.partition(":")
    return getattr(importlib.import_module(module), name)(*cloudpickle.loads(rest))


def _encoded(answer: tuple[bool, Any]) -> bytes:
    try:
        return bytes(cloudpickle.dumps(answer))
    except Exception as err:  # what the model's author made may not be picklable
        return bytes(cloudpickle.dumps((False, f"{type(err).__name__}: {err}")))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
