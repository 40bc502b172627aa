"""The models that a process serves, by name and version, and what each has done.

Opening bundles and building scorers is left to the host; answering with them to `fivefold.serving.dataplane`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fivefold.core.errors import NotFound
from fivefold.core.fields.suggestion import nearest
from fivefold.serving.contract_version import marks

if TYPE_CHECKING:
    from fivefold.core.bundle.bundle import Bundle
    from fivefold.core.runtime.scorer import Scorer
    from fivefold.core.view import View


@dataclass(slots=True)
class Statistics:
    """What a model has done since it was loaded; times in nanoseconds, `last` in milliseconds since 1970."""

    succeeded: int = 0
    failed: int = 0
    rows: int = 0
    last: int = 0
    success_ns: int = 0
    fail_ns: int = 0
    queue_ns: int = 0
    check_ns: int = 0
    score_ns: int = 0
    encode_ns: int = 0


class Model:
    """One version of a model as it is served: its bundle, its scorer and its contract as callers see it."""

    def __init__(self, bundle: Bundle, scorer: Scorer) -> None:
        self.name = bundle.name
        self.version = bundle.version
        self.bundle = bundle
        self.scorer = scorer
        self.contract = bundle.contract
        self.views = bundle.views
        """How it looks under each contract version that it answers."""

        self.view = self.views.default
        """Its default one, for callers that name no version."""

        self.statistics = Statistics()
        self.metadata: dict[str, str] = {
            "model": self.name,
            "version": self.version,
            "bundle": bundle.digest,
            "contract": self.view.name,
        }
        self.marks = {view: marks(view) for view in self.views.values()} if len(self.views) > 1 else {}
        """What answers say of their contract version: nothing where callers have no choice."""

    def view_of(self, asked: str | None) -> View:
        """How the model looks to a caller of that contract version; raises `ProtocolError` `contract_unsupported`."""
        return self.view if asked is None else self.views.find(asked)


class Repository:
    """The models that a process serves, by name and version, with a default version for each name."""

    def __init__(self, models: Iterable[Model], *, defaults: Mapping[str, str] | None = None) -> None:
        """`defaults` names the version that answers when none is asked for; otherwise it is the highest.

        Raises `ValueError` for the same name and version twice, or a default that is not there.
        """
        self._models: dict[str, dict[str, Model]] = {}
        for model in models:
            versions = self._models.setdefault(model.name, {})
            if model.version in versions:
                raise ValueError(f"model {model.name!r} version {model.version!r} is given twice")
            versions[model.version] = model
        self._defaults: dict[str, Model] = {}
        for name, versions in self._models.items():
            wanted = (defaults or {}).get(name) or max(versions, key=_order)
            if wanted not in versions:
                raise ValueError(f"model {name!r} has no version {wanted!r} to be its default")
            self._defaults[name] = versions[wanted]
        for name in defaults or {}:
            if name not in self._models:
                raise ValueError(f"no model {name!r} to have a default version")

    def find(self, name: str, version: str | None = None) -> Model:
        """The model of that name, in that version or its default one; raises `NotFound`."""
        try:
            return self._models[name][version] if version else self._defaults[name]
        except KeyError:
            pass
        shown = name[:128]
        if name not in self._models:
            raise NotFound("model_not_found", f"no model {shown!r} is served here", help=nearest(name, self._models))
        served = ", ".join(self.versions(name))
        raise NotFound(
            "version_not_found", f"model {shown!r} has no version {(version or '')[:64]!r}", help=f"versions: {served}"
        )

    def names(self) -> list[str]:
        """The names, in the order given."""
        return list(self._models)

    def versions(self, name: str) -> list[str]:
        """A model's versions, lowest first; raises `NotFound`."""
        self.find(name)
        return sorted(self._models[name], key=_order)

    def default(self, name: str) -> str:
        """The version that answers when none is asked for; raises `NotFound`."""
        return self.find(name).version

    def __iter__(self) -> Iterator[Model]:
        return (model for versions in self._models.values() for model in versions.values())


def _order(version: str) -> list[tuple[int, int, str]]:
    """Numbers by value, so that 10 comes after 9; everything else as text."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"[.+\-]", version)]
