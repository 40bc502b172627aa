"""The examination of a downloaded release in a process of its own, which may hang, grow and crash without harm.

Starts `fivefold.edge.updates.examination`, ends it where it takes too long or too much memory, and turns its answer, or
its end, into an error. What is looked at is left to that module, what follows from it to `updater`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol

from fivefold.core.errors import FAMILIES, BundleInvalid, ContractInvalid, FivefoldError, Unavailable
from fivefold.edge.updates.descriptor import ReleaseDescriptor

_LOOK: Final = 0.05
"""Seconds between two looks at the child's memory."""
_MAX_ANSWER: Final = 64 << 10
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class Examiner(Protocol):
    """Says whether a downloaded archive may become active."""

    def __call__(
        self, archive: Path, descriptor: ReleaseDescriptor, current: Path | None, check: Callable[[], None]
    ) -> None:
        """Return where it may; raises `BundleInvalid` or `ProtocolError` where the release is at fault, and anything
        else where the device is. `current` is the bundle whose callers may lose nothing. `check` is called meanwhile,
        and what it raises ends the examination."""


@dataclass(frozen=True, slots=True)
class ChildExaminer:
    """Examines in a child of this process: `seconds` and `memory` (resident bytes) bound it.

    `bundle_keys` are PEM texts of which one has to have signed the bundle itself, where there are any.
    """

    seconds: float = 120.0
    memory: int = 1 << 30
    bundle_keys: Sequence[str] = ()

    def __call__(
        self,
        archive: Path,
        descriptor: ReleaseDescriptor,
        current: Path | None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        nonce = secrets.token_hex(16)
        asked = {
            "archive": str(archive.absolute()),
            "model": descriptor.model,
            "version": descriptor.version,
            "digest": descriptor.digest,
            "bundle_keys": list(self.bundle_keys),
            "current": None if current is None else str(current.absolute()),
            # A model that writes to every descriptor it finds does not pass by that.
            "nonce": nonce,
        }
        with tempfile.TemporaryFile() as said:
            answer = self._answer(json.dumps(asked).encode() + b"\n", said, check)
            found = _parsed(answer, nonce)
            if found is None:
                raise BundleInvalid(f"the self-test ended without an answer{_last_words(said)}")
        if found["code"] is not None:
            raise _error(found)

    def _answer(self, asked: bytes, said: IO[bytes], check: Callable[[], None]) -> bytes:
        reader, writer = os.pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
        try:
            process = subprocess.Popen(  # noqa: S603  # this very interpreter
                [sys.executable, "-m", "fivefold.edge.updates.examination", str(writer)],
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
                pass_fds=(writer,),
                env=environment,
                start_new_session=True,
            )
        except OSError as err:
            os.close(reader)
            raise Unavailable("not_ready", f"the self-test cannot be started: {err.strerror}") from err
        finally:
            os.close(writer)
        assert process.stdin is not None
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(asked)
                process.stdin.flush()
            return self._read(reader, process.pid, check)
        finally:
            # Everything that the model's code has started too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            os.close(reader)

    def _read(self, reader: int, pid: int, check: Callable[[], None]) -> bytes:
        deadline = time.monotonic() + self.seconds
        held = b""
        with selectors.DefaultSelector() as selector:
            selector.register(reader, selectors.EVENT_READ)
            # What the model's code has started may hold the pipe open beyond the answer.
            while len(held) <= _MAX_ANSWER and not held.endswith(b"\n"):
                if selector.select(_LOOK):
                    piece = os.read(reader, _MAX_ANSWER)
                    if not piece:
                        break
                    held += piece
                check()
                if time.monotonic() > deadline:
                    raise BundleInvalid(f"the self-test took more than {self.seconds:g} s")
                if _resident(pid) > self.memory:
                    raise BundleInvalid(f"the self-test took more than {self.memory / 2**20:,.0f} MiB of memory")
        return held


def _parsed(answer: bytes, nonce: str) -> dict[str, Any] | None:
    try:
        found = json.loads(answer)
        return found if isinstance(found, dict) and found["nonce"] == nonce and "code" in found else None
    except (ValueError, KeyError, RecursionError):
        return None


def _error(found: dict[str, Any]) -> FivefoldError:
    code, message = found["code"], str(found.get("message", ""))
    path, help = str(found.get("path", "")), found.get("help")
    family = next((each for each in FAMILIES if code in each.codes), BundleInvalid)
    if family in (BundleInvalid, ContractInvalid):
        return BundleInvalid(message, path=path, help=help)
    return family(code, message, path=path, help=help)


def _last_words(said: IO[bytes]) -> str:
    """The last line that the child printed."""
    said.seek(0, os.SEEK_END)
    said.seek(max(0, said.tell() - 4096))
    lines = [line.strip() for line in said.read().decode("utf-8", "replace").splitlines()]
    return next((f": {line[:300]}" for line in reversed(lines) if line), "")


def _resident(pid: int) -> int:
    """Bytes of a process that lie in memory; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0
