"""`fivefold gateway update`, and what updates add to a gateway's start; the work is `fivefold.edge.updates`'."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fivefold.commands.words import Parser, add
from fivefold.core.errors import FivefoldError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fivefold.delivery.settings import DeliverySettings
    from fivefold.edge.gateway.gateway_process import Gateway
    from fivefold.edge.gateway.gateway_settings import GatewaySettings
    from fivefold.edge.gateway.gateway_updates import GatewayUpdates


def opened(
    references: Sequence[str],
    settings: GatewaySettings,
    delivery: DeliverySettings,
    defaults: dict[str, str],
    updates: GatewayUpdates | None,
) -> Gateway:
    """The gateway with its models open; a release on trial that does not open goes back first."""
    from fivefold.edge.gateway.gateway_process import Gateway

    if updates is None:
        return Gateway(references, settings, delivery, defaults=defaults)
    try:
        return Gateway(updates.models(), settings, delivery, updates=updates.status)
    except FivefoldError as err:
        if not updates.gone_back(err):
            raise
    return Gateway(updates.models(), settings, delivery, updates=updates.status)


def _update(arguments: argparse.Namespace) -> None:
    """Take the releases of a directory; a running gateway swaps to them by itself."""
    from fivefold.core.settings import SettingsError
    from fivefold.edge.gateway.gateway_updates import device_updater

    if not getattr(arguments, "data", None):
        raise SettingsError("data: expected --data and the gateway's directory, got none")
    refused = None
    for name, err in device_updater(Path(arguments.data)).install_from(arguments.source):
        print(f"{name}: {'taken, on trial until the gateway serves it well' if err is None else f'refused: {err}'}")
        refused = refused or err
    if refused is not None:
        sys.stdout.flush()
        raise refused


def add_update(inner: Any, add_data: Callable[[Parser], None]) -> None:
    """Add `gateway update`."""
    update = add(
        inner,
        "update",
        _update,
        "take a signed release from a directory, such as a stick's; also while a gateway runs",
        "fivefold gateway update --from /media/stick --data /var/lib/fivefold",
    )
    add_data(update)
    update.add_argument(
        "--from",
        dest="source",
        metavar="DIR",
        required=True,
        help="release.json, release.sig and bundle.tar, there or in directories below",
    )


def add_update_options(parser: Parser) -> None:
    """Add the gateway's options about updates."""
    parser.add_argument(
        "--update-key",
        dest="update_keys",
        metavar="PEM",
        action="append",
        default=[],
        help="replace models by releases that this public key signed; repeatable",
    )
    parser.add_argument(
        "--update-interval", type=float, metavar="SECONDS", help="between two looks for releases at the hub; default 60"
    )
    parser.add_argument(
        "--accept-contract-change",
        metavar="MODEL",
        action="append",
        default=[],
        help="its releases may answer less than its callers ask now; repeatable",
    )
