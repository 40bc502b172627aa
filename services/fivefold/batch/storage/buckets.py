"""What patterns match in an object store: every object once, and every key that is passed over with the reason.

The same rules as for a disk (`listing`), over one list of keys. Formats, sizes and identities are left to `sources`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fivefold.batch.storage.folder_logs import FolderLogs
from fivefold.batch.storage.names import HIDDEN, LEDGER, SPARK_LOG, SUCCESS, Found, hidden, matcher
from fivefold.stores import object_store

_WILD = re.compile(r"[*?\[]")


def objects(pattern: str, found: Found, allow_http: bool) -> dict[str, Any]:
    """Add what a pattern matches to `found`; the store's items by URL."""
    scheme, bucket, key = object_store.split(pattern)
    wild = _WILD.search(key)
    # Stores list by whole segments of a path.
    prefix = key[: wild.start()].rpartition("/")[0] if wild else key.rstrip("/")
    root = f"{scheme}://{bucket}"
    with object_store.speaking_of(pattern):
        store = object_store.store(pattern, allow_http)
        if not wild and key and not key.endswith("/"):
            try:
                item = store.head(key)
            except FileNotFoundError:
                pass
            else:
                found.add(f"{root}/{key}", named=True)
                return {f"{root}/{key}": item}
        items = {item["path"]: item for some in store.list(prefix or None, chunk_size=1000) for item in some}
        return _KeyWalk(found, store, root, prefix, key if wild else "", items).matching()


class _KeyWalk:
    """One pattern's way through a list of keys."""

    def __init__(
        self, found: Found, store: Any, root: str, prefix: str, pattern: str, items: Mapping[str, Any]
    ) -> None:
        self.found, self.store, self.root, self.prefix, self.pattern = found, store, root, prefix, pattern
        self.items = items
        self._logs = FolderLogs(found)
        self._folders: dict[str, _Prefix] = {}

    def matching(self) -> dict[str, Any]:
        """The items that are taken."""
        out = {}
        matches = matcher(self.pattern) if self.pattern else None
        spelled = {part[0] for part in self.pattern.split("/") if part[:1] in HIDDEN}
        for key in sorted(self.items):
            parts = key.split("/")
            ends = range(1, len(parts) + 1)
            end = next((end for end in ends if matches and matches.fullmatch("/".join(parts[:end]))), 0)
            if matches and not end:
                continue
            first = len([part for part in self.prefix.split("/") if part])
            reason = self._reason(parts, first, end, spelled)
            if reason == "":
                continue
            if reason is not None:
                self.found.pass_over(f"{self.root}/{key}", reason)
                continue
            self._logs.refuse_table(self.folder("/".join(parts[:-1])))
            self.found.add(f"{self.root}/{key}", named=end == len(parts))
            out[f"{self.root}/{key}"] = self.items[key]
        return out

    def _reason(self, parts: list[str], first: int, end: int, spelled: set[str]) -> str | None:
        """Why a key is passed over, empty for one that only makes a directory; None where it is not."""
        if (not parts[-1] or parts[-1].endswith("_$folder$")) and not self.items["/".join(parts)]["size"]:
            return ""
        for at in range(first, len(parts)):
            part = parts[at]
            # What the pattern spells with its first letter is wanted.
            if hidden(part) and not (at < end and part[0] in spelled):
                return "hidden"
            log = self._logs.of(self.folder("/".join(parts[:at])))
            reason = None if log is None else log.reason(part, file=at == len(parts) - 1)
            if reason is not None:
                return reason
        return None

    def folder(self, key: str) -> _Prefix:
        """A prefix by its key without the `/` behind it."""
        if key not in self._folders:
            self._folders[key] = _Prefix(self, key)
        return self._folders[key]


class _Prefix:
    """A prefix as `folder_logs` wants it."""

    def __init__(self, walk: _KeyWalk, key: str) -> None:
        self._walk, self._key = walk, key
        self._start = f"{key}/" if key else ""
        self.url = f"{walk.root}/{key}".rstrip("/")
        self.name = key.rpartition("/")[2]

    @property
    def parent(self) -> _Prefix | None:
        """The prefix above; that of the bucket itself has none."""
        return self._walk.folder(self._key.rpartition("/")[0]) if self._key else None

    @property
    def logged(self) -> bool:
        """Whether the list has keys of a log."""
        start, items = self._start, self._walk.items
        return f"{start}{LEDGER}/plan.json" in items or any(key.startswith(f"{start}{SPARK_LOG}/") for key in items)

    @property
    def holds_answers(self) -> bool:
        """Whether a run has finished here."""
        items = self._walk.items
        return f"{self._start}{LEDGER}/plan.json" in items and f"{self._start}{SUCCESS}" in items

    def read(self, name: str) -> bytes | None:
        """An object's bytes."""
        try:
            return bytes(self._walk.store.get(f"{self._start}{name}").bytes())
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """The names below a prefix: of the list, or of the store where the list does not reach so far up."""
        start = f"{self._start}{folder}/"
        if start.startswith(f"{self._walk.prefix}/" if self._walk.prefix else ""):
            return sorted(key[len(start) :] for key in self._walk.items if key.startswith(start))
        found = self._walk.store.list_with_delimiter(start)["objects"]
        return sorted(item["path"].rpartition("/")[2] for item in found)
