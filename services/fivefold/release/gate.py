"""Whether a release may replace what is served: every bundle opens and answers, and no caller loses what it has.

    bundle     fetched by its digest, signature with trusted keys, golden rows answered by the runtime installed here
    models     together what a server would serve: no version twice, defaults that exist
    contract   of each model that is served now: callers who name no version get answers that they can read, and every
               contract version that is answered now stays so, by default and for each version of a model that is kept
    removal    no model that is served now is missing
    behaviour  where it is asked for: answers are those of the bundle before, as far as bounds allow

Nothing is changed anywhere. Acting on the report is left to whoever asked for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from fivefold.client import Client
from fivefold.core import redact
from fivefold.core.contract.contract import Contract
from fivefold.core.errors import (
    BundleInvalid,
    ContractInvalid,
    FivefoldError,
    Interrupted,
    NotFound,
    ProtocolError,
    Unavailable,
)
from fivefold.core.runtime.scorer import Scorer
from fivefold.core.view import Views
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.evolution.succession import named_break, unnamed_break
from fivefold.release.behaviour_gate import BehaviourCheck, compare_behaviour
from fivefold.serving.repository import Model, Repository

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


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, in the order in which they were made."""

    findings: tuple[ReleaseFinding, ...]

    @property
    def error(self) -> FivefoldError | None:
        """The first refusal; None for a release that may go ahead."""
        return next((finding.error for finding in self.findings if finding.error is not None), None)

    def to_json(self) -> dict[str, Any]:
        return {"ok": self.error is None, "findings": [finding.to_json() for finding in self.findings]}


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


def check(
    references: Sequence[str],
    against: str,
    *,
    defaults: Mapping[str, str] | None = None,
    accepted: Accepted | None = None,
    delivery: DeliverySettings | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 30.0,
    behaviour: BehaviourCheck | None = None,
) -> Report:
    """Hold the bundles of `references` against the service at the URL `against`.

    `defaults` names the versions that will answer when none is asked for. `headers` go with every question to the
    service, which has `timeout` seconds for each. `behaviour` compares the answers with those of another bundle. Raises
    `ValueError` for a URL that no client can use; everything else is in the report.
    """
    accepted = accepted or Accepted()
    findings: list[ReleaseFinding] = []
    models = _open(references, delivery or DeliverySettings(), defaults or {}, findings)
    if models is not None and behaviour is not None:
        subject, says, error = compare_behaviour(models, behaviour, delivery or DeliverySettings())
        findings.append(ReleaseFinding(subject, "refused" if error else "ok", says, error))
    live = _ask(against, headers or {}, timeout, accepted, findings)
    if models is not None and live is not None:
        for name, served in live.models.items():
            findings += _compare(name, served, models, accepted)
        findings += (ReleaseFinding(name, "ok", "is new") for name in models.names() if name not in live.models)
    return Report(tuple(findings))


def _open(
    references: Iterable[str], delivery: DeliverySettings, defaults: Mapping[str, str], findings: list[ReleaseFinding]
) -> Repository | None:
    """The models as a server would have them; None where one of them must not be served."""
    models: list[Model] = []
    whole = True
    for text in references:
        subject = redact.address(text)
        try:
            reference = Reference.parse(text)
            subject = reference.shown
            bundle = fetch(reference, delivery)
            scorer = Scorer.open(bundle)
        except FivefoldError as err:
            findings.append(_refused(subject, err))
            whole = False
            continue
        scorer.close()
        models.append(Model(bundle, scorer))
        signed = f", signed by {bundle.signer[:16]}…" if bundle.signer else ""
        says = f"bundle {bundle.digest[:16]}… opens, {bundle.golden()[0].rows} golden rows answered{signed}"
        findings.append(ReleaseFinding(f"{bundle.name}@{bundle.version}", "ok", says))
    try:
        return Repository(models, defaults=defaults) if whole else None
    except ValueError as err:
        findings.append(_refused("models", BundleInvalid(str(err))))
        return None


def _ask(
    against: str, headers: Mapping[str, str], timeout: float, accepted: Accepted, findings: list[ReleaseFinding]
) -> Live | None:
    try:
        with Client(against, headers=headers, timeout=timeout) as client:
            models: dict[str, dict[str | None, ServedContracts]] = {}
            for entry in client.models():
                name, version = entry["name"], entry["version"]
                known = models.setdefault(name, {None: _served(client, name, None)})
                known[version] = _served(client, name, version)
            return Live(models)
    except (Unavailable, Interrupted) as err:
        if accepted.unreachable:
            findings.append(ReleaseFinding(against, "accepted", f"what is served now is not known: {err.message}"))
            return None
        help = "--allow-unreachable, if nothing is served there that anybody calls"
        family = type(err)
        findings.append(
            _refused(against, family(err.code, f"what is served now is not known: {err.message}", help=help))
        )
    except (msgspec.MsgspecError, LookupError, TypeError, ContractInvalid) as err:
        findings.append(_refused(against, ProtocolError("not_acceptable", f"this is not how Fivefold answers: {err}")))
    except FivefoldError as err:
        findings.append(_refused(against, err))
    return None


def _served(client: Client, name: str, version: str | None) -> ServedContracts:
    default = client.contract(name, version)
    versions = client.contracts(name, version) or [default.version]
    others = {each: client.contract(name, version, contract=each) for each in versions if each != default.version}
    return ServedContracts(default, {default.version: default} | others)


def _compare(
    name: str, served: Mapping[str | None, ServedContracts], models: Repository, accepted: Accepted
) -> Iterable[ReleaseFinding]:
    if name not in models.names():
        says = "is served, the release does not have it"
        if name in accepted.removals:
            return [ReleaseFinding(name, "accepted", says)]
        return [_refused(name, NotFound("model_not_found", says, help=f"if that is meant: --accept-removal {name}"))]
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
    return _refused(subject, ProtocolError("contract_unsupported", f"the contract changes: {says}", help=help))


def _refused(subject: str, err: FivefoldError) -> ReleaseFinding:
    return ReleaseFinding(subject, "refused", str(err), err)
