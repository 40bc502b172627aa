"""Proves the bundles of a local run before anything is started for them, in a process of its own.

    python -m fivefold.online.local.opening EVENTS_FD

Code of a bundle may hang, hold the interpreter's lock, exit, or change the process that it is loaded in; here this
harms nobody, and whoever started the process can end it at any time. It reads one JSON line on standard input
(`OpeningOrder`), writes JSON lines to the descriptor and ends. How long a model may take is the parent's to measure, by
the events; what a bundle must fulfil is `core`'s and `delivery`'s.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

from fivefold.core.errors import FAMILIES, BundleInvalid, ContractInvalid, FivefoldError
from fivefold.local import processes

if TYPE_CHECKING:
    from fivefold.serving.repository import Repository

FETCHING, TESTING, REFUSED, UNUSABLE, DONE = "fetching", "testing", "refused", "unusable", "done"
"""The events: a bundle is looked for; its model is loaded and tested; the error that ends it all; a sentence that ends
it all; what can be served: its announcement, models, contracts, and what it changes for callers."""


SWEEP_SECONDS = 2.0
"""How long what a model has started may take to die."""


@dataclass(frozen=True)
class OpeningOrder:
    """What to open: references, the default versions, and the values of `OnlineSettings` and `DeliverySettings`; and
    what it is to take the place of."""

    models: list[str]
    defaults: dict[str, str]
    settings: dict[str, Any]
    delivery: dict[str, Any]

    served: dict[str, Any] | None = None
    """What is served now, as `Live.to_json` gives it; None: nothing is, and nobody can lose anything."""

    accept_contract_change: tuple[str, ...] = ()
    accept_removal: tuple[str, ...] = ()
    """Names of models whose callers may lose something."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def main(argv: list[str]) -> None:
    """Open the bundles in the order's order; the exit status is 0 whatever is found."""
    processes.die_with_parent()
    # Whatever a model starts stays below this process, and is found there.
    processes.adopt_orphans()
    with os.fdopen(int(argv[0]), "w", buffering=1) as events:
        order = OpeningOrder(**json.loads(sys.stdin.readline()))
        try:
            _open(order, events)
        except FivefoldError as error:
            _tell(events, REFUSED, error=record(error))
        except ValueError as error:
            _tell(events, UNUSABLE, error=str(error))
    processes.sweep(SWEEP_SECONDS)
    # Threads that a model has left would keep the process.
    os._exit(0)


def _open(order: OpeningOrder, events: IO[str]) -> None:
    from fivefold.core.runtime.scorer import Scorer
    from fivefold.delivery.fetch import fetch
    from fivefold.delivery.settings import DeliverySettings
    from fivefold.online.local import banner
    from fivefold.online.settings import OnlineSettings
    from fivefold.release.succession_gate import Live
    from fivefold.serving.recording import check_recording
    from fivefold.serving.repository import Model, Repository

    settings, delivery = OnlineSettings(**_tuples(order.settings)), DeliverySettings(**_tuples(order.delivery))
    bundles = []
    for reference in order.models:
        _tell(events, FETCHING)
        bundles.append(fetch(reference, delivery))
    models = []
    for bundle in bundles:
        _tell(events, TESTING, model=bundle.name)
        # In a thread, as in a replica: there a model may set no signal handlers.
        models.append(Model(bundle, Scorer.open(bundle, within_seconds=settings.self_test_seconds)))
    repository = Repository(models, defaults=order.defaults)
    check_recording(settings, (model.views for model in models))
    changes = _judge(order, repository)
    _tell(
        events,
        DONE,
        text=banner.requests(models, settings),
        models=[{"name": model.name, "version": model.version, "bundle": model.bundle.digest} for model in models],
        served=Live.of(repository).to_json(),
        changes=changes,
    )
    for model in models:
        model.scorer.close()


def _judge(order: OpeningOrder, models: Repository) -> list[str]:
    """What callers lose and are to lose, in words; raises what they would lose and must not."""
    from fivefold.release.succession_gate import Accepted, Live, judge_release

    if order.served is None:
        return []
    accepted = Accepted(contract_changes=order.accept_contract_change, removals=order.accept_removal)
    findings = judge_release(Live.from_json(order.served), models, accepted)
    for finding in findings:
        if finding.error is not None:
            error = finding.error
            raise type(error)(error.code, f"{finding.subject}: {error.message}", help=error.help)
    return [f"{finding.subject}: {finding.says}" for finding in findings if finding.verdict == "accepted"]


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}


def record(error: FivefoldError) -> dict[str, Any]:
    """The error as JSON values; its details, which come from requests, are left out."""
    return {
        "code": error.code,
        "message": error.message,
        "path": error.path,
        "help": error.help,
        "retry_after": error.retry_after,
    }


def error_of(values: dict[str, Any]) -> FivefoldError:
    """The error that `record` gave."""
    family = next(family for family in FAMILIES if values["code"] in family.codes)
    if family in (BundleInvalid, ContractInvalid):
        return family(values["message"], path=values["path"], help=values["help"])
    return family(
        values["code"],
        values["message"],
        path=values["path"],
        help=values["help"],
        retry_after=values["retry_after"],
    )


def _tell(events: IO[str], event: str, **rest: Any) -> None:
    events.write(json.dumps({"event": event, **rest}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
