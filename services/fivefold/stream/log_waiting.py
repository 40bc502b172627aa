"""How long a log that does not answer is waited for before anything is polled, and who is told meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

PATIENCE = 30.0


def _nothing(*_: object) -> None:
    pass


@dataclass(frozen=True, slots=True)
class LogWait:
    """Half a minute, and nobody is told, unless said otherwise."""

    seconds: float = PATIENCE
    """Infinite: until it answers."""

    check: Callable[[], None] = _nothing
    """Called again and again; raises where nobody waits any more."""

    notice: Callable[[str], None] = _nothing
    """Told what may mend itself."""


BRIEFLY = LogWait()
