"""The page at `/docs`: the OpenAPI document for people, rendered here, without a script and without a CDN.

What it says is `openapi`'s; trying a model out is left to the page at `/`, to which every prediction has a link.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from fivefold.serving.contract_version import split

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
    """The document as one HTML page: models first, of each how to predict, and folded what repeats it by version."""
    groups: dict[str, list[_Operation]] = {}
    for path, methods in document["paths"].items():
        for method, said in methods.items():
            groups.setdefault(said["tags"][0], []).append(_Operation(method, path, said))
    info = document["info"]
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{escape(info['title'])}: API</title><style>{_STYLE}</style>",
        f"<h1>{escape(info['title'])} <code>{escape(info['version'])}</code></h1>",
        f"<p>{escape(info['description'])} <a href='openapi.json'>openapi.json</a> · <a href='./'>try a model</a></p>",
    ]
    for tag in sorted(groups, key=lambda tag: (tag == "server", tag)):
        parts += [f"<h2>{escape(tag)}</h2>", *_group(groups[tag], document)]
    return "".join(parts).encode()


class _Operation(NamedTuple):
    method: str
    path: str
    said: Mapping[str, Any]

    @property
    def predicts(self) -> bool:
        return self.path.endswith((":predict", "/infer"))

    @property
    def order(self) -> tuple[bool, bool, str]:
        """Records, tensors, and then what there is beside them."""
        return not self.path.endswith(":predict"), not self.predicts, self.path

    @property
    def address(self) -> tuple[str, ...]:
        """Model, version and contract version of a path, as the page at `/` spells them; without a version just the
        model."""
        contract, path = split(self.path)
        model = path.split("/")[3].partition(":")[0]
        parts = path.split("/")
        version = parts[5].partition(":")[0] if len(parts) > 5 and parts[4] == "versions" else None
        return tuple(part for part in (model, version, contract if version else None) if part is not None)


def _group(operations: list[_Operation], document: Mapping[str, Any]) -> Iterator[str]:
    folded: dict[str, list[_Operation]] = {}
    for each in sorted(operations, key=lambda each: each.order):
        contract, path = split(each.path)
        title = f"under contract version {contract}" if contract else "by version" if "/versions/" in path else ""
        folded.setdefault(title, []).append(each)
    for title in sorted(folded):
        if title:
            yield f"<details><summary>The same {escape(title)} ({len(folded[title])})</summary>"
        for each in folded[title]:
            yield from _operation(each, document, shown=not title and each.path.endswith(":predict"))
        if title:
            yield "</details>"


def _operation(each: _Operation, document: Mapping[str, Any], *, shown: bool) -> Iterator[str]:
    method, path, operation = each
    unfolded = " open" if shown else ""
    yield f"<details{unfolded}><summary><code><span class='method'>{method.upper()}</span> {escape(path)}</code> "
    yield f"<span class='about'>{escape(operation['summary'])}</span></summary>"
    if each.predicts:
        address = "/".join(quote(part, safe="") for part in each.address)
        yield f"<p><a href='./#/{escape(address)}'>try it</a></p>"
    if "description" in operation:
        yield f"<p>{escape(operation['description'])}</p>"
    bodies = {"request": operation.get("requestBody", {}).get("content", {})}
    bodies |= {status: response.get("content", {}) for status, response in operation["responses"].items()}
    for title, content in bodies.items():
        for media_type, body in content.items():
            seen = unfolded if "example" in body and title in ("request", "200") else ""
            yield f"<details{seen}><summary>{escape(title)} <code>{escape(media_type)}</code></summary>"
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
