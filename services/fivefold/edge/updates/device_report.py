"""What a device tells its hub of its models: what each serves, and which release it has turned away and why.

The rest of a report (backlog, outbox), and sending it, is left to `fivefold.edge.sync.sender`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import FivefoldError
from fivefold.edge.sync.lane_protocol import ModelReport
from fivefold.edge.updates.activation import ActivationState
from fivefold.edge.updates.device_models import DeviceModels

log = logging.getLogger(__name__)


class ModelReports:
    """The reports on the models of these names, for any number of threads."""

    def __init__(self, models: DeviceModels, names: Collection[str]) -> None:
        self._models = models
        self._names = names
        self._initial: dict[str, tuple[str, str]] = {}
        self._mutex = threading.Lock()

    def reports(self) -> list[ModelReport]:
        """One for what each model serves, `active` or `testing`, and one for its last release that was `rolled_back` or
        `refused`, with the reason. The bundle that a device came with is release 0."""
        out: list[ModelReport] = []
        for model in self._names:
            try:
                state = self._models.state(model)
            except FivefoldError as err:
                log.warning("no report on %s: %s", model, err)
                continue
            try:
                out.append(self._served(model, state))
            except FivefoldError as err:
                log.warning("%s", err)
            ended = state.ended
            if ended is not None:
                out.append(
                    ModelReport(
                        name=model,
                        version=ended.version,
                        digest=ended.digest,
                        release=ended.release,
                        state=ended.state,
                        reason=ended.reason,
                    )
                )
        return out

    def _served(self, model: str, state: ActivationState) -> ModelReport:
        one = state.active
        if one is not None:
            told = "testing" if state.testing else "active"
            return ModelReport(name=model, version=one.version, digest=one.digest, release=one.release, state=told)
        with self._mutex:
            if model not in self._initial:
                bundle = Bundle.open(self._models.active(model))
                self._initial[model] = (bundle.version, f"sha256:{bundle.digest}")
            version, digest = self._initial[model]
        return ModelReport(name=model, version=version, digest=digest, release=0, state="active")
