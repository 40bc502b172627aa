"""The cases over an exported BentoML service, and what its users rely on: start, stop, build."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fivefold.core.bundle.bundle import Bundle
from fivefold.exports import bentoml
from tests.conformance import bento
from tests.conformance.asking import check
from tests.conformance.cases import Case, Limits, load, mostly_rare
from tests.conformance.serving import InProcess
from tests.conformance.transports import Http
from tests.support import slow_model

pytestmark = pytest.mark.full

LIMITED = next(case.limits for case in load() if case.limits != Limits())
ROUTES = [
    ("GET", "/"),
    ("GET", "/livez"),
    ("GET", "/readyz"),
    ("OPTIONS", "/readyz"),
    ("GET", "/docs"),
    ("GET", "/docs.json"),
    ("GET", "/openapi.json"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/linear"),
    ("GET", "/v1/models/linear/contract"),
    ("GET", "/v1/models/linear:predict"),
    ("POST", "/v1/models/nobody:predict"),
    ("GET", "/v2"),
    ("GET", "/v2/"),
    ("GET", "/v2/health/live"),
    ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/linear"),
    ("POST", "/v2/repository/index"),
    ("DELETE", "/v2/models/linear"),
    ("GET", "/static_content/index.css"),
    ("GET", "/nowhere"),
]


class Remote:
    """The driver of running services: one for each set of limits that cases ask for."""

    def __init__(self, urls: dict[Limits, str]) -> None:
        self._runner = asyncio.Runner()
        self.clients = {limits: httpx.AsyncClient(base_url=url, timeout=60) for limits, url in urls.items()}
        self.http = Http(self.clients.get, self.run)

    def run(self, work: Awaitable[Any]) -> Any:
        """Wait on this driver's own loop."""

        async def wait() -> Any:
            return await work

        return self._runner.run(wait())

    def close(self) -> None:
        """Hang up."""
        for client in self.clients.values():
            self.run(client.aclose())
        self._runner.close()


@pytest.fixture(scope="module")
def service(bundles: dict[str, Bundle], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The export of every conformance model."""
    directory = tmp_path_factory.mktemp("bentoml") / "service"
    bentoml.write([bundle.path for bundle in bundles.values()], directory)
    return directory


@pytest.fixture(scope="module")
def site(service: Path) -> Path:
    """Where Python finds what the export's wheel holds."""
    return bento.install(service, service.with_name("site"))


@pytest.fixture(scope="module")
def remote(service: Path, site: Path) -> Iterator[Remote]:
    """One service with the default limits, one with those that some cases are about."""
    home = service.with_name("home")
    limits = {"FIVEFOLD_MAX_ROWS": str(LIMITED.max_rows), "FIVEFOLD_MAX_JSON_DEPTH": str(LIMITED.max_depth)}
    with (
        bento.running(service, home / "default", bento.environment(home, site)) as default,
        bento.running(service, home / "limited", bento.environment(home, site, **limits)) as limited,
    ):
        drivers = Remote({Limits(): default.url, LIMITED: limited.url})
        yield drivers
        drivers.close()


@pytest.mark.parametrize("case", mostly_rare(load()))
def test_bentoml_answers_as_the_core_does(case: Case, remote: Remote, bundles: dict[str, Bundle]) -> None:
    """The same outputs, metadata, codes and paths as everywhere; limits are read from the same variables."""
    assert list(remote.http.asks(case)) == list(case.spellings())
    check(remote.http, case, bundles[case.contract])


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_other_route_is_the_applications_own(
    method: str, path: str, remote: Remote, in_process: InProcess
) -> None:
    """Also where BentoML has a route of that name: status, kind and body are those of the application by itself."""
    headers = {"x-request-id": "same", "accept": "text/html" if path in ("/", "/docs") else "*/*"}

    ours = in_process.run(in_process.client(Limits()).request(method, path, headers=headers))
    theirs = remote.run(remote.clients[Limits()].request(method, path, headers=headers))

    assert (theirs.status_code, theirs.content) == (ours.status_code, ours.content)
    for header in ("content-type", "x-request-id", "allow", "content-security-policy"):
        assert theirs.headers.get(header) == ours.headers.get(header)


def test_metrics_are_the_applications_own(remote: Remote) -> None:
    """Bounded labels: what a caller makes up is counted, not named."""
    client = remote.clients[Limits()]
    remote.run(client.get("/made-up"))

    scraped = remote.run(client.get("/metrics"))

    assert "fivefold_bundle_info{" in scraped.text
    assert 'code="not_found"' in scraped.text
    assert "made-up" not in scraped.text


def test_bentomls_own_probe_and_schema_remain(remote: Remote) -> None:
    """BentoML's clients and its cloud ask for these."""
    client = remote.clients[Limits()]

    assert remote.run(client.get("/healthz")).status_code == 200
    assert remote.run(client.get("/schema.json")).json()["name"] == "fivefold"


def test_what_has_begun_is_answered_after_ctrl_c(site: Path, tmp_path: Path) -> None:
    """A request in work when the service is stopped gets its answer; then all processes end, with status 0."""
    bentoml.write([slow_model.bundle(tmp_path)], tmp_path / "service")
    answers: list[httpx.Response] = []
    env = bento.environment(tmp_path, site, FIVEFOLD_INLINE_SECONDS="0")

    with bento.running(tmp_path / "service", tmp_path, env) as running:
        body = {"instances": [{"seconds": 2.0}]}
        url = f"{running.url}/v1/models/slow:predict"
        asking = threading.Thread(target=lambda: answers.append(httpx.post(url, json=body, timeout=30)))
        asking.start()
        while 'fivefold_inflight{pattern="online"} 1.0' not in httpx.get(f"{running.url}/metrics").text:
            assert asking.is_alive()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(30) == 0
        asking.join()

    assert answers[0].json()["predictions"][0]["slept"] == 2.0


def test_a_bundle_that_was_tampered_with_stops_the_start(service: Path, site: Path, tmp_path: Path) -> None:
    """One sentence and a failed start, rather than a worker that is started again and again."""
    copied = shutil.copytree(service, tmp_path / "service")
    with (copied / "bundles" / "linear-1" / "golden.jsonl").open("a") as file:
        file.write("\n")

    ended = bento.bentoml("serve", "--port", "0", copied, env=bento.environment(tmp_path, site))

    assert ended.returncode != 0
    assert "golden.jsonl: expected" in ended.stderr


def test_a_bento_is_built_with_all_that_its_container_needs(service: Path, site: Path, tmp_path: Path) -> None:
    """The bundles, the wheel, and a Dockerfile that installs it. Locking is left out here: it asks a package index."""
    (tmp_path / "bentofile.yaml").write_text("python:\n  lock_packages: false\n")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"  # where BentoML finds uv

    built = bento.bentoml(
        "build", "-o", "tag", "-f", tmp_path / "bentofile.yaml", "--version", "one", service,
        env=bento.environment(tmp_path / "home", site, PATH=path),
    )  # fmt: skip

    assert built.returncode == 0, built.stderr
    made = tmp_path / "home" / "bentos" / "fivefold" / "one"
    (wheel,) = (made / "src" / "wheels").iterdir()
    requirements = (made / "env" / "python" / "requirements.txt").read_text()
    assert wheel.read_bytes() == (service / "wheels" / wheel.name).read_bytes()
    assert f"./wheels/{wheel.name}" in requirements.split()
    assert "bentoml==1.4." in requirements
    assert "COPY --chown=bentoml:bentoml ./src/wheels ./src/wheels" in (made / "env/docker/Dockerfile").read_text()
    for bundle in (service / "bundles").iterdir():
        assert Bundle.open(made / "src" / "bundles" / bundle.name).digest == Bundle.open(bundle).digest
