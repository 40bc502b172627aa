"""The sender: empties an outbox into a hub, as far as the hub and the network allow it.

Alerts go before bulk, the oldest first. Nothing is forgotten before the hub has said that it has it, and a hub that
says what cannot be stops its lane. What lies in the outbox and what the words of the protocol are is left to others.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fivefold.edge.outbox.queue import Outbox
from fivefold.edge.sync.lane_protocol import ModelReport


@dataclass
class SenderStatus:
    """What a sender has done since it was made, for metrics and the status page."""

    batches: int = 0
    events: int = 0
    """Acknowledged by the hub."""
    bytes: int = 0
    """Of bodies sent, compressed, repeats included."""
    rejected: int = 0
    """Lines that the hub has put into quarantine."""
    failures: int = 0
    """Requests that did not do what they were for."""
    failed_in_row: int = 0
    error: str | None = None
    """The last failure in a sentence; None after a success."""
    error_code: str | None = None
    """Its code: one of `core.errors.CODES`, or `hub_behind`, `hub_invalid`."""
    wait_seconds: float = 0.0
    """How long it waits before the next attempt."""
    last_success_ms: int | None = None
    stopped: dict[str, str] = field(default_factory=dict)
    """Lanes that are stopped, with the reason's code."""


class Sender:
    """Sends what waits in an outbox to a hub."""

    def __init__(
        self,
        outbox: Outbox,
        hub_url: str,
        device: str,
        key: str,
        *,
        bandwidth: float | None = None,
        allow_http: bool = False,
        ca: str | None = None,
        models: Callable[[], Sequence[ModelReport]] | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """`hub_url` is https, or http to this machine (`allow_http`: to any). `bandwidth` is in bytes a second.

        `ca` is a file of certificates to trust instead of the system's. `models` gives what the report says of models,
        each minute; without it no report is sent. `log` gets a sentence where something changes.
        Raises `SettingsError` for an address, a device id or a bandwidth that is none.
        """
        raise NotImplementedError

    @property
    def status(self) -> SenderStatus:
        """A copy of what it has done."""
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set, which ends every wait (with `outbox.wake()` at once). The body of a thread."""
        raise NotImplementedError

    def step(self) -> bool:
        """One exchange with the hub, without any wait before it; whether there may be more to send at once."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""
        raise NotImplementedError
