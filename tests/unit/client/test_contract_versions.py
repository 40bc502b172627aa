"""A model that answers several contract versions: which one an answer is of, whatever was asked before."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pytest
from tests.support.both_transports import serving
from tests.support.versioned_bundle import triage_bundle

from fivefold.client import Client
from fivefold.core.errors import ContractError


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with serving([triage_bundle(tmp_path_factory.mktemp("triage") / "bundle")]) as found:
        yield found


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, urls: dict[str, str]) -> str:
    return urls[request.param]


def test_a_contract_that_was_asked_for_is_not_the_one_of_later_calls(url: str) -> None:
    """Predictions stay under the version that the client is answered under."""
    with Client(url) as client:
        before = client.predict([{"mass": 3}])
        asked = client.contract(contract="3.0.0")
        after, frame = client.predict([{"mass": 3}]), client.predict(pd.DataFrame({"mass": [3.0]}))

    assert asked.version == "3.0.0"
    assert before.metadata["contract"] == after.metadata["contract"] == frame.metadata["contract"]
    assert before.predictions == after.predictions == frame.predictions.to_dict("records")


@pytest.mark.parametrize(("version", "level"), [("1.0.0", "high"), ("2.0.0", "extreme"), ("3.0.0", "extreme")])
def test_each_form_is_read_under_the_version_of_the_client(url: str, version: str, level: str) -> None:
    """Names, limits and outputs are that version's."""
    with Client(url, contract=version) as client:
        name = "mass" if version == "1.0.0" else "weight"
        row = {name: 20.0} if version == "1.0.0" else {name: 20.0, "dose": 0.0}
        records, frame = client.predict([row]), client.predict(pd.DataFrame([row]))
        with pytest.raises(ContractError) as caught:
            client.predict(pd.DataFrame([row | {name: -2.0}]))

    assert records.predictions == frame.predictions.to_dict("records")
    assert frame.predictions["level"].tolist() == [level]
    assert frame.metadata["contract"] == f"triage@{version}"
    assert (caught.value.code, caught.value.path) == ("out_of_range", f"inputs.{name}[0]")
