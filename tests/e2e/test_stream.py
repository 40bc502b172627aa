"""The stream on Kafka: workers are killed, more of them come and go, and each event has exactly one result."""

from __future__ import annotations

import json
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from fivefold.stream.events import Event
from tests.e2e import bundles, cluster
from tests.e2e.events import Outcome, Patients, Reader, number_of
from tests.e2e.report import Report

pytestmark = pytest.mark.e2e

VALUES = "k8s/kind/stream.yaml"
SCALING = "k8s/kind/stream-scaling.yaml"
WORKERS = f"{cluster.NAME}-stream"
PORT = 39092
"""The port of the broker's listener for who has forwarded it: it says so itself, so it can be no other one."""

SERVER = f"127.0.0.1:{PORT}"
SOURCE, RESULTS, DEAD = "patients", "diagnoses", "patients.dead-letter"
RATE = 150.0
"""Events a second: enough that a batch is in work at any moment."""

TORRENT = 300.0
"""Events a second that one worker, with the values for scaling, cannot keep up with."""

QUIET = 2.0
"""Seconds of an undisturbed stream between two disturbances."""


@pytest.fixture(scope="module", autouse=True)
def stream() -> Iterator[None]:
    """A broker, and one worker of a release that serves as before; at the end neither is left."""
    cluster.make("kind-kafka")
    cluster.upgrade(bundles.paths(bundles.build(1)), ARGS=f"-f {VALUES}")
    cluster.until("the first worker", lambda: _ready() == 1)
    yield
    # The release before has no workers, and the same service: nothing is drained.
    cluster.helm("rollback", cluster.NAME)
    cluster.kubectl("delete", "namespace", "kafka", "--wait=false")


@pytest.fixture(scope="module", autouse=True)
def forwarded(stream: None) -> Iterator[None]:
    """The broker at its port of this machine."""
    words = [
        "kubectl",
        "--context",
        cluster.CONTEXT,
        "--namespace",
        "kafka",
        "port-forward",
        "service/kafka",
        str(PORT),
    ]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)

    def forwards() -> bool:
        """One that has ended, as where the pod was not there yet, is begun again."""
        nonlocal process
        if process.poll() is not None:
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        return _listens(PORT)

    try:
        cluster.until("the broker's port", forwards, 180)
        yield
    finally:
        process.terminate()
        process.wait()


def _listens(port: int) -> bool:
    with closing(socket.socket()) as asked:
        return asked.connect_ex(("127.0.0.1", port)) == 0


def _ready() -> int:
    """Workers that are ready, where all are that there should be."""
    status = json.loads(cluster.kubectl("get", "statefulset", WORKERS, "-o", "json"))
    wanted, now = status["spec"]["replicas"], status["status"]
    ready = now.get("readyReplicas", 0)
    seen = now.get("observedGeneration") == status["metadata"]["generation"]
    return ready if seen and now.get("replicas") == ready == wanted else -1


def _scale(count: int) -> None:
    cluster.kubectl("scale", f"statefulset/{WORKERS}", f"--replicas={count}")
    cluster.until(f"{count} workers", lambda: _ready() == count)


def _kill(number: int) -> None:
    """Take a worker away without a farewell, and wait for the one that has its name next."""
    name = f"pod/{WORKERS}-{number}"
    before = _uid(name)
    cluster.kubectl("delete", name, "--grace-period=0", "--force", "--wait=false")
    cluster.until("the next worker of that name", lambda: _uid(name) not in ("", before) and _ready() > number)


def _uid(name: str) -> str:
    return cluster.kubectl("get", name, "-o", "jsonpath={.metadata.uid}", check=False).strip()


def test_each_event_has_one_result_whoever_is_killed(figures: Report) -> None:
    """While patients come without a pause: one worker becomes three, two are killed, three become one."""
    begun = time.monotonic()
    with Patients(bundles.build(1), SERVER, SOURCE, RATE) as patients, closing(Reader(SERVER, patients.run)) as reader:

        def outcome() -> Outcome:
            return Outcome(*reader.read(RESULTS, DEAD))

        cluster.until("the first results", lambda: outcome().count > 0)
        _kill(0)
        time.sleep(QUIET)
        _scale(3)
        time.sleep(QUIET)
        _kill(1)
        time.sleep(QUIET)
        _scale(1)
        time.sleep(QUIET)
        patients.end()
        ended = time.monotonic()
        cluster.until("every event", lambda: outcome().count >= patients.count, 120)
        caught_up = time.monotonic() - ended
        # To the end, where what is there twice would be.
        sent, *rest = reader.read(SOURCE, RESULTS, DEAD, seconds=60)
        found = Outcome(*rest)

    found.check(patients)
    waits = sorted(_waits(sent, found))
    figures.fact(
        f"A stream of {patients.count:,} events at {RATE:.0f} a second, one worker, then three, then one, two of them "
        f"killed: each with exactly one result or dead letter. From event to result {statistics.median(waits):.2f} s "
        f"in the median, {waits[-1]:.1f} s at most; the last one {caught_up:.0f} s after the last event. "
        f"{time.monotonic() - begun:.0f} s in all."
    )


def _waits(sent: list[Event], outcome: Outcome) -> Iterator[float]:
    """Seconds from an event to its result, by the clocks of who wrote them, which are those of one machine here."""
    begun = {number_of(event): event.timestamp for event in sent}
    return ((event.timestamp - begun[number_of(event)]) / 1000 for event in outcome.results)


_ASK = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"


def test_a_worker_tells_how_it_is() -> None:
    """Health and figures at the port that its probes ask, from inside of its pod: nobody else is let in."""

    def asked(route: str) -> str:
        words = ("exec", f"{WORKERS}-0", "--", "python", "-c", _ASK, f"http://127.0.0.1:8080/{route}")
        return cluster.kubectl(*words)

    assert json.loads(asked("livez")) == {"live": True}
    assert json.loads(asked("readyz")) == {"ready": True}
    cluster.until("no event to wait", lambda: set(_lag(asked("metrics"))) == {0.0}, 60)
    assert 'fivefold_stream_events_total{model="breast-cancer",outcome="scored"' in asked("metrics")
    assert f'bundle="{bundles.build(1).digest}"' in asked("metrics")


@pytest.mark.rare
def test_workers_come_and_go_by_the_lag(figures: Report) -> None:
    """By KEDA: none, two, none, with a producer that writes by transactions; then a single event wakes a worker."""
    bundle = bundles.build(1)
    cluster.make("kind-keda")
    cluster.upgrade(bundles.paths(bundle), ARGS=f"-f {VALUES} -f {SCALING}")
    cluster.until("the last worker's end", lambda: _ready() == 0)
    begun = time.monotonic()
    with Patients(bundle, SERVER, SOURCE, TORRENT) as patients, closing(Reader(SERVER, patients.run)) as reader:

        def outcome() -> Outcome:
            return Outcome(*reader.read(RESULTS, DEAD))

        cluster.until("the first results", lambda: outcome().count > 0)
        woken = time.monotonic() - begun
        cluster.until("two workers", lambda: _ready() == 2)
        patients.end()
        cluster.until("every event", lambda: outcome().count >= patients.count)
        cluster.until("the last worker's end", lambda: _ready() == 0)
        gone = time.monotonic() - begun
        # To the end, where what is there twice would be.
        Outcome(*reader.read(RESULTS, DEAD, seconds=60)).check(patients)
    # A transaction of one event, on its own: behind it stands a marker that nobody counts as waiting.
    single = Patients(bundle, SERVER, SOURCE, RATE, together=1, most=1)
    with single, closing(Reader(SERVER, single.run)) as reader:
        cluster.until("its result", lambda: Outcome(*reader.read(RESULTS, DEAD)).count == 1)
        cluster.until("the last worker's end", lambda: _ready() == 0)
        Outcome(*reader.read(RESULTS, DEAD)).check(single)
    figures.fact(
        f"By KEDA from no worker to two and to none, {patients.count:,} events by transactions: each with exactly one "
        f"result or dead letter. The first result {woken:.0f} s after the first event, nobody left after {gone:.0f} s."
    )


def _lag(metrics: str) -> list[float]:
    return [float(line.split()[-1]) for line in metrics.splitlines() if line.startswith("fivefold_stream_lag{")]
