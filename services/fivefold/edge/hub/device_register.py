"""Devices, and the keys that prove who they are: made, replaced and taken back; the store has a key's digest alone.

A key is good for its own device. The text of a key is that of `fivefold.guard.keys` (256 random bits behind an id), and
so is the digest; whoever reads the store learns no key. What a device last reported is kept beside it. Which device a
request names is compared by the application.
"""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from fivefold.core.errors import AccessError, NotFound, RunFailed
from fivefold.core.settings import SettingsError
from fivefold.edge.hub.database import HubConnection
from fivefold.edge.hub.missing_numbers import delivered_by_lane
from fivefold.edge.sync.lane_protocol import DEVICE_ID
from fivefold.guard import keys

MAX_KEY_BYTES: Final = 256

_NOBODY: Final = (secrets.token_bytes(16), secrets.token_bytes(32))
"""What a key that is not known is compared with, so that it takes as long as one that is."""


@dataclass(frozen=True, slots=True)
class DeviceRow:
    """A device as people see it; times in milliseconds since 1970."""

    id: str
    created: int
    seen: int | None
    reported: int | None
    report: dict[str, Any]
    """What it last reported; empty where it never has."""
    keys: int
    delivered: dict[str, int]
    """Events of all its outboxes that have come, by lane; what gap records cover has not."""
    quarantined: int
    copied: int | None
    """When an outbox of this device was last told to be a copy; None where none was."""


def milliseconds() -> int:
    """Now."""
    return time.time_ns() // 1_000_000


def check_device(id: str) -> str:
    """The id; raises `SettingsError` for what is none."""
    if not DEVICE_ID.match(id):
        raise SettingsError(f"expected an id of 1 to 63 of a-z, 0-9, '.', '_' and '-', no sign first, got {id!r}")
    return id


def add_device(connection: HubConnection, id: str) -> str:
    """A new device; gives its key, which is nowhere else. Raises `RunFailed` `run_conflict` for one that is there."""
    check_device(id)
    if connection.execute("SELECT 1 FROM hub_devices WHERE id = ?", (id,)):
        raise RunFailed("run_conflict", f"the device {id} is there already", help=f"fivefold hub device rotate {id}")
    connection.execute("INSERT INTO hub_devices (id, created) VALUES (?, ?)", (id, milliseconds()))
    return _new_key(connection, id)


def rotate_key(connection: HubConnection, id: str, overlap: int = 0) -> str:
    """A new key of a device; those before it are good for `overlap` more milliseconds. Raises `NotFound`."""
    _known(connection, id)
    now = milliseconds()
    if overlap:
        connection.execute(
            "UPDATE hub_keys SET expires = ? WHERE device = ? AND (expires IS NULL OR expires > ?)",
            (now + overlap, id, now + overlap),
        )
    else:
        connection.execute("DELETE FROM hub_keys WHERE device = ?", (id,))
    return _new_key(connection, id)


def revoke_keys(connection: HubConnection, id: str) -> int:
    """Take back all keys of a device; gives how many there were. What it has delivered stays. Raises `NotFound`."""
    _known(connection, id)
    ((count,),) = connection.execute("SELECT count(*) FROM hub_keys WHERE device = ?", (id,))
    connection.execute("DELETE FROM hub_keys WHERE device = ?", (id,))
    return int(count)


def _known(connection: HubConnection, id: str) -> None:
    if not connection.execute("SELECT 1 FROM hub_devices WHERE id = ?", (id,)):
        raise NotFound("not_found", f"no device {id!r}", help="fivefold hub device list")


def _new_key(connection: HubConnection, device: str) -> str:
    key, entry = keys.make(device, ("sync",))
    connection.execute(
        "INSERT INTO hub_keys (id, device, salt, digest, created) VALUES (?, ?, ?, ?, ?)",
        (entry.id, device, bytes.fromhex(entry.salt), bytes.fromhex(entry.sha256), milliseconds()),
    )
    return key


def device_of_key(connection: HubConnection, key: bytes) -> str:
    """Whose key this is; raises `AccessError` `unauthenticated`, in the same time and words whatever is wrong."""
    found: tuple[bytes, bytes] = _NOBODY
    device, expires = "", None
    id, _, secret = key.removeprefix(keys.PREFIX.encode()).partition(b"_")
    if len(key) <= MAX_KEY_BYTES and id.isalnum() and id.isascii():
        rows = connection.execute("SELECT device, salt, digest, expires FROM hub_keys WHERE id = ?", (id.decode(),))
        if rows:
            device, salt, known, expires = rows[0]
            found = bytes(salt), bytes(known)
    right = hmac.compare_digest(keys.digest(found[0], secret[:MAX_KEY_BYTES]), found[1])
    if not right or (expires is not None and milliseconds() >= expires):
        raise AccessError(
            "unauthenticated", "this key is not known", help="send authorization: Bearer KEY, with the device's key"
        )
    return device


def store_report(connection: HubConnection, device: str, report: dict[str, Any]) -> None:
    """Keep what a device says of itself, in place of what it said before."""
    now = milliseconds()
    connection.execute(
        "UPDATE hub_devices SET report = ?, reported = ?, seen = ? WHERE id = ?",
        (msgspec.json.encode(report), now, now, device),
    )


def list_devices(connection: HubConnection, after: str = "", most: int = 10_000) -> list[DeviceRow]:
    """Devices by id, behind one of them, with what they have delivered and reported."""
    rows = connection.execute(
        "SELECT id, created, seen, reported, report FROM hub_devices WHERE id > ? ORDER BY id LIMIT ?", (after, most)
    )
    if not rows:
        return []
    span = (rows[0][0], rows[-1][0])
    count: dict[str, int] = dict(
        connection.execute(
            "SELECT device, count(*) FROM hub_keys WHERE device BETWEEN ? AND ? AND (expires IS NULL OR expires > ?) "
            "GROUP BY device",
            (*span, milliseconds()),
        )
    )
    delivered = delivered_by_lane(connection, *span)
    bad: dict[str, int] = dict(
        connection.execute(
            "SELECT device, count(*) FROM hub_quarantine WHERE device BETWEEN ? AND ? GROUP BY device", span
        )
    )
    copied: dict[str, int] = dict(
        connection.execute("SELECT device, max(at) FROM hub_copies WHERE device BETWEEN ? AND ? GROUP BY device", span)
    )
    return [
        DeviceRow(
            id,
            created,
            seen,
            reported,
            msgspec.json.decode(bytes(report)) if report is not None else {},
            count.get(id, 0),
            delivered.get(id, {}),
            bad.get(id, 0),
            copied.get(id),
        )
        for id, created, seen, reported, report in rows
    ]
