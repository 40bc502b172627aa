"""The page at `/docs`: the OpenAPI document for people, rendered here, without a script and without a CDN.

What it says is `openapi`'s; trying a model out is left to the page at `/`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .4rem 0; padding: 0 .75rem; }
summary { cursor: pointer; padding: .5rem 0; overflow-wrap: anywhere; }
code, pre { font: .875rem/1.45 ui-monospace, monospace; }
pre { overflow: auto; max-height: 24rem; border-top: 1px solid var(--line); padding-top: .5rem; }
.method { display: inline-block; min-width: 3rem; font-weight: 700; }
.about { opacity: .75; }
"""

_DIGEST: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but the page's own style, named by its digest."""


def render(document: Mapping[str, Any]) -> bytes:
    """The document as one HTML page, operations grouped by their first tag."""
    groups: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tag = operation["tags"][0]
            groups.setdefault(tag, []).append("".join(_operation(method, path, operation, document)))
    info = document["info"]
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(info['title'])}: API</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} <code>{escape(info['version'])}</code></h1>",
        f"<p>{escape(info['description'])} <a href='openapi.json'>openapi.json</a> · <a href='./'>try a model</a></p>",
    ]
    for tag in sorted(groups, key=lambda tag: (tag == "server", tag)):
        parts += [f"<h2>{escape(tag)}</h2>", *groups[tag]]
    return "".join(parts).encode()


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    yield f"<details><summary><code><span class='method'>{method.upper()}</span> {escape(path)}</code> "
    yield f"<span class='about'>{escape(operation['summary'])}</span></summary>"
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    bodies = {"request": operation.get("requestBody", {}).get("content", {})}
    bodies |= {status: response.get("content", {}) for status, response in operation["responses"].items()}
    for title, content in bodies.items():
        for media_type, body in content.items():
            yield f"<details><summary>{escape(title)} <code>{escape(media_type)}</code></summary>"
            if "example" in body:
                yield f"<p>Example</p>{_code(body['example'])}"
            schema = _resolved(body["schema"], document)
            yield f"<p>Schema</p>{_code(schema)}</details>" if schema else "</details>"
    yield "</details>"


def _resolved(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    reference = schema.get("$ref", "")
    return document["components"]["schemas"][reference.rpartition("/")[2]] if reference else schema


def _code(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"
