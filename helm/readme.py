"""Writes the chart's README: every value, with its type, its default and what it does.

    python helm/readme.py [FILE]

What a value does is the comment above it in values.yaml, what it may be is in values.schema.json. `make generate`
writes the page, `make check` holds it against both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).parent / "fivefold"
PAGE: Final = "helm/fivefold/README.md"

_HEAD: Final = """\
# Chart {name} {version}

Written by `python helm/readme.py` from [values.yaml](values.yaml) and [values.schema.json](values.schema.json).

{description}

Kubernetes {kubernetes}, and with `online` or `batch` KubeRay: which versions have been tried is in
[operations.md](../../docs/operations.md#what-it-runs-on). Installing is in the
[README](../../README.md#on-kubernetes), the network, disks, TLS and monitoring in
[kubernetes.md](../../docs/kubernetes.md), sizes, upgrades and backups in [operations.md](../../docs/operations.md).

A key that is not in these tables is refused, and so is a value of another type. [ci](ci) has a file of values for each
scenario that is tried.
"""


@dataclass(frozen=True)
class Value:
    """One row: the value's path, what it may be, its default, and what it does."""

    path: str
    kind: str
    default: str
    text: str


def page(chart: Path = CHART) -> str:
    """The page as Markdown; raises `ValueError` for a value that the schema does not know."""
    lines = (chart / "values.yaml").read_text(encoding="utf-8").splitlines()
    values = yaml.compose("\n".join(lines))
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    about = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    facts = {key: about[key] for key in ("name", "version", "description")}
    out = [_HEAD.format(**facts, kubernetes=about["kubeVersion"].removesuffix("-0"))]
    assert isinstance(values, yaml.MappingNode)
    for key, value in values.value:
        out += [f"## {key.value}", ""]
        about_it = _comment(lines, key)
        if about_it:
            out += [about_it, ""]
        out += ["| value | what it may be | default | |", "|--|--|--|--|"]
        rows = _rows(lines, key.value, value, _property(schema, schema, key.value, key.value), schema, "")
        out += [f"| {' | '.join(map(_cell, (f'`{row.path}`', row.kind, row.default, row.text)))} |" for row in rows]
        out.append("")
    return "\n".join(out).rstrip() + "\n"


def _rows(lines: list[str], path: str, node: yaml.Node, about: Any, schema: Any, text: str) -> Iterator[Value]:
    """The value itself, or the values below it where the schema gives them names."""
    about = _resolved(about, schema)
    below = isinstance(node, yaml.MappingNode) and node.value and "properties" in about
    if not below:
        yield Value(path, _kind(about), _default(node), text or about.get("description", ""))
        return
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        inner = f"{path}.{key.value}"
        own = _comment(lines, key) if not node.flow_style else ""
        # What stands above a whole group is said once, with the first of it.
        first = "" if own or key is not node.value[0][0] else text
        yield from _rows(lines, inner, value, _property(about, schema, key.value, inner), schema, own or first)


def _property(about: Any, schema: Any, key: str, path: str) -> Any:
    try:
        return _resolved(about, schema)["properties"][key]
    except KeyError:
        raise ValueError(f"{path}: values.schema.json does not know it") from None


def _resolved(about: Any, schema: Any) -> Any:
    """With what it refers to in place of the reference; what stands beside one wins."""
    parts = [about.get("$ref"), *(each.get("$ref") for each in about.get("allOf", []))]
    for reference in filter(None, parts):
        named = schema
        for step in reference.removeprefix("#/").split("/"):
            named = named[step]
        about = _resolved(named, schema) | {key: it for key, it in about.items() if key != "$ref"}
    return about


def _kind(about: Any) -> str:
    if "enum" in about:
        return ", ".join(f"`{each}`" if each != "" else "nothing" for each in map(_word, about["enum"]))
    kinds = about.get("type", "")
    words = [
        {"array": "list", "object": "map"}.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)
    ]
    limits = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    said = [f"{word} {about[key]:g}" for key, word in limits.items() if key in about]
    return ", ".join([" or ".join(filter(None, words)), *said]).strip(", ")


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _default(node: yaml.Node) -> str:
    value = yaml.SafeLoader("").construct_document(node)
    if value in ("", [], {}, None):
        return "–"
    return f"`{json.dumps(value, ensure_ascii=False)}`" if not isinstance(value, str) else f"`{value}`"


def _comment(lines: list[str], key: yaml.Node) -> str:
    """The comment directly above a key, as one paragraph."""
    found: list[str] = []
    at, indent = key.start_mark.line, " " * key.start_mark.column
    if lines[at][: len(indent)].strip():
        return ""
    while at and lines[at - 1].startswith(f"{indent}#"):
        at -= 1
        found.insert(0, lines[at].strip().removeprefix("#").strip())
    return " ".join(found)


def _cell(text: str) -> str:
    return text.replace("|", "&#124;")


def main() -> None:
    """Write the page."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / PAGE
    target.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
