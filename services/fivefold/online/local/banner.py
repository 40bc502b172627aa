"""What `fivefold serve` prints when it answers: the models, the addresses, and one request for each transport to paste.

The requests are a golden row, so they are known to be answered. Starting and stopping is left to `lifecycle`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fivefold.core.settings import dialable
from fivefold.serving.example_rows import example_rows
from fivefold.serving.oip import metadata

if TYPE_CHECKING:
    from fivefold.core.fields.field import Field
    from fivefold.online.settings import OnlineSettings
    from fivefold.serving.repository import Model

PASTE = 1600
"""A longer request is not for pasting; the metadata is asked for instead."""


KEY = ' -H "authorization: Bearer $FIVEFOLD_KEY"'
"""What a request to a guarded server needs, for curl and grpcurl alike."""


def text(requests: str, settings: OnlineSettings, seconds: float, note: str = "") -> str:
    """The whole announcement around `requests`; `seconds` is the time the start took, `note` what is special."""
    http, grpc = dialable(settings.http), dialable(settings.grpc)
    beyond = sorted({given for given in (settings.http, settings.grpc) if given not in (http, grpc)})
    everywhere = f"\n  from elsewhere by this machine's name or address: {', '.join(beyond)}" if beyond else ""
    special = f"\n  note  {note}" if note else ""
    return f"""
ready in {seconds:.1f} s

  REST  http://{http}/        a page for people; API at http://{http}/docs
  gRPC  {grpc}
  key   {asked(settings)}{everywhere}
  log   {logged(settings)}{special}

{requests}

Ctrl-C stops it.
"""


def requests(models: Sequence[Model], settings: OnlineSettings) -> str:
    """The models, and one request for each transport."""
    rows = [("model", "version", "rows/s for one", "bundle")]
    for model in models:
        one = model.scorer.seconds(1)
        rows.append((model.name, model.version, f"{1 / one:,.0f}" if one else "-", model.bundle.digest))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
    first = models[0]
    return f"""{table}

{curl(first, dialable(settings.http), settings.guarded)}

{grpcurl(first, dialable(settings.grpc), settings.guarded)}"""


def logged(settings: OnlineSettings) -> str:
    """Which requests have a line in the log, and what has them all."""
    share = settings.log_sample
    if share >= 1:
        return "a line for each request, on stderr"
    good = f"{share:.3g} of those that are answered" if share else "none of those that are answered"
    return f"a line for each request that fails, and {good}, on stderr: FIVEFOLD_LOG_SAMPLE=1 logs all"


def asked(settings: OnlineSettings) -> str:
    """Who is let in."""
    if not settings.guarded:
        return "none is asked for"
    wanted = [f"an API key of {settings.keys}"] if settings.keys else []
    wanted += [f"a token of {settings.oidc_issuer}"] if settings.oidc_issuer else []
    return f"{' or '.join(wanted)}, as authorization: Bearer KEY"


def curl(model: Model, http: str, guarded: bool = False) -> str:
    """A prediction over REST."""
    key = KEY if guarded else ""
    url = f"http://{http}/v1/models/{model.name}"
    rows = example_rows(model.bundle, model.view, 1)[0].to_records()
    body = json.dumps({"instances": rows})
    if len(body) > PASTE or not rows:
        return f"curl -s {url}{key}"
    return f"curl -s {url}:predict{key} -H 'content-type: application/json' -d {shlex.quote(body)}"


def grpcurl(model: Model, grpc: str, guarded: bool = False) -> str:
    """A prediction over gRPC, or the model's metadata where a row does not fit into readable text."""
    head, service = f"grpcurl -plaintext{KEY if guarded else ''} -d", "inference.GRPCInferenceService"
    rows = example_rows(model.bundle, model.view, 1)[0].to_records()
    tensors = [_tensor(field, rows[0][field.name]) for field in model.view.inputs] if rows else [None]
    if None not in tensors:
        body = json.dumps({"model_name": model.name, "inputs": tensors})
        if len(body) <= PASTE:
            return f"{head} {shlex.quote(body)} {grpc} {service}/ModelInfer"
    body = json.dumps({"name": model.name})
    return f"{head} {shlex.quote(body)} {grpc} {service}/ModelMetadata"


def _tensor(field: Field, value: Any) -> dict[str, Any] | None:
    datatype = metadata.NAMES[field.dtype]
    flat = _flat(value)
    if datatype not in metadata.CONTENTS or field.dtype in ("string", "bytes") or None in flat:
        return None
    return {
        "name": field.name,
        "datatype": datatype,
        "shape": [1, *field.shape],
        "contents": {metadata.CONTENTS[datatype]: flat},
    }


def _flat(value: Any) -> list[Any]:
    return [item for part in value for item in _flat(part)] if isinstance(value, list) else [value]
