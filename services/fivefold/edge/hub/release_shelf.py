"""Releases of models in the hub's store: descriptors as they were signed, archives in chunks, and who is offered what.

Which release a device may have, and when canaries that went back halt one, is decided by `fivefold.edge.updates`; here
it is looked up, written down and answered. The hub is not trusted with models: it cannot sign, and devices verify what
they get by the publisher's key.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Final

from fivefold.core.errors import BundleInvalid, NotFound, RunFailed
from fivefold.edge.hub.database import HubConnection
from fivefold.edge.hub.device_register import milliseconds
from fivefold.edge.sync.lane_protocol import DeviceReport
from fivefold.edge.updates.channels import (
    Channel,
    ReleaseOffer,
    choose,
    halt_reason,
    next_release,
    offered,
    promoted,
    publishable,
)
from fivefold.edge.updates.descriptor import SignedRelease

MAX_RANGE: Final = 16 << 20
"""Bytes of an archive that one answer has at most."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShelvedRelease:
    """A release as people see it; `published` in milliseconds since 1970, `devices` counts the states they reported."""

    model: str
    release: int
    version: str
    channel: str
    share: int
    halted: str | None
    published: int
    archive: str
    size: int
    devices: dict[str, int]


@dataclass(frozen=True, slots=True)
class ShelfOffer:
    """What a device is to run of one model: the bytes that were signed, and the signature."""

    model: str
    release: int
    descriptor: bytes
    signature: bytes


def next_number(connection: HubConnection, model: str) -> int:
    """The number of a model's next release."""
    return next_release(each.release for each in _offers(connection, model))


def put_release(
    connection: HubConnection, signed: SignedRelease, archive: bytes, channel: Channel = "stable", share: int = 100
) -> None:
    """Put a release on the shelf, its archive first.

    Raises `ProtocolError` `not_acceptable` for a number that does not rise, or a share that is none, and
    `BundleInvalid` for an archive that is not the release's.
    """
    about = signed.descriptor
    if hashlib.sha256(archive).hexdigest() != about.archive.sha256:
        raise BundleInvalid("the archive is not the one of this release", path="archive")
    publishable(about.release, (each.release for each in _offers(connection, about.model)))
    offer = ReleaseOffer(about.model, about.release, channel, share)
    if not connection.execute("SELECT 1 FROM hub_archives WHERE sha256 = ? LIMIT 1", (about.archive.sha256,)):
        size = about.archive.chunk_bytes
        connection.execute_many(
            "INSERT INTO hub_archives (sha256, chunk, body) VALUES (?, ?, ?)",
            ((about.archive.sha256, at // size, archive[at : at + size]) for at in range(0, len(archive), size)),
        )
    connection.execute(
        "INSERT INTO hub_releases (model, release, version, descriptor, signature, archive, size, channel, share, "
        "published) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            about.model,
            about.release,
            about.version,
            signed.raw,
            signed.signature,
            about.archive.sha256,
            about.archive.size,
            offer.channel,
            offer.share,
            milliseconds(),
        ),
    )


def list_releases(connection: HubConnection) -> list[ShelvedRelease]:
    """All releases, by model, the newest first."""
    states: dict[tuple[str, int], dict[str, int]] = {}
    for model, release, state, count in connection.execute(
        "SELECT model, release, state, count(*) FROM hub_trials GROUP BY model, release, state"
    ):
        states.setdefault((model, release), {})[state] = int(count)
    rows = connection.execute(
        "SELECT model, release, version, channel, share, halted, published, archive, size FROM hub_releases "
        "ORDER BY model, release DESC"
    )
    return [ShelvedRelease(*(*row, states.get((row[0], row[1]), {}))) for row in rows]


def releases_for(connection: HubConnection, device: str) -> list[ShelfOffer]:
    """What a device is to run: of each model the newest release that it may have."""
    by_model: dict[str, list[ReleaseOffer]] = {}
    for each in _offers(connection):
        by_model.setdefault(each.model, []).append(each)
    out = []
    for model in sorted(by_model):
        chosen = choose(device, by_model[model])
        if chosen is not None:
            ((descriptor, signature),) = connection.execute(
                "SELECT descriptor, signature FROM hub_releases WHERE model = ? AND release = ?",
                (model, chosen.release),
            )
            out.append(ShelfOffer(model, chosen.release, bytes(descriptor), bytes(signature)))
    return out


def archive_size(connection: HubConnection, device: str, sha256: str) -> int:
    """Bytes of an archive; raises `NotFound` where it belongs to nothing that the device may have."""
    rows = connection.execute(
        "SELECT model, release, channel, share, halted, size FROM hub_releases WHERE archive = ?", (sha256,)
    )
    for row in rows:
        if offered(device, ReleaseOffer(*row[:5])):
            return int(row[5])
    raise NotFound("not_found", "no such archive for this device", path="sha256")


def archive_bytes(connection: HubConnection, sha256: str, start: int, end: int) -> bytes:
    """The bytes from `start` to before `end`; the archive is that long."""
    ((first,),) = connection.execute("SELECT length(body) FROM hub_archives WHERE sha256 = ? AND chunk = 0", (sha256,))
    rows = connection.execute(
        "SELECT body FROM hub_archives WHERE sha256 = ? AND chunk BETWEEN ? AND ? ORDER BY chunk",
        (sha256, start // first, (end - 1) // first),
    )
    skipped = start // first * first
    return b"".join(bytes(body) for (body,) in rows)[start - skipped : end - skipped]


def halt_release(connection: HubConnection, model: str, release: int, reason: str) -> None:
    """Offer a release to nobody any more; devices that have it keep it. Raises `NotFound`."""
    _known(connection, model, release)
    connection.execute("UPDATE hub_releases SET halted = ? WHERE model = ? AND release = ?", (reason, model, release))


def resume_release(connection: HubConnection, model: str, release: int) -> None:
    """Offer a halted release again; what devices reported of it before is forgotten. Raises `NotFound`, and
    `RunFailed` `run_conflict` for one that is not halted."""
    if _known(connection, model, release).halted is None:
        raise RunFailed("run_conflict", f"release {release} of {model} is not halted")
    connection.execute("UPDATE hub_releases SET halted = NULL WHERE model = ? AND release = ?", (model, release))
    connection.execute("DELETE FROM hub_trials WHERE model = ? AND release = ?", (model, release))


def promote_release(connection: HubConnection, model: str, release: int) -> None:
    """Offer a canary to every device. Raises `NotFound`, and `ProtocolError` for one that is halted."""
    offer = promoted(_known(connection, model, release))
    connection.execute(
        "UPDATE hub_releases SET channel = ?, share = ? WHERE model = ? AND release = ?",
        (offer.channel, offer.share, model, release),
    )


def record_trials(connection: HubConnection, device: str, report: DeviceReport) -> None:
    """Write down how a device fares with releases that it may have; halts those whose canaries went back."""
    for each in report.models:
        if each.release is None:
            continue
        offers = [one for one in _offers(connection, each.name) if one.release == each.release]
        # Who never got a release cannot halt it for the others.
        if not offers or not offered(device, offers[0]):
            continue
        connection.execute(
            "INSERT INTO hub_trials (model, release, device, state, reason, at) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (model, release, device) DO UPDATE SET state = excluded.state, reason = excluded.reason, "
            "at = excluded.at",
            (each.name, each.release, device, each.state, (each.reason or "")[:500], milliseconds()),
        )
        rows = connection.execute(
            "SELECT device, state FROM hub_trials WHERE model = ? AND release = ?", (each.name, each.release)
        )
        reason = halt_reason(offers[0], dict(rows))
        if reason is not None:
            _log.error("release %d of %s is halted: %s", each.release, each.name, reason)
            halt_release(connection, each.name, each.release, reason)


def _offers(connection: HubConnection, model: str | None = None) -> list[ReleaseOffer]:
    chosen, values = ("WHERE model = ? ", (model,)) if model is not None else ("", ())
    rows = connection.execute(
        f"SELECT model, release, channel, share, halted FROM hub_releases {chosen}ORDER BY release",  # noqa: S608
        values,
    )
    return [ReleaseOffer(*row) for row in rows]


def _known(connection: HubConnection, model: str, release: int) -> ReleaseOffer:
    for each in _offers(connection, model):
        if each.release == release:
            return each
    raise NotFound("not_found", f"no release {release} of {model!r}", help="fivefold hub releases")
