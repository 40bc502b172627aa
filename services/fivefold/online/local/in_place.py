"""How a run on Ray goes over to other bundles: what was asked for waits for the run's own thread.

    tried      in a process of their own, held against what callers have now (`trial`)
    handed on  to the process that holds Ray, whose replicas go over one after the other and go on answering
    said       to who asked: what is served then, or why all is as before

Who may ask is `control_socket`'s; what replicas do is `fivefold.online.ray`'s.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from fivefold.core import redact
from fivefold.core.errors import BundleInvalid, FivefoldError, InternalError, Unavailable
from fivefold.delivery.reference import Reference
from fivefold.online.local.child import Child, Ended
from fivefold.online.local.control_socket import ReplaceOrder, Says, described
from fivefold.online.local.ray_process import KEPT, REPLACED
from fivefold.online.local.trial import Tried
from fivefold.online.ray.served_file import NAME, ServedBundles, ServedFile

REPLACE_SECONDS: Final = 120.0
"""How long the replicas may take to go over, beside what their models need."""


@dataclass
class Asked:
    """One replacement that was asked for; `answer` hears how it ended."""

    order: ReplaceOrder
    says: Says
    answer: Future[dict[str, Any]] = field(default_factory=Future)


class Asking:
    """What was asked of a run and has not been done yet; asked from any thread, and from signal handlers."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._closed = threading.Event()

    def put(self, order: ReplaceOrder, says: Says) -> Asked:
        """Ask, and wait for nothing."""
        asked = Asked(order, says)
        self._waiting.put(asked)
        return asked

    def __call__(self, order: ReplaceOrder, says: Says) -> dict[str, Any]:
        """Ask, and wait for the end; raises why it was refused."""
        asked = self.put(order, says)
        if self._closed.is_set():
            self.close()
        return asked.answer.result()

    def hang_up(self) -> None:
        """Ask for what is served to be opened again; a signal handler, so the run's own thread comes to it."""
        self.put(ReplaceOrder(), lambda _: None)

    def next(self) -> Asked | None:
        """What was asked first, if anything was."""
        with contextlib.suppress(queue.Empty):
            return self._waiting.get_nowait()
        return None

    def close(self) -> None:
        """Refuse what waits, and what comes."""
        self._closed.set()
        while (asked := self.next()) is not None:
            asked.answer.set_exception(ending())


class InPlace:
    """What a run serves, and its replacement."""

    def __init__(self, directory: Path, references: list[str], defaults: dict[str, str], tried: Tried) -> None:
        """`tried` is what the start has found of these; replicas read it from a file in the directory."""
        self._references, self._defaults, self._served = references, defaults, tried.served
        self.file = ServedFile(directory / NAME)
        self.file.write(ServedBundles(turn=0, models=references, defaults=defaults, digests=tried.digests))

    def replace(
        self,
        asked: Asked,
        try_order: Callable[[list[str], dict[str, str], dict[str, Any]], Tried],
        hand_on: Callable[[str], dict[str, Any] | None],
    ) -> None:
        """Do what was asked, and answer it.

        `try_order` opens references with default versions, and with the rest of an `OpeningOrder`; `hand_on` gives a
        line to the process that holds Ray, and its report, or None where there is none in time. What they raise beside
        `FivefoldError` ends the replacement, and is raised after the answer.
        """
        try:
            asked.answer.set_result(self._replace(asked.order, asked.says, try_order, hand_on))
        except FivefoldError as error:
            asked.answer.set_exception(error)
        except BaseException:
            asked.answer.set_exception(ending())
            raise

    def _replace(
        self,
        order: ReplaceOrder,
        says: Says,
        try_order: Callable[[list[str], dict[str, str], dict[str, Any]], Tried],
        hand_on: Callable[[str], dict[str, Any] | None],
    ) -> dict[str, Any]:
        references, defaults = order.resolved(self._references, self._defaults)
        says(f"trying {', '.join(Reference.parse(reference).shown for reference in references)}")
        rest = {
            "served": self._served,
            "accept_contract_change": order.accept_contract_change,
            "accept_removal": order.accept_removal,
        }
        tried = try_order(references, defaults, rest)
        for change in tried.changes:
            says(f"callers lose something, as was accepted: {change}")
        says("the replicas go over")
        wanted = ServedBundles(turn=0, models=references, defaults=defaults, digests=tried.digests)
        report = hand_on(msgspec.json.encode(wanted).decode())
        if report is None:
            raise InternalError(
                "internal",
                "the replicas have not all gone over in time; some may answer with the new models",
                help="fivefold replace once more, or start the server again",
            )
        if report["event"] == KEPT:
            raise BundleInvalid(f"a replica could not go over, and all serve what they did: {report['error']}")
        self._references, self._defaults, self._served = references, defaults, tried.served
        return {"models": tried.models}


def tell(asked: Asked, out: IO[str], err: IO[str]) -> None:
    """Say to whoever watches the run how a replacement ended."""
    error = asked.answer.exception()
    if error is None:
        print("replaced:", described(asked.answer.result()["models"]), file=out, flush=True)
    else:
        help = f"\nhelp: {error.help}" if isinstance(error, FivefoldError) and error.help else ""
        print(redact.text(f"refused: {error}{help}"), file=err, flush=True)


def hand_on(ray: Child, line: str, seconds: float, *, wake: int, turn: Callable[[], None]) -> dict[str, Any] | None:
    """Give a line to the process that holds Ray; its report on it, or None where there is none within `seconds`."""
    until = time.monotonic() + seconds
    ray.order(line)
    while True:
        try:
            report = ray.report(until, wake, turn)
        except Ended:
            # The next look at the processes says so, and ends the run.
            return None
        if report is None or report["event"] in (REPLACED, KEPT):
            return report


def ending() -> Unavailable:
    """The error of a run that is asked for something at its end."""
    return Unavailable("not_ready", "the server is ending", retry_after=1.0)
