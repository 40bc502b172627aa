"""What names say: hidden ones, partitions, patterns; and what a search has found.

The same for a disk and an object store, which are walked by `listing` and `buckets`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import unquote

from fivefold.core.errors import ContractError

HIDDEN = ("_", ".")

REPORT, LEDGER, SUCCESS, QUARANTINE = "run.json", "_ledger", "_SUCCESS", "quarantine"
SPARK_LOG = "_spark_metadata"

_HIVE = re.compile(r"([^=/]+)=([^/]*)\Z")
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(slots=True)
class Found:
    """Files so far, each with whether a pattern names it rather than its directory; and paths that are passed over."""

    files: dict[str, bool] = field(default_factory=dict)
    passed: dict[str, str] = field(default_factory=dict)
    plain: set[str] = field(default_factory=set)
    """Directories that are no table's."""
    added: int = 0
    """How often a file was added."""

    def add(self, path: str, *, named: bool) -> None:
        """One more file."""
        undecodable(path)
        self.files[path] = named or self.files.get(path, False)
        self.added += 1

    def pass_over(self, path: str, reason: str) -> None:
        """A path that is not read."""
        shown = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        self.passed.setdefault(shown, reason)


def hidden(name: str) -> bool:
    """Whether a name is no data by the custom of Hadoop; a partition's key may begin with an underscore."""
    return name[:1] in HIDDEN and not _HIVE.match(name)


def partitions(url: str) -> dict[str, str | None]:
    """The values that the directories of a path give, as Hive writes them; null is None."""
    out: dict[str, str | None] = {}
    for part in PurePosixPath(url).parts[:-1]:
        match = _HIVE.match(part)
        if match is not None:
            value = unquote(match[2])
            out[unquote(match[1])] = None if value == _NULL else value
    return out


def undecodable(path: str) -> None:
    """Refuse a name that is no UTF-8: neither a report nor a record could say it."""
    try:
        path.encode()
    except UnicodeEncodeError as err:
        # A surrogate that stands for no byte is no name of a file, but may have been asked for.
        escaped = all("\udc80" <= each <= "\udcff" for each in path if "\ud800" <= each <= "\udfff")
        raw = path.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
        shown = raw.decode("utf-8", "backslashreplace")
        raise ContractError("not_utf8", "the name is not UTF-8", path=shown, help="rename it") from err


def matcher(pattern: str) -> re.Pattern[str]:
    """A pattern of paths as a regular expression: `*` and `?` stay within a folder, `**/` is any number of them."""
    out, at = "", 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            out, at = out + "(?:[^/]+/)*", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "[" and "]" in pattern[at + 2 :]:
            end = pattern.index("]", at + 2)
            inside = pattern[at + 1 : end].replace("\\", r"\\")
            out, at = out + f"[{'^' + inside[1:] if inside[0] == '!' else inside}]", end + 1
        else:
            out += {"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at]))
            at += 1
    return re.compile(out, re.DOTALL)
