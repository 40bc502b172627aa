"""What an answer says of the contract version that it is of, and how a path may ask for one.

A request names its version by the header or gRPC metadata `x-contract-version` (`1.2.0` or `NAME@1.2.0`), or by a path
that begins with `/contracts/1.2.0`, for clients that can be given a base address but no header. Without either it is
answered under the bundle's default version. Where a model has several, the answer says which one it is of, what of the
request the model does not take, and, by RFC 9745 and RFC 8594, when the version is deprecated and may be gone.
"""

from __future__ import annotations

import datetime as dt
import re
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from fivefold.core.errors import ContractError

if TYPE_CHECKING:
    from fivefold.core.view import View, Views

ASKED: Final = "x-contract-version"
_ROW: Final = re.compile(r"(\[\d+\])+\Z")
IGNORED: Final = "x-contract-ignored"

PREFIX: Final = "/contracts/"

Mark = tuple[bytes, bytes]


def marks(view: View) -> tuple[Mark, ...]:
    """The headers of an answer under this view; on gRPC they are trailing metadata."""
    out: list[Mark] = [(ASKED.encode(), view.version.encode())]
    if view.ignored:
        out.append((IGNORED.encode(), ",".join(view.ignored).encode()))
    if view.deprecated is not None:
        out.append((b"deprecation", b"@%d" % round(_midnight(view.deprecated).timestamp())))
    if view.sunset is not None:
        out.append((b"sunset", format_datetime(_midnight(view.sunset), usegmt=True).encode()))
    return tuple(out)


def split(path: str) -> tuple[str | None, str]:
    """The version that a path asks for by its beginning, and the path without it."""
    if not path.startswith(PREFIX):
        return None, path
    version, slash, rest = path[len(PREFIX) :].partition("/")
    return (unquote(version), f"/{rest}") if slash and version else (None, path)


def other_version(error: ContractError, views: Views) -> ContractError:
    """The error, with the version in its help that has the field which the caller's does not know."""
    if error.code != "unknown_field" or len(views) == 1:
        return error
    name = _ROW.sub("", error.path).removeprefix("inputs.")
    for version, view in views.items():
        if any(name in (field.name, *field.aliases) for field in view.inputs):
            help = f"version {version} of the contract has it: {ASKED}: {version}"
            return ContractError(error.code, error.message, path=error.path, help=help, details=error.details)
    return error


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
