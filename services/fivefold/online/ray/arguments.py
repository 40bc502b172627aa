"""What the application for Ray Serve is built from: the arguments of `deployment.build`, as a RayService gives them.

What they mean is left to `deployment`, `delivery` and the settings' own classes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.online.settings import OnlineSettings


class Arguments(BaseModel):
    """What `build` takes; unknown names are refused, as in the settings themselves."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    models: list[str] = Field(min_length=1)
    """References of the bundles (`fivefold.delivery.reference`): paths as a replica sees them, or URLs with digests. A
    replica opens them, this function does not."""

    defaults: dict[str, str] = {}
    """The version that answers when none is asked for, by model; otherwise the highest."""

    settings: OnlineSettings = OnlineSettings()

    delivery: DeliverySettings | None = None
    """How replicas fetch bundles, and whose signatures they ask for; None: each goes by its own `FIVEFOLD_*` variables,
    which on a cluster stand beside the volumes that they name."""

    num_cpus: float = 1.0
    """Cores that Ray reserves for a replica."""

    num_gpus: float = 0.0
    """GPUs that Ray reserves for a replica; 0: as many as `FIVEFOLD_GPUS` says, or none."""

    http_socket: str = ""
    """The Unix socket of a `handover.HandOver`, whose listening socket the replica answers HTTP on, beside what reaches
    it through the proxy; empty: none. Right where there is one replica: there is nothing to choose, and the proxy's hop
    costs as much as the answer."""

    served_file: str = ""
    """A `served_file.ServedFile` that says what is served in place of `models` and `defaults`; empty: those. Replicas
    go over to what it says, in place, when `turn` is another one."""

    turn: int = 0
    """The turn of that file."""

    log: str = ""
    """A file for the log lines; empty: the standard error stream, which is Ray's log."""

    @field_validator("models")
    @classmethod
    def _are_references(cls, given: list[str]) -> list[str]:
        for reference in given:
            Reference.parse(reference)
        return given

    @field_validator("settings", "delivery", mode="before")
    @classmethod
    def _known(cls, given: Any, info: ValidationInfo) -> Any:
        if isinstance(given, dict):
            settings = OnlineSettings if info.field_name == "settings" else DeliverySettings
            unknown = sorted(set(given) - {field.name for field in dataclasses.fields(settings)})
            if unknown:
                raise ValueError(f"unknown setting {unknown[0]!r}")
        return given
