"""`fivefold hub`: devices, events and releases from the command line."""

from __future__ import annotations

import contextlib
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.support.authority import Authority
from tests.support.bundles import SUM_MODEL, write_sum
from tests.support.hubs import HubClient, event, running_hub

from fivefold.cli import main
from fivefold.edge.hub.release_shelf import archive_bytes, list_releases
from fivefold.edge.hub.store_opening import open_database


@pytest.fixture
def data(tmp_path: Path) -> list[str]:
    return ["--data", str(tmp_path / "hub")]


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_device_and_its_events(data, tmp_path, capsys) -> None:
    """Its key is printed once and alone; what it sends is printed as lines, and so is what was no event."""
    assert main(["hub", "device", "add", "pump-7", *data]) == 0
    key = said(capsys).strip()
    with contextlib.closing(open_database(str(tmp_path / "hub"), None)) as database, running_hub(database) as hub:
        client = HubClient(hub.url, "pump-7", key)
        client.send([event(1), b'{"seq":2,\xff', event(3)])
        client.close()

    capsys.readouterr()
    assert main(["hub", "events", *data]) == 0
    lines = [json.loads(line) for line in said(capsys).splitlines()]
    assert [(each["position"], each["device"], each["event"]["seq"]) for each in lines] == [
        (1, "pump-7", 1),
        (2, "pump-7", 3),
    ]
    assert main(["hub", "events", *data, "--after", "1", "--limit", "1", "--device", "pump-7"]) == 0
    assert json.loads(said(capsys))["event"]["seq"] == 3
    assert main(["hub", "quarantine", *data]) == 0
    assert json.loads(said(capsys))["seq"] == 2
    assert main(["hub", "device", "list", *data]) == 0
    assert "3 delivered" in said(capsys)
    assert main(["hub", "device", "list", *data, "--json"]) == 0
    assert json.loads(said(capsys))[0]["quarantined"] == 1


def test_old_events_are_pruned(data, tmp_path, capsys) -> None:
    """Of a hub that forwards nothing only as far as somebody says that its events were taken."""
    with contextlib.closing(open_database(str(tmp_path / "hub"), None)) as database, running_hub(database) as hub:
        hub.device("a").send([event(1), event(2), event(3)])
    capsys.readouterr()

    assert main(["hub", "prune", *data, "--older-than", "0s"]) == 3
    assert "--through" in capsys.readouterr().err
    assert main(["hub", "prune", *data, "--older-than", "1d", "--through", "2"]) == 0
    assert said(capsys).startswith("0 events deleted")
    assert main(["hub", "prune", *data, "--older-than", "0s", "--through", "2", "--json"]) == 0
    assert json.loads(said(capsys)) == {"deleted": 2}
    assert main(["hub", "events", *data]) == 0
    assert json.loads(said(capsys))["position"] == 3


def test_keys_of_a_device(data, capsys) -> None:
    """Each new one is another; what is not there is told with the right exit status."""
    keys = []
    for words in (["add"], ["rotate"], ["rotate", "--overlap", "7d", "--json"]):
        assert main(["hub", "device", words[0], "a", *words[1:], *data]) == 0
        keys.append(said(capsys))
    assert len(set(keys)) == 3
    assert json.loads(keys[-1])["device"] == "a"
    assert main(["hub", "device", "add", "a", *data]) == 3
    assert main(["hub", "device", "add", "No Id", *data]) == 2
    assert main(["hub", "device", "rotate", "b", *data]) == 3
    assert main(["hub", "device", "revoke", "a", *data]) == 0
    assert "2 keys revoked" in said(capsys)
    assert main(["hub", "device", "list", *data]) == 0
    assert "no key" in said(capsys)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["events", "--data", "nowhere"], 3),
        (["events"], 2),
        (["serve", "--data", "x", "--database", "y"], 2),
        (["serve", "--data", "hub", "--forward", "http://x"], 2),
        (["serve", "--data", "hub", "--forward", "local://edge?dir=x"], 2),
        (["serve", "--data", "hub", "--http", "0.0.0.0:1"], 2),
        (["device", "list", "--database", "mysql://x"], 2),
        (["device", "list", "--database", "postgres://hub:secret@127.0.0.1:1/x"], 5),
        (["halt", "m", "1", "--data", "nowhere"], 3),
    ],
)
def test_what_cannot_be_done(words, status, tmp_path, monkeypatch, capsys) -> None:
    """Two lines and the right exit status, and no password in them."""
    monkeypatch.chdir(tmp_path)
    try:
        found = main(["hub", *words])
    except SystemExit as err:
        found = int(str(err.code))

    assert found == status
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert "secret" not in told


def test_a_release_goes_to_a_hub_that_runs(tmp_path, capsys) -> None:
    """By an operator's key over HTTPS, in chunks, and signed here; nobody else may."""
    secret = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(secret)
    model = onnx.load_from_string(SUM_MODEL)
    model.doc_string = "x" * (5 << 19)
    bundle = write_sum(tmp_path / "sum", model={"model.onnx": model.SerializeToString()})
    authority = Authority(tmp_path / "authority")
    certificate, private = authority.issue("hub")
    keyring = str(tmp_path / "keys.json")
    for name, scope in (("ops", "admin"), ("eve", "infer")):
        assert main(["keys", "create", "--file", keyring, "--name", name, "--scope", scope]) == 0
        (tmp_path / name).write_text(next(word for word in said(capsys).split() if word.startswith("ff_")))
        (tmp_path / name).chmod(0o600)
    given = {"keys": keyring, "certificate": str(certificate), "private_key": str(private)}
    with (
        contextlib.closing(open_database(str(tmp_path / "hub"), None)) as database,
        running_hub(database, **given) as hub,
    ):
        words = ["hub", "publish", str(bundle.path), "--key", str(tmp_path / "key.pem"), "--hub", hub.url]
        trusted = [*words, "--hub-ca", str(authority.file)]
        as_ops = [*trusted, "--admin-key-file", str(tmp_path / "ops")]
        refused = [
            main(trusted),
            main([*trusted, "--admin-key-file", str(tmp_path / "eve")]),
            main([*words, *as_ops[-2:]]),
        ]
        capsys.readouterr()
        assert main([*as_ops, "--json"]) == 0
        first = json.loads(said(capsys))
        assert main([*as_ops, "--channel", "canary", "--share", "25"]) == 0
        again = main([*as_ops, "--release", "2"])
        told = capsys.readouterr()
        with database.reading() as connection:
            shelf = list_releases(connection)
            left = connection.execute("SELECT count(*) FROM hub_uploads")[0][0]
            stored = archive_bytes(connection, shelf[0].archive, 0, shelf[0].size)

    assert refused == [4, 4, 5]
    assert first["release"] == 1
    assert again != 0
    assert "does not rise above release 2" in told.err
    assert [(each.release, each.channel, each.share) for each in shelf] == [(2, "canary", 25), (1, "stable", 10)]
    assert hashlib.sha256(stored).hexdigest() == shelf[0].archive
    assert shelf[0].size > 2 << 20
    # The chunks of the release that was refused wait for a day.
    assert left == 3


def test_releases(data, tmp_path, capsys) -> None:
    """Published, listed, halted, resumed and promoted."""
    secret = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(secret)
    bundle = write_sum(tmp_path / "sum")
    words = ["hub", "publish", str(bundle.path), "--key", str(tmp_path / "key.pem"), *data]

    assert main([*words, "--json"]) == 0
    assert json.loads(said(capsys))["release"] == 1
    assert main([*words, "--channel", "canary", "--share", "25", "--rollback"]) == 0
    assert "release 2" in said(capsys)
    assert main([*words, "--release", "2"]) == 2
    assert main(["hub", "halt", bundle.name, "2", "--reason", "smoke", *data]) == 0
    capsys.readouterr()
    assert main(["hub", "releases", *data]) == 0
    first, second = said(capsys).splitlines()
    assert "canary, 25 %" in first
    assert first.endswith("halted: smoke")
    assert second.endswith("offered")
    assert main(["hub", "promote", bundle.name, "2", *data]) == 2
    assert main(["hub", "resume", bundle.name, "2", *data]) == 0
    assert main(["hub", "promote", bundle.name, "2", *data]) == 0
    assert main(["hub", "resume", bundle.name, "2", *data]) == 3
    capsys.readouterr()
    assert main(["hub", "releases", *data, "--json"]) == 0
    assert [each["channel"] for each in json.loads(said(capsys))] == ["stable", "stable"]


def test_a_file_that_is_no_store(tmp_path, capsys) -> None:
    """Neither text nor somebody else's SQLite file is touched."""
    (tmp_path / "hub.sqlite").write_bytes(b"no store at all, but some text that is long enough" * 40)
    assert main(["hub", "device", "list", "--data", str(tmp_path)]) == 3
    assert "not a SQLite file" in capsys.readouterr().err


def test_a_reader_that_goes(data, capsys) -> None:
    """`| head` ends it quietly."""
    main(["hub", "device", "add", "a", *data])
    words = [sys.executable, "-m", "fivefold", "hub", "device", "list", *data]
    done = subprocess.run(f"{' '.join(words)} | head -c 0", shell=True, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--keep-days", "30"), "give --forward"),
        (("--keep-days", "-1", "--forward", "local://edge"), "from 1 to 36500"),
    ],
)
def test_pruning_by_itself_is_for_a_hub_that_forwards(data, capsys, given: tuple[str, ...], words: str) -> None:
    """Its events would be nowhere."""
    assert main(["hub", "serve", *data, *given]) == 2
    assert words in capsys.readouterr().err
