"""Which models a gateway serves, and how one of them is swapped while it answers.

`swap` may be called from any thread. What is in work is finished by the model that began it; from then on the new one
answers, under the same name. Which bundle is to be served, and whether it may be, is left to who calls.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from fivefold.core.errors import BundleInvalid, NotFound
from fivefold.core.runtime.scorer import Scorer
from fivefold.local.heap import give_back
from fivefold.serving.repository import Model, Repository

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle
from fivefold.serving.endpoints import Endpoints


class ServedModels:
    """The models of one running gateway."""

    def __init__(
        self, endpoints: Endpoints, loop: asyncio.AbstractEventLoop, defaults: Mapping[str, str], seconds: float
    ) -> None:
        """`loop` drives the endpoints; `defaults` are the versions that answer without one; opening a model may take
        `seconds`."""
        self._endpoints, self._loop, self._seconds = endpoints, loop, seconds
        self._defaults = dict(defaults)
        self._one = threading.Lock()

    def bundles(self) -> list[Bundle]:
        """What is served now."""
        return [model.bundle for model in self._endpoints.dataplane.models]

    def swap(self, bundle: Bundle) -> None:
        """Serve a bundle in place of every version of its name; returns when the models before it are closed.

        Raises `BundleInvalid` where it does not pass its self-test, and `NotFound` for a name that is not served; then
        nothing has changed. Not for the event loop's own thread.
        """
        with self._one:
            served = self._endpoints.dataplane.models
            if bundle.name not in served.names():
                raise NotFound("model_not_found", f"no model {bundle.name!r} is served here")
            check_target(bundle)
            fresh = Model(bundle, Scorer.open(bundle, within_seconds=self._seconds))
            models: list[Model] = []
            for model in served:
                if model.name != bundle.name:
                    models.append(model)
                elif fresh not in models:
                    models.append(fresh)
            self._defaults.pop(bundle.name, None)
            repository = Repository(models, defaults=self._defaults)
            asyncio.run_coroutine_threadsafe(self._endpoints.replace(repository), self._loop).result()
            give_back()


def check_target(bundle: Bundle) -> None:
    """Raise `BundleInvalid` for a bundle whose maker does not want it on a gateway."""
    if "gateway" not in bundle.manifest.targets:
        raise BundleInvalid(
            f"the bundle {bundle.name!r} runs on {', '.join(bundle.manifest.targets)}, and not on a gateway",
            path="bundle.json",
        )
