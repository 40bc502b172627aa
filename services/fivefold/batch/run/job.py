"""A run described as data: what another process is given to run exactly what was asked for here.

One JSON object, in one argument: the order, every setting, who wrote it, and, where the input could be seen by who
wrote it, the digest of what it is. So no setting is lost on the way, none of the other side's variables changes one,
and which versions the two sides have does not matter as long as the one that runs knows every member. How bundles are
fetched, and whose signature they need, stays the matter of the machine that fetches them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from importlib import metadata
from typing import Any

import msgspec

from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.run.preparation import RunOrder
from fivefold.core.errors import RunFailed, first_line

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Job:
    """A run to do. `expected` is what `plan.asked` has to give for its bundle and its input, if it is not empty."""

    order: RunOrder
    settings: BatchSettings
    expected: str = ""

    def to_json(self) -> str:
        """As it travels."""
        members = {
            "format": FORMAT,
            "fivefold": _version(),
            "order": asdict(self.order),
            "settings": asdict(self.settings),
            "expected": self.expected,
        }
        return msgspec.json.encode(members).decode()

    @classmethod
    def from_json(cls, text: str) -> Job:
        """As it was described. Raises `RunFailed` `run_conflict` for what is none, or has a member that this version of
        fivefold does not know."""
        try:
            members = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.MsgspecError, ValueError, RecursionError) as err:
            raise _refused(f"expected a run as JSON, {first_line(err)}") from err
        theirs = str(members.pop("fivefold", "an unnamed version"))
        format = members.pop("format", None)
        if format != FORMAT:
            raise _refused(_versions(theirs, f"a run is told in format {format}, and here in format {FORMAT}"))
        parts = {name: members.pop(name, {}) for name in ("order", "settings")}
        expected = members.pop("expected", "")
        unknown = list(members)
        for name, known in (("order", RunOrder), ("settings", BatchSettings)):
            if not isinstance(parts[name], dict):
                raise _refused(f"{name}: expected an object")
            unknown += [f"{name}.{each}" for each in parts[name].keys() - {field.name for field in fields(known)}]
        if unknown:
            raise _refused(_versions(theirs, f"it names {', '.join(sorted(unknown))}, which is not known here"))
        try:
            return cls(
                msgspec.convert(parts["order"], RunOrder),
                msgspec.convert(parts["settings"], BatchSettings),
                msgspec.convert(expected, str),
            )
        except msgspec.MsgspecError as err:
            raise _refused(_versions(theirs, first_line(err))) from err


def _versions(theirs: str, what: str) -> str:
    return f"the run was told by fivefold {theirs}, and this is fivefold {_version()}: {what}"


def _refused(message: str) -> RunFailed:
    return RunFailed("run_conflict", message, help="submit with the version of fivefold that the cluster has")


def _version() -> str:
    try:
        return metadata.version("fivefold")
    except metadata.PackageNotFoundError:
        return "unknown"
