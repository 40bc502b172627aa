"""The models of a device on its disk: archives of releases, and which of them is served.

    ROOT/updating.lock             whoever brings in a release holds it, for as long as that takes
    ROOT/state.lock                whoever writes a state.json holds it, for a moment
    ROOT/MODEL/state.json          the state of its releases (`activation`)
    ROOT/MODEL/archives/SHA.tar    verified archives: the active one and the one before
    ROOT/MODEL/incoming/SHA.part   what is being downloaded

A step that changes what is served is one rename of state.json, made after every file that it names has reached the
disk; files are removed after the state that names them has gone. So whenever the power goes, a model that was verified
is there to serve. What may become active is left to `updater`; opening a model to the gateway.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from fivefold.core import atomic
from fivefold.core.errors import NotFound, RunFailed, Unavailable
from fivefold.edge.updates import activation
from fivefold.edge.updates.activation import ActivationState, InstalledRelease
from fivefold.edge.updates.descriptor import ReleaseDescriptor

log = logging.getLogger(__name__)


class DeviceModels:
    """The models below `root`; `initial` are the bundles that the device came with, by name of the model.

    Safe for several threads and, for what changes a model, several processes: those hold `locked`.
    """

    def __init__(self, root: str | Path, initial: Mapping[str, Path]) -> None:
        self.root = Path(root)
        self.initial = dict(initial)
        self._unwritten: dict[str, ActivationState] = {}
        """States that the disk did not take: they hold for this process, and the next write tries again."""
        self._mutex = threading.RLock()
        self.counts: Counter[tuple[str, str]] = Counter()
        """What this process has done: by model, and `taken`, `rolled_back` or `refused`."""

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else brings in a release meanwhile; raises `Unavailable` where somebody does."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = _opened(self.root / "updating.lock")
        except OSError as err:
            raise storage_failed(self.root, err) from err
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as err:
                raise Unavailable("not_ready", "another update of this device is going on", retry_after=5) from err
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """No other thread and no other process writes a state meanwhile."""
        with self._mutex:
            handle = None
            # On a disk that takes no file, nobody writes a state either.
            with contextlib.suppress(OSError):
                self.root.mkdir(parents=True, exist_ok=True)
                handle = _opened(self.root / "state.lock")
                fcntl.flock(handle, fcntl.LOCK_EX)
            try:
                yield
            finally:
                if handle is not None:
                    os.close(handle)

    def state(self, model: str) -> ActivationState:
        """What the device knows of the model's releases. Raises `RunFailed`."""
        with self._mutex:
            return self._unwritten.get(model) or activation.read(self._state_file(model), model)

    def active(self, model: str) -> Path:
        """The bundle to serve: the active release's archive, byte for byte as it was verified.

        One that was damaged since goes back to the one before; where nothing else is left that is the bundle that the
        device came with. Raises `NotFound` where there is none.
        """
        while True:
            try:
                active = self.state(model).active
            except RunFailed as err:
                log.error("%s", err)
                return self._initial(model)
            if active is None:
                return self._initial(model)
            path = self.archive(model, active.archive)
            if _sha256(path) == active.archive:
                return path
            log.error("release %d of %s is damaged on this device", active.release, model)
            self.change(model, partial(_without, damaged=active))

    def _initial(self, model: str) -> Path:
        try:
            return self.initial[model]
        except KeyError:
            raise NotFound(
                "model_not_found", f"this device has no model {model!r} yet", help="fivefold gateway update --from DIR"
            ) from None

    def archive(self, model: str, sha256: str) -> Path:
        """Where an archive lies, or would."""
        return self.root / model / "archives" / f"{sha256}.tar"

    def holds(self, model: str, sha256: str) -> bool:
        """Whether an archive is there and whole."""
        return _sha256(self.archive(model, sha256)) == sha256

    def whole(self, model: str, sha256: str) -> Path | None:
        """The complete archive, still to be taken or here already; None where it is not that archive."""
        places = (self.archive(model, sha256), self.incoming(model, sha256))
        return next((place for place in places if _sha256(place) == sha256), None)

    def incoming(self, model: str, sha256: str) -> Path:
        """Where an archive is downloaded to; its directory is made. Raises `RunFailed`."""
        path = self.root / model / "incoming" / f"{sha256}.part"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as err:
            raise storage_failed(path.parent, err) from err
        return path

    def take(self, descriptor: ReleaseDescriptor) -> ActivationState:
        """Make a release active, on trial, whose verified archive is there or in `incoming`. Raises `RunFailed`."""
        model, sha256 = descriptor.model, descriptor.archive.sha256
        place, part = self.archive(model, sha256), self.incoming(model, sha256)
        with self._writing():
            state = self.state(model).take(descriptor)
            try:
                if part.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    atomic.put_file(part, place)
                    # The directory of archives may be new, and the model's too.
                    atomic.sync_directory(place.parent.parent)
                    atomic.sync_directory(self.root)
                activation.write(self._state_file(model), state)
            except OSError as err:
                raise storage_failed(place, err) from err
            self._unwritten.pop(model, None)
            self.counts[model, "taken"] += 1
        self.tidy(model)
        return state

    def change(self, model: str, step: Callable[[ActivationState], ActivationState]) -> ActivationState:
        """Go one step. Where the disk is full or read-only the state after it holds for this process, and the next step
        tries again to keep it. Raises `RunFailed` where the state cannot be read."""
        with self._writing():
            before = self.state(model)
            after = step(before)
            if after == before and model not in self._unwritten:
                return after
            path = self._state_file(model)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                activation.write(path, after)
            except OSError as err:
                log.error("cannot keep the state of %s: %s", model, err)
                self._unwritten[model] = after
            else:
                self._unwritten.pop(model, None)
            if after.ended is not None and after.ended != before.ended:
                self.counts[model, after.ended.state] += 1
            return after

    def tidy(self, model: str, keep: str | None = None) -> None:
        """Remove what no state names: older archives, and downloads but that of the archive `keep`. For whoever is
        `locked`: an archive that is being taken is named by no state yet."""
        try:
            state = self.state(model)
            held = {each.archive for each in (state.active, state.previous) if each is not None}
            strangers = [
                *(path for path in _files(self.root / model / "archives") if path.stem not in held),
                *(path for path in _files(self.root / model / "incoming") if path.stem != keep),
                *(path for path in _files(self.root / model) if path.suffix == ".part"),
            ]
            for path in strangers:
                path.unlink(missing_ok=True)
        except (OSError, RunFailed) as err:
            log.warning("cannot tidy the archives of %s: %s", model, err)

    def installed(self, model: str) -> InstalledRelease | None:
        """The active release, None for the bundle that the device came with."""
        return self.state(model).active

    def changed_at(self, model: str) -> int:
        """Differs after each change of the model's state, by any process; 0 where there is none yet."""
        try:
            found = self._state_file(model).stat()
        except OSError:
            return 0
        return hash((found.st_mtime_ns, found.st_ino))

    def _state_file(self, model: str) -> Path:
        return self.root / model / "state.json"


def _without(state: ActivationState, damaged: InstalledRelease) -> ActivationState:
    if state.active != damaged:
        return state
    return state.back("its archive was damaged on the device", damaged=True)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def storage_failed(place: Path, err: OSError) -> RunFailed:
    """The error of a disk that does not take what is written to it."""
    return RunFailed("storage_failed", f"cannot write: {err.strerror or err}", path=str(place))


def _sha256(path: Path) -> str | None:
    """Of the file's bytes; None where it is not there or its disk is broken."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as err:
        if err.errno in (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EIO, errno.EUCLEAN):
            return None
        # Too many open files, say, which is no reason to go back.
        raise RunFailed("storage_failed", f"cannot read: {err.strerror}", path=str(path)) from err


def _files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.is_file() and not path.is_symlink()]
    except FileNotFoundError:
        return []
