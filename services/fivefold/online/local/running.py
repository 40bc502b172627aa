"""The runs of `fivefold serve` that this user has on this machine, and asking one of them for something.

What a run does with what it is asked is its own matter; the lines that go back and forth are `control_socket`'s.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fivefold.core.errors import InternalError, Unavailable
from fivefold.core.settings import SettingsError
from fivefold.local.scratch import own_short
from fivefold.online.local.control_socket import NAME, ReplaceOrder, Says, peer
from fivefold.online.local.opening import error_of

ABOUT_SECONDS: Final = 5.0
"""How long a run may take to say which one it is."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A run: its socket, and HOST:PORT of its REST."""

    socket: Path
    http: str

    def replace(self, order: ReplaceOrder, says: Says) -> dict[str, Any]:
        """What is served after it, as JSON values; `says` hears how far it is. Raises what the run refuses it for, and
        `Unavailable` for a run that ends meanwhile."""
        for answer in _ask(self.socket, {"ask": "replace", **order.to_json()}, None):
            match answer["event"]:
                case "says":
                    says(answer["says"])
                case "refused":
                    raise error_of(answer["error"])
                case "done":
                    return answer
        raise Unavailable("not_ready", f"the server at {self.http} has ended meanwhile", retry_after=1.0)


def running() -> list[RunningServer]:
    """The runs of this user that answer."""
    found = []
    for directory in own_short():
        # Those that are starting or ending say nothing.
        with contextlib.suppress(OSError, Unavailable, ValueError, KeyError):
            about = next(_ask(directory / NAME, {"ask": "about"}, ABOUT_SECONDS))
            found.append(RunningServer(directory / NAME, about["http"]))
    return found


def choose(http: str | None) -> RunningServer:
    """The one run there is, or that at HOST:PORT. Raises `Unavailable` where it is not there, and `SettingsError` where
    there are several to choose from."""
    servers = running()
    listed = ", ".join(server.http for server in servers)
    if http is not None:
        servers = [server for server in servers if server.http == http]
    if not servers:
        where = f" at {http}" if http else ""
        help = f"running: {listed}" if listed else "fivefold serve --model BUNDLE, as the same user on this machine"
        raise Unavailable("not_ready", f"no server of this user answers{where}", help=help)
    if len(servers) > 1:
        raise SettingsError(f"http: several servers run here, expected --http and one of {listed}")
    return servers[0]


def _ask(path: Path, question: dict[str, Any], seconds: float | None) -> Iterator[dict[str, Any]]:
    """The lines that a run answers; raises `OSError` where none listens."""
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(seconds)
        connected.connect(os.fspath(path))
        if peer(connected) != os.geteuid():
            raise PermissionError(f"{path} is another user's")
        with connected.makefile("rwb", buffering=0) as lines:
            lines.write(json.dumps(question).encode() + b"\n")
            for line in lines:
                answer = json.loads(line)
                if not isinstance(answer, dict):
                    raise InternalError("internal", f"{path} does not speak as a run does")
                yield answer
