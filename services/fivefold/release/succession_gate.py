"""What the callers of the models that are served now would lose, were others served in their place.

    contract   of each model that is served now: callers who name no version get answers that they can read, and every
               contract version that is answered now stays so, by default and for each version of a model that is kept
    removal    no model that is served now is missing

What is served is told by whoever knows it; opening the new models, and acting on what is found, is left to them too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fivefold.core.contract.contract import Contract
from fivefold.core.errors import FivefoldError, NotFound, ProtocolError
from fivefold.core.view import Views
from fivefold.evolution.succession import named_break, unnamed_break
from fivefold.serving.repository import Repository

Verdict = Literal["ok", "accepted", "refused"]


@dataclass(frozen=True, slots=True)
class ReleaseFinding:
    """One thing that was looked at; `error` is there where it was refused."""

    subject: str
    verdict: Verdict
    says: str
    error: FivefoldError | None = None

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"subject": self.subject, "verdict": self.verdict, "says": self.says}
        if self.error is not None:
            out |= self.error.to_json()
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What whoever releases has decided to accept; names of models."""

    contract_changes: Collection[str] = ()
    removals: Collection[str] = ()
    unreachable: bool = False
    """Go ahead although nobody can say what is served now."""


@dataclass(frozen=True, slots=True)
class ServedContracts:
    """The contract versions that a version of a model answers now."""

    default: Contract
    """For callers that name none."""
    versions: Mapping[str, Contract]


@dataclass(frozen=True, slots=True)
class Live:
    """What is served now: for each model what its versions answer, and under None what its default version does."""

    models: Mapping[str, Mapping[str | None, ServedContracts]]

    @classmethod
    def of(cls, models: Repository) -> Live:
        """What a process serves."""
        return cls(
            {
                name: {None: _contracts(models.find(name).views)}
                | {version: _contracts(models.find(name, version).views) for version in models.versions(name)}
                for name in models.names()
            }
        )

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """As JSON values, for another process."""
        return {
            name: [
                {
                    "version": version,
                    "default": served.default.version,
                    "contracts": [contract.to_json() for contract in served.versions.values()],
                }
                for version, served in versions.items()
            ]
            for name, versions in self.models.items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Iterable[Mapping[str, Any]]]) -> Live:
        """What `to_json` gave."""
        return cls({name: {each["version"]: _read(each) for each in versions} for name, versions in values.items()})


def judge_release(live: Live, models: Repository, accepted: Accepted) -> list[ReleaseFinding]:
    """All findings on models that are to be served in place of what is served now, in the order of their names."""
    findings = [each for name, served in live.models.items() for each in _compare(name, served, models, accepted)]
    return findings + [ReleaseFinding(name, "ok", "is new") for name in models.names() if name not in live.models]


def _contracts(views: Views) -> ServedContracts:
    return ServedContracts(views.default.contract, {version: view.contract for version, view in views.items()})


def _read(values: Mapping[str, Any]) -> ServedContracts:
    contracts = {each["version"]: Contract.from_json(each) for each in values["contracts"]}
    return ServedContracts(contracts[values["default"]], contracts)


def _compare(
    name: str, served: Mapping[str | None, ServedContracts], models: Repository, accepted: Accepted
) -> Iterable[ReleaseFinding]:
    if name not in models.names():
        says = "is served, the release does not have it"
        if name in accepted.removals:
            return [ReleaseFinding(name, "accepted", says)]
        return [refusal(name, NotFound("model_not_found", says, help=f"if that is meant: --accept-removal {name}"))]
    found: list[ReleaseFinding] = []
    for version, contracts in served.items():
        if version is not None and version not in models.versions(name):
            continue
        subject = name if version is None else f"{name}@{version}"
        views = models.find(name, version).views
        found.append(_unnamed(name, subject, contracts.default, views.default.contract, accepted))
        found += (_named(name, subject, contract, views, accepted) for contract in contracts.versions.values())
    return found


def _unnamed(name: str, subject: str, served: Contract, released: Contract, accepted: Accepted) -> ReleaseFinding:
    """What the release means to callers that name no version."""
    if served == released:
        return ReleaseFinding(subject, "ok", "answers under the contract that is served")
    breaks = unnamed_break(served, released)
    if breaks is None:
        says = f"answers under {released.version}, and callers of {served.version} break nowhere"
        return ReleaseFinding(subject, "ok", says)
    help = f"fivefold pack --replaces OLD, or, if callers are ready: --accept-contract-change {name}"
    return _judged(name, subject, breaks, help, accepted)


def _named(name: str, subject: str, served: Contract, views: Views, accepted: Accepted) -> ReleaseFinding:
    """What it means to callers that name the version that they have now."""
    subject = f"{subject}, contract {served.version}"
    view = views.get(served.version)
    if view is None:
        breaks = named_break(served, views.own.contract)
        because = f", and cannot be: {breaks}" if breaks else ""
        says = f"is answered now, the release answers {', '.join(views)}{because}"
        help = f"fivefold pack --answers OLD, or, if callers are ready: --accept-contract-change {name}"
        return _judged(name, subject, says, help, accepted)
    if view.contract == served:
        return ReleaseFinding(subject, "ok", "is answered as it is now")
    broken = named_break(served, view.contract)
    if broken is None:
        return ReleaseFinding(subject, "ok", "changes without another version, and its callers break nowhere")
    help = f"give the changed contract a version of its own, or, if callers are ready: --accept-contract-change {name}"
    return _judged(name, subject, broken, help, accepted)


def _judged(name: str, subject: str, says: str, help: str, accepted: Accepted) -> ReleaseFinding:
    if name in accepted.contract_changes:
        return ReleaseFinding(subject, "accepted", f"the contract changes: {says}")
    return refusal(subject, ProtocolError("contract_unsupported", f"the contract changes: {says}", help=help))


def refusal(subject: str, err: FivefoldError) -> ReleaseFinding:
    return ReleaseFinding(subject, "refused", str(err), err)
