"""Hostile events on a log: how they get there, a worker, and whether each has ended as it has to."""

from __future__ import annotations

import json
import threading

from confluent_kafka import Producer

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.runtime.scorer import Scorer
from fivefold.stream import event_lines
from fivefold.stream.avro_events import AvroEvents
from fivefold.stream.avro_results import AvroResults
from fivefold.stream.dead_letters import death, without_death
from fivefold.stream.events import Event, Outgoing, header
from fivefold.stream.registry_client import SchemaRegistry
from fivefold.stream.registry_settings import RegistrySettings
from fivefold.stream.scoring import EventScorer
from fivefold.stream.settings import StreamSettings
from fivefold.stream.worker import Counts, StreamWorker
from tests.support.event_logs import PARTITIONS, KafkaLogs, LocalLogs, Logs
from tests.support.hostile_events import GOOD, HostileEvent, hostile_events
from tests.support.raw_records import batch, send
from tests.support.schema_registry import Registry

ALL = hostile_events()


def work(bundle: Bundle, logs: Logs, registry: Registry, most: int = 5000) -> Counts:
    """A worker, until all is read."""
    log = logs.member("in", ["out", "dead"])
    client = SchemaRegistry(RegistrySettings(registry_url=registry.url))
    with Scorer.open(bundle) as scorer:
        both = AvroEvents(client), AvroResults(client, bundle.contract, "out")
        events = EventScorer(scorer, to="out", dead_letter="dead", group="g", avro=lambda _: both)
        worker = StreamWorker(
            log, events, StreamSettings(max_bad_fraction=1, max_batch=most), stopped=threading.Event().wait
        )
        try:
            return worker.run(once=True)
        finally:
            log.close()


def fill_local(logs: LocalLogs) -> list[HostileEvent]:
    """Each hostile event, and a good one behind it in the same partition."""
    events = [each for each in ALL if each.raw is None]
    out = []
    for at, each in enumerate(events):
        place = at % PARTITIONS
        out.append(Outgoing("in", each.key, each.value, each.headers, each.timestamp, place))
        out.append(Outgoing("in", b"good", GOOD, (("behind", each.name.encode()),), partition=place))
    logs.append("in", out)
    return events


def fill_kafka(logs: KafkaLogs) -> list[HostileEvent]:
    """The same, with each codec, and as clients in other languages would."""
    logs.make("in", {"message.timestamp.after.max.ms": str(2**62), "message.timestamp.before.max.ms": str(2**62)})
    topic = logs.prefix + "in"
    producers = {
        codec: Producer(
            {"bootstrap.servers": logs.server, "linger.ms": 0, "compression.type": codec or "none", "log_level": 3}
        )
        for codec in dict.fromkeys(each.codec for each in ALL)
    }
    for at, each in enumerate(ALL):
        place = at % PARTITIONS
        if each.raw is not None or each.timestamp is not None:
            headers = each.raw or tuple((name.encode(), value) for name, value in each.headers)
            send(logs.server, topic, place, batch(each.key, each.value, headers, each.timestamp or 0))
        else:
            producer = producers[each.codec]
            producer.produce(topic, each.value, each.key, headers=list(each.headers), partition=place)
            assert producer.flush(30) == 0
        good = producers[""]
        good.produce(topic, GOOD, b"good", headers=[("behind", each.name.encode())], partition=place)
        assert good.flush(30) == 0
    return ALL


def check(logs: Logs, events: list[HostileEvent]) -> None:
    """One end for each, the right one, with the event in it; the good ones in their partitions' order."""
    sources = list(logs.read("in"))
    assert len(sources) == 2 * len(events)
    written, given_up = logs.read("out"), logs.read("dead")
    results = {header(each.headers, "fivefold-source"): each for each in written}
    dead = {header(each.headers, "fivefold-dead-source"): each for each in given_up}
    assert (len(results), len(dead)) == (len(written), len(given_up))
    wrong = []
    for partition in range(PARTITIONS):
        here = [each for each in sources if each.partition == partition]
        hostile = events[partition::PARTITIONS]
        for wanted, found, behind in zip(hostile, here[::2], here[1::2], strict=True):
            name = f"{found.topic}/{found.partition}/{found.offset}".encode()
            said = ended(wanted, found, results.pop(name, None), dead.pop(name, None))
            if said:
                wrong.append(f"{wanted.name}: {said}")
            good = results.pop(f"{behind.topic}/{behind.partition}/{behind.offset}".encode())
            assert header(good.headers, "behind") == wanted.name.encode()
            assert (good.key, good.partition) == (b"good", partition)
            assert json.loads(good.value or b"") == {"total": 3.0, "label": 1}
    assert not wrong, "\n".join(wrong)
    assert (results, dead) == ({}, {})


def ended(wanted: HostileEvent, found: Event, result: Event | None, dead: Event | None) -> str:
    """What is wrong with the end of an event."""
    if (result is None) == (dead is None):
        return "a result and a dead letter" if result else "neither a result nor a dead letter"
    end = result or dead
    assert end is not None
    if (end.key, end.partition) != (found.key, found.partition):
        return "another key or partition"
    if dead is None:
        return "" if wanted.ends == ("", "") else f"expected {wanted.ends}, got a result {end.value!r:.100}"
    said = death(dead.headers)
    if (said["code"], said["path"]) != wanted.ends:
        return f"expected {wanted.ends}, got {said}"[:500]
    kept = tuple(each for each in found.headers if not each[0].startswith("fivefold-dead-"))
    if dead.value != found.value or without_death(dead.headers) != kept:
        return "it is not the event as it was"
    (line,) = event_lines.parse([event_lines.format(dead)], "dead")
    if (line.key, line.value, line.headers) != (dead.key, dead.value, dead.headers):
        return "its line is not the event as it was"
    return ""
