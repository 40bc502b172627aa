"""A real MQTT broker of a test's own: mosquitto on a free port of this machine, with its state below a directory."""

from __future__ import annotations

import queue
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.support.programs import needed

PROGRAM = needed("mosquitto", "requests by MQTT", "/usr/sbin/mosquitto")

SECONDS = 30.0


class Broker:
    """mosquitto, which can be ended and begun again on its port; sessions outlive that."""

    def __init__(self, directory: Path, *lines: str) -> None:
        """`lines` go to its configuration beside those of a listener; the directory is made."""
        directory.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._configuration = directory / "mosquitto.conf"
        text = [
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {directory}/",
            "user root",
            "log_type error",
            "log_dest stderr",
            *(lines or ("allow_anonymous true",)),
        ]
        self._configuration.write_text("\n".join(text) + "\n")
        self._scheme = "mqtts" if any(line.startswith("certfile") for line in lines) else "mqtt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert PROGRAM is not None
        self._process = subprocess.Popen([PROGRAM, "-c", str(self._configuration)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + SECONDS
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "mosquitto ended"
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(SECONDS)
            self._process = None


@contextmanager
def broker(directory: Path, *lines: str) -> Iterator[Broker]:
    """A broker that answers."""
    out = Broker(directory, *lines)
    out.start()
    try:
        yield out
    finally:
        out.stop()


class Device:
    """A client that publishes requests and hears results; it knows nothing of how a gateway works."""

    def __init__(
        self, broker: Broker, topic: str = "fivefold/+/result", tls: dict[str, str] | None = None, **login: Any
    ) -> None:
        """`tls` is what paho's `tls_set` takes."""
        self.results: queue.Queue[paho.MQTTMessage] = queue.Queue()
        subscribed = threading.Event()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if login:
            self.client.username_pw_set(**login)
        if tls:
            self.client.tls_set(**tls)
        self.client.on_message = lambda _client, _data, message: self.results.put(message)
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert subscribed.wait(SECONDS)

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False, **named: Any) -> None:
        """Publish with QoS 1; returns when the broker has it. `user=[(name, value)]`, `correlation=b""`."""
        properties = Properties(PacketTypes.PUBLISH)
        if "user" in named:
            properties.UserProperty = named["user"]
        if "correlation" in named:
            properties.CorrelationData = named["correlation"]
        info = self.client.publish(topic, payload, qos=1, retain=retain, properties=properties)
        info.wait_for_publish(SECONDS)
        assert info.is_published()

    def result(self) -> paho.MQTTMessage:
        return self.results.get(timeout=SECONDS)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
