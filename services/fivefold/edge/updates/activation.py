"""Which release of a model a device serves, as a value: the steps from one to the next, and the file that keeps it.

    take        a verified release becomes active, on trial; the one before stays at hand
    starting    a start of the gateway on trial; after `TRIES` that did not get ready the release goes back
    confirmed   the gateway is ready and stays so: the trial is over
    back        the release before is active again
    refusing    a release is refused for good

Steps are pure: each gives another state, and `write` makes it the device's, all of it or nothing. Archives and the
order of steps on disk are left to `fivefold.edge.updates.device_models`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from fivefold.core import atomic
from fivefold.core.bundle.manifest import Digest, ModelName
from fivefold.core.errors import BundleInvalid, RunFailed
from fivefold.edge.updates.descriptor import RELEASE, ReleaseDescriptor

TRIES: Final = 3
"""Starts of the gateway that may fail to get ready with a new release before it goes back."""

MAX_REASON: Final = 500

_Counted = Annotated[int, msgspec.Meta(ge=0)]


class InstalledRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A release whose verified archive is on the device; `digest` is `sha256:` and the bundle's."""

    release: Annotated[int, msgspec.Meta(ge=1)]
    version: str
    digest: str
    archive: Digest

    @classmethod
    def of(cls, descriptor: ReleaseDescriptor) -> InstalledRelease:
        return cls(descriptor.release, descriptor.version, descriptor.digest, descriptor.archive.sha256)


class EndedRelease(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last release that the device does not serve, and why."""

    release: int
    version: str
    digest: str
    state: Literal["rolled_back", "refused"]
    reason: str


class ActivationState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a device knows of the releases of one model.

    `highest` is the highest release that was ever active or refused for good. `active` None means the bundle that the
    device came with. `starts` counts those on trial. `damaged` is a release whose archive was lost on the device: it
    alone may be taken a second time.
    """

    model: ModelName
    highest: _Counted = 0
    active: InstalledRelease | None = None
    previous: InstalledRelease | None = None
    testing: bool = False
    starts: _Counted = 0
    damaged: int | None = None
    ended: EndedRelease | None = None

    def check_newer(self, descriptor: ReleaseDescriptor) -> None:
        """Raise `BundleInvalid` where the release is not above the highest one."""
        if descriptor.release <= self.highest and descriptor.release != self.damaged:
            known = f"release {self.highest} was here before"
            if self.ended is not None and self.ended.release == descriptor.release:
                known = f"it was {self.ended.state.replace('_', ' ')} here: {self.ended.reason}"
            raise BundleInvalid(
                f"{descriptor} is not newer: {known}",
                path=RELEASE,
                help="publish the bundle under a higher number, an older bundle too",
            )

    def take(self, descriptor: ReleaseDescriptor) -> ActivationState:
        """The release is active, on trial, and the last one that was confirmed is at hand to go back to."""
        self.check_newer(descriptor)
        return msgspec.structs.replace(
            self,
            highest=max(self.highest, descriptor.release),
            active=InstalledRelease.of(descriptor),
            previous=self.previous if self.testing else self.active,
            testing=True,
            starts=0,
            damaged=None,
            ended=None,
        )

    def refusing(self, descriptor: ReleaseDescriptor, reason: str) -> ActivationState:
        """The release is never taken again, and whatever is active stays."""
        ended = EndedRelease(descriptor.release, descriptor.version, descriptor.digest, "refused", reason[:MAX_REASON])
        return msgspec.structs.replace(self, highest=max(self.highest, descriptor.release), damaged=None, ended=ended)

    def starting(self) -> ActivationState:
        """The gateway starts: on trial that counts, and once too often it goes back."""
        if not self.testing:
            return self
        if self.starts >= TRIES:
            return self.back(f"{self.starts} starts of the gateway did not get ready with it")
        return msgspec.structs.replace(self, starts=self.starts + 1)

    def confirmed(self) -> ActivationState:
        """The gateway serves well."""
        return msgspec.structs.replace(self, testing=False, starts=0)

    def back(self, reason: str, *, damaged: bool = False) -> ActivationState:
        """What was active before is so again; `damaged` where the release itself is good and may be fetched anew."""
        if self.active is None:
            return self
        gone = self.active
        return msgspec.structs.replace(
            self,
            active=self.previous,
            previous=None,
            testing=False,
            starts=0,
            damaged=gone.release if damaged else None,
            ended=EndedRelease(gone.release, gone.version, gone.digest, "rolled_back", reason[:MAX_REASON]),
        )


def read(path: Path, model: str) -> ActivationState:
    """The state that a file keeps; that of a new device where there is none.

    Raises `RunFailed` `storage_failed` for a file that cannot be read, or was changed by anything but `write`: what it
    knew of older releases is not to be forgotten quietly.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return ActivationState(model)
    except OSError as err:
        raise _unreadable(path, err.strerror or "error") from err
    body, _, seal = raw.rstrip(b"\n").rpartition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != seal:
        raise _unreadable(path, "damaged")
    try:
        state = msgspec.json.decode(body, type=ActivationState)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as err:
        raise _unreadable(path, str(err)) from err
    if state.model != model:
        raise _unreadable(path, f"of the model {state.model}")
    return state


def write(path: Path, state: ActivationState) -> None:
    """Keep the state: a second line seals the first one, so that a bad disk does not change it. Raises `OSError`."""
    body = json.dumps(msgspec.to_builtins(state), ensure_ascii=False).encode()
    atomic.replace_file(path, body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n")


def _unreadable(path: Path, reason: str) -> RunFailed:
    return RunFailed(
        "storage_failed",
        f"what this device knows of its releases cannot be read: {reason}",
        path=str(path),
        help="remove the file to begin anew with the bundle that the device came with; older releases are then taken",
    )
