"""A registry of others: Apicurio, by the protocol that it shares with Confluent's."""

from __future__ import annotations

import io
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from tests.support.avro_values import message
from tests.support.bundles import SUM_CONTRACT, contract, field
from tests.support.event_logs import LocalLogs
from tests.support.schema_registry import apicurio
from tests.unit.stream.conftest import APICURIO

from fivefold.cli import main
from fivefold.core.bundle.bundle import Bundle
from fivefold.core.errors import RunFailed, Unavailable
from fivefold.exports import avro
from fivefold.stream.avro_results import AvroResults
from fivefold.stream.events import Outgoing
from fivefold.stream.registry_client import SchemaRegistry
from fivefold.stream.registry_settings import RegistrySettings

ROW = avro.schema(SUM_CONTRACT, "record", SUM_CONTRACT.inputs)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where one is."""
    assert APICURIO is not None
    with apicurio(APICURIO, tmp_path_factory.mktemp("registry")) as found:
        yield found


def registry(url: str) -> SchemaRegistry:
    """That asks it."""
    return SchemaRegistry(RegistrySettings(registry_url=url))


def sent(url: str, path: str, body: dict[str, Any], method: str = "POST") -> Any:
    """What it says to a request of somebody else."""
    headers = {"content-type": "application/vnd.schemaregistry.v1+json"}
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@pytest.mark.full
def test_events_and_results_by_a_real_registry(
    bundle: Bundle, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole way, with the schema that a contract exports; a second worker finds the schema of the results."""
    number = registry(url).register("events-value", json.dumps(ROW))
    assert registry(url).register("events-value", json.dumps(ROW)) == number
    logs = LocalLogs(tmp_path)
    events = []
    for at in range(100):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(ROW), {"a": at, "b": 1})
        events.append(Outgoing("in", b"%d" % at, message(number, out.getvalue())))
    logs.append("in", [*events, Outgoing("in", b"bad", message(2**31 - 1, b"\0"))])
    words = ["stream", "--model", str(bundle.path), "--from", "local://in", "--to", "local://out", "--registry", url]

    for _ in range(2):
        assert main([*words, "--data", str(tmp_path), "--once", "--json"]) == 0
        events.append(Outgoing("in", b"again", events[0].value))
        logs.append("in", events[-1:])

    results = logs.read("out")
    assert len(results) == 101
    (dead,) = logs.read("in.dead-letter")
    assert dict(dead.headers)["fivefold-dead-code"] == b"not_found"
    ids = {int.from_bytes((each.value or b"")[1:5], "big") for each in results}
    (made,) = ids
    schema = fastavro.parse_schema(json.loads(sent_schema(url, made)))
    totals = [
        fastavro.schemaless_reader(io.BytesIO((each.value or b"")[5:]), schema, None)["total"] for each in results
    ]
    assert sorted(totals) == sorted([*map(float, range(1, 101)), 1.0])


def sent_schema(url: str, number: int) -> str:
    """The text of a schema, as everybody gets it."""
    with urllib.request.urlopen(f"{url}/schemas/ids/{number}", timeout=30) as answer:
        return str(json.load(answer)["schema"])


@pytest.mark.full
def test_what_a_real_registry_has_not_and_what_it_refuses(url: str) -> None:
    """By its own words: nothing else is taken for them."""
    asked = registry(url)
    assert asked.schema(2**31 - 1) is None
    with pytest.raises(Unavailable):
        registry(url.removesuffix("/ccompat/v7")).schema(1)
    AvroResults(asked, contract([field("a")], [field("y")]), "kept").prepare()
    sent(url, "/config/kept-value", {"compatibility": "BACKWARD"}, "PUT")

    with pytest.raises(RunFailed, match="Incompatible"):
        AvroResults(asked, contract([field("a")], [field("z")]), "kept").prepare()


@pytest.mark.full
def test_schemas_of_other_kinds_are_known_as_those(url: str) -> None:
    """Those that refer to others too."""
    asked = registry(url)
    other = '{"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"}'
    number = sent(url, "/subjects/json-value/versions", {"schemaType": "JSON", "schema": other})["id"]
    found = asked.schema(number)
    assert found is not None
    assert found.kind == "JSON"

    sent(url, "/subjects/base-value/versions", {"schema": '{"type": "enum", "name": "E", "symbols": ["a"]}'})
    referring = {
        "schema": '{"type": "record", "name": "R", "fields": [{"name": "e", "type": "E"}]}',
        "references": [{"name": "E", "subject": "base-value", "version": 1}],
    }
    found = asked.schema(sent(url, "/subjects/referring-value/versions", referring)["id"])
    assert found is not None
    assert found.references
