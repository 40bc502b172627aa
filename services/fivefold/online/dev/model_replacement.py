"""How one process that answers goes over to other bundles, with nothing lost.

    tried    in a process of their own: opened, proven on their golden rows, held against what callers have now
    opened   here, by the digests that were tried
    swapped  in one step of the event loop: what is in work is finished by the models that began it

Whatever is refused on this way changes nothing. Which bundles, and who may say so, is left to who calls.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import threading
from collections.abc import Iterable
from concurrent.futures import CancelledError
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, Unavailable
from fivefold.core.settings import SettingsError
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.online.local import environment
from fivefold.online.local.control_socket import ReplaceOrder, Says
from fivefold.online.local.opening import OpeningOrder
from fivefold.online.local.trial import TrialFailed, Tried, try_bundles
from fivefold.release.succession_gate import Live
from fivefold.serving.model_opening import close_beside, open_beside
from fivefold.serving.repository import Repository

if TYPE_CHECKING:
    from fivefold.online.settings import OnlineSettings
    from fivefold.serving.endpoints import Endpoints

TRIES: Final = 3
"""Bundles that are written while they are read are tried again so often."""


class ModelReplacement:
    """Goes over to other bundles, one replacement at a time; call it from any thread but the event loop's."""

    def __init__(
        self,
        references: list[str],
        defaults: dict[str, str],
        settings: OnlineSettings,
        delivery: DeliverySettings,
        directory: Path,
    ) -> None:
        """`references` and `defaults` are what is served now; `directory` is for what a trial prints."""
        self.references = references
        """What is served now."""
        self._defaults, self._settings, self._delivery, self._directory = defaults, settings, delivery, directory
        self._turn = threading.Lock()
        self._ended, self._wake = os.pipe()
        self._endpoints: Endpoints
        self._loop: asyncio.AbstractEventLoop

    def begin(self, endpoints: Endpoints, loop: asyncio.AbstractEventLoop) -> None:
        """From now on there is something that answers: `endpoints`, driven by `loop`."""
        self._endpoints, self._loop = endpoints, loop

    def names(self) -> list[str]:
        """The models that are served now."""
        return self._endpoints.dataplane.models.names()

    def end(self) -> None:
        """Replace nothing any more; a trial that is under way ends."""
        os.write(self._wake, b"!")

    def close(self) -> None:
        """Let go of what wakes a trial, where none is under way: nothing is replaced any more."""
        if self._turn.acquire(blocking=False):
            os.close(self._ended)
            os.close(self._wake)

    def __call__(self, order: ReplaceOrder, says: Says) -> dict[str, Any]:
        """Go over to what the order names, and give what is served then.

        Raises `BundleInvalid` and `ContractInvalid` for a bundle that must not be served, `ProtocolError`
        `contract_unsupported` and `NotFound` for what would break callers, `Unavailable` where the server ends, and
        what fetching a bundle raises. What was served before is served on then.
        """
        with self._turn:
            self._check_not_ending()
            references, defaults = order.resolved(self.references, self._defaults)
            for _ in range(TRIES):
                says(f"trying {', '.join(Reference.parse(reference).shown for reference in references)}")
                tried = self._try(references, defaults, order)
                opened = [fetch(reference, self._delivery) for reference in references]
                if [bundle.digest for bundle in opened] == tried.digests:
                    break
            else:
                raise BundleInvalid("the bundles change while they are read", help="once more, when they are written")
            for change in tried.changes:
                says(f"callers lose something, as was accepted: {change}")
            self._swap(opened, defaults)
            self.references, self._defaults = references, defaults
            return {"models": tried.models}

    def _try(self, references: list[str], defaults: dict[str, str], order: ReplaceOrder) -> Tried:
        trial = OpeningOrder(
            references,
            defaults,
            asdict(self._settings),
            asdict(self._delivery),
            Live.of(self._endpoints.dataplane.models).to_json(),
            order.accept_contract_change,
            order.accept_removal,
        )
        variables = os.environ | {"PYTHONPATH": environment.python_path(), "TMPDIR": str(self._directory)}
        try:
            return try_bundles(
                trial,
                self._directory / "opening.log",
                variables,
                self._settings.self_test_seconds,
                wake=self._ended,
                turn=self._check_not_ending,
            )
        except TrialFailed as error:
            raise BundleInvalid(str(error)) from None
        except OSError as error:
            raise Unavailable("not_ready", f"no process to try the bundles in: {error}", retry_after=1.0) from None

    def _swap(self, opened: Iterable[Bundle], defaults: dict[str, str]) -> None:
        served = list(self._endpoints.dataplane.models)
        models = open_beside(opened, served, self._settings.self_test_seconds)
        try:
            repository = Repository(models, defaults=defaults)
            self._check_not_ending()
            asyncio.run_coroutine_threadsafe(self._endpoints.swap(repository), self._loop).result()
        except BaseException as error:
            close_beside(models, served)
            if isinstance(error, SettingsError):
                raise BundleInvalid(str(error)) from None
            if isinstance(error, CancelledError):
                raise _ending() from None
            raise

    def _check_not_ending(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._ended, selectors.EVENT_READ)
            if selector.select(0):
                raise _ending()


def _ending() -> Unavailable:
    return Unavailable("not_ready", "the server is ending", retry_after=1.0)
