"""Under which contract version a run reads its files, where a bundle answers several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fivefold.core.errors import ProtocolError

if TYPE_CHECKING:
    from fivefold.batch.plan.settings import BatchSettings
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.view import View


def view_of(bundle: Bundle, settings: BatchSettings) -> View:
    """The contract version of a run; raises `ProtocolError` `contract_unsupported` for one that the bundle lacks."""
    return bundle.views.find(settings.contract) if settings.contract else bundle.views.default


def refuse_other_versions(bundle: Bundle, settings: BatchSettings, ignored: Sequence[str]) -> None:
    """Raise `ProtocolError` `contract_unsupported` for columns that only another version of the contract has.

    The file is most likely of that version, and its rows would get that version's answer no more, but defaults.
    """
    if settings.contract:
        return
    default = bundle.views.default
    for view in bundle.views.values():
        known = {name for field in view.inputs for name in (field.name, *field.aliases)}
        name = next((name for name in ignored if name in known), None)
        if name is not None:
            raise ProtocolError(
                "contract_unsupported",
                f"the column {name!r} is of version {view.version}, and the input would be read as {default.version}",
                path=f"inputs.{name}",
                help=f"--contract {view.version}, or --contract {default.version} to leave it out",
            )
