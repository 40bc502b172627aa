"""A gateway's models from its hub's releases: which bundles it opens at its start, and what is swapped while it runs.

`device.json` in the models' directory keeps what the device came with and whose releases it trusts, for
`fivefold gateway update`, which brings a release in from a stick and is told neither. How a release is verified, tried
and taken back is left to `fivefold.edge.updates`.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fivefold.core import atomic
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.bundle.signature import public_key
from fivefold.core.errors import BundleInvalid, FivefoldError, ModelFailed, NotFound, RunFailed
from fivefold.core.settings import SettingsError
from fivefold.delivery.fetch import fetch
from fivefold.delivery.settings import DeliverySettings
from fivefold.edge.gateway.gateway_settings import GatewaySettings, read_secret
from fivefold.edge.gateway.update_status import UpdateStatus
from fivefold.edge.updates.device_models import DeviceModels
from fivefold.edge.updates.examiner import ChildExaminer
from fivefold.edge.updates.release_source import HubSource
from fivefold.edge.updates.updater import Updater, UpdateRules

if TYPE_CHECKING:
    from fivefold.edge.gateway.served_models import ServedModels

log = logging.getLogger(__name__)

MODELS: Final = "models"
"""In the gateway's directory: the models' own."""
DEVICE: Final = "device.json"


class InitialBundle(msgspec.Struct, frozen=True):
    """A bundle that the device came with: how it was named, and where it lies."""

    reference: str
    path: str


class DeviceFile(msgspec.Struct, frozen=True):
    """device.json: bundles by name of the model, and PEM texts of the keys trusted with releases and bundles."""

    models: dict[str, InitialBundle]
    keys: list[str]
    bundle_keys: list[str] = []
    accept_contract_change: list[str] = []


class GatewayUpdates:
    """The updates of one gateway from before its start to its end."""

    def __init__(self, references: Sequence[str], settings: GatewaySettings, delivery: DeliverySettings) -> None:
        """Count the start, and choose what to open. Raises `FivefoldError` and `SettingsError`."""
        root = Path(settings.data) / MODELS
        device = DeviceFile(
            models=_came_with(references, delivery, root),
            keys=[_pem(path) for path in settings.update_keys],
            bundle_keys=[_pem(path) for path in delivery.trusted_keys],
            accept_contract_change=list(settings.accept_contract_change),
        )
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            atomic.replace_file(root / DEVICE, msgspec.json.encode(device) + b"\n", mode=0o600)
        except OSError as err:
            # Serving comes first: what is there is served, and an update says that the disk takes nothing.
            log.error("cannot write %s: %s", root / DEVICE, err)
        self._delivery = delivery
        self._source: HubSource | None = None
        if settings.hub:
            self._source = HubSource(
                settings.hub,
                settings.device,
                read_secret(settings.hub_key_file, "hub_key_file"),
                allow_http=settings.hub_http,
                verify=ssl.create_default_context(cafile=settings.hub_ca) if settings.hub_ca else True,
            )
        self.updater = _updater(root, device, UpdateRules(interval=settings.update_interval), self._source)
        self.updater.start()

    def models(self) -> list[str]:
        """The bundles to open, one a model."""
        return [str(self.updater.active(name)) for name in self.updater.names]

    def gone_back(self, err: FivefoldError) -> bool:
        """Whether another try may help after the models could not be opened: releases on trial have gone back."""
        if not isinstance(err, BundleInvalid | ModelFailed):
            return False
        trials = [name for name in self.updater.names if self.updater.models.state(name).testing]
        for name in trials:
            self.updater.failed(name, f"the gateway cannot open it: {err}")
        return bool(trials)

    def status(self) -> UpdateStatus:
        """How the updates stand, for the status and the metrics."""
        return UpdateStatus(self.updater.reports(), dict(self.updater.models.counts), self.updater.problem)

    def run(self, served: ServedModels, stop: threading.Event) -> None:
        """Look for releases and swap what is served, until `stop` is set; the gateway is ready by now."""

        def swap(model: str, path: Path) -> None:  # noqa: ARG001  # the bundle names it
            served.swap(
                Bundle.open(path, public_keys=self._delivery.trusted_keys, max_bytes=self._delivery.bundle_max_bytes)
            )

        self.updater.ready()
        self.updater.run(stop, swap)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


def device_updater(directory: Path) -> Updater:
    """The updates of a gateway that works in a directory, or has, from another process. Raises `NotFound` where none
    with `update_keys` ever did."""
    root = directory / MODELS
    device = _read(root)
    if device is None:
        raise NotFound(
            "not_found",
            f"no gateway in {directory} takes updates",
            help="start it once with the publisher's key: fivefold gateway --update-key public.pem",
        )
    return _updater(root, device, UpdateRules(), None)


def _updater(root: Path, device: DeviceFile, rules: UpdateRules, source: HubSource | None) -> Updater:
    rules = UpdateRules(interval=rules.interval, accept_contract_change=device.accept_contract_change)
    models = DeviceModels(root, {name: Path(each.path) for name, each in device.models.items()})
    return Updater(
        models, device.keys, source=source, rules=rules, examiner=ChildExaminer(bundle_keys=device.bundle_keys)
    )


def _came_with(references: Sequence[str], delivery: DeliverySettings, root: Path) -> dict[str, InitialBundle]:
    try:
        before = _read(root)
    except RunFailed as err:
        log.error("%s", err)
        before = None
    found: dict[str, InitialBundle] = {}
    for reference in references:
        try:
            bundle = fetch(reference, delivery)
            name, each = bundle.name, InitialBundle(reference, str(bundle.path.absolute()))
        except FivefoldError as err:
            # A release that was verified serves without the bundle that it has replaced.
            known = {} if before is None else before.models
            name = next((name for name, each in known.items() if each.reference == reference), "")
            if not name or DeviceModels(root, {}).state(name).active is None:
                raise
            each = known[name]
            log.error("the bundle that the device came with: %s", err)
        if name in found:
            raise SettingsError(f"model: a gateway that takes updates serves one version of {name!r}, got two")
        found[name] = each
    return found


def _read(root: Path) -> DeviceFile | None:
    try:
        return msgspec.json.decode((root / DEVICE).read_bytes(), type=DeviceFile)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, UnicodeError) as err:
        raise RunFailed("storage_failed", f"cannot be read: {err}", path=str(root / DEVICE)) from err


def _pem(path: str) -> str:
    return public_key(path).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
