"""What came in, in numbers: as counted by hand, the same however the rows came, and nothing of a text."""

from __future__ import annotations

import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.support import browser_bundles
from tests.support.browser_bundles import GOLDEN
from tests.support.http_calls import World, world

from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import ContractError
from fivefold.core.runtime.scorer import Scorer
from fivefold.guard import keys
from fivefold.serving import input_statistics
from fivefold.serving.input_statistics import EDGES, LOOKED_AT, InputStatistics, ReceivedInputs
from fivefold.serving.repository import Model, Repository

PATH = "/v1/models/parcels/input-statistics"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A model with a field of every kind."""
    return browser_bundles.bundle(tmp_path_factory.mktemp("inputs"), "1")


@pytest.fixture
def model(bundle: Bundle) -> Model:
    return Model(bundle, Scorer.open(bundle))


def rows(count: int) -> list[dict[str, Any]]:
    """Records that differ; every third has a temperature."""
    first = GOLDEN[0][0]
    return [
        first
        | {
            "weight": number % 70 + 0.5,
            "tracking": 2**53 + number,
            "service": ("express", "overnight", "standard", "standard")[number % 4],
            "zone": number % 3 + 1,
            "fragile": number % 5 == 0,
            "temperature": number % 100 - 50 if number % 3 == 0 else None,
            "note": f"secret {number}",
        }
        for number in range(count)
    ]


def counted(model: Model, *parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What is told of requests with these rows."""
    inputs = ReceivedInputs(model)
    for part in parts:
        text = json.dumps({"instances": part}).encode()
        inputs.answered(model.view.records.read_json(text, max_rows=10**6, max_depth=16).accept())
    return inputs.to_json()


def histogram(values: list[float], edges: list[float]) -> list[dict[str, Any]]:
    bounds = [-math.inf, *edges, math.inf]
    return [
        {"below": high if math.isfinite(high) else None, "count": sum(low <= value < high for value in values)}
        for low, high in pairwise(bounds)
    ]


def test_each_field_is_counted_by_its_kind(model: Model) -> None:
    """Numbers between bounds, an integer of 64 bits, nulls, enumerations; text and arrays by their number alone."""
    given = rows(600)
    told = counted(model, given)
    fields = {each.pop("name"): each for each in told["fields"]}
    weights = [each["weight"] for each in given]
    measured = [each["temperature"] for each in given if each["temperature"] is not None]

    assert (told["rows"], told["looked_at"]) == (600, 600)
    assert list(fields) == [each.name for each in model.contract.inputs]
    assert fields["weight"] == {
        "values": 600,
        "nulls": 0,
        "not_finite": 0,
        "minimum": 0.5,
        "maximum": 69.5,
        "buckets": histogram(weights, [7.0 * at for at in range(1, 10)]),
    }
    assert fields["temperature"] == {
        "values": 600,
        "nulls": 400,
        "not_finite": 0,
        "minimum": min(measured),
        "maximum": max(measured),
        "buckets": histogram(measured, [-60 + 12.0 * at for at in range(1, 10)]),
    }
    assert (fields["tracking"]["minimum"], fields["tracking"]["maximum"]) == (2**53, 2**53 + 599)
    assert fields["tracking"]["buckets"] == histogram([2**53 + 1.0] * 600, list(EDGES))
    for name in ("service", "zone", "fragile"):
        shares = Counter(each[name] for each in given)
        assert {each["value"]: each["count"] for each in fields[name]["categories"]} == shares
        assert [each["count"] for each in fields[name]["categories"]] == sorted(shares.values(), reverse=True)
    for name in ("postcode", "note", "stamp"):
        assert fields[name] == {"values": 600, "nulls": 0}
    assert fields["corners"] == {"values": 600}
    assert "secret" not in json.dumps(told)


def test_it_does_not_matter_how_the_rows_came(model: Model, demo_bundle: Path) -> None:
    """In one request or in many, of a model whose columns are put by, and of one whose are not."""
    bundle = Bundle.open(demo_bundle)
    demo = Model(bundle, Scorer.open(bundle))
    golden = [each["in"] for each in map(json.loads, (demo_bundle / "golden.jsonl").read_text().splitlines())]
    for each, given in ((model, rows(700)), (demo, golden * 8)):
        together = counted(each, given)
        apart = counted(each, *([one] for one in given))
        mixed = counted(each, given[:300], *([one] for one in given[300:]))
        for told in (together, apart, mixed):
            assert told.pop("since") > 0
        assert together == apart == mixed


def test_of_a_large_request_so_many_rows_are_looked_at(model: Model) -> None:
    """And it says so: evenly spread, from the first to the last."""
    given = rows(5000)
    given[0]["weight"], given[-1]["weight"] = 0, 70
    told = counted(model, given)

    assert (told["rows"], told["looked_at"]) == (5000, LOOKED_AT)
    assert {each["values"] for each in told["fields"]} == {LOOKED_AT}
    assert (told["fields"][0]["minimum"], told["fields"][0]["maximum"]) == (0.0, 70.0)


def test_what_is_not_finite_is_in_no_bucket(bundle: Bundle) -> None:
    """Where a contract lets NaN and infinities in."""
    from tests.support.bundles import contract, field

    from fivefold.core.columns import Columns

    law = contract([field("x", "float64", allow_nan=True), field("y", "float64")], [field("z", "float32")])
    model = Model(bundle, Scorer.open(bundle))
    model.contract = law
    inputs = ReceivedInputs(model)
    x = np.array([np.nan, np.inf, -np.inf, 3.0, -3.0])
    inputs.answered(Columns(law.inputs, {"x": x, "y": np.arange(5.0)}, 5))
    first, second = inputs.to_json()["fields"]

    assert (first["values"], first["nulls"], first["not_finite"]) == (5, 0, 3)
    assert (first["minimum"], first["maximum"]) == (-3.0, 3.0)
    assert first["buckets"] == histogram([3.0, -3.0], list(EDGES))
    assert second["buckets"] == histogram([0.0, 1.0, 2.0, 3.0, 4.0], list(EDGES))


def test_refusals_are_counted_by_code_and_field(bundle: Bundle) -> None:
    """Once for each request; what a caller made up is no field."""
    with world([bundle]) as out:
        good = rows(1)[0]
        bad = [good | {"weight": 99}, good | {"weight": 98, "postcode": "x"}, good | {"made_up": 1}]
        for instances in (bad[:2], bad[1:2], bad[2:], [7], [good]):
            out.post("/v1/models/parcels:predict", {"instances": instances})
        told = out.get(PATH).json

    counts = {(each["field"], each["code"]): each["requests"] for each in told["refusals"]}
    assert counts[("weight", "out_of_range")] == 2
    assert counts[("postcode", "pattern_mismatch")] == 2
    assert counts[("", "malformed")] == 1
    assert {field for field, _ in counts} <= {"", "weight", "postcode"}
    assert (told["rows"], told["replica"]) == (1, out.serving.replica)


def metrics(out: World) -> list[str]:
    return [line for line in out.get("/metrics").body.decode().splitlines() if line.startswith("fivefold_input_")]


def test_the_metrics_have_counts_alone(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are open to whoever scrapes: no number that came in, no category; and only so many fields."""
    monkeypatch.setattr(input_statistics, "FIELDS_IN_METRICS", 7)
    with world([bundle]) as out:
        good = rows(1)[0]
        out.post("/v1/models/parcels:predict", {"instances": [good, good | {"temperature": None}]})
        out.post("/v1/models/parcels:predict", {"instances": [good | {"weight": 99, "corners": [1]}]})
        told = metrics(out)

    where = 'model="parcels",pattern="online",version="1"'
    assert f'fivefold_input_values_total{{field="weight",{where}}} 2.0' in told
    assert f'fivefold_input_nulls_total{{field="temperature",{where}}} 1.0' in told
    assert f'fivefold_input_refusals_total{{code="out_of_range",field="weight",{where}}} 1.0' in told
    assert f'fivefold_input_refusals_total{{code="wrong_shape",field="",{where}}} 1.0' in told
    assert len(told) == 7 + 1 + 2


def test_it_can_be_turned_off(bundle: Bundle) -> None:
    """Then nothing is counted, the route says how to turn it on, and the page does not ask."""
    with world([bundle], input_statistics=False) as out:
        out.post("/v1/models/parcels:predict", {"instances": rows(1)})
        reply = out.get(PATH)

        assert (reply.status, reply.json["code"]) == (404, "not_found")
        assert "FIVEFOLD_INPUT_STATISTICS" in reply.json["help"]
        assert metrics(out) == []
        assert out.get("/page/server.json").json["inputStatistics"] is False


def test_it_asks_for_an_operators_key(bundle: Bundle, tmp_path: Path) -> None:
    """The least and the greatest number are what some other caller has sent: they are told with the scope `admin`."""
    shown = {}
    for scope in ("infer", "admin"):
        shown[scope], entry = keys.make(scope, [scope])
        keys.add(tmp_path / "keys.json", entry)
    with world([bundle], keys=str(tmp_path / "keys.json")) as out:
        statuses = [
            out.get(PATH, **({"authorization": f"Bearer {key}"} if key else {})).status
            for key in ("", shown["infer"], shown["admin"])
        ]

    assert statuses == [401, 403, 200]


def test_a_model_that_is_replaced_takes_its_numbers_along(bundle: Bundle, model: Model) -> None:
    """One that stays keeps its own, and what ends later for one that is gone is not counted."""
    other = Model(bundle, Scorer.open(bundle))
    inputs = InputStatistics("online", Repository([model]))
    refused = ContractError("malformed", "no")
    inputs.note(model, None, refused)
    inputs.follow(Repository([model]))
    assert inputs.of(model).refusals == {("malformed", ""): 1}
    inputs.follow(Repository([other]))
    inputs.note(model, None, refused)

    assert inputs.of(other).refusals == {}
    with pytest.raises(KeyError):
        inputs.of(model)


def test_no_request_hears_of_what_cannot_be_counted(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told once in the log, and requests, scrapes and the route are answered."""

    def broken(*_: Any) -> None:
        raise ArithmeticError("no")

    monkeypatch.setattr(input_statistics.FieldStatistics, "add", broken)
    with world([bundle]) as out:
        replies = [out.post("/v1/models/parcels:predict", {"instances": rows(1)}) for _ in range(3)]
        told = [line for line in out.lines if line["event"] == "input_statistics"]

        assert [reply.status for reply in replies] == [200, 200, 200]
        assert (out.get(PATH).status, out.get("/metrics").status) == (200, 200)
        assert [(line["model"], line["error"]) for line in told] == [("parcels", "no")]
