"""Schemathesis against the application in this process: what the document says is what the server does.

Its own pytest plugin reads a node's private name, which the pytest here no longer has; so the operations are walked by
hand, each with cases that its schemas allow and cases that they do not.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from tests.conformance import models
from tests.support.http_calls import World, world

EXAMPLES = 10
"""Cases for each operation and mode; with schemathesis' own command there are as many as one likes."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    place = tmp_path_factory.mktemp("schemathesis")
    names = ("kinds", "nulls", "patterns", "ranges", "shapes", "texts")
    with world([models.bundle(name, place) for name in names]) as out:
        yield out


@pytest.mark.full
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_the_document_holds(served: World, mode: GenerationMode) -> None:
    """Statuses, media types and bodies are as described; valid requests are accepted and invalid ones refused."""
    described = schemathesis.openapi.from_asgi("/openapi.json", served.app)
    walked = 0
    for result in described.get_all_operations():
        operation = result.ok()
        if mode.is_negative and not (operation.body or operation.path_parameters):
            # Nothing in it can be wrong.
            continue

        @settings(
            max_examples=EXAMPLES,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            case.call_and_validate()

        check()
        walked += 1
    assert walked >= 6
