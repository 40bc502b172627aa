"""The chart's README has every value, once, with what stands above it in values.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm import readme

ROWS = re.compile(r"^\| `([^`]+)` \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)


def paths(values: Any, at: str = "") -> Iterator[str]:
    """Every leaf."""
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from paths(value, f"{at}.{key}".removeprefix("."))
    else:
        yield at


def small(directory: Path, values: str, schema: str) -> Path:
    """A chart of so many words."""
    (directory / "Chart.yaml").write_text('{name: a, version: 1.0.0, description: "b", kubeVersion: ">=1.30.0-0"}')
    (directory / "values.yaml").write_text(values)
    (directory / "values.schema.json").write_text(schema)
    return directory


def test_every_value_has_a_row() -> None:
    """Its own, or that of the map that the schema gives no names below."""
    rows = [row[0] for row in ROWS.findall(readme.page())]
    values = yaml.safe_load((readme.CHART / "values.yaml").read_text("utf-8"))

    lacking = [path for path in paths(values) if not any(f"{path}.".startswith(f"{row}.") for row in rows)]
    assert lacking == []
    assert len(rows) == len(set(rows))


def test_a_row_says_what_values_and_schema_say(tmp_path: Path) -> None:
    values = "# All of\n# it.\na:\n  # How many.\n  b: 2\n  # One | two.\n  c: {d: '', e: [x]}\n  f: no\n"
    inner = '{"properties": {"d": {"enum": ["", "y"]}, "e": {"type": "array", "description": "words"}}}'
    schema = (
        '{"definitions": {"count": {"type": "integer", "minimum": 1}}, "properties": {"a": {"properties": '
        f'{{"b": {{"$ref": "#/definitions/count"}}, "c": {inner}, "f": {{"type": ["boolean", "string"]}}}}}}}}}}'
    )

    text = readme.page(small(tmp_path, values, schema))

    assert "## a\n\nAll of it.\n" in text
    assert ROWS.findall(text) == [
        ("a.b", "integer, at least 1", "`2`", "How many."),
        ("a.c.d", "nothing, `y`", "–", "One &#124; two."),
        ("a.c.e", "list", '`["x"]`', "words"),
        ("a.f", "boolean or string", "`false`", ""),
    ]


def test_a_value_that_the_schema_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^a\.z: values\.schema\.json does not know it$"):
        readme.page(small(tmp_path, "a: {z: 1}\n", '{"properties": {"a": {"properties": {"b": {}}}}}'))
