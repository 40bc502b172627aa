from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.bundles import write_sum
from tests.support.releases import CHUNK, PUBLISHER, STRANGER, TRUSTED, ReleaseHub, release_hub, released

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import BundleInvalid, FivefoldError, NotFound, ProtocolError, RunFailed, Unavailable
from fivefold.edge.updates.descriptor import ReleaseDescriptor, make_release, sign_release, write_release
from fivefold.edge.updates.device_models import DeviceModels
from fivefold.edge.updates.release_source import HubSource, OfferedRelease
from fivefold.edge.updates.updater import Updater, UpdateRules

RULES = UpdateRules(probation=0, reserve=0)


class Examined:
    """An examination that lets pass what it is not told to refuse; what it looked at is kept."""

    def __init__(self) -> None:
        self.refusal: FivefoldError | None = None
        self.seen: list[tuple[int, Path | None]] = []

    def __call__(self, archive: Path, descriptor: ReleaseDescriptor, current: Path | None, check: Any) -> None:
        assert Bundle.open(archive).digest == descriptor.bundle_digest
        self.seen.append((descriptor.release, current))
        if self.refusal is not None:
            raise self.refusal


class OneDevice:
    def __init__(self, root: Path, hub: ReleaseHub | None = None, **given: Any) -> None:
        self.initial = root / "initial"
        write_sum(self.initial, version="0")
        self.models = DeviceModels(root / "device", {"demo": self.initial})
        self.examine = Examined()
        self.hub = hub
        self.source: HubSource | None = None
        self.updater = self.started(**given)

    def started(self, **given: Any) -> Updater:
        """The updater of another process of the gateway."""
        if self.hub is not None:
            self.close()
            self.source = HubSource(self.hub.url, "device-1", "secret")
        updater = Updater(
            self.models, TRUSTED, **{"source": self.source, "examiner": self.examine, "rules": RULES, **given}
        )
        updater.start()
        self.updater = updater
        return updater

    def close(self) -> None:
        if self.source is not None:
            self.source.close()

    def served(self) -> str:
        return Bundle.open(self.updater.active("demo")).version

    def states(self) -> list[tuple[int | None, str]]:
        return [(report.release, report.state) for report in self.updater.reports()]


@pytest.fixture
def hub() -> Iterator[ReleaseHub]:
    with release_hub() as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, hub: ReleaseHub) -> Iterator[OneDevice]:
    one = OneDevice(tmp_path, hub)
    yield one
    one.close()


def offer(stick: Path, **members: Any) -> OfferedRelease:
    """A release's bytes, signed by the publisher; members replace those of release.json."""
    values = {**json.loads((stick / "release.json").read_bytes()), **members}
    raw = json.dumps(values, indent=2).encode() + b"\n"
    return OfferedRelease(raw, PUBLISHER.sign(raw), stick)


def test_a_release_is_fetched_examined_and_served(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    assert device.served() == "0"
    hub.publish_stick(released(tmp_path / "1", 1))

    device.updater.look()

    assert device.updater.problem is None
    assert device.served() == "1"
    assert device.states() == [(1, "testing")]
    assert device.examine.seen == [(1, device.initial)]
    device.updater.ready()
    assert device.states() == [(1, "active")]


def test_what_has_not_changed_is_not_sent_again(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    for _ in range(3):
        device.updater.look()

    tags = [asked for _, path, asked in hub.requests if path == "models"]
    assert tags[0] is None
    assert tags[1] == tags[2] != None  # noqa: E711
    assert len(hub.ranges_asked()) == 1


def test_an_archive_is_fetched_again_from_where_it_broke_off_without_a_new_offer(
    tmp_path: Path, hub: ReleaseHub, device: OneDevice
) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    hub.break_archive = lambda body, start: body[: CHUNK + 10] if start == 0 else b""
    device.updater.look()

    assert isinstance(device.updater.problem, Unavailable)
    assert device.served() == "0"
    hub.break_archive = lambda body, start: body
    hub.requests.clear()
    device.started().look()
    assert device.served() == "1"
    assert hub.ranges_asked()[0].startswith(f"bytes={CHUNK}-")


def test_a_hub_without_ranges_serves_too(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    hub.ranges = False
    torn = iter([True])
    hub.break_archive = lambda body, start: body[: 2 * CHUNK] if next(torn, False) else body

    device.updater.look()

    assert device.served() == "1"


@pytest.mark.parametrize(
    ("range_", "body"),
    [
        ("bytes 0-9/10", lambda body, start: body),
        ("bytes 512-99999/100000", lambda body, start: body),
        ("nonsense", lambda body, start: body),
        (None, lambda body, start: bytes(len(body))),
        (None, lambda body, start: body[::-1]),
    ],
    ids=["another size", "another start", "no range", "zeros", "reversed"],
)
def test_a_hub_that_lies_changes_nothing_and_costs_no_number(
    tmp_path: Path, hub: ReleaseHub, device: OneDevice, range_: str | None, body: Callable[[bytes, int], bytes]
) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    hub.content_range, hub.break_archive = range_, body

    device.updater.look()

    assert isinstance(device.updater.problem, BundleInvalid)
    assert device.served() == "0"
    assert device.models.state("demo").highest == 0
    hub.content_range, hub.break_archive = None, lambda body, start: body
    device.updater.look()
    assert device.served() == "1"


@pytest.mark.parametrize("forged", [bytes(64), b"short", bytes(65)])
def test_a_forged_signature_is_refused_and_costs_no_number(
    tmp_path: Path, hub: ReleaseHub, device: OneDevice, forged: bytes
) -> None:
    stick = released(tmp_path / "9", 9)
    hub.publish_stick(stick)
    hub.offers[0]["signature"] = base64.b64encode(forged).decode()

    device.updater.look()

    assert isinstance(device.updater.problem, BundleInvalid)
    assert device.updater.problem.path == "release.sig"
    assert hub.ranges_asked() == []
    assert (device.served(), device.models.state("demo").highest) == ("0", 0)


def test_a_stranger_publishes_nothing(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    write_sum(tmp_path / "bundle", version="9")
    descriptor, archive = make_release(tmp_path / "bundle", release=9)
    hub.publish(sign_release(descriptor, STRANGER), archive)

    device.updater.look()

    assert "no trusted key" in str(device.updater.problem)
    assert device.served() == "0"


def test_older_equal_and_replayed_releases_are_left_alone(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    sticks = {number: released(tmp_path / str(number), number) for number in (1, 5)}
    hub.publish_stick(sticks[5])
    device.updater.look()
    assert device.served() == "5"
    device.updater.ready()
    for number in (1, 5):
        hub.publish_stick(sticks[number])
        device.updater.look()
        assert device.served() == "5"
        with pytest.raises(BundleInvalid, match="not newer"):
            device.updater.install(offer(sticks[number]), device.source, insist=True)
    assert len(hub.ranges_asked()) == 1


def test_going_back_is_a_new_release_of_the_older_bundle_and_fetches_nothing(
    tmp_path: Path, hub: ReleaseHub, device: OneDevice
) -> None:
    for number in (1, 2):
        hub.publish_stick(released(tmp_path / str(number), number))
        device.updater.look()
        assert device.served() == str(number)
        device.updater.ready()
    hub.requests.clear()
    descriptor, archive = make_release(tmp_path / "1" / "bundle", release=3, rollback=True, chunk_bytes=CHUNK)
    hub.publish(sign_release(descriptor, PUBLISHER), archive)

    device.updater.look()

    assert device.served() == "1"
    assert hub.ranges_asked() == []
    assert device.states() == [(3, "testing")]


def test_a_release_for_another_model_is_refused(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1, name="pump"))
    device.updater.look()

    assert isinstance(device.updater.problem, NotFound)
    assert "pump release 1 is for another model" in str(device.updater.problem)
    assert not (device.models.root / "pump").exists()


def test_a_release_that_contradicts_itself_is_refused_for_good(tmp_path: Path, device: OneDevice) -> None:
    stick = released(tmp_path / "1", 1)
    archive = json.loads((stick / "release.json").read_bytes())["archive"]

    with pytest.raises(BundleInvalid, match="its chunks together are not"):
        device.updater.install(offer(stick, archive={**archive, "sha256": "0" * 64}), stick_source(stick))
    assert device.served() == "0"
    assert device.states() == [(0, "active"), (1, "refused")]
    with pytest.raises(BundleInvalid, match="not newer"):
        device.updater.install(offer(stick), stick_source(stick), insist=True)


def stick_source(stick: Path) -> Any:
    from fivefold.edge.updates.release_source import DirectorySource

    return DirectorySource(stick)


@pytest.mark.parametrize(
    "refusal",
    [BundleInvalid("the golden rows differ"), ProtocolError("contract_unsupported", "the contract changes")],
    ids=["self-test", "contract"],
)
def test_what_the_examination_refuses_is_told_and_never_tried_again(
    tmp_path: Path, hub: ReleaseHub, device: OneDevice, refusal: FivefoldError
) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    device.examine.refusal = refusal
    device.updater.look()
    device.examine.refusal = None
    device.updater.look()

    assert device.served() == "0"
    assert len(device.examine.seen) == 1
    assert device.updater.reports()[1].reason == str(refusal)
    assert not list((device.models.root / "demo" / "incoming").iterdir())


def test_what_the_device_causes_is_tried_again(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    device.examine.refusal = Unavailable("not_ready", "no process can be started")
    device.updater.look()
    assert device.states() == [(0, "active")]
    device.examine.refusal = None
    device.updater.look()

    assert device.served() == "1"


def test_three_starts_that_do_not_get_ready_bring_back_the_model_before(
    tmp_path: Path, hub: ReleaseHub, device: OneDevice
) -> None:
    for number in (1, 2):
        hub.publish_stick(released(tmp_path / str(number), number))
        device.updater.look()
        assert device.served() == str(number)
        if number == 1:
            device.updater.ready()
    for _ in range(3):
        device.started()
        assert device.served() == "2"
    device.started()

    assert device.served() == "1"
    assert device.states() == [(1, "active"), (2, "rolled_back")]
    device.updater.look()
    assert device.served() == "1"


def test_a_gateway_that_cannot_open_it_goes_back_at_once(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    device.updater.look()

    assert device.updater.failed("demo", "no such operator") == device.initial
    assert device.updater.reports()[1].reason == "no such operator"
    with pytest.raises(BundleInvalid, match="came with does not open"):
        device.updater.failed("demo", "nor this")


def test_a_damaged_archive_goes_back_and_is_fetched_again(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    device.updater.look()
    assert device.served() == "1"
    device.updater.ready()
    path = device.updater.active("demo")
    raw = bytearray(path.read_bytes())
    raw[700] ^= 1
    path.write_bytes(raw)

    assert device.served() == "0"
    assert "damaged" in str(device.updater.reports()[1].reason)
    device.updater.look()
    assert device.served() == "1"


def test_a_damaged_state_serves_what_the_device_came_with_and_takes_nothing(
    tmp_path: Path, hub: ReleaseHub, device: OneDevice
) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    device.updater.look()
    (device.models.root / "demo" / "state.json").write_bytes(b"{}")
    device.started().look()

    assert device.served() == "0"
    assert isinstance(device.updater.problem, RunFailed)


def test_a_disk_without_room_changes_nothing(tmp_path: Path, hub: ReleaseHub) -> None:
    device = OneDevice(tmp_path, hub, rules=UpdateRules(probation=0, reserve=1 << 60))
    hub.publish_stick(released(tmp_path / "1", 1))
    device.updater.look()
    device.close()

    assert device.updater.problem is not None
    assert device.updater.problem.code == "storage_failed"
    assert device.served() == "0"
    assert device.models.state("demo").highest == 0


def test_a_running_gateway_is_swapped_and_confirmed(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    swapped, stop = [], threading.Event()

    def swap(model: str, path: Path) -> None:
        swapped.append((model, Bundle.open(path).version))
        stop.set()

    device.updater.active("demo")
    device.updater.ready()
    device.updater.run(stop, swap)

    assert swapped == [("demo", "1")]
    assert device.states() == [(1, "active")]


def test_a_swap_that_fails_goes_back(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    hub.publish_stick(released(tmp_path / "1", 1))
    stop = threading.Event()

    def swap(model: str, path: Path) -> None:
        stop.set()
        raise ValueError("no memory for two models")

    device.updater.active("demo")
    device.updater.ready()
    device.updater.run(stop, swap)

    assert device.served() == "0"
    assert device.states() == [(0, "active"), (1, "rolled_back")]
    assert "no memory for two models" in str(device.updater.reports()[1].reason)


def test_a_swap_that_fails_goes_back_to_what_was_confirmed(tmp_path: Path, hub: ReleaseHub, device: OneDevice) -> None:
    """A release before it that is still on trial is not served on: what the device says is what it serves."""
    device.started(rules=UpdateRules(interval=0.01, probation=60))
    stop = threading.Event()
    served: list[str] = []

    def swap(model: str, path: Path) -> None:
        version = Bundle.open(path).version
        if version == "1":
            hub.publish_stick(released(tmp_path / "2", 2))
        if version == "2":
            raise BundleInvalid("too much for this device")
        served.append(version)
        if version == "0":
            stop.set()

    device.updater.active("demo")
    device.updater.ready()
    hub.publish_stick(released(tmp_path / "1", 1))
    device.updater.run(stop, swap)

    assert served == ["1", "0"]
    assert [(each.release, each.state) for each in device.updater.reports()] == [(0, "active"), (2, "rolled_back")]


def test_a_release_that_another_process_brought_in_is_swapped(tmp_path: Path) -> None:
    device = OneDevice(tmp_path)
    swapped: list[str] = []
    taken, stop = threading.Event(), threading.Event()

    def swap(model: str, path: Path) -> None:
        swapped.append(Bundle.open(path).version)
        stop.set()

    device.updater.active("demo")
    device.updater.ready()
    running = threading.Thread(target=device.updater.run, args=(stop, swap))
    running.start()
    other = Updater(
        DeviceModels(device.models.root, {"demo": device.initial}), TRUSTED, examiner=Examined(), rules=RULES
    )
    assert other.install_from(released(tmp_path / "1", 1)) == [("demo release 1", None)]
    running.join(30)
    assert not taken.is_set()

    assert swapped == ["1"]


def test_a_stick_with_several_releases(tmp_path: Path) -> None:
    device = OneDevice(tmp_path)
    stick = tmp_path / "stick"
    for number in (3, 1, 2):
        released(tmp_path / str(number), number).rename(tmp_path / f"stick-{number}")
    stick.mkdir()
    for number in (1, 2, 3):
        (tmp_path / f"stick-{number}").rename(stick / f"r{number}")
    write_sum(tmp_path / "evil", version="9")
    descriptor, archive = make_release(tmp_path / "evil", release=9)
    write_release(stick / "r9", sign_release(descriptor, STRANGER), archive)

    outcomes = device.updater.install_from(stick)

    assert [(name.rpartition("/")[2], err is None) for name, err in outcomes] == [
        ("r9", False),
        ("demo release 3", True),
    ]
    assert device.served() == "3"
    again = device.updater.install_from(stick / "r3")
    assert isinstance(again[0][1], BundleInvalid)
    with pytest.raises(NotFound, match="no release"):
        device.updater.install_from(tmp_path / "1")
    with pytest.raises(NotFound):
        device.updater.install_from(tmp_path / "nowhere")


def test_two_updates_at_a_time_are_one_too_many(tmp_path: Path) -> None:
    device = OneDevice(tmp_path)
    with DeviceModels(device.models.root, {}).locked():
        ((_, err),) = device.updater.install_from(released(tmp_path / "1", 1))

    assert isinstance(err, Unavailable)
    assert device.served() == "0"


@pytest.mark.parametrize(("status", "code"), [(401, "unauthenticated"), (403, "forbidden"), (503, "not_ready")])
def test_a_hub_that_refuses_is_told_of(hub: ReleaseHub, device: OneDevice, status: int, code: str) -> None:
    hub.status = status
    device.updater.look()

    assert device.updater.problem is not None
    assert device.updater.problem.code == code
    if status == 503:
        assert device.updater.problem.retry_after == 7


def test_a_hub_that_is_away_is_told_of(tmp_path: Path) -> None:
    with release_hub() as hub:
        url = hub.url
    source = HubSource(url, "device-1", "secret", seconds=5)
    updater = Updater(DeviceModels(tmp_path, {}), TRUSTED, source=source)
    updater.look()
    source.close()

    assert isinstance(updater.problem, Unavailable)
    assert "secret" not in str(updater.problem)


@pytest.mark.parametrize(
    "offers",
    [
        [{"model": "m"}],
        [{"model": "m", "release": 1, "descriptor": "***", "signature": ""}],
        [{"model": "m", "release": 1, "descriptor": "é", "signature": ""}],
        "none",
    ],
)
def test_a_list_that_is_none_is_told_of(hub: ReleaseHub, device: OneDevice, offers: Any) -> None:
    hub.offers = offers
    device.updater.look()

    assert isinstance(device.updater.problem, BundleInvalid)
    assert "a list of releases that is none" in str(device.updater.problem)
