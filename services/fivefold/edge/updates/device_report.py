"""What a device tells its hub of its models: what each serves, and which release it has turned away and why.

The rest of a report (backlog, outbox) is the gateway's; sending it is left to `updater`.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from importlib import metadata
from typing import Any

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import FivefoldError
from fivefold.edge.updates.activation import ActivationState
from fivefold.edge.updates.device_models import DeviceModels

log = logging.getLogger(__name__)


class ModelReports:
    """The reports on the models of these names; not for several threads at a time."""

    def __init__(self, models: DeviceModels, names: Collection[str]) -> None:
        self._models = models
        self._names = names
        self._initial: dict[str, tuple[str, str]] = {}

    def to_json(self) -> list[dict[str, Any]]:
        """One entry for what each model serves, `active` or `testing`, and one for its last release that was
        `rolled_back` or `refused`, with the reason. The bundle that a device came with is release 0."""
        out: list[dict[str, Any]] = []
        for model in self._names:
            try:
                state = self._models.state(model)
                out.append({"name": model, **self._served(model, state)})
            except FivefoldError as err:
                log.warning("no report on %s: %s", model, err)
                continue
            if state.ended is not None:
                ended = state.ended
                entry = {"version": ended.version, "digest": ended.digest, "release": ended.release}
                out.append({"name": model, **entry, "state": ended.state, "reason": ended.reason})
        return out

    def _served(self, model: str, state: ActivationState) -> dict[str, Any]:
        one = state.active
        if one is not None:
            told = "testing" if state.testing else "active"
            return {"version": one.version, "digest": one.digest, "release": one.release, "state": told}
        if model not in self._initial:
            bundle = Bundle.open(self._models.active(model))
            self._initial[model] = (bundle.version, f"sha256:{bundle.digest}")
        version, digest = self._initial[model]
        return {"version": version, "digest": digest, "release": 0, "state": "active"}


def software() -> str:
    """Name and version of what runs on the device."""
    try:
        return f"fivefold {metadata.version('fivefold')}"
    except metadata.PackageNotFoundError:
        return "fivefold"
