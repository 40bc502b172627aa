"""Every other mistake has one error, too: by records, by tables and by arrays, over HTTP and gRPC."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.both_transports import serving
from tests.support.grpc_calls import gate_bundle

from fivefold.client import Client
from fivefold.client.retry import Retries
from fivefold.core.errors import FivefoldError
from fivefold.serving.limits import ServingLimits

ONCE = Retries(attempts=1)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    place = tmp_path_factory.mktemp("gate")
    with serving([gate_bundle(place / "1")], ServingLimits(log_sample=0.0, max_rows=3)) as found:
        yield found


Ask = Callable[[Client, dict[str, Any]], Any]
WAYS: dict[str, Ask] = {
    "records": lambda client, said: client.predict([{"x": 1.0}] * said.pop("rows", 1), **said),
    "a frame": lambda client, said: client.predict(pd.DataFrame({"x": [1.0] * said.pop("rows", 1)}), **said),
    "arrays": lambda client, said: client.infer({"x": [1.0] * said.pop("rows", 1)}, **said),
}


def error(url: str, ask: Callable[[Client], Any], **options: Any) -> tuple[Any, ...]:
    """All that an error says, of a client with these options."""
    with Client(url, retries=ONCE, **options) as client, pytest.raises(FivefoldError) as caught:
        ask(client)
    found = caught.value
    details = [(each.code, each.path, each.message) for each in found.details]
    return type(found), found.code, found.path, found.message, found.help, details


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("said", "options", "code"),
    [
        ({"model": "gaet"}, {}, "model_not_found"),
        ({"version": "9"}, {}, "version_not_found"),
        ({"rows": 4}, {}, "too_large"),
        ({}, {"contract": "9.0.0"}, "contract_unsupported"),
    ],
)
def test_what_is_not_about_values(urls: dict[str, str], way: str, said: Any, options: Any, code: str) -> None:
    """One error, whichever way the rows went."""
    found = {name: error(url, lambda client: WAYS[way](client, dict(said)), **options) for name, url in urls.items()}

    assert found["http"] == found["grpc"]
    assert found["http"][1] == code


def test_a_model_that_fails(urls: dict[str, str]) -> None:
    """Its own words stay on the server."""
    asked = [
        lambda client: client.predict([{"x": 13.0}]),
        lambda client: client.predict(np.array([[13.0]])),
        lambda client: client.infer({"x": [13.0]}),
    ]
    found = {error(url, ask)[:4] for url in urls.values() for ask in asked}

    assert len(found) == 1
    assert found.pop()[1] == "model_failed"


_ARRAYS: st.SearchStrategy[Any] = st.one_of(
    st.lists(st.floats(), min_size=1, max_size=3),
    st.lists(st.integers(-(2**65), 2**65), min_size=1, max_size=3),
    st.lists(st.one_of(st.booleans(), st.text(max_size=3), st.none(), st.binary(max_size=3)), min_size=1, max_size=3),
    st.lists(st.lists(st.floats(0, 9), min_size=1, max_size=2), min_size=1, max_size=2),
    st.lists(st.floats(0, 9, width=16), max_size=3).map(np.float16),
    st.just(np.float64(1)),
    st.just(np.array(["2024-02-29"], "M8[s]")),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(arrays=st.dictionaries(st.sampled_from(["x", "ex", "why", "\ud800"]), _ARRAYS, max_size=2))
def test_arrays(urls: dict[str, str], arrays: dict[str, Any]) -> None:
    """Whatever they hold, both transports give one answer or one error."""

    def outcome(url: str) -> Any:
        with Client(url, retries=ONCE) as client:
            try:
                return client.infer(arrays, model="gate").outputs["y"].tolist()
            except FivefoldError as err:
                details = [(each.code, each.path, each.message) for each in err.details]
                return type(err), err.code, err.path, err.message, details

    # A row below zero waits for somebody who lets it go.
    if not any(
        isinstance(x, int | float) and x < 0 for each in arrays.values() for x in np.ravel(np.array(each, object))
    ):
        assert repr(outcome(urls["http"])) == repr(outcome(urls["grpc"]))
