"""A hub and a gateway together: published, taken, gone back, and halted for everybody else."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path

import onnx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from tests.support.bundles import SUM_MODEL, write_sum
from tests.support.gateways import eventually, running, settings
from tests.support.hubs import running_hub
from tests.support.releases import PUBLISHER

from fivefold.cli import main
from fivefold.delivery.settings import DeliverySettings
from fivefold.edge.gateway import gateway_updates
from fivefold.edge.gateway.gateway_updates import GatewayUpdates
from fivefold.edge.hub.release_shelf import ShelvedRelease, list_releases
from fivefold.edge.hub.store_opening import open_database
from fivefold.edge.sync import sender as sending
from fivefold.edge.updates.updater import UpdateRules

LARGE = 200_000


@pytest.mark.full
@pytest.mark.timeout(180)
def test_a_canary_that_goes_back_is_halted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gateway serves each release that it can, says so on its metrics and to the hub, and keeps the one before."""
    monkeypatch.setattr(sending, "REPORT_SECONDS", 0.1)
    # Trials last half a minute otherwise.
    monkeypatch.setattr(gateway_updates, "UpdateRules", partial(UpdateRules, probation=0.2))
    private, public = tmp_path / "private.pem", tmp_path / "public.pem"
    private.write_bytes(PUBLISHER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(PUBLISHER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    write_sum(tmp_path / "0", version="0")
    write_sum(tmp_path / "1", version="1")
    # Right in itself, and more than this device opens.
    model = onnx.load_from_string(SUM_MODEL)
    model.doc_string = "x" * LARGE
    write_sum(tmp_path / "2", version="2", model={"model.onnx": model.SerializeToString()})
    store = str(tmp_path / "hub")

    def publish(version: str, *more: str) -> None:
        assert main(["hub", "publish", str(tmp_path / version), "--key", str(private), "--data", store, *more]) == 0

    def release(number: int) -> ShelvedRelease:
        with database.reading() as connection:
            return next(each for each in list_releases(connection) if each.release == number)

    with contextlib.closing(open_database(store, None)) as database, running_hub(database) as hub:
        key = tmp_path / "key"
        key.write_text(hub.device("pump-7").http.headers["authorization"].split()[1])
        key.chmod(0o600)
        given = {"hub": hub.url, "device": "pump-7", "hub_key_file": str(key), "update_interval": 1.0}
        with (
            contextlib.closing(
                GatewayUpdates(
                    [str(tmp_path / "0")],
                    settings(tmp_path, update_keys=(str(public),), **given),
                    DeliverySettings(bundle_max_bytes=LARGE),
                )
            ) as updates,
            running(tmp_path, [], updates=updates, **given) as gateway,
        ):

            def served() -> str:
                return str(gateway.client.get("/v1/gateway").json()["models"][0]["version"])

            assert served() == "0"
            assert gateway.metric('fivefold_gateway_release{model="demo",version="0"}') == 0
            publish("1", "--channel", "canary", "--share", "100")
            eventually(lambda: served() == "1")
            assert gateway.ask({"a": 1, "b": 2}).json()["predictions"][0]["total"] == 3
            eventually(lambda: release(1).devices == {"active": 1})
            assert gateway.metric('fivefold_gateway_release_testing{model="demo"}') == 0
            publish("2", "--channel", "canary", "--share", "100")
            eventually(lambda: release(2).halted is not None)
            status = gateway.client.get("/v1/gateway").json()["updates"]
            capsys.readouterr()
            assert main(["gateway", "status", "--data", str(tmp_path / "data")]) == 0
            said = capsys.readouterr().out
            metrics = gateway.client.get("/metrics").text
            assert served() == "1"
            first, second = release(1), release(2)

    assert (second.halted, second.devices) == ("1 of 1 canaries went back", {"rolled_back": 1})
    assert first.halted is None
    assert status["counts"] == {"demo": {"taken": 2, "rolled_back": 1, "refused": 0}}
    assert [(each["release"], each["state"]) for each in status["models"]] == [(1, "active"), (2, "rolled_back")]
    assert "release demo 2, version 2: rolled_back: the gateway cannot serve it" in said
    assert 'fivefold_gateway_release_ended{model="demo",outcome="rolled_back",version="2"} 2.0' in metrics
    assert 'fivefold_gateway_updates_total{model="demo",outcome="rolled_back"} 1.0' in metrics
    assert "fivefold_gateway_update_failing 0.0" in metrics
