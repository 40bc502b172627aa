"""Whether a release may replace what is served: every bundle opens and answers, and no caller loses what it has.

    bundle     fetched by its digest, signature with trusted keys, golden rows answered by the runtime installed here
    models     together what a server would serve: no version twice, defaults that exist
    contract   of each model that is served now, equal to the one served: by default, and for each version kept
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
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.release.behaviour_gate import BehaviourCheck, compare_behaviour
from fivefold.release.contract_difference import first_difference
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
class Live:
    """What is served now: for each model its versions' contracts, and under None that of its default version."""

    contracts: Mapping[str, Mapping[str | None, Contract]]


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
        for name in live.contracts:
            findings += _compare(name, live.contracts[name], models, accepted)
        findings += (ReleaseFinding(name, "ok", "is new") for name in models.names() if name not in live.contracts)
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
            contracts: dict[str, dict[str | None, Contract]] = {}
            for entry in client.models():
                name, version = entry["name"], entry["version"]
                known = contracts.setdefault(name, {None: client.contract(name)})
                known[version] = client.contract(name, version)
            return Live(contracts)
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


def _compare(
    name: str, served: Mapping[str | None, Contract], models: Repository, accepted: Accepted
) -> Iterable[ReleaseFinding]:
    if name not in models.names():
        says = "is served, the release does not have it"
        if name in accepted.removals:
            return [ReleaseFinding(name, "accepted", says)]
        return [_refused(name, NotFound("model_not_found", says, help=f"if that is meant: --accept-removal {name}"))]
    found: list[ReleaseFinding] = []
    for version, contract in served.items():
        if version is not None and version not in models.versions(name):
            continue
        subject = name if version is None else f"{name}@{version}"
        difference = first_difference(contract, models.find(name, version).contract)
        if difference is None:
            found.append(ReleaseFinding(subject, "ok", "answers under the contract that is served"))
        elif name in accepted.contract_changes:
            found.append(ReleaseFinding(subject, "accepted", f"the contract changes: {difference}"))
        else:
            help = f"pack it under a name of its own, or, if callers are ready: --accept-contract-change {name}"
            err = ProtocolError("contract_unsupported", f"the contract changes: {difference}", help=help)
            found.append(_refused(subject, err))
    return found


def _refused(subject: str, err: FivefoldError) -> ReleaseFinding:
    return ReleaseFinding(subject, "refused", str(err), err)
