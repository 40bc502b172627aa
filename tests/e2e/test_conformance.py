"""The conformance cases through the gateway, over HTTPS and over gRPC with TLS, all models served at once.

The models come in by an upgrade under load: those that answer meanwhile go on answering. One server has the default
limits and no others, so cases with limits of their own are left to servers in the tests' process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import TypeVar

import grpc
import httpx
import pytest

from fivefold.core.bundle.bundle import Bundle
from tests.conformance.asking import check
from tests.conformance.cases import Case, Limits, load, mostly_rare
from tests.conformance.transports import Grpc, Http
from tests.e2e import bundles, cluster
from tests.e2e.load import UNARY, Load
from tests.e2e.report import Report

pytestmark = pytest.mark.e2e

T = TypeVar("T")
CASES = [case for case in load() if case.limits == Limits()]


class Gateway:
    """The drivers of the gateway: one connection each, on an event loop of their own."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        key = {"authorization": f"Bearer {cluster.key()}"}
        self._client = httpx.AsyncClient(
            base_url=f"https://{cluster.ADDRESS}", verify=cluster.trust(), headers=key, timeout=60
        )
        self._channel = self._runner.run(_channel(cluster.key()))
        self.http = Http(lambda limits: self._client if limits == Limits() else None, self._run)
        self.grpc = Grpc(lambda limits: self._channel if limits == Limits() else None, self._run)

    def _run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return self._runner.run(wait())

    def close(self) -> None:
        """Hang up."""
        self._run(self._client.aclose())
        self._run(self._channel.close())
        self._runner.close()


async def _channel(key: str) -> grpc.aio.Channel:
    # A key as call credentials goes with every call, and never over a connection without TLS.
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(cluster.AUTHORITY.read_bytes()), grpc.access_token_call_credentials(key)
    )
    return grpc.aio.secure_channel(cluster.ADDRESS, credentials)


@pytest.fixture(scope="module")
def served(figures: Report) -> dict[str, Bundle]:
    """The demo and every conformance model; the demo answers while they come."""
    ours = bundles.conformance()
    with Load(bundles.build(1)) as running:
        said = cluster.upgrade(bundles.paths(bundles.build(1), *ours.values()))
        running.steady()
        course = running.course()
    figures.course(f"upgrade in place that adds {len(ours)} models", course)
    assert "changed in place" in said
    assert course.failures(UNARY) == []
    return ours


@pytest.fixture(scope="module")
def gateway(served: dict[str, Bundle]) -> Iterator[Gateway]:
    drivers = Gateway()
    yield drivers
    drivers.close()


@pytest.mark.parametrize("case", mostly_rare(CASES))
def test_over_https(case: Case, gateway: Gateway, served: dict[str, Bundle]) -> None:
    """What the process alone answers, the cluster answers too: outputs, metadata, codes and paths."""
    assert list(gateway.http.asks(case)) == list(case.spellings())
    check(gateway.http, case, served[case.contract])


@pytest.mark.parametrize(
    "case", mostly_rare([case for case in CASES if case.binary is not None or case.tensors is not None])
)
def test_over_grpc(case: Case, gateway: Gateway, served: dict[str, Bundle]) -> None:
    """Likewise."""
    check(gateway.grpc, case, served[case.contract])


def test_every_model_is_served_at_once(served: dict[str, Bundle], figures: Report) -> None:
    """Nothing is left out for want of room."""
    figures.fact(
        f"{len(CASES)} of {len(load())} conformance cases can be asked through the gateway; the rest set limits."
    )
    expected = {bundle.name: bundle.digest for bundle in (*served.values(), bundles.build(1))}

    assert cluster.served() == expected
