"""Looks at the bundles that a server was given, and has them opened again when they change.

By looking, at names, sizes, times and numbers of files: that works on every file system, and a bundle has few files. A
bundle that is being written is left alone until it has stood still between two looks. One that is refused is not tried
again before it changes again. Trying and swapping are `model_replacement`'s.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fivefold.core.errors import FivefoldError, Unavailable
from fivefold.delivery.reference import Reference
from fivefold.online.local.control_socket import ReplaceOrder, attempt, described

if TYPE_CHECKING:
    from fivefold.online.dev.model_replacement import ModelReplacement

LOOK_SECONDS: Final = 0.25

Looks = dict[str, tuple[tuple[str, int, int, int], ...]]
"""How each reference looks: name, size, time of change and number of each of its files."""


class BundleWatch:
    """Watches what a `ModelReplacement` serves, whatever that is at the time."""

    def __init__(self, replacement: ModelReplacement, known: Looks) -> None:
        """`known` is how what is served looked before it was read."""
        self._replacement, self._known = replacement, known
        self._ended = threading.Event()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()

    def run(self, say: Callable[[str, str, str | None], None]) -> None:
        """Look until the end; `say` hears a word, a sentence and help of what was done or refused."""
        before = self._known
        while not self._ended.wait(LOOK_SECONDS):
            found = look(self._replacement.references)
            if found.keys() != self._known.keys():
                # Somebody has replaced what is served.
                self._known = found
            elif found != self._known and found == before:
                self._known = found
                self._open(say)
            before = found

    def _open(self, say: Callable[[str, str, str | None], None]) -> None:
        # Whoever works on a model changes its contract too: that is said, and not refused.
        names = tuple(self._replacement.names())
        order = ReplaceOrder(accept_contract_change=names, accept_removal=names)
        try:
            served = attempt(self._replacement, order, lambda text: say("", text, None))
        except Unavailable as error:
            if not self._ended.is_set():
                say("refused", str(error), error.help)
        except FivefoldError as error:
            say("refused", f"{error}; what was served before answers on", error.help)
        else:
            say("reloaded", described(served["models"]), None)


def look(references: list[str]) -> Looks:
    """How the references on this machine look; nothing where there is nothing, or it is changing this moment."""
    found: Looks = {}
    for text in references:
        reference = Reference.parse(text)
        if reference.local:
            try:
                found[text] = tuple(_files(Path(reference.place)))
            except OSError:
                found[text] = ()
    return found


def _files(place: Path) -> list[tuple[str, int, int, int]]:
    if not place.is_dir():
        return [_file(place, place)]
    return sorted(
        _file(place, Path(directory, name))
        for directory, _, names in os.walk(place, followlinks=False)
        for name in names
    )


def _file(place: Path, path: Path) -> tuple[str, int, int, int]:
    about = path.stat()
    return os.path.relpath(path, place), about.st_size, about.st_mtime_ns, about.st_ino
