from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.kubernetes_api import Cluster, running

from fivefold.cluster.kubernetes_api import SECRET, Api, ApiError
from fivefold.cluster.secrets import Wanted, ensure
from fivefold.guard import keys

WANTED = Wanted("fivefold", hosts=("localhost", "127.0.0.1"))
NAMES = {"fivefold-api-keys", "fivefold-api-key", "fivefold-ray-token", "fivefold-tls"}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Cluster, Api]]:
    with running(tmp_path) as (cluster, api):
        yield cluster, api


def value(cluster: Cluster, name: str, key: str) -> bytes:
    return base64.b64decode(cluster.secrets[name]["data"][key])


def test_what_is_missing_is_made(world: tuple[Cluster, Api]) -> None:
    """The shown key opens what the servers know, the token is long, the certificate is a pair with its authority."""
    cluster, api = world
    said = ensure(api, WANTED)

    assert set(cluster.secrets) == NAMES
    assert [sentence.split(": ")[1] for sentence in said] == ["made"] * 4
    key = value(cluster, "fivefold-api-key", "key").decode()
    (entry,) = keys.parse(value(cluster, "fivefold-api-keys", "keys.json"), "keys.json").keys
    secret = key.removeprefix(f"ff_{entry.id}_").encode()
    assert keys.digest(bytes.fromhex(entry.salt), secret).hex() == entry.sha256
    assert entry.scopes == ("infer",)
    assert len(value(cluster, "fivefold-ray-token", "auth_token")) == 64
    assert cluster.secrets["fivefold-tls"]["type"] == "kubernetes.io/tls"
    assert set(cluster.secrets["fivefold-tls"]["data"]) == {"tls.crt", "tls.key", "ca.crt"}


def test_what_is_there_is_kept(world: tuple[Cluster, Api]) -> None:
    """A second run, as at every upgrade, changes nothing."""
    cluster, api = world
    ensure(api, WANTED)
    before = {name: secret["data"] for name, secret in cluster.secrets.items()}
    cluster.asked.clear()
    said = ensure(api, WANTED)

    assert {name: secret["data"] for name, secret in cluster.secrets.items()} == before
    assert [sentence.split(": ")[1] for sentence in said] == ["kept"] * 3
    assert {call.split()[0] for call in cluster.asked} == {"GET"}


def test_a_key_that_was_read_and_deleted_does_not_come_back(world: tuple[Cluster, Api]) -> None:
    """Deleting the shown key is how it is put out of reach; the servers still know it."""
    cluster, api = world
    ensure(api, WANTED)
    del cluster.secrets["fivefold-api-key"]
    ensure(api, WANTED)

    assert "fivefold-api-key" not in cluster.secrets


def test_deleted_keys_are_followed_by_a_new_one(world: tuple[Cluster, Api]) -> None:
    """Where the servers know no key any more, a new one is made, and shown in the old one's place."""
    cluster, api = world
    ensure(api, WANTED)
    old = value(cluster, "fivefold-api-key", "key")
    del cluster.secrets["fivefold-api-keys"]
    ensure(api, WANTED)

    assert value(cluster, "fivefold-api-key", "key") != old


def test_a_certificate_for_other_hosts_is_replaced(world: tuple[Cluster, Api]) -> None:
    """A host that came later is in the next certificate."""
    cluster, api = world
    ensure(api, WANTED)
    old = value(cluster, "fivefold-tls", "tls.crt")
    said = ensure(api, Wanted("fivefold", hosts=("localhost", "scores.test")))

    assert value(cluster, "fivefold-tls", "tls.crt") != old
    assert said[-1] == "fivefold-tls: made anew for localhost, scores.test"


def test_what_others_give_is_not_made(world: tuple[Cluster, Api]) -> None:
    """Each of the three can be left to somebody else, and is not even looked at."""
    cluster, api = world

    assert ensure(api, Wanted("fivefold", keys=False, token=False)) == []
    assert not cluster.asked


def test_a_replaced_token_is_used_at_the_next_call(world: tuple[Cluster, Api]) -> None:
    """The kubelet writes a new token into the same file."""
    cluster, api = world
    assert api.read(SECRET, "fivefold-tls") is None
    cluster.token = "second"
    with pytest.raises(ApiError, match="401"):
        api.read(SECRET, "fivefold-tls")
    api.token.write_text("second")

    assert api.read(SECRET, "fivefold-tls") is None


def test_a_refusal_names_the_call_and_no_token(world: tuple[Cluster, Api]) -> None:
    """What the account may not do is told with method and path."""
    cluster, api = world
    cluster.forbidden.add("fivefold-api-keys")
    with pytest.raises(ApiError) as caught:
        ensure(api, WANTED)

    assert str(caught.value).startswith("GET /api/v1/namespaces/scores/secrets/fivefold-api-keys: 403")
    assert "first" not in str(caught.value)


def test_outside_of_a_cluster_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an account there is no API to ask."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ApiError, match="expected to run in a pod"):
        Api.of_pod(tmp_path)


def test_a_pod_knows_its_api_and_namespace(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Address from the environment, an IPv6 one in brackets; the rest from the account's directory."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    (tmp_path / "namespace").write_text("scores")

    api = Api.of_pod(tmp_path)

    assert (api.url, api.namespace) == ("https://[fd00::1]:6443", "scores")
    assert api.authority == tmp_path / "ca.crt"


def test_our_own_jobs_get_a_key_beside_those_of_others(world: tuple[Cluster, Api]) -> None:
    """Under names of its own: a key that was made for people before stays what it is, and opens nothing here."""
    cluster, api = world
    ensure(api, Wanted("fivefold", keys=False, token=False, caller=True))

    assert set(cluster.secrets) == {"fivefold-caller-keys", "fivefold-caller-key"}
    (entry,) = keys.parse(value(cluster, "fivefold-caller-keys", "keys.json"), "keys.json").keys
    assert value(cluster, "fivefold-caller-key", "key").decode().startswith(f"ff_{entry.id}_")
    assert (entry.name, entry.scopes) == ("release jobs", ("infer",))


def test_what_compares_with_git_leaves_them_alone(world: tuple[Cluster, Api]) -> None:
    """They bear the application's label and are in no repository: a controller that prunes would take them."""
    cluster, api = world
    ensure(api, WANTED)

    for secret in cluster.secrets.values():
        assert secret["metadata"]["annotations"] == {
            "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
            "argocd.argoproj.io/sync-options": "Prune=false",
        }
