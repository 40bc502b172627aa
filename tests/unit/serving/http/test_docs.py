"""The page at `/docs`: how to predict comes first, what repeats it is folded, and everything can be tried."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from tests.support.grpc_calls import gate_bundle
from tests.support.http_calls import world


class Outline(HTMLParser):
    """The operations of the page: path -> how deep it is folded, and whether it is open; and the links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.operations: dict[str, tuple[int, bool]] = {}
        self.links: list[str] = []
        self._open: list[bool] = []
        self._code = self._summary = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "details":
            self._open.append("open" in dict(attrs))
        if tag == "a":
            self.links.append(str(dict(attrs)["href"]))
        self._summary = self._summary or tag == "summary"

    def handle_endtag(self, tag: str) -> None:
        if tag == "details":
            self._open.pop()
        if tag == "summary":
            self._summary = False

    def handle_data(self, data: str) -> None:
        if self._summary and data.strip().startswith("/"):
            self.operations[data.strip()] = len(self._open), self._open[-1]


@pytest.fixture(scope="module")
def outline(tmp_path_factory: pytest.TempPathFactory) -> Any:
    place = tmp_path_factory.mktemp("docs")
    with world([gate_bundle(place / version, version) for version in ("1", "2")]) as served:
        yield Outline(served.get("/docs").body.decode())


def test_predicting_comes_first(outline: Outline) -> None:
    """By records, unfolded, and by tensors, before anything else."""
    first, second, third = list(outline.operations)[:3]

    assert (first, second) == ("/v1/models/gate:predict", "/v2/models/gate/infer")
    assert outline.operations[first] == (1, True)
    assert outline.operations[second] == outline.operations[third] == (1, False)


def test_versions_are_folded(outline: Outline) -> None:
    """Each is there, one level below what folds them all."""
    for version in ("1", "2"):
        assert outline.operations[f"/v1/models/gate/versions/{version}:predict"] == (2, False)
    assert {deep for path, (deep, _) in outline.operations.items() if "/versions/" not in path} == {1}


def test_every_prediction_can_be_tried(outline: Outline) -> None:
    """On the page of this server, under the model and version that it is of."""
    tried = [link for link in outline.links if link.startswith("./#")]

    assert tried == ["./#/gate", "./#/gate", *["./#/gate/1", "./#/gate/2"] * 2]
