"""What a run begins with: its order, and the plan that it goes by, made or found beside its output.

Nothing is scored here, and nothing is started. What becomes of the plan is left to `execute`.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from fivefold.batch.formats.chunk import Check, nothing
from fivefold.batch.output import table_commit
from fivefold.batch.output.ledger import OTHER_OUTPUT, PLAN, Ledger
from fivefold.batch.output.sinks import Layout
from fivefold.batch.plan import planning
from fivefold.batch.plan.contract_choice import refuse_other_versions, view_of
from fivefold.batch.plan.planning import Plan
from fivefold.batch.plan.settings import BatchSettings
from fivefold.batch.storage import sources as inputs
from fivefold.batch.storage.names import undecodable
from fivefold.batch.storage.output_storage import DirectoryStorage, Storage, open_storage
from fivefold.core import redact
from fivefold.core.bundle.bundle import Bundle, enclosing
from fivefold.core.errors import RunFailed
from fivefold.delivery.fetch import fetch
from fivefold.delivery.reference import Reference
from fivefold.delivery.settings import DeliverySettings


@dataclass(frozen=True, slots=True)
class RunOrder:
    """What is to be scored, and where to: a bundle's reference, patterns of files, an output directory or URL."""

    model: str
    inputs: tuple[str, ...]
    output: str

    def absolute(self) -> RunOrder:
        """The same order for a process with another working directory."""
        model = str(Reference.parse(self.model).absolute())
        return RunOrder(model, tuple(map(_absolute, self.inputs)), _absolute(self.output))


def _kept(order: RunOrder) -> dict[str, Any]:
    """The order as the plan keeps it, for people to read: a model's address without what may be secret in it."""
    absolute = order.absolute()
    return asdict(absolute) | {"model": redact.text(absolute.model)}


def prepare(
    order: RunOrder, settings: BatchSettings, delivery: DeliverySettings, check: Check = nothing, *, expected: str = ""
) -> tuple[Ledger, Plan, Bundle]:
    """The plan of a run, kept beside its output; nothing is scored and nothing is started. `expected` is what
    `plan.asked` has to give for it, if anything.

    Raises `RunFailed` `run_conflict` where another run stands in the output, and what `fetch`, `sources.find` and
    the formats raise for a bundle, patterns and files that are no good.
    """
    for path in (order.model, order.output, *order.inputs):
        undecodable(path)
    bundle = fetch(order.model, delivery, check=check)
    view = view_of(bundle, settings)
    Layout.of(view, bundle.name, settings.columns)
    found = inputs.search(order.inputs, digests=settings.digest_inputs, allow_http=settings.store_http)
    files = found.sources
    ledger = Ledger(open_storage(order.output, allow_http=settings.store_http))
    _refuse_place(ledger.storage)
    table_commit.check(settings.format, ledger.storage.url, table_url(settings.delta), settings.iceberg)
    inside = next((source.url for source in files if source.url.startswith(f"{ledger.storage.url}/")), None)
    if inside is not None:
        raise RunFailed("run_conflict", "the output would be among the input", path=inside)
    if expected and planning.asked(bundle, files) != expected:
        raise RunFailed(
            "run_conflict",
            "the bundle or the input is not what it was when the run was submitted",
            path=ledger.storage.url,
            help="submit it again: it is another run now",
        )
    facts = planning.facts(bundle, settings)
    standing = ledger.plan()
    if standing is None:
        foreign = ledger.foreign()
        if foreign is not None:
            raise RunFailed(
                "run_conflict",
                f"there is no plan, but {foreign}, which a reader would take for the run's",
                path=ledger.storage.url,
                help=OTHER_OUTPUT,
            )
        drawn = planning.make(files, facts, planning.read_request(view, settings), check)
        refuse_other_versions(bundle, settings, drawn.ignored)
        made = replace(
            drawn,
            passed_over=found.passed_over,
            order=_kept(order) | {"settings": asdict(settings)},
        )
        if ledger.keep(made):
            return ledger, made, bundle
        standing = ledger.plan()
        assert standing is not None
    other = planning.difference(standing, files, facts)
    if other is not None:
        raise RunFailed("run_conflict", f"another run stands here: {other}", path=ledger.storage.url, help=OTHER_OUTPUT)
    return ledger, standing, bundle


def _refuse_place(storage: Storage) -> None:
    """Refuse an output that is a file, or that lies in a bundle: with one file more, no bundle opens."""
    if not isinstance(storage, DirectoryStorage):
        return
    why = ""
    if storage.path.exists() and not storage.path.is_dir():
        why = "expected a directory for the output, got a file"
    # A run makes files below its output, so that the output itself may be no bundle either.
    outer = enclosing(storage.path / PLAN)
    if outer is not None:
        why = f"the output would be in the bundle {outer}"
    if why:
        raise RunFailed("run_conflict", why, path=storage.url, help="name another output directory")


def table_url(delta: str) -> str:
    """A Delta table's directory as an absolute path, a URL as it is."""
    return _absolute(delta.removeprefix("file://")) if delta else ""


def _absolute(path: str) -> str:
    return path if "://" in path else os.path.abspath(path)  # noqa: PTH100  # a pattern is no path yet
