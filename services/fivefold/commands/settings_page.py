"""Writes docs/settings.md: every setting of every workload, with its variable, its default and what it does.

    python -m fivefold.commands.settings_page [FILE]

The text is the docstring under each field of a settings class. `make generate` writes the page, `make check` holds it
against the code.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from fivefold.core.settings import PREFIX

PAGE: Final = "docs/settings.md"

_CLASSES: Final = (
    ("Whom a server lets in", "fivefold.guard.settings", "GuardSettings", "of everything that answers requests"),
    ("What a server takes", "fivefold.serving.limits", "ServingLimits", "of `fivefold serve` and `fivefold gateway`"),
    ("A server on Ray", "fivefold.online.settings", "OnlineSettings", "of `fivefold serve`, and of the cluster's"),
    ("A device's gateway", "fivefold.edge.gateway.gateway_settings", "GatewaySettings", "of `fivefold gateway`"),
    (
        "Logs",
        "fivefold.core.log_lines",
        "LogSettings",
        "of everything that runs until it is ended, and of runs over files",
    ),
    ("A hub", "fivefold.edge.hub.hub_limits", "HubSettings", "of `fivefold hub serve`"),
    ("Where bundles come from", "fivefold.delivery.settings", "DeliverySettings", "of whatever takes a bundle's URL"),
    ("Devices", "fivefold.core.runtime.devices", "DeviceSettings", "of every process that opens a model"),
    ("Files", "fivefold.batch.plan.settings", "BatchSettings", "of `fivefold score` and of batch jobs"),
    ("Streams", "fivefold.stream.settings", "StreamSettings", "of `fivefold stream`"),
    ("Kafka", "fivefold.stream.kafka_settings", "KafkaSettings", "of streams on Kafka"),
    ("A schema registry", "fivefold.stream.registry_settings", "RegistrySettings", "of streams on Kafka"),
)

_HEAD = """\
# Settings

Written by `python -m fivefold.commands.settings_page` from the settings classes.

A workload reads its settings once, when it starts: an argument of the command line wins over the variable of the
environment, that over the default. Most settings are arguments too; `--help` of a command says which. In the
environment a truth is `true` or `false`, a list is words with commas between, and an empty value of what may be nothing
is nothing. A value that cannot be used is refused with its name before anything starts. In the Helm chart they are
values; see [values.yaml](../helm/fivefold/values.yaml).

Credentials of object stores are no settings: they come from the variables of the stores' own tools (`AWS_*`,
`GOOGLE_*`). The Python client reads one variable, `FIVEFOLD_KEY` ([python.md](python.md)).
"""


def page() -> str:
    """The page as Markdown."""
    lines = [_HEAD]
    for title, module, name, where in _CLASSES:
        lines += list(_section(title, getattr(import_module(module), name), where))
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, cls: Any, where: str) -> Iterator[str]:
    own = inspect.get_annotations(cls)
    more = [base.__name__ for base in inspect.getmro(cls)[1:] if dataclasses.is_dataclass(base)]
    titles = {name: title for title, _, name, _ in _CLASSES}
    besides = " and ".join(f"those under [{titles[name]}](#{_anchor(titles[name])})" for name in more)
    yield from (f"## {title}", "", f"Settings {where}{f', beside {besides}' if besides else ''}.", "")
    yield from ("| variable | type | default | |", "|--|--|--|--|")
    says = _docstrings(cls)
    for field in dataclasses.fields(cls):
        if field.name in own:
            cells = (
                f"`{PREFIX}{field.name.upper()}`",
                _type(str(field.type)),
                _default(field.default),
                says[field.name],
            )
            yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
    yield ""


def _anchor(title: str) -> str:
    return title.lower().replace("'", "").replace(" ", "-")


def _type(annotation: str) -> str:
    words = {"bool": "true or false", "int": "integer", "float": "number", "str": "text", "tuple[str, ...]": "list"}
    kind, _, nothing = annotation.partition(" | ")
    return f"{words[kind]}, or nothing" if nothing else words[kind]


def _default(value: Any) -> str:
    if value in ("", (), None):
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{value}`"


def _docstrings(cls: Any) -> dict[str, str]:
    """The text under each field of the class itself, on one line."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    out = {}
    for field, text in zip(body.body, body.body[1:]):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if not (isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)):
                raise ValueError(f"{cls.__name__}.{field.target.id} has no docstring")
            out[field.target.id] = " ".join(inspect.cleandoc(str(text.value.value)).split())
    return out


def main() -> None:
    """Write the page."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[3] / PAGE
    target.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
