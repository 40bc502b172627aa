"""A guarded server of the gate model over either transport, and keys to it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fivefold.guard import keys
from tests.support.grpc_calls import gate_bundle


class Guarded:
    """`world` serves bundles: `http_calls.world` or `grpc_calls.world`."""

    def __init__(self, directory: Path, world: Callable[..., Any]) -> None:
        self.place = directory / "keys.json"
        self.directory = directory
        self.key = self.new()
        self._world = world

    def new(self, **rest: Any) -> str:
        """Another key; `rest` is what it may."""
        key, entry = keys.make("test", **rest)
        keys.add(self.place, entry)
        return key

    def world(self, **settings: Any) -> Any:
        return self._world([gate_bundle(self.directory / "gate")], keys=str(self.place), **settings)
