"""A device's updates: look for releases, verify, examine, activate, go back.

What a gateway does with it, from its start on:

    updater = Updater(models, keys, source=HubSource(...))
    updater.start()                  counts the start, and goes back where a new release failed three of them
    updater.active("churn")          the bundle to open
    updater.ready()                  every model answers
    updater.run(stop, swap)          in a thread of its own, until `stop` is set

A release is taken where a trusted key signed it, its number rises above every one that the device had or refused, its
archive's bytes are those it names, and the examination in a child process found nothing: the bundle's own hashes, its
golden answers, and a contract under which today's callers lose nothing. Everything else leaves what is served as it
is. What fails by the publisher's fault is refused for good and told; what the network, the disk or the hub causes is
tried again.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from fivefold.core.bundle.signature import PublicKey, public_key
from fivefold.core.errors import (
    BundleInvalid,
    FivefoldError,
    Interrupted,
    ModelFailed,
    NotFound,
    ProtocolError,
    RunFailed,
    Unavailable,
    first_line,
)
from fivefold.edge.sync.lane_protocol import ModelReport
from fivefold.edge.updates.activation import ActivationState
from fivefold.edge.updates.archive_download import RESERVE, download_archive
from fivefold.edge.updates.descriptor import RELEASE, ReleaseDescriptor, verify_release
from fivefold.edge.updates.device_models import DeviceModels
from fivefold.edge.updates.device_report import ModelReports
from fivefold.edge.updates.examiner import ChildExaminer, Examiner
from fivefold.edge.updates.release_source import DirectorySource, OfferedRelease, ReleaseSource

log = logging.getLogger(__name__)

Swap = Callable[[str, Path], None]
"""Serve the model from this bundle from now on; what it raises leaves the gateway at the bundle before."""

INTERVAL: Final = 60.0
PROBATION: Final = 30.0
_LOOK: Final = 1.0
"""Seconds until a release that another process has installed is seen."""


@dataclass(frozen=True, slots=True)
class UpdateRules:
    """When to look for releases and what to demand of them; times are in seconds, sizes in bytes.

    `probation` is how long the gateway has to live after it is ready until a trial is over. `reserve` stays free on
    the disk. Callers of the models in `accept_contract_change` may lose what they have.
    """

    interval: float = INTERVAL
    probation: float = PROBATION
    reserve: int = RESERVE
    accept_contract_change: Collection[str] = ()


class Updater:
    """The updates of the models of one device; see the module. Safe for several threads."""

    def __init__(
        self,
        models: DeviceModels,
        keys: Sequence[PublicKey],
        *,
        names: Collection[str] | None = None,
        source: ReleaseSource | None = None,
        examiner: Examiner | None = None,
        rules: UpdateRules | None = None,
    ) -> None:
        """`keys` are trusted with releases. `names` are the models that this device serves: those that it came with,
        where it is not given.

        Raises `BundleInvalid` for a key that is none.
        """
        self.models = models
        self.names = tuple(models.initial if names is None else names)
        self._keys = [public_key(key) for key in keys]
        self._source = source
        self._examine = examiner or ChildExaminer()
        self._swap: Swap | None = None
        self._rules = rules or UpdateRules()
        self._stop: threading.Event = threading.Event()
        self._ready_at: float | None = None
        self._offers: list[OfferedRelease] = []
        self._seen: dict[str, int] = {}
        self._served: dict[str, str | None] = {}
        self._reports = ModelReports(models, self.names)
        self.problem: FivefoldError | None = None
        """Why the last look for releases came to nothing; None where it did not."""

    def start(self) -> None:
        """Count a start of the gateway; a release that has failed too many of them goes back. Never raises."""
        for model in self.names:
            with self._surviving(model):
                before = self.models.state(model)
                after = self.models.change(model, ActivationState.starting)
                if before.active != after.active:
                    assert after.ended is not None
                    log.error("release %d of %s goes back: %s", after.ended.release, model, after.ended.reason)
            self._tidy(model)

    def active(self, model: str) -> Path:
        """The bundle to serve: a directory or a `.tar` that was verified. Raises `NotFound` where there is none."""
        path = self.models.active(model)
        self._note(model)
        return path

    def failed(self, model: str, reason: str) -> Path:
        """The gateway cannot open the active bundle: go back at once, and give what to serve instead.

        Raises `NotFound` where nothing is left, and `BundleInvalid` where that was the bundle the device came with.
        """
        state = self.models.state(model)
        if state.active is None:
            raise BundleInvalid(f"the bundle that the device came with does not open: {reason}", path=model)
        self.models.change(model, lambda now: now.back(reason))
        return self.active(model)

    def ready(self) -> None:
        """Every model answers: once the gateway has stayed so for the probation, trials are over."""
        self._ready_at = time.monotonic()
        self._confirm()

    def run(self, stop: threading.Event, swap: Swap | None = None) -> None:
        """Look for releases and take them, until `stop` is set. Errors are logged and kept in `problem`.

        `swap` is called in this thread for each release that becomes active, or goes back, while the gateway runs.
        """
        self._stop, self._swap = stop, swap
        due = time.monotonic()
        while not stop.is_set():
            self._confirm()
            self._follow()
            if time.monotonic() >= due:
                self.look()
                pause = (self.problem.retry_after if self.problem else None) or self._rules.interval
                # Devices that were started together by a power cut do not ask together for ever.
                due = time.monotonic() + pause * random.uniform(0.8, 1.2)  # noqa: S311
            stop.wait(min(_LOOK, max(0.0, due - time.monotonic())))
        if self._ready_at is not None:
            # It was ready and is ended in good order: no failed start.
            self._confirm(at_once=True)

    def look(self) -> None:
        """One look for releases at the source. Never raises: `problem` says what went wrong."""
        if self._source is None:
            return
        try:
            found = self._source.offers()
            if found is not None:
                self._offers = found
            self.problem = None
        except FivefoldError as err:
            self._say(err)
            return
        for offer in self._offers:
            try:
                self.install(offer, self._source)
            except FivefoldError as err:
                self._say(err)
            except Exception:
                # A defect of ours ends no gateway.
                log.exception("an update failed unexpectedly")

    def install(self, offer: OfferedRelease, source: ReleaseSource, *, insist: bool = False) -> ActivationState | None:
        """Take a release; None where it is not newer than what the device had, which `insist` makes an error.

        Raises `FivefoldError` where it is refused or cannot be had now; what is served then stays.
        """
        # Nothing is believed of what nobody trusted has signed, the model's name neither.
        descriptor = verify_release(offer.raw, offer.signature, self._keys).descriptor
        model = descriptor.model
        if model not in self.names:
            raise NotFound(
                "model_not_found",
                f"{descriptor} is for another model than this device's ({', '.join(self.names) or 'none'})",
                path=RELEASE,
            )
        try:
            self.models.state(model).check_newer(descriptor)
        except BundleInvalid:
            if insist:
                raise
            return None
        with self.models.locked():
            # Another process may have taken it since.
            self.models.state(model).check_newer(descriptor)
            self._obtain(offer, descriptor, source)
            state = self._examined(descriptor)
        log.info("%s is active, on trial", descriptor)
        self._follow()
        return state

    def install_from(self, directory: str | Path) -> list[tuple[str, FivefoldError | None]]:
        """Take the newest release of each model that a directory holds; what was taken, and what was not and why.

        Raises `NotFound` where the directory holds none.
        """
        source = DirectorySource(directory)
        outcomes: list[tuple[str, FivefoldError | None]] = []
        newest: dict[str, tuple[ReleaseDescriptor, OfferedRelease]] = {}
        for offer in source.offers():
            try:
                found = verify_release(offer.raw, offer.signature, self._keys).descriptor
            except FivefoldError as err:
                outcomes.append((str(offer.place), err))
                continue
            if found.model not in newest or newest[found.model][0].release < found.release:
                newest[found.model] = (found, offer)
        for found, offer in newest.values():
            try:
                self.install(offer, source, insist=True)
                outcomes.append((str(found), None))
            except FivefoldError as err:
                outcomes.append((str(found), err))
        return outcomes

    def reports(self) -> list[ModelReport]:
        """How the models stand, for the hub: what is served, and the last release that is not."""
        return self._reports.reports()

    def _obtain(self, offer: OfferedRelease, descriptor: ReleaseDescriptor, source: ReleaseSource) -> None:
        model, chunks = descriptor.model, descriptor.archive
        if self.models.holds(model, chunks.sha256):
            return
        self.models.tidy(model, chunks.sha256)
        part = self.models.incoming(model, chunks.sha256)
        download_archive(
            chunks,
            part,
            lambda start: source.archive(offer, descriptor, start),
            reserve=self._rules.reserve,
            pause=lambda seconds: self._check(seconds),
            check=self._check,
        )

    def _examined(self, descriptor: ReleaseDescriptor) -> ActivationState:
        model, sha256 = descriptor.model, descriptor.archive.sha256
        place = self.models.whole(model, sha256)
        try:
            if place is None:
                # Each chunk is right, so the release contradicts itself.
                raise BundleInvalid(f"its chunks together are not the archive {sha256}", path=RELEASE)
            current = None
            if model not in self._rules.accept_contract_change:
                with contextlib.suppress(NotFound):
                    current = self.models.active(model)
            self._examine(place, descriptor, current, self._check)
        except (BundleInvalid, ProtocolError, ModelFailed) as err:
            log.error("%s is refused: %s", descriptor, err)
            reason = str(err)
            self.models.change(model, lambda now: now.refusing(descriptor, reason))
            self.models.tidy(model)
            raise
        return self.models.take(descriptor)

    def _follow(self) -> None:
        """Have the gateway serve what is active now, whoever has changed that."""
        for model in self.names:
            if self._swap is None or model not in self._seen or self._seen[model] == self.models.changed_at(model):
                continue
            with self._surviving(model):
                path = self.models.active(model)
                active = self.models.installed(model)
                archive = None if active is None else active.archive
                if archive == self._served[model]:
                    self._note(model)
                    continue
                try:
                    self._swap(model, path)
                except Exception as err:
                    reason = (
                        f"the gateway cannot serve it: {err if isinstance(err, FivefoldError) else first_line(err)}"
                    )
                    log.error("the active release of %s goes back: %s", model, reason)
                    now = self.models.change(model, partial(ActivationState.back, reason=reason)).active
                    self._tidy(model)
                    # It goes back to what was confirmed last, and what is served may be another one on trial: then the
                    # next look swaps. Where there was nothing to go back to, another try would fail again.
                    if active is None or self._served[model] == (None if now is None else now.archive):
                        self._seen[model] = self.models.changed_at(model)
                    continue
                if self._ready_at is not None:
                    self._ready_at = time.monotonic()
                self._note(model)

    def _note(self, model: str) -> None:
        """What the gateway serves is what is active now."""
        try:
            active = self.models.installed(model)
        except RunFailed:
            active = None
        self._served[model] = None if active is None else active.archive
        self._seen[model] = self.models.changed_at(model)

    def _confirm(self, *, at_once: bool = False) -> None:
        if self._ready_at is None:
            return
        if not at_once and time.monotonic() - self._ready_at < self._rules.probation:
            return
        for model in self.names:
            with self._surviving(model):
                state = self.models.state(model)
                # What is on trial and not served yet has not been tried.
                if state.testing and state.active and self._served.get(model) == state.active.archive:
                    self.models.change(model, ActivationState.confirmed)
                    self._seen[model] = self.models.changed_at(model)
                    log.info("release %d of %s is active", state.active.release, model)

    def _tidy(self, model: str) -> None:
        """Unless another process brings in a release, which tidies itself."""
        with self._surviving(model), contextlib.suppress(Unavailable), self.models.locked():
            self.models.tidy(model, self._wanted(model))

    def _wanted(self, model: str) -> str | None:
        """The archive that is being downloaded, by what lies there: it may go on after a start."""
        found = sorted((self.models.root / model / "incoming").glob("*.part"), key=lambda path: path.stat().st_mtime)
        return found[-1].stem if found else None

    def _check(self, seconds: float = 0.0) -> None:
        """Wait; raises `Interrupted` where the gateway is to end."""
        if self._stop.wait(seconds) if seconds else self._stop.is_set():
            raise Interrupted("cancelled", "the update was interrupted; it goes on at the next start")

    def _say(self, err: FivefoldError) -> None:
        self.problem = err
        if err.code != "cancelled":
            log.warning("no update: %s", err)

    @contextlib.contextmanager
    def _surviving(self, model: str) -> Iterator[None]:
        """A device whose state of one model is broken serves on."""
        try:
            yield
        except (FivefoldError, OSError) as err:
            log.error("the releases of %s: %s", model, err)
