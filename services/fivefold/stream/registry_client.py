"""A schema registry, asked by Confluent's protocol, which Apicurio speaks below `/apis/ccompat/v7`.

    GET  /schemas/ids/N             the schema that an event names
    POST /subjects/S                whether a schema is there, and under which id
    POST /subjects/S/versions       it is there from now on

https://docs.confluent.io/platform/current/schema-registry/develop/api.html. An answer is either the registry's own
word, by its own codes, or it is none: whatever is away, slow, broken, not allowed or somebody else's page is no fault
of an event, and the same question may be asked again. Nothing is kept here, and nothing waits.
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote

import msgspec

from fivefold.core import redact
from fivefold.core.errors import AccessError, FivefoldError, RunFailed, Unavailable
from fivefold.core.redirects import NoRedirects
from fivefold.stream.registry_settings import RegistrySettings

MAX_BYTES: Final = 4 << 20
"""Of an answer; a schema is shorter (`avro_schema.MAX_CHARACTERS`)."""

_JSON: Final = "application/vnd.schemaregistry.v1+json"
_NO_SCHEMA: Final = 40403
_NOT_THERE: Final = (40401, 40402, _NO_SCHEMA)
"""Subject, version and schema. A 404 without one of them says that the address is not a registry's."""
_CHUNK: Final = 65_536


@dataclass(frozen=True, slots=True)
class RegisteredSchema:
    """A schema as the registry has it."""

    text: str
    kind: str = "AVRO"
    """`AVRO`, `PROTOBUF`, `JSON`."""

    references: bool = False
    """Whether it is not whole without others."""

    too_long: bool = False
    """Whether it is longer than what is read of an answer; then there is no text."""


class _Answer(msgspec.Struct):
    schema: str = ""
    schema_type: str | None = msgspec.field(name="schemaType", default=None)
    references: list[Any] | None = None
    id: int | None = None
    error_code: int | None = None
    message: str = ""


class SchemaRegistry:
    """Asks one registry. Used by one thread."""

    def __init__(self, settings: RegistrySettings) -> None:
        """Raises `SettingsError` where its files cannot be read."""
        self._settings = settings
        self._url = settings.registry_url.rstrip("/")
        self._decoder = msgspec.json.Decoder(_Answer)
        # Who we are is for the registry's address alone.
        handlers: list[Any] = [NoRedirects]
        if self._url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=settings.tls()))
        self._opener = urllib.request.build_opener(*handlers)
        settings.authorization()

    def schema(self, number: int) -> RegisteredSchema | None:
        """The schema of that id, None where there is none. Raises `Unavailable` and `AccessError`."""
        status, found = self._ask("GET", f"/schemas/ids/{number}")
        if status == 404 and found is not None and found.error_code == _NO_SCHEMA:
            return None
        if status != 200:
            raise self._away(f"it answers {status}")
        if found is None:
            return RegisteredSchema("", too_long=True)
        if not found.schema:
            self._no_registry("an answer without a schema")
        return RegisteredSchema(found.schema, found.schema_type or "AVRO", bool(found.references))

    def register(self, subject: str, schema: str) -> int:
        """The id of an Avro schema under a subject, which gets it where it has it not.

        It is looked up first: whoever may only read finds what others have registered. Raises `Unavailable`,
        `AccessError`, and `RunFailed(run_conflict)` where the subject's rules refuse it.
        """
        body = {"schema": schema}
        status, found = self._ask("POST", f"/subjects/{quote(subject, safe='')}", body)
        if status == 404:
            status, found = self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", body)
        if found is not None and status in (409, 422):
            raise RunFailed(
                "run_conflict",
                f"the schema registry refuses the schema of the results for the subject {subject!r}: "
                f"{redact.text(found.message)[:300]}",
                help="write them to another topic, allow the change there, or write JSON (--result-format json)",
            )
        if found is None or found.id is None or not 0 <= found.id < 2**31:
            self._no_registry("an answer without an id")
        return found.id

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, _Answer | None]:
        """The status, 200, 404, 409 or 422, and the answer, None for one that is too long."""
        headers = {"accept": f"{_JSON}, application/json", "user-agent": "fivefold", "accept-encoding": "identity"}
        if authorization := self._settings.authorization():
            headers["authorization"] = authorization
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            headers["content-type"] = _JSON
        request = urllib.request.Request(self._url + path, data, headers, method=method)  # noqa: S310  # http or https: see the settings
        seconds = self._settings.registry_timeout
        until = time.monotonic() + seconds
        try:
            try:
                answer = self._opener.open(request, timeout=seconds)
            except urllib.error.HTTPError as error:
                answer = error
            with answer:
                text = _whole(answer, until)
                is_json = answer.headers.get_content_type().endswith("json")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._away(_reason(error)) from None
        if text is None and not is_json:
            self._no_registry(f"{answer.status}, and a long page")
        return self._understood(answer.status, text)

    def _understood(self, status: int, text: bytes | None) -> tuple[int, _Answer | None]:
        if status in (401, 403):
            code = "unauthenticated" if status == 401 else "forbidden"
            raise AccessError(code, f"the schema registry at {self._url} answers {status}", help=_ACCESS)
        if status not in (200, 404, 409, 422):
            raise self._away(f"it answers {status}")
        if text is None:
            if status == 200:
                return status, None
            raise self._away(f"it answers {status}, and more than {MAX_BYTES:,} bytes")
        try:
            found = self._decoder.decode(text)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            self._no_registry(f"{status}, and no JSON of a registry's")
        if status == 404 and found.error_code not in _NOT_THERE:
            self._no_registry("404, and not in a registry's words")
        return status, found

    def _no_registry(self, what: str) -> NoReturn:
        raise self._away(
            f"it gives {what}",
            help="the URL ends where /schemas and /subjects begin: of Apicurio, with /apis/ccompat/v7",
        )

    def _away(self, why: str, help: str | None = None) -> FivefoldError:
        return Unavailable("not_ready", f"the schema registry at {self._url} does not answer: {why}", help=help)


_ACCESS: Final = (
    "name who asks: FIVEFOLD_REGISTRY_USERNAME with FIVEFOLD_REGISTRY_PASSWORD_FILE, or FIVEFOLD_REGISTRY_TOKEN_FILE"
)


def _whole(answer: Any, until: float) -> bytes | None:
    """The body; None for one that is too long. Raises `TimeoutError` for one that comes too slowly."""
    parts, size = [], 0
    while chunk := answer.read1(_CHUNK):
        size += len(chunk)
        if size > MAX_BYTES:
            return None
        if time.monotonic() > until:
            raise TimeoutError
        parts.append(chunk)
    if answer.length:
        raise http.client.IncompleteRead(b"")
    return b"".join(parts)


def _reason(error: Exception) -> str:
    reason: Any = getattr(error, "reason", None) or error
    verify = getattr(reason, "verify_message", None)
    if verify:
        return f"its certificate is not trusted: {verify}"
    if isinstance(reason, TimeoutError):
        return "no answer in time"
    # Its text may quote what the server said.
    return getattr(reason, "strerror", None) or type(reason).__name__
