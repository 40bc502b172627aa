"""A gateway answers when the event is on the disk, and says which."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path

import pytest
from tests.support import gateways
from tests.support.gateways import events, running

from fivefold.edge.gateway.storing import TELLING
from fivefold.serving.origins import SHOWN


def test_an_answer_is_an_event_on_the_disk(tmp_path: Path, bundle: Path) -> None:
    """What was asked and answered lies there, row by row, and the answer names the numbers."""
    with running(tmp_path, [bundle]) as gateway:
        one = gateway.ask({"a": 1, "b": 2})
        two = gateway.ask({"a": 3, "b": 4}, {"a": -5, "b": 1})
        kept = events(tmp_path)
        digest = gateway.gateway.models()[0].bundle.digest

    assert one.json()["predictions"] == [{"total": 3.0, "label": 1}]
    assert [one.headers["x-fivefold-sequence"], two.headers["x-fivefold-sequence"]] == ["1", "2-3"]
    assert one.headers["x-fivefold-lane"] == "bulk"
    assert re.fullmatch("[0-9a-f]{32}", one.headers["x-fivefold-outbox"])
    assert [each["seq"] for each in kept] == [1, 2, 3]
    assert [each["input"] for each in kept] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"a": -5, "b": 1}]
    assert [each["output"] for each in kept] == [*one.json()["predictions"], *two.json()["predictions"]]
    first = kept[0]
    assert (first["kind"], first["model"], first["version"]) == ("prediction", "demo", "1")
    assert (first["contract"], first["bundle"]) == ("demo@1.0", f"sha256:{digest}")
    assert {uuid.UUID(each["id"]).version for each in kept} == {7}
    assert {uuid.UUID(each["id"]).variant for each in kept} == {uuid.RFC_4122}
    assert len({each["id"] for each in kept}) == 3


def test_tensors_are_kept_as_rows(tmp_path: Path, bundle: Path) -> None:
    """The protocol of a request leaves no trace in its events."""
    tensors = [
        {"name": "a", "shape": [2], "datatype": "FP32", "data": [1, 2]},
        {"name": "b", "shape": [2], "datatype": "FP32", "data": [3, 4]},
    ]
    with running(tmp_path, [bundle]) as gateway:
        asked = {"inputs": tensors, "outputs": [{"name": "label"}]}
        answer = gateway.client.post("/v2/models/demo/infer", json=asked)
        kept = events(tmp_path)

    assert answer.headers["x-fivefold-sequence"] == "1-2"
    assert [each["input"] for each in kept] == [{"a": 1.0, "b": 3.0}, {"a": 2.0, "b": 4.0}]
    assert [each["output"] for each in kept] == [{"total": 4.0, "label": 1}, {"total": 6.0, "label": 1}]


def test_a_refusal_is_an_event_too(tmp_path: Path, bundle: Path) -> None:
    """Its kind says so; what was sent lies there, as far as it is short."""
    with running(tmp_path, [bundle]) as gateway:
        answer = gateway.ask({"a": 1000, "b": 2}, x_request_id="mine")
        broken = gateway.client.post(
            "/v1/models/demo:predict", content=b"{", headers={"content-type": "application/json"}
        )
        kept = events(tmp_path)

    assert answer.status_code == 422
    assert (answer.headers["x-fivefold-sequence"], broken.headers["x-fivefold-sequence"]) == ("1", "2")
    refusal = kept[0]["refusal"]
    assert kept[0]["kind"] == "refusal"
    assert (refusal["code"], refusal["path"], refusal["request_id"]) == ("out_of_range", "inputs.a[0]", "mine")
    assert (refusal["model"], refusal["transport"], refusal["contract"]) == ("demo", "http", "demo@1.0")
    assert json.loads(refusal["raw"]) == {"instances": [{"a": 1000, "b": 2}]}
    assert (kept[1]["refusal"]["code"], kept[1]["refusal"]["raw"]) == ("malformed", "{")


def test_refusals_can_be_left_out(tmp_path: Path, bundle: Path) -> None:
    """Then the answer names no number."""
    with running(tmp_path, [bundle], store_refusals=False) as gateway:
        answer = gateway.ask({"a": 1000, "b": 2})

        assert answer.status_code == 422
        assert "x-fivefold-sequence" not in answer.headers
        assert events(tmp_path) == []


def test_lanes_count_for_themselves(tmp_path: Path, bundle: Path) -> None:
    """The header says which; another one is refused, and nothing is kept of it."""
    with running(tmp_path, [bundle]) as gateway:
        gateway.ask({"a": 1, "b": 2})
        alert = gateway.ask({"a": 1, "b": 2}, x_fivefold_lane="alerts")
        wrong = gateway.ask({"a": 1, "b": 2}, x_fivefold_lane="fast")
        kept = {lane: len(events(tmp_path, lane)) for lane in ("alerts", "bulk")}

    assert (alert.headers["x-fivefold-lane"], alert.headers["x-fivefold-sequence"]) == ("alerts", "1")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "malformed")
    assert kept == {"alerts": 1, "bulk": 1}


@pytest.mark.full
def test_an_answer_without_an_event_needs_leave(tmp_path: Path, bundle: Path) -> None:
    """Where the gateway gives it, `x-fivefold-store: none` keeps nothing; otherwise it is not answered."""
    with running(tmp_path, [bundle]) as gateway:
        denied = gateway.ask({"a": 1, "b": 2}, x_fivefold_store="none")
        strange = gateway.ask({"a": 1, "b": 2}, x_fivefold_store="maybe")
    with running(tmp_path, [bundle], allow_unstored=True) as gateway:
        allowed = gateway.ask({"a": 1, "b": 2}, x_fivefold_store="none")
        kept = events(tmp_path)

    assert (denied.status_code, denied.json()["code"]) == (403, "forbidden")
    assert (strange.status_code, strange.json()["code"]) == (400, "malformed")
    assert allowed.json()["predictions"] == [{"total": 3.0, "label": 1}]
    assert "x-fivefold-sequence" not in allowed.headers
    assert kept == []


def test_a_full_outbox_answers_nothing(tmp_path: Path, bundle: Path) -> None:
    """507: the caller knows that it is not kept, and what was kept stays."""
    with running(tmp_path, [bundle], quota_bytes=1024 * 1024) as gateway:
        rows = [{"a": 1, "b": 2}] * 1500
        answers = [gateway.ask(*rows) for _ in range(4)]
        kept = events(tmp_path)
        refused = gateway.ask({"a": 1000, "b": 2})
        room = gateway.ask({"a": 1, "b": 2})
        codes = gateway.metric(
            'fivefold_requests_total{code="storage_failed",model="demo",pattern="edge",transport="http",version="1"}'
        )

    full = [answer for answer in answers if answer.status_code == 507]
    assert full
    assert {answer.json()["code"] for answer in full} == {"storage_failed"}
    assert len(kept) == 1500 * (len(answers) - len(full))
    # The rest of the quota may have room for one more.
    assert refused.status_code in (422, 507)
    assert room.status_code in (200, 507)
    assert codes >= len(full)


def test_the_outbox_outlives_the_gateway(tmp_path: Path, bundle: Path) -> None:
    """Numbers go on where they were, in the same outbox."""
    with running(tmp_path, [bundle]) as gateway:
        before = gateway.ask({"a": 1, "b": 2})
    with running(tmp_path, [bundle]) as gateway:
        after = gateway.ask({"a": 1, "b": 2})

    assert before.headers["x-fivefold-outbox"] == after.headers["x-fivefold-outbox"]
    assert (before.headers["x-fivefold-sequence"], after.headers["x-fivefold-sequence"]) == ("1", "2")


def test_it_says_how_it_stands(tmp_path: Path, bundle: Path) -> None:
    """The status and the metrics agree with what was asked."""
    with running(tmp_path, [bundle]) as gateway:
        gateway.ask({"a": 1, "b": 2}, {"a": 1, "b": 2})
        status = gateway.client.get("/v1/gateway").json()
        waiting = gateway.metric('fivefold_gateway_backlog_events{lane="bulk"}')
        age = gateway.metric('fivefold_gateway_oldest_seconds{lane="bulk"}')
        ready = gateway.client.get("/readyz").json()

    assert [model["name"] for model in status["models"]] == ["demo"]
    assert [lane["events"] for lane in status["outbox"]["lanes"]] == [0, 2]
    assert "path" not in status["outbox"]
    assert (status["hub"], status["mqtt"]) == (None, None)
    assert waiting == 2
    assert 0 <= age < gateways.SECONDS
    assert ready == {"ready": True}


def test_a_page_that_is_let_in_reads_where_its_event_is(tmp_path: Path, bundle: Path) -> None:
    """It may choose the lane, and read lane, outbox and numbers; other servers have no such headers."""
    origin = {"origin": "https://app.example"}
    with running(tmp_path, [bundle], cors_origins=("https://app.example",)) as gateway:
        path = "/v1/models/demo:predict"
        preflight = gateway.client.options(path, headers=origin | {"access-control-request-method": "POST"})
        answer = gateway.ask({"a": 1, "b": 2}, x_fivefold_lane="alerts", **origin)

    may_send = preflight.headers["access-control-allow-headers"].split(", ")
    may_read = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-fivefold-lane", "x-fivefold-store", "content-type"} <= set(may_send)
    assert {name for name in answer.headers if name.startswith("x-fivefold")} <= set(may_read)
    assert (answer.headers["x-fivefold-lane"], answer.headers["x-fivefold-sequence"]) == ("alerts", "1")
    assert not any(name in SHOWN for name in TELLING)
