"""Whether a release may replace what is served: every bundle opens and answers, and no caller loses what it has.

    bundle     fetched by its digest, signature with trusted keys, golden rows answered by the runtime installed here
    models     together what a server would serve: no version twice, defaults that exist
    callers    nobody who is answered now loses what they have (`succession_gate`)
    behaviour  where it is asked for: answers are those of the bundle before, as far as bounds allow

Nothing is changed anywhere. Acting on the report is left to whoever asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from fivefold.client import Client
from fivefold.core import redact
from fivefold.core.errors import (
    BundleInvalid,
    ContractInvalid,
    FivefoldError,
    Interrupted,
    ProtocolError,
    Unavailable,
)
from fivefold.core.runtime.scorer import Scorer
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings
from fivefold.release.behaviour_gate import BehaviourCheck, compare_behaviour
from fivefold.release.succession_gate import (
    Accepted,
    Live,
    ReleaseFinding,
    ServedContracts,
    judge_release,
    refusal,
)
from fivefold.serving.repository import Model, Repository


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
    ever_served: Callable[[], bool] | None = None,
) -> Report:
    """Hold the bundles of `references` against the service at the URL `against`.

    `defaults` names the versions that will answer when none is asked for. `headers` go with every question to the
    service, which has `timeout` seconds for each. `behaviour` compares the answers with those of other bundles.
    `ever_served` says of a service that cannot be asked whether anything has been served there at any time, or raises
    a `FivefoldError`; where nothing has, there is nothing that callers could lose. Raises `ValueError` for a URL that
    no client can use; everything else is in the report.
    """
    accepted = accepted or Accepted()
    findings: list[ReleaseFinding] = []
    models = _open(references, delivery or DeliverySettings(), defaults or {}, findings)
    if models is not None and behaviour is not None:
        served = partial(_digest, against, headers or {}, timeout, accepted, ever_served)
        for old in behaviour.old:
            subject, says, error = compare_behaviour(models, old, behaviour, delivery or DeliverySettings(), served)
            findings.append(ReleaseFinding(subject, "refused" if error else "ok", says, error))
    live = _ask(against, headers or {}, timeout, accepted, ever_served, findings)
    if models is not None and live is not None:
        findings += judge_release(live, models, accepted)
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
            findings.append(refusal(subject, err))
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
        findings.append(refusal("models", BundleInvalid(str(err))))
        return None


def _ask(
    against: str,
    headers: Mapping[str, str],
    timeout: float,
    accepted: Accepted,
    ever_served: Callable[[], bool] | None,
    findings: list[ReleaseFinding],
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
        findings.append(_unreachable(against, err, accepted, ever_served))
    except (msgspec.MsgspecError, LookupError, TypeError, ContractInvalid) as err:
        findings.append(refusal(against, ProtocolError("not_acceptable", f"this is not how Fivefold answers: {err}")))
    except FivefoldError as err:
        findings.append(refusal(against, err))
    return None


def _digest(
    against: str,
    headers: Mapping[str, str],
    timeout: float,
    accepted: Accepted,
    ever_served: Callable[[], bool] | None,
    name: str,
) -> str | None:
    """The digest of what is served under a name; None where nobody answers and that is accepted, or nobody ever did."""
    try:
        with Client(against, headers=headers, timeout=timeout) as client:
            return client.bundle(name)
    except (Unavailable, Interrupted):
        if accepted.unreachable or (ever_served is not None and not ever_served()):
            return None
        raise


def _unreachable(
    against: str, err: Unavailable | Interrupted, accepted: Accepted, ever_served: Callable[[], bool] | None
) -> ReleaseFinding:
    says = f"what is served now is not known: {err.message}"
    if accepted.unreachable:
        return ReleaseFinding(against, "accepted", says)
    try:
        if ever_served is not None and not ever_served():
            return ReleaseFinding(against, "ok", "has never served anything: a first release")
    except FivefoldError as unknown:
        says = f"{says}; nor whether anything ever was: {unknown.message}"
    help = "--allow-unreachable, if nothing is served there that anybody calls"
    return refusal(against, type(err)(err.code, says, help=help))


def _served(client: Client, name: str, version: str | None) -> ServedContracts:
    default = client.contract(name, version)
    versions = client.contracts(name, version) or [default.version]
    others = {each: client.contract(name, version, contract=each) for each in versions if each != default.version}
    return ServedContracts(default, {default.version: default} | others)
