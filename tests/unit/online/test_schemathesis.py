"""Schemathesis against the application in this process: what the document says is what the server does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from tests.conformance import models
from tests.unit.online.grpc_world import gate_bundle
from tests.unit.online.http_world import World, world


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("schemathesis")
    with world([models.bundle("classifier", place), models.bundle("texts", place), gate_bundle(place / "gate")]) as out:
        yield out


@pytest.fixture(scope="module")
def described(served: World) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_asgi("/openapi.json", served.app)


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_the_document_holds(case: schemathesis.Case) -> None:
    """Statuses, media types and bodies are as described; valid requests are accepted and invalid ones refused."""
    case.call_and_validate()
