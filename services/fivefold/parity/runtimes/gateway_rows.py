"""The gateway: rows over REST V1, every answer in its outbox before it is given."""

from __future__ import annotations

import threading

from fivefold.core.bundle.manifest import TARGETS
from fivefold.delivery.settings import DeliverySettings
from fivefold.edge.gateway.gateway_process import Gateway
from fivefold.edge.gateway.gateway_settings import GatewaySettings
from fivefold.local.signals import StopSignals
from fivefold.parity.runtimes.asked_runtime import AskedBundle, NotHere
from fivefold.parity.runtimes.http_rows import HttpRecords

SECONDS = 120.0
"""How long opening it may take, and closing it."""


class GatewayRows(HttpRecords):
    """A gateway without a hub, in a thread of this process, with its data in the run's own directory."""

    def __init__(self, asked: AskedBundle) -> None:
        super().__init__(asked)
        self._stop = StopSignals()
        self._gateway: Gateway | None = None
        self._thread: threading.Thread | None = None

    def available(self) -> NotHere | None:
        targets = self.bundle.manifest.targets
        if "gateway" in targets:
            return None
        return NotHere(f"the bundle is for {', '.join(targets)}", f"pack it for {', '.join(TARGETS['onnx'])}")

    def address(self) -> str:
        settings = GatewaySettings(http="127.0.0.1:0", data=str(self.scratch / "data"), log_sample=0.0)
        self._gateway = gateway = Gateway([str(self.directory)], settings, DeliverySettings())
        ready = threading.Event()
        ended: list[BaseException] = []

        def serve() -> None:
            try:
                gateway.run(self._stop, ready=ready.set)
            except BaseException as error:
                ended.append(error)
            finally:
                ready.set()

        self._thread = threading.Thread(target=serve, name="fivefold-parity-gateway", daemon=True)
        self._thread.start()
        if not ready.wait(SECONDS):
            raise TimeoutError(f"the gateway was not ready in {SECONDS:g} s")
        if ended:
            raise ended[0]
        return gateway.http

    def close(self) -> None:
        if self._thread is not None:
            self._stop()
            self._thread.join(SECONDS)
        if self._gateway is not None:
            self._gateway.close()
        self._stop.close()
