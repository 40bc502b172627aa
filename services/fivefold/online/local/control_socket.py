"""How the user of a running `fivefold serve` talks to it: by a Unix socket in the run's own directory.

    client: one JSON line   {"ask": "about"}, or {"ask": "replace", …}
    run:    JSON lines      any number of {"event": "says", …}, then one {"event": "done", …} or {"event": "refused", …}

The directory is of mode 0700 and the socket of 0600, and the run looks at who asks: nobody but the user who started it
is heard, and no address on the network leads here. What a replacement is, is left to the run.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import struct
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from fivefold.core import redact, telemetry
from fivefold.core.errors import FivefoldError, InternalError, ProtocolError
from fivefold.delivery.reference import Reference
from fivefold.online.local.opening import record

NAME: Final = "control.sock"
"""In the run's directory."""

ORDER_BYTES: Final = 1024 * 1024
ORDER_SECONDS: Final = 10.0
"""How large an order may be, and how long it may take to arrive."""

_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(frozen=True, slots=True)
class ReplaceOrder:
    """What is to be served from now on."""

    models: list[str] | None = None
    """References; None: those that are served now, opened again."""

    defaults: dict[str, str] = field(default_factory=dict)
    """The version that answers when none is asked for, by model; where no models are given, as it is now."""

    accept_contract_change: tuple[str, ...] = ()
    accept_removal: tuple[str, ...] = ()
    """Names of models whose callers may lose something."""

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    def resolved(self, references: list[str], defaults: dict[str, str]) -> tuple[list[str], dict[str, str]]:
        """The references and default versions that are to be served where these are served now. Raises
        `BundleInvalid` for what is no reference."""
        if self.models is None:
            return references, defaults
        return [str(Reference.parse(model).absolute()) for model in self.models], self.defaults

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ReplaceOrder:
        """What `to_json` gave. Raises `TypeError` and `KeyError` for anything else."""
        models = values["models"]
        return cls(
            None if models is None else [str(model) for model in models],
            {str(name): str(version) for name, version in values["defaults"].items()},
            tuple(map(str, values["accept_contract_change"])),
            tuple(map(str, values["accept_removal"])),
        )


Says = Callable[[str], None]
"""Takes a sentence on how far a replacement is."""

Replace = Callable[[ReplaceOrder, Says], dict[str, Any]]
"""Replaces what is served, and gives what is served then, as JSON values; raises `FivefoldError`, and then what was
served before is served on."""


class ControlSocket:
    """The run's side; each caller is heard in a thread of its own."""

    def __init__(self, directory: Path, about: Callable[[], dict[str, Any]], replace: Replace) -> None:
        """Listen in the directory. `about` says which run this is. Raises `OSError`."""
        self._about, self._replace = about, replace
        self._path = directory / NAME
        self._closed = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(os.fspath(self._path))
            self._path.chmod(0o600)
            self._listener.listen()
        except BaseException:
            self._listener.close()
            raise
        self._thread = threading.Thread(target=self._accept, name="fivefold-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hear nobody any more. Idempotent."""
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                caller, _ = self._listener.accept()
            except OSError as error:
                if not self._closed.wait(0.5):
                    telemetry.log(logging.ERROR, {"event": "control", "error": str(error)})
                continue
            threading.Thread(target=self._hear, args=(caller,), name="fivefold-replace", daemon=True).start()

    def _hear(self, caller: socket.socket) -> None:
        # A caller that has gone hears nothing; what it ordered is done all the same.
        with caller, contextlib.suppress(OSError), caller.makefile("rwb", buffering=0) as lines:
            if peer(caller) != os.geteuid():
                return
            caller.settimeout(ORDER_SECONDS)
            line = lines.readline(ORDER_BYTES)
            caller.settimeout(None)
            _tell(lines, self._answer(line, lambda text: _tell(lines, {"event": "says", "says": text})))

    def _answer(self, line: bytes, says: Says) -> dict[str, Any]:
        try:
            asked = json.loads(line)
            if asked["ask"] == "about":
                return {"event": "done", **self._about()}
            if asked.pop("ask") != "replace":
                raise KeyError("ask")
            order = ReplaceOrder.from_json(asked)
        except (ValueError, TypeError, KeyError, AttributeError):
            return _refused(ProtocolError("not_implemented", "this is not what a run is asked"))
        try:
            return {"event": "done", **attempt(self._replace, order, says)}
        except FivefoldError as error:
            return _refused(error)


def attempt(replace: Replace, order: ReplaceOrder, says: Says) -> dict[str, Any]:
    """Replace, and raise a defect as the error that a user hears of it; its cause goes to the log."""
    try:
        return replace(order, says)
    except FivefoldError:
        raise
    except Exception as error:
        text = redact.text("".join(traceback.format_exception(error)))
        telemetry.log(logging.ERROR, {"event": "replace", "error": "a replacement failed", "exception": text})
        raise InternalError("internal", "something went wrong", help="the server's log has more") from error


def described(models: Iterable[Mapping[str, str]]) -> str:
    """What is served, as `Replace` gives it, in a line."""
    return ", ".join(f"{model['name']} {model['version']} ({model['bundle'][:16]}…)" for model in models)


def peer(connected: socket.socket) -> int:
    """The user id of the process at the other end."""
    if not hasattr(socket, "SO_PEERCRED"):
        # The socket's mode alone decides.
        return os.geteuid()
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    user: int = _CREDENTIALS.unpack(credentials)[1]
    return user


def _tell(lines: socket.SocketIO, values: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        lines.write(json.dumps(values).encode() + b"\n")


def _refused(error: FivefoldError) -> dict[str, Any]:
    return {"event": "refused", "error": record(error)}
