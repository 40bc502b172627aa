"""Code that came with a bundle, in a process that has more to do than to run it.

What a model raises is its own failure, whatever class it has; what a signal handler of this process raises while a
model happens to run is not. And what would end the process, or signal it, becomes an exception in the call that tried.
This holds against accidents (`sys.exit` in a library, a `kill` that was meant for a child), not against malice: code in
C can do what it likes, and what it does to the process is left to whoever starts it again.
"""

from __future__ import annotations

import _thread
import dis
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

PACKAGE = "fivefold_model_"
"""How the name of every module begins that was imported from a bundle."""

_fencing = threading.Lock()
_fenced_in = 0
"""The process that has the fence; one that a model forks from it may end as it likes."""


class Escaped(BaseException):
    """Model code tried to end, replace or signal the process; not an `Exception`, so that no `except` of the model's
    own hides it by mistake."""


def fence() -> None:
    """From now on, for the life of the process, refuse the functions that end or signal it to bundles' modules.

    They are told by who calls, so everybody else, and a model that signals a process of its own, is served as before.
    """
    global _fenced_in
    with _fencing:
        first, _fenced_in = not _fenced_in, os.getpid()
        if first:
            for module, name, harmless in _FENCED:
                if hasattr(module, name):
                    setattr(module, name, _refusing(getattr(module, name), module.__name__, harmless))


def _never(*_: Any) -> bool:
    return False


def _of_others(pid: Any = 0, signum: Any = 0) -> bool:
    """Whether a signal is none at all, or for one process that is neither this one nor the one above it."""
    try:
        return int(signum) == 0 or (int(pid) > 0 and int(pid) not in (os.getpid(), os.getppid(), os.getpgrp()))
    except (TypeError, ValueError):
        return True  # refused by the function itself


def _awaited(*_: Any) -> bool:
    """Whether somebody handles an alarm, which otherwise ends the process."""
    return signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, None)


_FENCED: tuple[tuple[Any, str, Callable[..., bool]], ...] = (
    (os, "_exit", _never),
    (os, "abort", _never),
    (os, "execv", _never),
    (os, "execve", _never),
    (os, "kill", _of_others),
    (os, "killpg", _of_others),
    (signal, "raise_signal", _never),
    (signal, "pthread_kill", _never),
    (signal, "alarm", _awaited),
    (signal, "setitimer", _awaited),
    (_thread, "interrupt_main", _never),
)


def _refusing(function: Callable[..., Any], module: str, harmless: Callable[..., bool]) -> Callable[..., Any]:
    @functools.wraps(function)
    def refusing(*arguments: Any, **named: Any) -> Any:
        if os.getpid() == _fenced_in and not harmless(*arguments) and _called_by_model(sys._getframe(1)):
            raise Escaped(f"the model called {module.lstrip('_')}.{function.__name__}")
        return function(*arguments, **named)

    return refusing


def _called_by_model(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith(PACKAGE):
            return True
        frame = frame.f_back
    return False


def from_outside(error: BaseException) -> bool:
    """Whether an exception that came out of a model's call was raised by a signal handler of this process: Ctrl-C, or a
    service manager that asks for the end. Only the main thread runs those."""
    if isinstance(error, Exception) or threading.current_thread() is not threading.main_thread():
        return False
    handlers = {code for signum in signal.valid_signals() if (code := _code(signal.getsignal(signum))) is not None}
    trace = error.__traceback__
    while trace is not None:
        frame, last = trace.tb_frame, trace.tb_lasti
        if frame.f_code in handlers:
            return True
        trace = trace.tb_next
        if trace is None:
            # Python's own handler has no frame: its exception appears at whatever was running, which is no `raise`.
            return isinstance(error, KeyboardInterrupt) and frame.f_code.co_code[last] != dis.opmap["RAISE_VARARGS"]
    return False


def _code(handler: Any) -> CodeType | None:
    while isinstance(handler, functools.partial):
        handler = handler.func
    code = getattr(getattr(handler, "__func__", handler), "__code__", None)
    if code is None:
        # An object that is called.
        code = getattr(vars(type(handler)).get("__call__"), "__code__", None)
    return code if isinstance(code, CodeType) else None
