"""Answers that are not ours: what another server, or something on the way to ours, has said, in one sentence.

Sentences name the address (without what may be secret in it), the status and the first words of the body: the text of
other servers' errors is kept, and a page of HTML is read for its words. Which code stands for a status is left to the
dialects.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urljoin

import msgspec
from google.protobuf.message import DecodeError

from fivefold.core import redact
from fivefold.core.errors import CODES, FivefoldError, InternalError, NotFound

MOST: Final = 200
"""Characters of another server's text that a sentence quotes."""

_READ: Final = 4096
"""Bytes of a body that are looked at for its words."""

_OURS: Final = "is this the address of a Fivefold server, and its path the part before /v1 and /v2?"

_UNSEEN = re.compile(r"<(head|style|script)\b.*?</\1\s*>|<!--.*?-->", re.DOTALL | re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>(.{1,400}?)</title", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,2000}>")
_MEMBERS: Final = ("error", "detail", "message", "msg", "reason", "info", "error_description", "title", "faultstring")
_AROUND: Final = ("errors", "status", "fault")


def is_ours(body: Any) -> bool:
    """Whether a JSON value is an error body of this product."""
    return isinstance(body, dict) and isinstance(body.get("error"), str) and body.get("code") in CODES


def summary(body: bytes | str) -> str:
    """What a body says, in at most `MOST` characters of one line; empty where it says nothing."""
    if isinstance(body, bytes | bytearray | memoryview):
        head = bytes(body[:_READ])
        try:
            value = msgspec.json.decode(body) if head[:1] in b'{["' or len(body) <= _READ else None
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            value = None
        words = _words(value) if isinstance(value, dict | list | str) else ""
        text = words or head.decode("utf-8", "replace")
        if not words and sum(not (letter.isprintable() or letter.isspace()) for letter in text[:MOST]) > MOST // 10:
            return f"{len(body)} bytes that are no text"
    else:
        text = body
    if re.match(r"\s*<[a-z!?]", text, re.IGNORECASE):
        title = _TITLE.search(text)
        seen = _TAG.sub(" ", _UNSEEN.sub(" ", text))
        text = f"{title[1]}: {seen}" if title and title[1].strip() not in seen else seen
    text = " ".join(text.split()).strip(" :")
    return text if len(text) <= MOST else f"{text[: MOST - 1]}…"


def _words(value: Any, depth: int = 0) -> str:
    """The sentence in another server's JSON: `error`, FastAPI's `detail`, a problem's `title`, and their like."""
    if isinstance(value, str):
        return value
    if depth > 3:
        return ""
    if isinstance(value, list):
        return "; ".join(filter(None, (_words(item, depth + 1) for item in value[:4])))
    if not isinstance(value, dict):
        return ""
    place = value.get("loc")
    where = ".".join(str(part) for part in place[:8]) + ": " if isinstance(place, list) and place else ""
    found = dict.fromkeys(filter(None, (_words(value.get(name), depth + 1) for name in _MEMBERS)))
    if not found:
        found = dict.fromkeys(filter(None, (_words(value.get(name), depth + 1) for name in _AROUND)))
    code = value.get("code")
    tail = f" ({code})" if found and isinstance(code, str) and code not in found else ""
    return f"{where}{': '.join(found)}{tail}" if found else ""


def answered(source: str, status: str, body: bytes | str) -> str:
    """The sentence of an error answer."""
    text = summary(body)
    return f"{source or 'the server'} answered {status}{f': {text}' if text else ', without a word'}"


def phrase(status: int) -> str:
    """`404 Not Found`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def redirected(source: str, status: int, location: str) -> NotFound:
    """The error of a redirect: where it leads may be another server, which was not asked for and gets no key."""
    to = f" to {redact.address(urljoin(source, location))}" if location else ""
    return NotFound(
        "not_found",
        f"{source or 'the server'} answered {phrase(status)}, a redirect{to}",
        help="give the client the address that answers; redirects are not followed, since a key travels with a call",
    )


def unreadable(source: str, status: str, body: bytes | str, why: str) -> FivefoldError:
    """The error of an answer that says that all is well, and is none of ours."""
    text = summary(body)
    sentence = f"{source or 'the server'} answered {status}, but {why}"
    sentence += f"; it says: {text}" if text else "; it has no body"
    raw = body[:_READ].encode() if isinstance(body, str) else bytes(body[:_READ])
    if raw.lstrip()[:1] == b"<":
        return NotFound("not_found", sentence, help=_OURS)
    return InternalError("internal", sentence, help=_OURS)


@contextmanager
def reading(source: str, status: str, body: bytes | str) -> Iterator[None]:
    """Whatever cannot be read in an answer inside is the answer's fault, and is said so."""
    try:
        yield
    except Misread as err:
        raise unreadable(source, status, body, str(err)) from err
    except (
        msgspec.MsgspecError, DecodeError, FivefoldError, LookupError, TypeError, ValueError, AttributeError,
        ArithmeticError, RecursionError,
    ) as err:  # fmt: skip
        raise unreadable(source, status, body, f"what came cannot be read ({_first(err)})") from err


class Misread(Exception):
    """An answer lacks what it should have; the text says what."""


def _first(err: BaseException) -> str:
    text = str(err).strip()
    return f"{type(err).__name__}: {text.splitlines()[0][:80]}" if text else type(err).__name__
