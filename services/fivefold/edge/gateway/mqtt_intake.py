"""Requests by MQTT: a message at TOPIC/MODEL is a V1 body, its answer goes to TOPIC/MODEL/result.

A message is acknowledged when its event is on the disk and the broker has its answer, so a gateway that is killed in
between is sent it again and loses nothing. What is refused is stored as a refusal and answered by the error; what
cannot be taken now (a full outbox, an overload) is tried again, and the broker keeps what comes meanwhile. MQTT 5 is
spoken: the properties `x-fivefold-lane` and `x-contract-version` mean what the headers mean, and correlation data come
back with the answer.

paho-mqtt's thread talks to the broker; answering runs on the event loop, by the same `Dataplane` as HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from fivefold.core import telemetry
from fivefold.core.errors import FivefoldError, Interrupted, RunFailed, Unavailable
from fivefold.core.outcome import RAW_BYTES
from fivefold.edge.gateway import answer_events
from fivefold.edge.gateway.gateway_settings import mqtt_address, read_secret
from fivefold.edge.gateway.mqtt_order import Arrival, ArrivalOrder
from fivefold.edge.gateway.storing import APPEND_KEY, DEFAULT_LANE, LANE, SEQUENCE, append_key, stored_marks
from fivefold.serving.http.http_errors import to_bytes
from fivefold.serving.http.request_body import Body, too_large
from fivefold.serving.http.v1 import V1
from fivefold.serving.messages import Call

if TYPE_CHECKING:
    from fivefold.edge.gateway.gateway_settings import GatewaySettings
    from fivefold.edge.gateway.outbox_writer import OutboxWriter
    from fivefold.serving.dataplane import Dataplane

WINDOW: Final = 128
"""Messages that the broker may send before one of them is acknowledged."""

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 30.0
"""Between two attempts at a message that cannot be taken now, in seconds; it doubles from one to the other."""

ATTEMPTS: Final = 3
"""A message that was not answered in time so often is refused."""

KEEP_ALIVE: Final = 30
SESSION_SECONDS: Final = 0xFFFFFFFF
"""How long the broker keeps what comes while the gateway is away: for ever, or as long as the broker's own limit."""

CONTRACT: Final = "x-contract-version"
KEY: Final = "x-fivefold-key"
"""The publisher's own name for a message: one that comes again under it is no second event."""

_PASSED_ON: Final = frozenset((LANE.decode(), CONTRACT))


@dataclass(slots=True, eq=False)
class Delivery:
    """One message, and what becomes of it; one that comes again is the same delivery."""

    topic: str
    payload: bytes
    stored: asyncio.Task[Outcome]
    """Done when the event is on the disk."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What goes to TOPIC/MODEL/result."""

    body: bytes
    call: Call
    kind: str
    """`answered` or `refused`."""


class MqttIntake:
    """One broker's messages. `start` and `stop` are called on the event loop, which answers them."""

    def __init__(self, settings: GatewaySettings, dataplane: Dataplane, writer: OutboxWriter) -> None:
        """Raises `SettingsError` for files that cannot be read."""
        self._settings, self._dataplane, self._writer = settings, dataplane, writer
        self._codec = V1(settings)
        self._topic = settings.mqtt_topic
        self._order = ArrivalOrder()
        self._tasks: set[asyncio.Task[None]] = set()
        self._published: dict[int, asyncio.Future[bool]] = {}
        self._deliveries: dict[int, Delivery] = {}
        """By the number that the broker gave them; it gives the same one again when it sends one again."""

        self._leaving = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop
        self._connection = 0
        """Counts connections: what came by an earlier one is not acknowledged on this."""
        self._stopping = False
        self._open = False
        """Whether there is a connection; what the broker has kept comes before the subscription is confirmed."""

        self.connected = False
        self.error: str | None = None
        self.counts = {"answered": 0, "refused": 0, "again": 0}
        self._client = self._made()

    def status(self) -> dict[str, Any]:
        """For the status and the metrics."""
        return {
            "broker": self._settings.mqtt,
            "connected": self.connected,
            "error": self.error,
            "waiting": len(self._order),
            "messages": dict(self.counts),
        }

    def start(self) -> None:
        """Connect, now or when the broker is there."""
        self._loop = asyncio.get_running_loop()
        _, host, port = mqtt_address(self._settings.mqtt)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho types none
        properties.SessionExpiryInterval = SESSION_SECONDS
        properties.ReceiveMaximum = WINDOW
        self._client.connect_async(host, port, KEEP_ALIVE, clean_start=False, properties=properties)
        self._client.loop_start()

    async def stop(self) -> None:
        """Finish what has begun, acknowledge it, and leave; the broker keeps the rest for the next start."""
        self._stopping = True
        self._leaving.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    def _made(self) -> paho.Client:
        settings = self._settings
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.mqtt_client_id or f"fivefold-{self._writer.outbox.id}",
            protocol=paho.MQTTv5,
            manual_ack=True,
        )
        if settings.mqtt_user:
            client.username_pw_set(settings.mqtt_user, read_secret(settings.mqtt_password_file, "mqtt_password_file"))
        if mqtt_address(settings.mqtt)[0]:
            client.tls_set(
                ca_certs=settings.mqtt_ca or None,
                certfile=settings.mqtt_certificate or None,
                keyfile=settings.mqtt_private_key or None,
            )
        client.reconnect_delay_set(1, 60)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        return client

    # What paho calls, in its own thread.

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._say(logging.WARNING, f"the broker refuses the connection: {reason}")
            return
        self._open = True
        # What a broker keeps as the topic's last value is no request of now.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND)
        client.subscribe(f"{self._topic}/+", options=options)
        self._loop.call_soon_threadsafe(self._begin)

    def _on_connect_fail(self, _client: paho.Client, _data: Any) -> None:
        # paho does not say why, and calls this while it handles the reason.
        self._say(logging.WARNING, f"the broker cannot be reached: {sys.exc_info()[1] or 'no reason is known'}")

    def _on_subscribe(self, _client: paho.Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        for reason in reasons:
            if reason.is_failure:
                self._say(logging.ERROR, f"the broker refuses the subscription to {self._topic}/+: {reason}")
                return
        self.connected, self.error = True, None

    def _on_disconnect(self, _client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        was, self.connected, self._open = self.connected, False, False
        if was and not self._stopping:
            self._say(logging.WARNING, f"the broker has gone: {reason}")
        elif self.error is None and not self._stopping:
            self._say(logging.WARNING, f"the broker ends the connection before it has let us in: {reason}")
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._begin)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        self._loop.call_soon_threadsafe(self._take, message)

    def _on_publish(self, _client: paho.Client, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._has_arrived, mid)

    # What runs on the event loop.

    def _begin(self) -> None:
        """Another connection: what was not acknowledged on the one before comes again."""
        self._connection += 1
        self._order.forget()
        for future in self._published.values():
            if not future.done():
                future.set_result(False)
        self._published.clear()

    def _has_arrived(self, mid: int) -> None:
        future = self._published.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(True)

    def _take(self, message: paho.MQTTMessage) -> None:
        if self._stopping:
            return
        known = self._deliveries.get(message.mid) if message.qos and message.dup else None
        if known is None or (known.topic, known.payload) != (message.topic, message.payload):
            stored = self._loop.create_task(self._store(message))
            known = Delivery(message.topic, bytes(message.payload), stored)
        if message.qos:
            self._deliveries[message.mid] = known
        arrival = self._order.arrived(message.mid, message.qos)
        task = self._loop.create_task(self._finish(known, message, arrival, self._connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _finish(self, delivery: Delivery, message: paho.MQTTMessage, arrival: Arrival, connection: int) -> None:
        """Answer and acknowledge a message once it is stored, if its connection is still there."""
        try:
            outcome = await asyncio.shield(delivery.stored)
        except asyncio.CancelledError:
            return
        if connection != self._connection or not await self._publish(f"{message.topic}/result", outcome, message):
            return
        self.counts[outcome.kind] += 1
        if connection == self._connection:
            if self._deliveries.get(message.mid) is delivery:
                del self._deliveries[message.mid]
            for each in self._order.finish(arrival):
                self._client.ack(each.mid, each.qos)

    async def _store(self, message: paho.MQTTMessage) -> Outcome:
        """Try until the event of the answer, or of the refusal, is on the disk."""
        model = message.topic.rpartition("/")[2]
        pause = FIRST_PAUSE
        for attempt in itertools.count(1):
            call = self._call(message)
            try:
                return await self._attempt(model, message, call)
            except Interrupted as error:
                if attempt >= ATTEMPTS:
                    with contextlib.suppress(FivefoldError):
                        return await self._refuse(error, model, message, call)
                problem: Exception = error
            except Exception as error:
                problem = error
            self._say(
                logging.WARNING,
                f"a message for {model[:128]!r} is tried again: {problem}",
                getattr(problem, "code", "internal"),
            )
            self.counts["again"] += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause)
                # Nothing of it is stored, and the broker keeps it.
                raise asyncio.CancelledError
            pause = min(LONGEST_PAUSE, 2 * pause)
        raise AssertionError

    async def _attempt(self, model: str, message: paho.MQTTMessage, call: Call) -> Outcome:
        """Raises what may be otherwise the next time."""
        body: Body | None = None
        try:
            if len(message.payload) > self._settings.max_body_bytes:
                raise self._dataplane.refuse(call, too_large(self._settings.max_body_bytes))
            body = Body({}, bytes(message.payload), None, self._dataplane.room)
            held, body.held = body.held, 0
            self._dataplane.room.take(held)
            body.held = held
            reply = await self._dataplane.answer(model, None, call, self._codec, body)
            return Outcome(reply.body, call, "answered")
        except (Unavailable, Interrupted, RunFailed):
            raise
        except FivefoldError as error:
            return await self._refuse(error, model, message, call)
        finally:
            if body is not None:
                body.close()

    async def _refuse(self, error: FivefoldError, model: str, message: paho.MQTTMessage, call: Call) -> Outcome:
        """The outcome of a refusal, which is on the disk; one that came before any model is stored here."""
        if self._settings.store_refusals and not any(name == SEQUENCE for name, _ in call.marks):
            raw = bytes(message.payload[:RAW_BYTES])
            events = answer_events.refused(
                error, raw, model=model[:128], transport=call.transport, request_id=call.request_id
            )
            numbers = await self._writer.append(DEFAULT_LANE, events, append_key(call))
            call.marks += stored_marks(DEFAULT_LANE, self._writer.outbox.id, numbers)
        return Outcome(to_bytes(error.to_json(call.request_id)), call, "refused")

    def _call(self, message: paho.MQTTMessage) -> Call:
        given = dict(getattr(message.properties, "UserProperty", ()) or ())
        headers = {name.encode(): value.encode() for name, value in given.items() if name in _PASSED_ON}
        if given.get(KEY):
            # Another message under the same key is another one.
            lane = given.get(LANE.decode(), "")
            said = "\0".join((message.topic, lane, given.get(CONTRACT, ""), given[KEY])).encode()
            headers[APPEND_KEY] = hashlib.sha256(hashlib.sha256(said).digest() + message.payload).digest()
        call = Call(
            "mqtt",
            self._dataplane.request_id(given.get("x-request-id")),
            traceparent=given.get("traceparent"),
            contract=given.get(CONTRACT),
            headers=headers,
        )
        call.size = len(message.payload)
        return call

    async def _publish(self, topic: str, outcome: Outcome, message: paho.MQTTMessage) -> bool:
        """Give the broker an answer; whether it has it. Where it has not, the message comes again."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]  # paho types none
        properties.ContentType = "application/json"
        call = outcome.call
        marks = ((name.decode(), value.decode("latin-1")) for name, value in call.marks)
        properties.UserProperty = [("x-request-id", call.request_id), *marks]
        correlation = getattr(message.properties, "CorrelationData", None)
        if correlation is not None:
            properties.CorrelationData = correlation
        if not self._open:
            return False
        info = self._client.publish(topic, outcome.body, qos=1, properties=properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            return False
        arrived: asyncio.Future[bool] = self._loop.create_future()
        # The broker's word for it is heard on this loop, so not before this.
        self._published[info.mid] = arrived
        return await arrived

    def _say(self, level: int, what: str, code: str = "") -> None:
        if what == self.error:
            return
        self.error = what
        telemetry.log(level, {"event": "mqtt", "broker": self._settings.mqtt, "code": code, "error": what})
