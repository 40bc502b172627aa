"""Where the record of an event is, and how a result is written in the same manner: plain, and CloudEvents.

Plain: the value is the record. CloudEvents 1.0 by the Kafka protocol binding: in binary mode the value is the record
and the attributes are headers (`ce_id`, …), in structured mode the value is the envelope and the record its `data`.
A record is JSON, or Avro where it begins with a byte 0, which no JSON does, or its content type says so. What it holds
is left to the readers.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from fivefold.core.errors import ContractError, FivefoldError, ProtocolError
from fivefold.stream.events import Event, Headers, header, without
from fivefold.stream.members import duplicate

CONTENT_TYPE = "content-type"
JSON = b"application/json"
STRUCTURED = b"application/cloudevents+json"
AVRO = b"application/avro"
_AVRO_TYPES: Final = (AVRO.decode(), "avro/binary")

PLAIN, BINARY, ENVELOPE = "plain", "binary", "structured"

RESULT_FORMATS: Final = ("same", "json", "cloudevents", "avro")
"""How results are written: as their events, as JSON, as CloudEvents with JSON, or in Avro."""

_ATTRIBUTES = ("specversion", "id", "source", "type")
_GONE = frozenset(
    {"specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "data", "data_base64"}
)
"""Members of an envelope that say something of its own event, and nothing of the result."""


@dataclass(frozen=True, slots=True)
class FoundRecord:
    """The record of an event, as JSON text or in Avro with its schema's id, and how the event was written;
    `extensions` are an envelope's other members."""

    record: bytes
    manner: str = PLAIN
    extensions: dict[str, msgspec.Raw] | None = None
    avro: bool = False

    def answered(self, form: str) -> FoundRecord:
        """The manner of its result where results are written in one of `RESULT_FORMATS`."""
        if form == "same":
            return self
        if form == "cloudevents":
            return replace(self, manner=BINARY if self.manner == PLAIN else self.manner, avro=False)
        return replace(self, manner=PLAIN, avro=form == "avro")


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def find(event: Event, *, avro: bool = False) -> FoundRecord | FivefoldError:
    """The event's record, or why there is none; `avro` says whether it may be Avro."""
    if event.value is None:
        return ContractError("malformed", "expected a record, got an event without a value (a tombstone)")
    media_type = _media_type(header(event.headers, CONTENT_TYPE))
    if media_type.startswith("application/cloudevents"):
        if media_type != "application/cloudevents+json":
            return ProtocolError(
                "unsupported_media_type", f"expected application/cloudevents+json, got {media_type[:128]!r}"
            )
        return _structured(event.value)
    named = media_type in _AVRO_TYPES
    if media_type and not _is_json(media_type) and not (avro and named):
        return ProtocolError(
            "unsupported_media_type",
            f"expected application/json{f' or {_AVRO_TYPES[0]}' if avro else ''}, got {media_type[:128]!r}",
            help="name the schema registry (--registry)" if named else None,
        )
    framed = not media_type and event.value[:1] == b"\0"
    if framed and not avro:
        return ContractError(
            "malformed", "expected JSON, got a byte 0 first", help="for Avro name the schema registry (--registry)"
        )
    in_avro = avro and (named or framed)
    if header(event.headers, "ce_specversion") is None:
        return FoundRecord(event.value, avro=in_avro)
    for name in _ATTRIBUTES:
        value = header(event.headers, f"ce_{name}")
        if not value:
            return ContractError("malformed", f"a CloudEvent without the header ce_{name}")
        if name == "specversion" and value != b"1.0":
            return ContractError("malformed", f"expected ce_specversion 1.0, got {_shown(value)}")
    return FoundRecord(event.value, BINARY, avro=in_avro)


def _structured(value: bytes) -> FoundRecord | FivefoldError:
    try:
        double = duplicate(value)
        members = _members.decode(value)
        raw = members.pop("data", None)
        whole = {name: msgspec.json.decode(each) for name, each in members.items()}
    except (ValueError, RecursionError, msgspec.MsgspecError) as err:
        return ContractError("malformed", f"not a CloudEvent in JSON: {err}"[:300])
    if double is not None:
        return ContractError("malformed", f"the member {double[:128]!r} of the CloudEvent stands there twice")
    for name in _ATTRIBUTES:
        if not isinstance(whole.get(name), str) or not whole[name]:
            return ContractError("malformed", f"expected text as {name} of the CloudEvent, got none")
    if whole["specversion"] != "1.0":
        return ContractError("malformed", f"expected specversion 1.0, got {whole['specversion'][:32]!r}")
    content = whole.get("datacontenttype")
    if content is not None and not (isinstance(content, str) and _is_json(_media_type(content.encode()))):
        return ProtocolError(
            "unsupported_media_type", f"expected datacontenttype application/json, got {content!r:.128}"
        )
    # As they stand there: every digit of a number stays.
    extensions = {name: each for name, each in members.items() if name not in _GONE}
    if raw is not None:
        if "data_base64" in whole:
            return ContractError("malformed", "expected either data or data_base64, got both")
        return FoundRecord(bytes(raw), ENVELOPE, extensions)
    if "data_base64" not in whole:
        return ContractError("malformed", "a CloudEvent without data")
    try:
        return FoundRecord(base64.b64decode(whole["data_base64"], validate=True), ENVELOPE, extensions)
    except (TypeError, ValueError, binascii.Error):
        return ContractError("malformed", "expected base64 as data_base64")


def write(
    found: FoundRecord, record: bytes, headers: Headers, identity: str, source: str, kind: str
) -> tuple[bytes, Headers]:
    """A result's value and headers, in the manner of `found`; `headers` are the event's own.

    `record` is Avro where `found` is. `identity`, `source` and `kind` become the CloudEvent's `id`, `source` and
    `type`.
    """
    content_type = AVRO if found.avro else JSON
    if found.manner == PLAIN:
        if header(headers, "ce_specversion") is not None:
            # They would call the result the event that it came from.
            headers = tuple(each for each in headers if not each[0].startswith("ce_"))
        return record, (*without(headers, (CONTENT_TYPE,)), (CONTENT_TYPE, content_type))
    if found.manner == BINARY:
        kept = without(headers, (CONTENT_TYPE, "ce_time", "ce_dataschema", *(f"ce_{name}" for name in _ATTRIBUTES)))
        made = zip(_ATTRIBUTES, ("1.0", identity, source, kind), strict=True)
        return record, (*kept, *((f"ce_{name}", text.encode()) for name, text in made), (CONTENT_TYPE, content_type))
    envelope = dict(zip(_ATTRIBUTES, ("1.0", identity, source, kind), strict=True))
    whole = envelope | {"datacontenttype": JSON.decode()} | (found.extensions or {}) | {"data": msgspec.Raw(record)}
    return msgspec.json.encode(whole), (*without(headers, (CONTENT_TYPE,)), (CONTENT_TYPE, STRUCTURED))


def _media_type(value: bytes | None) -> str:
    return "" if value is None else value.decode("latin-1").partition(";")[0].strip().lower()


def _is_json(media_type: str) -> bool:
    return media_type == "application/json" or (media_type.startswith("application/") and media_type.endswith("+json"))


def _shown(value: bytes) -> str:
    return repr(value[:32].decode("utf-8", "replace"))
